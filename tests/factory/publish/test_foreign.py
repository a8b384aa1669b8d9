"""A dataset on the Hub is audited at a revision, as a file is: from a real server on localhost."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


def put(hub: HubServer, files: dict[str, bytes]) -> str:
    """A commit of these files; its hash."""
    if "org/theirs" not in hub.repos:
        hub.create("org/theirs", "dataset", private=False)
    repo = hub.repos["org/theirs"]
    entries = {name: hub.entry(content, large=name.endswith(".parquet")) for name, content in files.items()}
    return hub.advance(repo, "main", entries)


def parquet(**columns: list[str]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


@pytest.fixture
def ask(hub: HubServer, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command in a process of its own: huggingface_hub reads the Hub's address when it is imported."""

    def asked(*words: str) -> subprocess.CompletedProcess[str]:
        more = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home"), "COLUMNS": "200",
                "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": str(ROOT)}  # fmt: skip
        command = [sys.executable, "-m", "factory.cli", "audit", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ | more)

    return asked


def test_a_dataset_of_the_hub_is_audited_at_its_revision(hub: HubServer, ask: Callable, tmp_path: Path) -> None:
    first = put(hub, {"data/train-00000-of-00001.parquet": parquet(question=["12 + 7?"], response=["\\boxed{19}"], gold=["19"])})
    put(hub, {"data/train-00000-of-00001.parquet": parquet(question=["12 + 7?"], response=["\\boxed{18}"], gold=["19"])})
    before = ask("org/theirs", "--map", "answer=gold", "--revision", first, "--split", "train", "--out", "out")
    assert before.returncode == 0, before.stdout + before.stderr
    document = json.loads((tmp_path / "out/audit.json").read_text(encoding="utf-8"))
    assert (document["dataset"], document["kind"]) == (f"org/theirs@{first}, train", "distillation")
    after = ask("org/theirs", "--map", "answer=gold")
    assert after.returncode == 1
    assert "the completion is graded correct against the problem's answer" in after.stdout


def test_what_the_hub_does_not_have_is_one_line(hub: HubServer, ask: Callable) -> None:
    row = json.dumps({"question": "12 + 7?", "response": "19"}).encode() + b"\n"
    put(hub, {"train.jsonl": row, "test.jsonl": row})
    nothing, several = ask("org/nothing"), ask("org/theirs")
    assert nothing.returncode == several.returncode == 1
    assert nothing.stderr.startswith("error: org/nothing cannot be loaded from the Hub (")
    assert nothing.stderr.count("\n") == 1
    assert several.stderr == "error: org/theirs has the splits train, test: name one with --split\n"
