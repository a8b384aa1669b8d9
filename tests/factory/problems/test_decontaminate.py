"""Contamination: a benchmark question is found behind an instruction and before a suffix; other numbers are another question."""

import json
import os
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.params import Source
from factory.problems.decontaminate import Benchmark, decontaminate
from factory.problems.sources import from_records, read_raw
from factory.schemas import Problem

QUESTION = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends every day with four. "
    "How many are left?"
)
SHORT = "What is 7 times 8?"
REAL = Path(os.environ.get("COAT_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")) / "gsm8k"


@pytest.fixture
def benchmark() -> Benchmark:
    return Benchmark.of("b", [QUESTION, SHORT], 8)


@pytest.mark.parametrize("text", [
    QUESTION,
    f"Solve the following problem step by step and put the final answer in a box. {QUESTION} Answer with one number only, please.",
    QUESTION.upper().replace(".", " !"),
    "She eats three for breakfast every morning and bakes muffins for her friends every day with four.",
    f"Please answer: {SHORT}",
])  # fmt: skip
def test_found(benchmark: Benchmark, text: str) -> None:
    assert benchmark.holds(text)


@pytest.mark.parametrize("text", [
    "Tom has 3 apples and buys 4 more. How many apples does he have now?",
    "Farmer Joe's hens lay 16 eggs per day. He sells nine at the market every morning and keeps the rest. How many are left?",
    "What is 7 times 9?",
])  # fmt: skip
def test_not_found(benchmark: Benchmark, text: str) -> None:
    assert not benchmark.holds(text)


WRAPPED = "**Question 12:** {} Put the 1 final answer in \\boxed{{}}."


@pytest.mark.parametrize(("question", "other"), [
    ("What is 17 + 5?", "What is 17 - 5?"), ("What is 17 + 5?", "What is 17 * 5?"), ("Is -3 below zero?", "Is 3 below zero?"),
    ("Find x > 2 with x = y.", "Find x < 2 with x = y."), (r"Find √{p}{q}.", r"Find \frac{p}{q}."),
    ("小明有三个苹果，又买了五个苹果。", "小明有三个苹果，又买了六个苹果。"),
    ("Compute 2^3 for me.", "Compute 2_3 for me."), ("How much is 3! + 1?", "How much is 3 + 1?"),
    (QUESTION, QUESTION.replace("16", "17")), (QUESTION, QUESTION.replace("four", "5")), (QUESTION, QUESTION.replace("16", "-16")),
    ("7 birds fly. " + QUESTION, "8 birds fly. " + QUESTION),
])  # fmt: skip
def test_other_numbers_and_signs_are_another_question(question: str, other: str) -> None:
    """Also inside an instruction; the question itself is found in it."""
    bench = Benchmark.of("b", [question], 8)
    for text in (other, WRAPPED.format(other)):
        assert not bench.holds(text)
    for text in (question, WRAPPED.format(question), question.replace(" ", "  ").upper()):
        assert bench.holds(text)


@pytest.mark.parametrize("text", [
    QUESTION.replace("16", "$16$").replace("three", "3"), QUESTION.replace("day.", "day.\n\n- "), f"5. {QUESTION}\n6 points",
    QUESTION.replace("ducks", "**ducks**").replace("muffins", "_muffins_").replace("friends", "*friends*"), f"```\n{QUESTION}\n```",
    QUESTION.split(". ", 1)[1], QUESTION.replace("Janet's", "Zoe's"), f"Shot. What is 2 + 3? 5. {QUESTION.replace('left', 'sold')} 3 + 4",
])  # fmt: skip
def test_formatting_and_small_changes_hide_no_question(benchmark: Benchmark, text: str) -> None:
    assert benchmark.holds(text)


def test_numbers_at_the_ends_of_a_question_are_compared() -> None:
    question = "24 pupils share the large cake that the baker of the village made for them last week, and each of them eats 3"
    bench = Benchmark.of("b", [question], 8)
    for other in (question.replace("24", "25"), question.removesuffix("3") + "4"):
        assert not bench.holds(other)
    assert bench.holds(f"Question 7: {question.replace('pupils', 'boys')} 9")


def test_very_short_questions_are_compared_as_a_whole() -> None:
    bench = Benchmark.of("b", ["Why?", "Find x."], 8)
    assert bench.holds("why")
    assert bench.holds("find x")
    assert not bench.holds("Why does Tom find x apples?")
    assert not bench.holds("")


@pytest.mark.parametrize(("name", "lines", "rows", "unreadable"), [
    ("a.jsonl", [{"question": QUESTION}, {"question": SHORT}], 2, 0), ("b.jsonl", [{"text": QUESTION}, {"text": None}], 2, 1),
    ("c.jsonl", [{"Problem": QUESTION}, {"Problem": "?!"}, {"Problem": SHORT}], 3, 1),
])  # fmt: skip
def test_read_says_how_many_rows_it_could_use(tmp_path: Path, name: str, lines: list[dict[str, str]], rows: int, unreadable: int) -> None:
    path = tmp_path / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    bench = Benchmark.read(str(path), 8)
    assert bench.holds(QUESTION)
    assert bench.said() == f"benchmark {path}: {rows} rows, {unreadable} without a question that can be read"


@pytest.mark.parametrize("lines", [[{"other": "x"}], [{"question": ""}, {"question": None}], [{"question": "?!"}, {"question": "..."}]])
def test_a_benchmark_without_a_question_is_an_error(tmp_path: Path, lines: list[dict[str, str]]) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(DataError, match=r"the benchmark .*bench\.jsonl"):
        Benchmark.read(str(path), 8)


def test_each_benchmark_has_its_own_n_and_the_first_is_named() -> None:
    rows = [
        Problem(
            id="a", source="s", family="s", group="none", split="train", instance="a", problem=QUESTION, answer="9", answer_kind="number"
        )
    ]
    others = Benchmark.of("others", ["Tom has 3 apples and buys 4 more."], 4)
    keep, rejects = decontaminate(rows, [others, Benchmark.of("first", [QUESTION], 5), Benchmark.of("second", [QUESTION], 8)])
    assert (keep, [row.reason for row in rejects]) == ([], ["contaminated: first"])
    assert decontaminate(rows, [others]) == (rows, [])
    assert decontaminate(rows, []) == (rows, [])


@pytest.mark.skipif(not (REAL / "test.jsonl").exists(), reason=f"no GSM8K at {REAL}: set COAT_DATA")
def test_all_of_gsm8k_test_is_rejected() -> None:
    source = Source(name="gsm8k", kind="jsonl", path=str(REAL / "test.jsonl"), columns={"problem": "question"}, answer_after="####")
    problems, unread = from_records(source, read_raw(source))
    keep, rejects = decontaminate(problems, [Benchmark.read(str(REAL / "test.jsonl"), 8)])
    assert (len(keep), len(rejects), len(unread)) == (0, 1319, 0)
    assert {row.reason for row in rejects} == {f"contaminated: {REAL / 'test.jsonl'}"}


@pytest.mark.skipif(not (REAL / "train.jsonl").exists(), reason=f"no GSM8K at {REAL}: set COAT_DATA")
def test_hardly_any_of_gsm8k_train_is_rejected() -> None:
    source = Source(name="gsm8k", kind="jsonl", path=str(REAL / "train.jsonl"), columns={"problem": "question"}, answer_after="####")
    problems, _ = from_records(source, read_raw(source))
    keep, rejects = decontaminate(problems, [Benchmark.read(str(REAL / "test.jsonl"), 8)])
    assert len(keep) + len(rejects) == len(problems) == 7473
    assert len(rejects) < 20
