"""A released line in a folder of its own, and a Hub on localhost that it is published to."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory import storage
from factory.gate.expectations import Finding
from factory.params import Params, load
from factory.planning.graph import expanded
from factory.publish import upload
from factory.publish.publish import Order, Outcome, publish

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[2]))
from hub_server import TOKEN, HubServer
from laid_out import lay_out

ROOT = Path(__file__).parents[3]
KEPT = Finding("expect_column_values_to_be_unique", "id", "no id stands twice", True, True, 0, 6, "", ())
BROKEN = Finding("expect_column_values_to_be_unique", "", "no two rows say the same", False, False, 2, 6, "", (("a", "b"),))


@dataclass(frozen=True)
class Line:
    """`send(...)`: publish what lies in the working directory, in this process."""

    root: Path
    params: Params

    def send(self, *, stale: Callable[[], Set[str]] = frozenset, **order: object) -> list[Outcome]:
        return publish(Order(**{"repo": "org/coat", **order}), load(), stale)

    def rewrite(self, path: str, **values: object) -> None:
        """Change keys of a JSON file."""
        file = Path(path)
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")

    def release(self, name: str, parts: int = 1) -> None:
        put(name, self.params, parts)


def put(name: str, params: Params, parts: int = 1) -> None:
    """What the gate writes of a table that passes; Great Expectations itself is asked in tests/factory/gate."""
    lay_out(name, params, parts, (KEPT, BROKEN))


def locked() -> dict[str, Any]:
    """`dvc.lock` as a run of all stages would write it, with made-up hashes: the committed one may be of an earlier line."""
    stages = expanded(ROOT / "dvc.yaml", yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))

    def entries(paths: tuple[str, ...]) -> list[dict[str, str]]:
        return [{"path": path, "md5": f"{len(path):032x}"} for path in paths]

    return {"schema": "2.0", "stages": {item.title: {"deps": entries(item.deps), "outs": entries(item.outs)} for item in stages}}


@pytest.fixture(scope="session")
def released_line(written_line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(written_line.root, folder, dirs_exist_ok=True)
    shutil.copy(ROOT / "dvc.yaml", folder / "dvc.yaml")
    (folder / "dvc.lock").write_text(yaml.dump(locked()), encoding="utf-8")
    with chdir(folder):
        for name in written_line.params.datasets:
            put(name, written_line.params)
        model = storage.MODELS / "planner_dpo"
        model.mkdir(parents=True)
        (model / "config.json").write_text(json.dumps({"architectures": ["Qwen3ForCausalLM"]}), encoding="utf-8")
        (model / "model.safetensors").write_bytes(b"\0" * 1000)
        (model / "optimizer.pt").write_bytes(b"not for others")
    return folder


@pytest.fixture
def line(released_line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    folder = tmp_path / "line"
    shutil.copytree(released_line, folder)
    monkeypatch.chdir(folder)
    return Line(folder, load())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """What huggingface_hub reads of the environment when it is first imported, it has as constants from then on."""
    from huggingface_hub import constants

    with HubServer(tmp_path / "hub") as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(upload, "WAITS", (0.01,) * 6)
        yield server
