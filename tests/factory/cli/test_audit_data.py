"""`factory audit FILE`: the form without a subcommand, mapping, exit status, and one line for a mistake."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess]
GOOD = '{"question": "12 + 7?", "response": "12 + 7 = 19\\n\\\\boxed{19}", "gold": "19"}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.jsonl"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_file_needs_no_subcommand(run: Run, file: Path) -> None:
    asked = run("audit", str(file), "--map", "answer=gold", cwd=file.parent)
    assert asked.returncode == 0, asked.stderr
    assert "1 row of distillation (guessed by its columns: --as overrules it), 0 records that are none" in asked.stdout
    assert "No critical expectation failed." in asked.stdout
    named = run("audit", "data", str(file), "--map", "answer=gold", cwd=file.parent)
    assert named.stdout == asked.stdout
    first = run("audit", "--map", "answer=gold", str(file), cwd=file.parent)
    assert first.stdout == asked.stdout, "options may come first"


@pytest.mark.slow
def test_a_failed_expectation_is_an_exit_status_and_the_page_says_it(run: Run, file: Path) -> None:
    file.write_text(GOOD + GOOD.replace("boxed{19}", "boxed{20}"), encoding="utf-8")
    asked = run("audit", str(file), "--map", "answer=gold", "--out", "out", cwd=file.parent)
    assert asked.returncode == 1
    assert "the completion is graded correct against the problem's answer" in asked.stdout
    assert "The whole audit: out/index.html" in asked.stdout
    out = file.parent / "out"
    assert {path.name for path in out.iterdir()} == {
        "index.html", "report.md", "audit.json", "rows.parquet", "failing.parquet", "rejects.parquet",
    }  # fmt: skip
    assert not json.loads((out / "audit.json").read_text(encoding="utf-8"))["success"]


@pytest.mark.parametrize(("words", "message"), [
    (("nowhere.jsonl",), "error: nowhere.jsonl is no file, no folder, no dataset of this line and no Hub id (org/name)"),
    (("theirs.jsonl", "--map", "gold"), "error: --map gold: expected OURS=THEIRS, as --map answer=gold"),
    (("theirs.jsonl", "--map", "answer=silver"), "error: --map answer=silver: there is no column silver"),
    (("theirs.jsonl", "--map", "gold=answer"), "error: --map gold=answer: the name here stands first, OURS=THEIRS: --map answer=gold"),
    (("theirs.jsonl", "--map", "answer=gold", "--map", "answer=response"), "error: --map answer=response: answer is gold already"),
    (("theirs.jsonl", "--against", "gone.jsonl"), "error: the benchmark gone.jsonl is missing"),
    (("",), "error: the name of the data is empty"),
    (("latin.jsonl",), "error: latin.jsonl has no rows that can be read (not UTF-8"),
    (("theirs.jsonl", "--out", "theirs.jsonl/out"), "error: --out theirs.jsonl/out cannot be written: "),
    (("theirs.jsonl", "--as", "rolouts"), "error: --as rolouts is no kind of rows"),
    (("theirs.jsonl", "--out", "full"), "error: --out full exists and is no audit"),
])  # fmt: skip
def test_a_mistake_is_one_line(run: Run, file: Path, words: tuple[str, ...], message: str) -> None:
    (file.parent / "full").mkdir()
    (file.parent / "full/thesis.tex").touch()
    (file.parent / "latin.jsonl").write_bytes('{"question": "Café?", "answer": "2"}'.encode("latin-1"))
    asked = run("audit", *words, cwd=file.parent)
    assert asked.returncode == 1
    assert asked.stderr.startswith(message)
    assert "Traceback" not in asked.stderr


def test_the_other_commands_are_still_there(run: Run, file: Path) -> None:
    asked = run("audit", "--help", cwd=file.parent)
    assert all(name in asked.stdout for name in ("data", "demonstrations", "critics", "grading"))
    assert "no demonstrations in" in run("audit", "demonstrations", cwd=file.parent).stderr


@pytest.mark.slow
def test_markdown_is_for_the_docs(run: Run, file: Path) -> None:
    asked = run("audit", str(file), "--markdown", cwd=file.parent)
    assert asked.stdout.startswith("# Audit of ")
    assert "| expectation | weight | why it is not checked |" in asked.stdout
