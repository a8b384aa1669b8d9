"""The boundary: help at once, a mistake in one line with exit code 1, and a reader that has seen enough."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from factory import storage

LAPTOP = Path(__file__).parents[3] / "pipelines/profiles/laptop.yaml"


@pytest.mark.slow
def test_help_answers_at_once_and_shows_every_command(tmp_path: Path, process: Callable[..., subprocess.CompletedProcess]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    answer = process("--help", cwd=tmp_path)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 1.5  # 0.1 s of a core; the heavy imports alone take longer
    for name in ("status", "show", "profile", "templates", "requests", "timings"):
        assert name in answer.stdout
    heavy = ("torch", "pandas", "pyarrow", "pydantic", "rich.table")
    code = f"import sys, factory.cli.main; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.slow
def test_mistakes_are_one_line_and_exit_with_one(tmp_path: Path, process: Callable[..., subprocess.CompletedProcess]) -> None:
    answer = process("status", cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: params.yaml is missing here")
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_an_unreadable_place_is_one_line(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess]) -> None:
    (tmp_path / "data").write_text("a file where a folder belongs")
    (tmp_path / "params.yaml").write_text(LAPTOP.read_text(encoding="utf-8"), encoding="utf-8")
    answer = run("show", "demonstrations", cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("words", [
    ("report", "--against", ""), ("report", "--against="), ("show", "corpus", "--id", ""), ("audit", "theirs.jsonl", "--against", ""),
    ("audit", "data", "theirs.jsonl", "--out=", "--markdown"), ("publish", "--repo", ""), ("requests", "show", "-n", "1", "--stage", ""),
    ("templates", "import", "library.json", "--licence", ""), ("solve", "12 + 7?", "--planner", ""),
])  # fmt: skip
def test_an_option_that_is_given_and_empty_is_no_option_left_out(
    words: tuple[str, ...], tmp_path: Path, run: Callable[..., subprocess.CompletedProcess]
) -> None:
    answer = run(*words, cwd=tmp_path)
    option = next(word for word in words if word.startswith("--")).rstrip("=")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"error: {option} is empty: give it a value, or leave it out\n"


def test_an_empty_word_is_no_empty_option(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess]) -> None:
    assert "the name of the data is empty" in run("audit", "--markdown", "", cwd=tmp_path).stderr
    assert "--id is empty" not in run("solve", "--", "--id", "", cwd=tmp_path).stderr
    assert "--answer-after is empty" not in run("solve", "--problems", "none.jsonl", "--answer-after", "", cwd=tmp_path).stderr


@pytest.mark.slow
def test_show_can_be_cut_short(small_line) -> None:
    command = f"{sys.executable} -m factory.cli show restarts_r1 -n 12 | head -1"
    answer = subprocess.run(["bash", "-c", command], cwd=small_line.root, capture_output=True, text=True, check=False)
    assert "restarts_r1" in answer.stdout
    assert answer.stderr == ""


@pytest.mark.parametrize("content", [b"", b'{"id": "1"}\n', b"PAR1" + bytes(400) + b"PAR1", None])
def test_a_damaged_table_is_one_line(small_line, content: bytes | None, run: Callable[..., subprocess.CompletedProcess]) -> None:
    table = storage.TABLES / "corpus.parquet"
    table.write_bytes(table.read_bytes()[:-100] if content is None else content)
    for words in (("show", "corpus"), ("show", "corpus", "--id", "c"), ("status",)):
        answer = run(*words, cwd=small_line.root)
        assert answer.returncode == 1
        assert answer.stderr.startswith("error: data/tables/corpus.parquet is not a readable Parquet file (")
        assert len(answer.stderr.splitlines()) == 1
