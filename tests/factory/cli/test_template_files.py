"""`factory templates import`, `lint`, `diff` and `merges` as a user meets them."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from factory import storage
from factory.cli.template_files import WHAT
from factory.schemas import Template
from factory.templates.library import build_library
from factory.templates.merges import record, write_merges

Run = Callable[..., subprocess.CompletedProcess]
REAL = Path(os.environ.get("COAT_DATA", Path(__file__).parents[4] / "shared/data")) / "templates/template_library.json"
ROW = {"name": "Add", "tags": ["sum"], "description": "Add it.", "scope": "A gain.", "steps": ["Add it."], "example": {"problem": "1 + 1?"}}
BAD = {**ROW, "name": "See the book", "description": "Look.", "steps": ["Do as in Example 2."]}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"Sums": [ROW, BAD, 7]}), encoding="utf-8")
    return path


@pytest.mark.slow
def test_import_writes_rows_a_record_and_rejects(mine: Path, run: Run) -> None:
    answer = run("templates", "import", "mine.json", "--licence", "MIT", "--source", "org/repo@1", cwd=mine.parent)
    assert answer.returncode == 0, answer.stderr
    assert "1 accepted, 1 quarantined: factory templates lint mine.templates.parquet" in answer.stdout
    rows = storage.read_rows(mine.parent / "mine.templates.parquet", Template)
    assert {row.name: (row.status, row.licence, row.source) for row in rows} == {
        "Add": ("accepted", "MIT", "org/repo@1"), "See the book": ("quarantined", "MIT", "org/repo@1"),
    }  # fmt: skip
    record = json.loads((mine.parent / "mine.templates.import.json").read_text(encoding="utf-8"))
    assert record["counts"]["rows in"] == record["counts"]["templates"] + record["counts"]["rejected"] == 3
    assert {entry["at"] for entry in record["templates"].values()} == {"Sums/0", "Sums/1"}
    assert storage.count_rows(mine.parent / "mine.templates.rejects.parquet") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mine.json",), "states no licence for 2 of its templates"),
        (("none.json", "--licence", "MIT"), "none.json is missing"),
        (("mine.json", "--licence", "MIT", "--column", "name"), "expected OURS=THEIRS"),
        (("mine.json", "--licence", "MIT", "--out", "x.csv"), "expected a name that ends in .parquet"),
        (("mine.json", "--licence", "MIT", "--replaces", "gone.parquet"), "--replaces gone.parquet is missing: name the Parquet that"),
    ],
)
def test_a_mistake_is_one_line(mine: Path, run: Run, words: tuple[str, ...], said: str) -> None:
    answer = run("templates", "import", *words, cwd=mine.parent)
    assert answer.returncode == 1
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.slow
def test_only_an_import_is_replaced_and_its_old_rejects_go(mine: Path, run: Run) -> None:
    storage.write_rows(mine.parent / "theirs.parquet", Template, [])
    before = (mine.parent / "theirs.parquet").read_bytes()
    answer = run("templates", "import", "mine.json", "--licence", "MIT", "--out", "theirs.parquet", cwd=mine.parent)
    assert answer.returncode == 1
    assert "theirs.parquet exists and no import wrote it" in answer.stderr
    assert (mine.parent / "theirs.parquet").read_bytes() == before
    assert run("templates", "import", "mine.json", "--licence", "MIT", cwd=mine.parent).returncode == 0
    assert (mine.parent / "mine.templates.rejects.parquet").exists()
    mine.write_text(json.dumps([ROW]), encoding="utf-8")
    assert run("templates", "import", "mine.json", "--licence", "MIT", cwd=mine.parent).returncode == 0
    assert not (mine.parent / "mine.templates.rejects.parquet").exists(), "nothing was rejected this time"


@pytest.mark.slow
def test_lint_shows_what_quarantines_and_fails_only_when_strict(mine: Path, run: Run) -> None:
    answer = run("templates", "lint", "mine.json", cwd=mine.parent)
    assert answer.returncode == 0, answer.stderr
    assert "2 templates: 1 pass, 1 do not" in answer.stdout
    assert "1 entry is no template, the first of them: " in answer.stdout
    assert "1 entry is no template" in run("templates", "merges", "mine.json", cwd=mine.parent).stdout
    assert "a step refers to: 'Example 2'" in answer.stdout
    assert "answer cannot be read" not in answer.stdout
    assert run("templates", "lint", "mine.json", "--strict", cwd=mine.parent).returncode == 1
    assert "expected one of no-steps" in run("templates", "lint", "mine.json", "--code", "zzz", cwd=mine.parent).stderr
    assert "name a file" in run("templates", "lint", cwd=mine.parent).stderr


def test_every_code_of_the_page_can_be_asked_for_and_says_what_it_is() -> None:
    page = (Path(__file__).parents[3] / "docs/templates.md").read_text(encoding="utf-8")
    table = page.split("| code | quarantines | what |")[1].split("\n\n")[0]
    told = {code for line in table.splitlines()[2:] for code in re.findall(r"`([a-z-]+)`", line.split("|")[1])}
    assert len(told) >= 20
    assert told - set(WHAT) == set()


def test_lint_takes_a_table_of_the_line(small_line, run: Run) -> None:
    answer = run("templates", "lint", "templates", "--warnings", cwd=small_line.root)
    assert answer.returncode == 0, answer.stderr
    assert "1 template: 1 pass, 0 do not" in answer.stdout


@pytest.mark.slow
def test_diff_of_two_files_and_what_has_no_revision(small_line, run: Run) -> None:
    (row,) = storage.read_rows(storage.TABLES / "templates.parquet", Template)
    storage.write_rows(Path("new.parquet"), Template, [replace(row, id="n", steps=("Count on.",), parents=(row.id,), version=2)])
    answer = run("templates", "diff", "data/tables/templates.parquet", "--file", "new.parquet", cwd=small_line.root)
    assert answer.returncode == 0, answer.stderr
    assert "1 template, 1 in data/tables/templates.parquet: 0 added, 0 removed, 1 changed, 0 moved in status" in answer.stdout
    assert "+ Count on." in answer.stdout
    build_library(Path("new.parquet"), Path("new.duckdb"))
    Path("new.jsonl").write_text(json.dumps({**ROW, "name": row.name, "licence": "MIT"}), encoding="utf-8")
    for name, counts in (("new.duckdb", "0 added, 0 removed, 1 changed"), ("new.jsonl", "0 added, 0 removed, 1 changed")):
        answer = run("templates", "diff", "data/tables/templates.parquet", "--file", name, cwd=small_line.root)
        assert counts in answer.stdout, answer.stderr
    assert "1 template: 1 pass" in run("templates", "lint", "new.duckdb", cwd=small_line.root).stdout
    assert "gone.parquet is missing" in run("templates", "diff", "new.duckdb", "--file", "gone.parquet", cwd=small_line.root).stderr
    assert "v9 is no revision of git here" in run("templates", "diff", "v9", cwd=small_line.root).stderr


def test_help_teaches(run: Run, tmp_path: Path) -> None:
    for command in ("import", "lint", "diff"):
        answer = run("templates", command, "--help", cwd=tmp_path)
        assert answer.returncode == 0
        assert f"factory templates {command}" in answer.stdout.split("Examples:")[1]


@pytest.mark.skipif(not REAL.exists(), reason=f"ReasonFlux's library is not at {REAL} (COAT_DATA)")
def test_the_published_library(tmp_path: Path, run: Run) -> None:
    answer = run("templates", "import", str(REAL), "--licence", "Apache-2.0", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    rows = storage.read_rows(tmp_path / "template_library.templates.parquet", Template)
    assert len(rows) == 420
    assert 100 < sum(row.status == "quarantined" for row in rows) < 150


def test_merges_of_the_line_and_of_a_published_library(small_line, mine: Path, run: Run) -> None:
    assert "`dvc repro templates` makes it; or name a library" in run("templates", "merges", cwd=small_line.root).stderr
    asked = {
        "answers": ("yes", "no"),
        "request_ids": ("9f0c11112222", "51aa33334444"),
        "model": "m@1",
        "prompt_version": "templates/same@1",
    }
    write_merges([
        record("template", ("a", "join"), ("b", "put together"), True, "names", 0.0),
        record("template", ("c", "take \x1b[31maway"), ("b", "put together"), False, "labeller", 7.5, **asked),
        record("tag", ("", "adding"), ("", "add"), True, "the same stems", 100.0),
    ])  # fmt: skip
    answer = run("templates", "merges", cwd=small_line.root)
    assert answer.returncode == 0, answer.stderr
    assert "1 merged by their names; 1 pair asked, 0 merged, 0 answers unreadable; 1 tag united, 0 dropped" in " ".join(
        answer.stdout.split()
    )
    assert "yes no" not in answer.stdout
    refused = run("templates", "merges", "--refused", cwd=small_line.root).stdout
    assert all(words in refused for words in ("yes no", "9f0c1111", "7.50"))
    assert "\x1b[31m" not in refused
    mine.write_text(json.dumps({"Sums": [ROW, {**ROW, "name": "Add up", "example": {"problem": "2 + 2?"}}]}), encoding="utf-8")
    answer = run("templates", "merges", "mine.json", cwd=mine.parent)
    assert "the same steps" in answer.stdout
    assert "1 template may be another again" in answer.stdout
