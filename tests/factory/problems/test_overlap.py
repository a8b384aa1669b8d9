"""Reworded benchmark questions are found by their numbers, words and answers; what was matched stands in the reject."""

import json

import pytest

from factory.problems.decontaminate import Benchmark, decontaminate, overlaps
from factory.problems.wording import answers_agree
from factory.processes import mapped
from factory.schemas import Problem

QUESTION = (
    "Mulan has $40. Her father gave her $100. She buys two pairs of jeans at $30 each and a bag for $20. "
    "How much money does Mulan have left?"
)
RENAMED = QUESTION.replace("Mulan", "Ingrid").replace("jeans", "gloves").replace("bag", "hat")
REORDERED = QUESTION.removeprefix("Mulan has $40. ").replace("How much", "Mulan has $40. How much")
SAID_ANEW = QUESTION.replace("buys", "purchases").replace("How much money", "What amount of cash").replace("left", "remaining")


def problem(text: str, answer: str = "60") -> Problem:
    return Problem(
        id="a", source="s", family="s", group="none", split="train", instance="a", problem=text, answer=answer, answer_kind="number"
    )


@pytest.fixture
def benchmark() -> Benchmark:
    others = [f"Farm {n} has {n + 9} cows and {n + 70} hens. How many animals are there?" for n in range(50)]
    return Benchmark.of("b", [*others, QUESTION], 8, answers=[""] * 50 + ["40 + 100 - 60 - 20 = 60\n#### 60"])


@pytest.mark.parametrize("text", [RENAMED, REORDERED, SAID_ANEW, SAID_ANEW.upper()])
def test_a_reworded_question_is_found_where_the_answers_agree(benchmark: Benchmark, text: str) -> None:
    assert benchmark.holds(text, "60.0")


@pytest.mark.parametrize("text", [RENAMED, REORDERED, SAID_ANEW])
def test_another_answer_makes_a_reworded_question_another_one(benchmark: Benchmark, text: str) -> None:
    assert not benchmark.holds(text, "61")
    assert benchmark.holds(QUESTION, "61"), "the question itself is contaminated whatever its answer"


@pytest.mark.parametrize("text", [
    RENAMED.replace("$100", "$101"), REORDERED.replace("$40", "$-40"), SAID_ANEW.replace("two", "three"),
    "She has $20 and two bags at $40 each, and he gave $100 and $30 to his father. How many dollars are there altogether, in all of it?",
])  # fmt: skip
def test_other_numbers_signs_or_words_are_another_question(benchmark: Benchmark, text: str) -> None:
    assert not benchmark.holds(text, "60")


def test_a_reject_says_what_it_matched_and_how(benchmark: Benchmark) -> None:
    keep, rejects = decontaminate([problem(f"Solve: {QUESTION} Answer:"), problem(RENAMED)], [benchmark])
    assert keep == []
    said = [json.loads(row.row) for row in rejects]
    assert [row["problem"] for row in said] == [f"Solve: {QUESTION} Answer:", RENAMED]
    assert [row["matched"]["evidence"] for row in said] == ["verbatim", "reworded"]
    for row in said:
        assert (row["matched"]["benchmark"], row["matched"]["question"]) == ("b", QUESTION)
        assert row["matched"]["answer"].endswith("#### 60")
    assert said[0]["matched"]["share"] == 1
    assert 0.55 <= said[1]["matched"]["share"] < 1
    assert {row.reason for row in rejects} == {"contaminated: b"}


@pytest.mark.parametrize(("first", "second", "agree"), [
    ("60", "so #### 60", True), ("60", r"\boxed{60.0}", True), ("$1,000", "1000", True), ("1/2", "0.5", True), ("60", "61", False),
    ("B", "B", None), ("yes", "yes", None), ("disproved", "disproved", None), ("60", "", None), ("60", "x = 60 or 61", None),
    ("the mayor of Rome", "The Mayor of  Rome", True), ("the mayor of Rome", "the mayor of Paris", None),
])  # fmt: skip
def test_answers_that_tell_something(first: str, second: str, agree: bool | None) -> None:
    assert answers_agree(first, second) is agree
    assert answers_agree(second, first) is agree


@pytest.mark.slow
def test_any_number_of_processes_finds_the_same(benchmark: Benchmark) -> None:
    texts = [(RENAMED, "60"), (QUESTION, ""), ("Farm 3 has 12 cows and 73 hens. How many animals are there?", "85"), ("How?", "1")] * 3
    batches = [texts[:5], texts[5:6], texts[6:]]
    find = overlaps([benchmark]).find
    alone = [match for found in mapped(find, batches, 1) for match in found]
    assert alone == [match for found in mapped(find, batches, 2) for match in found]
    assert [match and match.evidence for match in alone[:4]] == ["reworded", "verbatim", "verbatim", None]
