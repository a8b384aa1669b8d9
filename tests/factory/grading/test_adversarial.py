"""Answers that must never be accepted, and rewritings that always must be: docs/grading.md, case by case.

adversarial.jsonl: {"fault": "unit", "kind": "math", "gold": "5\\text{ cm}", "response": "\\boxed{5\\text{ m}}", "why": "m against cm"}
accepted.jsonl:    {"rewriting": "numbers", "kind": "math", "gold": "\\frac{1}{2}", "response": "\\boxed{0.5}"}

A row is graded by the box rule, or by its `rules`. Where the response is one box and nothing else, gold and answer are exchanged as well,
for the rules are symmetric.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from factory.grading import ALL_RULES, BOX, Grade, Grader, Task
from factory.grading.grader import SECONDS

HERE = Path(__file__).parent
MARKS = ("boxed", "fbox", "####", "nswer", "NSWER")  # a gold text with one of them is searched for its answer, and is not the answer itself
Row = dict[str, Any]


def load(name: str) -> list[Row]:
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


ADVERSARIAL, ACCEPTED = load("adversarial.jsonl"), load("accepted.jsonl")
HANGS = [row for row in ADVERSARIAL if row["fault"] == "hang"]


def graded(rows: list[Row], seconds: float = SECONDS) -> list[tuple[Row, Grade]]:
    """Every row with its grade, grouped by the rules that it asks for."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        rules = row.get("rules", BOX)
        groups.setdefault(ALL_RULES if rules == "all" else tuple(rules), []).append(row)
    found: list[tuple[Row, Grade]] = []
    for names, group in groups.items():
        with Grader(names, seconds=seconds) as grader:
            grades = grader.grade_many([Task(row["response"], row["gold"], row["kind"]) for row in group])
        found += zip(group, grades, strict=True)
    return found


def only_box(response: str) -> str | None:
    """What the one box holds that is the whole response, None for every other response."""
    if not response.startswith(r"\boxed{"):
        return None
    depth = 0
    for index, character in enumerate(response):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 and character == "}":
            return response[len(r"\boxed{") : -1] if index == len(response) - 1 else None
    return None


def exchanged(row: Row) -> Row | None:
    """The row with gold and answer exchanged."""
    answer = only_box(row["response"])
    if answer is None or not answer.strip() or any(mark in answer for mark in MARKS):
        return None
    return {**row, "gold": answer, "response": rf"\boxed{{{row['gold']}}}"}


def both_ways(rows: list[Row]) -> list[Row]:
    return [*rows, *(turned for row in rows if (turned := exchanged(row)) is not None)]


def report(rows: list[tuple[Row, Grade]]) -> str:
    lines = [
        f"{row.get('fault') or row['rewriting']}: {row['response']!r} for {row['gold']!r} ({row['kind']}) is {found.verdict} {found.reason}"
        for row, found in rows
    ]
    return "\n".join([f"{len(rows)} rows:", *lines])


@pytest.mark.slow
def test_no_fault_is_accepted() -> None:
    found = graded(both_ways([row for row in ADVERSARIAL if row["fault"] != "hang"]))
    accepted = [(row, result) for row, result in found if result.verdict == "correct"]
    assert not accepted, report(accepted)
    silent = [(row, result) for row, result in found if not result.reason]
    assert not silent, report(silent)


@pytest.mark.slow
def test_nothing_hangs() -> None:
    accepted = [(row, result) for row, result in graded(HANGS) if result.verdict == "correct"]
    assert not accepted, report(accepted)


@pytest.mark.slow
def test_rewritings_are_accepted() -> None:
    refused = [(row, result) for row, result in graded(both_ways(ACCEPTED), seconds=60) if result.verdict != "correct"]
    assert not refused, report(refused)


def test_the_list_is_long_and_wide() -> None:
    faults = Counter(row["fault"] for row in ADVERSARIAL)
    assert len(ADVERSARIAL) >= 250
    assert min(faults.values()) >= 10, faults
    assert len(ACCEPTED) >= 150


@pytest.mark.parametrize("rows", [ADVERSARIAL, ACCEPTED], ids=["adversarial", "accepted"])
def test_no_row_twice(rows: list[Row]) -> None:
    keys = Counter((row["kind"], row["gold"], row["response"], str(row.get("rules"))) for row in rows)
    assert [key for key, count in keys.items() if count > 1] == []


def test_no_row_is_in_both_lists() -> None:
    keys = [{(row["kind"], row["gold"], row["response"], str(row.get("rules"))) for row in rows} for rows in (ADVERSARIAL, ACCEPTED)]
    assert not keys[0] & keys[1]
