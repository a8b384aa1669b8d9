"""Readers: what cannot be read becomes a reject with its place, what is missing altogether is an error that helps."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.errors import DataError
from factory.grading import SHARED, Task, grade_answer
from factory.params import Problems, Source
from factory.problems.sources import gold_solution, normalise, read_problems
from factory.schemas import Problem, Reject

GSM8K = {"columns": {"problem": "question", "answer": "answer", "solution": "answer"}, "answer_after": "####"}
ROW = {
    "question": "A robe takes 2 bolts and half that.  How many?",
    "answer": "It takes 2/2=<<2/2=1>>1 bolt\nSo 2+1=<<2+1=3>>3 bolts\n#### 3",
}


def read(path: Path, **source: Any) -> tuple[list[Problem], list[Reject]]:
    kind = source.pop("kind", path.suffix.removeprefix("."))
    params = Problems(
        sources=[Source(name="s", kind=kind, path=str(path), **source)], split_shares={"train": 1.0}, benchmarks=[], near_duplicate=0.9,
        contamination_ngram=8, max_reject_share=0.5,
    )  # fmt: skip
    return read_problems(params, seed=1)


def jsonl(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_gsm8k_row(tmp_path: Path) -> None:
    problems, rejects = read(jsonl(tmp_path / "a.jsonl", ROW), **GSM8K)
    assert rejects == []
    assert problems[0].problem == "A robe takes 2 bolts and half that. How many?"
    assert problems[0].answer == "3"
    assert problems[0].solution == "It takes 2/2=1 bolt\nSo 2+1=3 bolts\n\\boxed{3}"


def test_bad_rows_are_rejected_with_their_place_and_the_rest_survives(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", ROW, '{"question": "cut o', "[1, 2]", {"question": "No answer?"}, {"question": " ", "answer": "#### 3"},
        {"question": "No mark?", "answer": "3"}, {"question": "Words?", "answer": "#### many"}, ROW,
        {"question": "Last?", "answer": "#### 1,000"},
    )  # fmt: skip
    problems, rejects = read(path, **GSM8K)
    assert [problem.answer for problem in problems] == ["3", "1,000"]
    places = {json.loads(row.row)["at"].rsplit(":", 1)[1]: row.reason for row in rejects}
    assert places == {
        "2": "malformed JSON", "3": "not a JSON object", "4": "no answer", "5": "empty problem", "6": "no #### in the answer",
        "7": "the answer is no number", "8": "exact duplicate",
    }  # fmt: skip
    assert str(path) in rejects[0].row


def test_missing_file_says_what_is_there(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", ROW)
    with pytest.raises(DataError, match=r"test\.jsonl is missing; in .* there is: train\.jsonl.*params\.yaml"):
        read(tmp_path / "test.jsonl", **GSM8K)


def test_missing_column_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'problem' for problem; it has answer, question: mend problems\.sources\.s\.columns"):
        read(jsonl(tmp_path / "a.jsonl", ROW))


def test_empty_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        read(jsonl(tmp_path / "a.jsonl"))


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": ["One?", "Two?", None], "answer": [1, 2, 3]}), path)
    problems, rejects = read(path, answer_kind="number", split="heldout")
    assert [(row.problem, row.answer, row.split) for row in problems] == [("One?", "1", "heldout"), ("Two?", "2", "heldout")]
    assert problems[0].solution is None
    assert rejects[0].reason == "no problem"
    assert json.loads(rejects[0].row)["at"] == f"{path}:3"
    broken = tmp_path / "b.parquet"
    broken.write_bytes(b"PAR?")
    with pytest.raises(DataError, match="not a readable Parquet"):
        read(broken)


def test_hub_needs_a_revision() -> None:
    with pytest.raises(DataError, match="has no revision"):
        read(Path("openai/gsm8k"), kind="hub")


@pytest.mark.slow
def test_hub_reads_a_dataset(tmp_path: Path) -> None:
    """`load_dataset` reads a local folder by the same call; a name that does not exist says so."""
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "train.jsonl", ROW)
    problems, _ = read(folder, kind="hub", revision="main", **GSM8K)
    assert problems[0].answer == "3"
    with pytest.raises(DataError, match="cannot be loaded"):
        read(tmp_path / "none", kind="hub", revision="main", **GSM8K)


def test_normalise() -> None:
    assert normalise("  cafe\u0301\t is \n\n open  ") == "caf\u00e9 is\nopen"


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
