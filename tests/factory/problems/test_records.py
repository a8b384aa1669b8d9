"""One row: its text, answer and solution, whatever they are, become a problem without losing meaning, or a reject with a reason."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.grading import SHARED, Task, grade_answer
from factory.params import Source
from factory.problems.gold import gold_solution
from factory.problems.sources import from_records, read_raw
from factory.schemas import Problem, Reject


def read(path: Path, **source: Any) -> tuple[list[Problem], list[Reject]]:
    made = Source(**{"name": "s", "kind": "file", "path": str(path), **source})
    return from_records(made, read_raw(made))


def reasons_of(path: Path, **source: Any) -> list[str]:
    return [row.reason for row in read(path, **source)[1]]


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_gold_solution() -> None:
    assert gold_solution("", "3") is None
    assert gold_solution("1+2=3\n\\boxed{3}", "3") == "1+2=3\n\\boxed{3}"


LATEX = {
    r"\sqrt{2}": r"\sqrt{2}", r"\dfrac{1}{2}": r"\dfrac{1}{2}", "(1,3]": "(1,3]", "1{,}234": "1{,}234", r"\$18": r"\$18",
    "90^\\circ": "90^\\circ",
    r"so it is \boxed{\{1, 2\}}.": r"\{1, 2\}", "x=5": "x=5", r"16\text{ eggs}": r"16\text{ eggs}", r"\frac34": r"\frac34",
}  # fmt: skip


def test_latex_answers_enter_the_line_and_are_cleaned_once(tmp_path: Path) -> None:
    rows = [
        {"problem": f"What is part {n}?", "answer": answer} for n, answer in enumerate([*LATEX, r"\frac{1}{", "", "5 +", r"\frac{1}{0}"])
    ]
    problems, rejects = read(jsonl(tmp_path / "a.jsonl", *rows), answer_kind="math")
    assert [problem.answer for problem in problems] == list(LATEX.values())
    assert [row.reason for row in rejects] == [
        "the answer cannot be read: an open bracket", "empty answer", "the answer cannot be read: it breaks off",
        "the answer cannot be read: a division by zero",
    ]  # fmt: skip
    assert all(grade_answer(problem.answer, problem.answer, "math").correct for problem in problems)


def test_a_tolerance_is_the_problems_own(tmp_path: Path) -> None:
    rows = [{"problem": "To the nearest hundredth?", "answer": "3.14", "places": 2}, {"problem": "Exactly?", "answer": "3", "places": None}]
    path = jsonl(tmp_path / "a.jsonl", *rows, {"problem": "Roughly?", "answer": "3", "places": "two"})
    problems, rejects = read(path, answer_kind="math", columns={"decimals": "places"})
    assert {problem.answer: problem.decimals for problem in problems} == {"3.14": 2, "3": None}
    assert [row.reason for row in rejects] == ["decimals is no whole number up to 30"]
    assert SHARED.grade_many([Task.of(problem, r"\boxed{\pi}") for problem in problems if problem.decimals])[0].correct


def test_spaces_in_a_literal_answer_stay(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"problem": "What does it print?", "answer": " 'a  b'\n"}, {"problem": "And now?", "answer": "f(x"})
    problems, rejects = read(path, answer_kind="literal")
    assert [problem.answer for problem in problems] == ["'a  b'"]
    assert [row.reason for row in rejects] == ["the answer cannot be read: no Python value"]


def test_white_space_that_means_something_stays(tmp_path: Path) -> None:
    programs = ["if x:\n    y = 1\nz = 2", "if x:\n    y = 1\n    z = 2", "if x:\n\ty = 1\nz = 2"]
    rows = [
        {"problem": f"What is z?\n\n{program}  \r\n\r\n", "answer": n, "solution": f"{program}\n\n{n}"}
        for n, program in enumerate(programs)
    ]
    rows.append({"problem": "a   b\n1   2\u00a0 \n", "answer": 4, "solution": None})
    problems, rejects = read(jsonl(tmp_path / "a.jsonl", *rows), columns={"solution": "solution"})
    assert rejects == []
    assert [row.problem for row in problems] == [*(f"What is z?\n\n{program}" for program in programs), "a   b\n1   2"]
    assert problems[1].solution == "if x:\n    y = 1\n    z = 2\n\n1\n\\boxed{1}"


@pytest.mark.parametrize(("solution", "answer", "kind"), [
    (r"3 + 4 = 7, so \boxed{7}.", "8", "number"), ("3 + 4 = 7\n#### 7", "6", "number"), ("3 + 4.\nThe final answer is 7.", "-7", "number"),
    ("Add.\nThe answer is 7.", "17", "number"), (r"So $\boxed{\frac{1}{2}}$.", r"\frac{1}{3}", "math"),
    ("The answer is (B).", "A", "choice"),
    ("So the answer is no.", "yes", "label"), (r"\boxed{[1, 2]}", "[2, 1]", "literal"), (r"\boxed{Paris}", "Rome", "text"),
    ("<answer>9</answer>", "8", "number"),
])  # fmt: skip
def test_a_solution_that_states_another_answer_is_a_contradiction(tmp_path: Path, solution: str, answer: str, kind: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"problem": "How many?", "answer": answer, "solution": solution})
    assert reasons_of(path, answer_kind=kind, columns={"solution": "solution"}) == ["solution ends in another answer"]


@pytest.mark.parametrize(("solution", "answer", "kind"), [
    (r"3 + 4 = 7, so \boxed{7.0}.", "7", "number"),
    ("The answer is 5 so far.\nThen 3 more.\nThat makes 8 of them, out of 12.", "8", "number"),
    ("7 cows on 3 farms", "21", "number"), (r"So $\boxed{\frac{2}{4}}$.", r"\frac{1}{2}", "math"),
    ("First 4.\n#### 4\nNo.\n#### 5", "5", "number"),
    ("The answer is (B).", "B", "choice"), ("The answer is Paris because of the Seine.", "Paris", "text"), ("#### 1,000", "1000", "number"),
])  # fmt: skip
def test_a_solution_that_agrees_or_states_nothing_stays(tmp_path: Path, solution: str, answer: str, kind: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"problem": "How many?", "answer": answer, "solution": solution})
    assert reasons_of(path, answer_kind=kind, columns={"solution": "solution"}) == []


def test_messages_and_other_values_become_text(tmp_path: Path) -> None:
    user = {"role": "user", "content": "How many?"}
    rows: list[dict[str, object]] = [
        {"problem": [user], "answer": [7]}, {"problem": [{"role": "system", "content": "Count in base 8."}, user], "answer": 7.0},
        {"problem": [{"role": "user", "content": [{"type": "text", "text": "How "}, {"type": "text", "text": "few?"}]}], "answer": "7"},
        {"problem": [{"from": "human", "value": "And how?"}], "answer": "7", "solution": [{"role": "assistant", "content": "3 + 4"}]},
        {"problem": user | {"content": "Alone?"}, "answer": 7},
    ]  # fmt: skip
    problems, rejects = read(jsonl(tmp_path / "a.jsonl", *rows), columns={"solution": "solution"})
    assert rejects == []
    assert [row.problem for row in problems] == ["How many?", "Count in base 8.\n\nHow many?", "How few?", "And how?", "Alone?"]
    assert {row.answer for row in problems} == {"7"}
    assert problems[3].solution == "3 + 4\n\\boxed{7}"


@pytest.mark.parametrize(("value", "reason"), [
    ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "problem is a conversation of 2 turns"),
    ([{"role": "user", "content": "a"}] * 3, "problem is a conversation of 3 turns"),
    ([{"role": "assistant", "content": "a"}], "problem is a conversation of 1 turn, not the user's"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "problem is a conversation with more than text"),
    ([{"role": "user", "content": "a", "tool_calls": [{"id": 1}]}], "problem is a conversation with tool calls"),
    ("[{'role': 'user', 'content': 'a'}]", "problem is a conversation written as text"),
    ([{"role": "user", "content": "\ud800"}], "problem has a lone surrogate, which is no character"),
    (["a", "b"], "problem is a list of 2 values"), ([{"text": "a"}], "problem is a list in a list"),
])  # fmt: skip
def test_conversations_that_are_no_problem(tmp_path: Path, value: object, reason: str) -> None:
    assert reasons_of(jsonl(tmp_path / "a.jsonl", {"problem": value, "answer": 1})) == [reason]


def test_json_values_are_natural_as_literals_and_tables(tmp_path: Path) -> None:
    values = [[1, None, "a'b"], {"k": [True]}, 1.5, True, "[1, 2]", []]
    path = jsonl(tmp_path / "a.jsonl", *({"problem": f"{n}?", "answer": value} for n, value in enumerate(values)))
    problems, rejects = read(path, answer_kind="literal")
    assert rejects == []
    assert [row.answer for row in problems] == ['[1, None, "a\'b"]', "{'k': [True]}", "1.5", "True", "[1, 2]", "[]"]
    tables: list[object] = [["Spain", 7], [["a", 1], ["b|c", 2.0]], "x, y"]
    problems, rejects = read(
        jsonl(tmp_path / "b.jsonl", *({"problem": f"{n}?", "answer": value} for n, value in enumerate(tables))), answer_kind="table"
    )
    assert rejects == []
    assert [row.answer for row in problems] == ["| Spain | 7 |", "| a | 1 |\n| b\\|c | 2 |", "x, y"]
    deep: object = 1
    for _ in range(30):
        deep = [deep]
    assert reasons_of(jsonl(tmp_path / "c.jsonl", {"problem": "a?", "answer": deep}), answer_kind="literal") == [
        "answer is nested more than 20 deep"
    ]


def test_values_of_parquet_have_one_text(tmp_path: Path) -> None:
    columns = {
        "float": [1e22, 1e-7], "whole": [18.0, -3.0], "decimal": [Decimal("18.50"), Decimal("1E+3")],
        "date": [date(2026, 1, 2), date(2026, 1, 3)],
        "time": [datetime(2026, 1, 2, 3, 4), datetime(2026, 1, 2)],
    }  # fmt: skip
    pq.write_table(pa.table({"problem": ["One?", "Two?"], "raw": [b"7", b"8"], **columns}), tmp_path / "a.parquet")
    texts = {
        name: [row.answer for row in read(tmp_path / "a.parquet", answer_kind="text", columns={"answer": name})[0]] for name in columns
    }
    assert texts == {
        "float": ["10000000000000000000000", "0.0000001"], "whole": ["18", "-3"], "decimal": ["18.50", "1000.00"],
        "date": ["2026-01-02", "2026-01-03"],
        "time": ["2026-01-02T03:04:00", "2026-01-02"],
    }  # fmt: skip
    assert set(reasons_of(tmp_path / "a.parquet", columns={"answer": "raw"})) == {"answer is bytes, not text"}
