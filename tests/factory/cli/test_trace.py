"""`factory trace`: a tree for people, JSON for programs, one line for a mistake."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pyarrow.parquet as pq
import pytest

from factory.cli.trace import _run
from factory.lineage.trace import Line, trace
from factory.schemas import Rollout
from factory.storage import read_rows, write_rows


def first(table: str) -> str:
    return pq.read_table(f"data/tables/{table}.parquet", columns=["id"])["id"][0].as_py()


@pytest.mark.slow
def test_the_tree_says_where_a_pair_comes_from_and_where_it_went(small_line, ask: Callable[..., str]) -> None:
    shown = ask("trace", f"trajectory_pairs/{first('trajectory_pairs')}")
    assert "trajectory_pairs" in shown.splitlines()[0]
    for fact in ("trajectories", "by parents", "templates t1", "licence apache-2.0", "model base@3fa9", "no dvc.lock here"):
        assert fact in shown, fact


def test_depth_0_is_the_row_alone(small_line, ask: Callable[..., str]) -> None:
    shown = ask("trace", f"trajectory_pairs/{first('trajectory_pairs')}", "--depth", "0")
    assert "by parents" not in shown
    assert "nothing here" in shown


@pytest.mark.parametrize("endpoint", ["https://hub.example", ""], ids=["told", "of an earlier version"])
def test_a_publication_is_told_with_its_hub(small_line, endpoint: str) -> None:
    told = {"endpoint": endpoint, "repo": "org/coat", "commit": "c0ffee", "datasets": ["structure"], "changed": []}
    found = replace(trace(Line(Path()), "structure/s1"), published=told)
    (line,) = [text.plain for text in _run(found) if "org/coat" in text.plain]
    assert " ".join(line.split()) == f"Hub org/coat@c0ffee{' at https://hub.example' if endpoint else ''} structure"


def test_json_has_the_same_facts(small_line, ask: Callable[..., str]) -> None:
    found = json.loads(ask("trace", "structure/s1", "--json"))
    assert found["origin"]["place"] == "structure"
    assert [(parent["place"], parent["id"]) for parent in found["origin"]["parents"]] == [("templates", "t1")]


@pytest.mark.slow
def test_diff_shows_what_differs(small_line, ask: Callable[..., str]) -> None:
    shown = ask("trace", "diff", "plans_sft#0", "plans_sft#1")
    assert "problem_id" in shown
    assert "-[user] Tom has" in shown
    assert ask("trace", "diff", "plans_sft#0", "plans_sft#0").strip().endswith("the same origin")


def test_requests_that_the_store_has_not_are_one_line_a_row(small_line, ask: Callable[..., str]) -> None:
    table = Path("data/tables/rollouts_base.parquet")
    rows = [replace(row, request_ids=("9f0c" * 10, "77ab" * 10)) for row in read_rows(table, Rollout)]
    write_rows(table, Rollout, rows)
    shown = ask("trace", f"rollouts_base/{rows[0].id}", "--depth", "0")
    assert shown.count("not in this request store") == 1
    assert f"requests {('9f0c' * 10)[:20]} and 1 more" in shown


def test_an_id_that_is_nowhere_is_one_line(small_line, run: Callable[..., CompletedProcess]) -> None:
    answer = run("trace", "nope", cwd=small_line.root)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: nothing here has the id nope: looked at ")
    assert answer.stderr.count("\n") == 1


def test_two_ids_without_diff_are_a_mistake_of_one_line(small_line, run: Callable[..., CompletedProcess]) -> None:
    assert "expected one id, or diff and two ids" in run("trace", "a", "b", cwd=small_line.root).stderr
