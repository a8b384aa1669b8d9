"""docs/your_field.md, word for word, with the smallest real model and a few problems that are no mathematics: from JSONL to an answer."""

import importlib.util
import json
import os
import re
import shlex
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory.params.profiles import FOLDER
from factory.schemas import Problem, Reject, Template
from factory.storage import read_rows
from factory.templates.merges import Merge
from factory.templates.traces import read_trace

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
DATA = Path(os.environ.get("COAT_DATA", ROOT.parent / "shared" / "data"))
ROWS = 12  # of the page's
NO_ANSWER = 3  # exit code of a loop that ended without one, which a model this small may do
Line = Any  # the class of the fixture, in conftest.py
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not MODEL.exists(), reason=f"{MODEL.relative_to(ROOT)} is not here: `make smollm2` fetches it"),
    pytest.mark.skipif(not (DATA / "bgqa").is_dir(), reason=f"no BoardgameQA at {DATA}: set COAT_DATA"),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed, which holds a model to a schema"),
]
PAGE = (ROOT / "docs/your_field.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory, new_project: Callable[..., Line], shared_cache: Path) -> Line:
    """A project with the page's JSONL, made by the page's own lines."""
    line = new_project(tmp_path_factory.mktemp("field"), shared_cache)
    (line.folder / "models").mkdir()
    (line.folder / "models" / MODEL.name).symlink_to(MODEL)
    (convert,) = blocks("python")
    done = line.run("env", f"COAT_DATA={DATA.resolve()}", "python", "-c", convert)
    assert done.returncode == 0, done.stderr
    rows = (line.folder / "field.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) > ROWS
    (line.folder / "field.jsonl").write_text("\n".join(rows[:ROWS]) + "\n", encoding="utf-8")
    return line


@pytest.fixture(scope="module")
def said(field: Line) -> dict[str, str]:
    """What the page's commands say, all of which must succeed."""
    found = {}
    for command in (shlex.split(row, comments=True) for block in blocks("sh") for row in block.splitlines()):
        if not command or command[0] == "make":
            continue
        done = field.run(*command)
        fine = (0, NO_ANSWER) if command[:2] == ["factory", "solve"] else (0,)
        assert done.returncode in fine, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        found[" ".join(command[:3])] = done.stdout + done.stderr
        if command[:3] == ["factory", "profile", "use"]:
            edit(field.folder / "params.yaml")
        if command[0] == "cp":
            (words,) = blocks("jinja")
            (field.folder / "my_prompts/analyse.j2").write_text(words, encoding="utf-8")
    return found


def edit(path: Path) -> None:
    """The page's edit, and smaller numbers."""
    assert path.read_bytes() == (ROOT / FOLDER / "field.yaml").read_bytes()
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    (words,) = blocks("yaml")
    for section, values in yaml.safe_load(words).items():
        document[section] |= values
    document["templates"] |= {"problems": ROWS, "min_solve_rate": 0.0}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def test_a_row_of_the_page_is_one_that_the_lines_before_it_write(field: Line) -> None:
    (example,) = blocks("json")
    written = [json.loads(row) for row in (field.folder / "field.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {tuple(json.loads(example))} == {tuple(row) for row in written}


def test_every_problem_supports_a_template_or_is_a_reject(field: Line, said: dict[str, str]) -> None:
    problems = {row.id: row for row in read_rows(field.folder / "data/tables/problems.parquet", Problem) if row.split == "train"}
    templates = read_rows(field.folder / "data/tables/templates.parquet", Template)
    rejects = read_rows(field.folder / "data/rejects/templates.parquet", Reject)
    supporting = {parent for row in templates for parent in row.parents}
    assert templates
    assert supporting | {json.loads(row.row)["problem_id"] for row in rejects} == set(problems)
    assert all(row.prompt_version.startswith("my_prompts/analyse@") for row in templates)
    assert {row.answer_kind for row in problems.values()} == {"label"}
    assert {row.example_solution for row in templates} <= {row.solution for row in problems.values()}  # the user's own, none of the model's


def test_pairs_were_asked_both_ways_and_are_recorded(field: Line, said: dict[str, str]) -> None:
    asked = [row for row in read_rows(field.folder / "data/logs/template_merges.parquet", Merge) if row.answers]
    assert {row.kind for row in asked} >= {"control"}  # and templates, where the labeller tells the controls apart
    assert all(len(row.answers) == len(set(row.request_ids)) == 2 for row in asked)
    assert all(row.answers == ("yes", "yes") for row in asked if row.merges)
    assert "pairs asked" in said["factory templates merges"]


def test_the_library_is_linted_searched_and_solves(field: Line, said: dict[str, str]) -> None:
    assert re.search(r"\d+ templates: \d+ pass", said["factory templates lint"])
    assert "confidence" in said["factory templates search"]
    trace = read_trace(json.loads((field.folder / "trace.json").read_text(encoding="utf-8")))
    assert trace.grade["gold"] == "yes"
    assert next(event.question for event in trace.events if event.role) == "propose"
    assert (field.folder / "trace.html").read_text(encoding="utf-8").startswith("<!")


def test_nobody_was_asked_with_examples_of_arithmetic(field: Line, said: dict[str, str]) -> None:
    with sqlite3.connect(field.folder / "store.sqlite") as store:
        requests = [zlib.decompress(row) for (row,) in store.execute("select request from answers where stage in ('templates', 'solve')")]
    assert len(requests) > ROWS
    assert not any(word in request for request in requests for word in (b"pens", b"12 + 12", b"calculation"))
