"""The gate as `dvc repro` meets it: a process that ends with 1, two lines, and the audit in the workspace."""

import json
import subprocess
import sys

import pytest

from factory.schemas import Restart

pytestmark = pytest.mark.slow


def release(line, dataset: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "pipelines.release", dataset], cwd=line.root, capture_output=True, text=True, check=False)


def test_a_sound_dataset_passes_and_a_corrupted_one_stops_the_line(small_line) -> None:
    answer = release(small_line, "restarts_r1")
    assert answer.returncode == 0, answer.stderr
    assert "12 rows pass" in answer.stdout
    folder = small_line.root / "data/datasets/restarts_r1"
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"README.md", "manifest.json", "train-00000-of-00001.parquet"}
    broken = small_line.change("restarts_r1", Restart, prefix="9 + 9 = 99\n<|reflect|>")
    answer = release(small_line, "restarts_r1")
    assert answer.returncode == 1
    message = answer.stderr.strip().splitlines()
    assert len(message) == 2
    assert message[0].startswith("error: release@restarts_r1: dataset restarts_r1 may not be used: 'the prefix is a prefix of its parent's")
    assert "1 of 12 rows" in message[0]
    assert message[0].endswith("data/audits/restarts_r1.json")
    assert broken in message[1]
    assert not folder.exists()
    assert json.loads((small_line.root / "data/audits/restarts_r1.json").read_text())["success"] is False


def test_an_unknown_dataset_is_one_line(small_line) -> None:
    answer = release(small_line, "restarts_r9")
    assert answer.returncode == 1
    assert len(answer.stderr.strip().splitlines()) == 1
    assert "lists no dataset 'restarts_r9'" in answer.stderr
