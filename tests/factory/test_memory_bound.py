"""Peak memory of every stage against the committed bound."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory import status
from factory.params import Params, load, parse

ROOT = Path(__file__).parents[2]
KEYS = {"seconds": 2.0, "at": "2026-11-27T04:26:43"}


def write(folder: Path, *peaks: tuple[str, int]) -> None:
    (folder / ".factory").mkdir(exist_ok=True)
    lines = [json.dumps({"stage": stage, "peak_mb": peak, **KEYS}) for stage, peak in peaks]
    (folder / ".factory/timings.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    return tmp_path


def adopted(document: dict[str, Any], model: str) -> None:
    document.update(pretraining={}, adoption={"base": model})
    del document["datasets"]["corpus"]


def changed(change: Any) -> Params:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    change(document)
    return parse(document)


@pytest.mark.slow
def test_stages_over_the_bound_are_named_and_the_command_fails(place: Path) -> None:
    write(place, ("problems", 150), ("ppo@r1", 7887), ("evaluate", 11034), ("corpus@base", 3000), ("elsewhere", 9000))
    assert status.over_bound(load()) == {"ppo@r1": 7887, "evaluate": 11034}
    answer = subprocess.run([sys.executable, "-m", "factory.cli", "timings"], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout.splitlines()[0] == "| stage | seconds | peak MB, at most 3,000 |"
    assert "| ppo@r1 | 2.0 | **7,887** |" in answer.stdout
    assert "| corpus@base | 2.0 | 3,000 |" in answer.stdout
    error = "error: more memory than the 3,000 MB that a stage of this line may use: ppo@r1 7,887 MB, evaluate 11,034 MB"
    assert answer.stderr.strip() == error


def test_the_last_run_of_a_stage_counts(place: Path) -> None:
    write(place, ("evaluate", 11034), ("evaluate", 908))
    assert status.over_bound(load()) == {}
    assert "**" not in status.timings_markdown(load())


@pytest.mark.parametrize(
    "change",
    [
        lambda document: adopted(document, f"org/name@{'0' * 40}"),
        lambda document: document["roles"]["generator"].update(engine="vllm"),
        lambda document: document["roles"]["labeller"].update(engine="openai", model="big", base_url="http://127.0.0.1:1/v1"),
    ],
)
def test_a_line_with_models_of_others_has_no_bound(place: Path, change: Any) -> None:
    write(place, ("evaluate", 40000))
    params = changed(change)
    assert status.bound_mb(params) is None
    assert status.over_bound(params) == {}
    assert "at most" not in status.timings_markdown(params)
