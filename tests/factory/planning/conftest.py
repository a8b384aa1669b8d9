"""A project in a temporary folder: the real graph, a JSONL file of problems, and a profile that a test changes."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PROBLEMS = [
    {"question": f"Tom has {number} apples. He buys {number + 2} more. How many apples has he now?",
     "answer": f"He has {number} + {number + 2} = {2 * number + 2} apples.\n#### {2 * number + 2}"}
    for number in range(2, 42)
]  # fmt: skip
SOURCE = {
    "name": "mine", "kind": "jsonl", "path": "train.jsonl", "columns": {"problem": "question", "answer": "answer", "solution": "answer"},
    "answer_after": "####",
}  # fmt: skip


def safetensors(size: int = 2000, name: str = "weight") -> bytes:
    """A file of that many bytes with one tensor in it."""
    data = size - 8 - 200
    header = json.dumps({name: {"dtype": "BF16", "shape": [data // 2], "data_offsets": [0, data]}}).encode()
    return (200).to_bytes(8, "little") + header.ljust(200) + bytes(data)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network: a Hub id that is looked up meets an address where nobody listens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "requests.sqlite"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("factory", "pipelines", "trainers", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS), encoding="utf-8")
    model = tmp_path / "models/mine"
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"max_position_embeddings": 512, "dtype": "bfloat16"}')
    (model / "model.safetensors").write_bytes(safetensors())
    return tmp_path


@pytest.fixture
def document() -> dict[str, Any]:
    """The laptop's params on the file's problems, with a base that is adopted: a line without a world."""
    found = yaml.safe_load((ROOT / "pipelines/profiles/laptop.yaml").read_text(encoding="utf-8"))
    found["problems"] |= {"sources": [copy.deepcopy(SOURCE)], "world": None}
    for section in ("corpus", "pretraining"):
        found.pop(section)
    found |= {"pretraining": {}, "adoption": {"base": "models/mine"}}
    del found["datasets"]["corpus"]
    found["rollouts"]["problems"], found["distillation"]["problems"], found["evaluate"]["n"] = 8, 8, 4
    found["plans"] |= {"samples": 1, "tries": 0}
    found["planners"] = {"sft": {"start": "base"}}
    del found["datasets"]["plans_first"], found["datasets"]["plans_second"]
    return found


@pytest.fixture
def written(project: Path) -> Callable[[dict[str, Any]], Path]:
    def write(found: dict[str, Any]) -> Path:
        (project / "params.yaml").write_text(yaml.safe_dump(found, sort_keys=False), encoding="utf-8")
        return Path("params.yaml")

    return write
