"""Grading: exact numbers, no substring, no tolerance, no exception that becomes a wrong."""

import json
import os
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.errors import DataError
from factory.grading import boxed_answers, extract_answer, grade, grade_answer, parse_number

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).parents[3] / "shared/data"))


HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18), ("-7", -7), ("+7", 7), ("007", 7), ("1,234", 1234), ("1 234", 1234), ("1,234,567.50", Fraction("1234567.5")),
        ("$5.50", 5 + HALF), ("-$5.50", -5 - HALF), (r"\$5", 5), ("20%", 20), (r"20\%", 20), ("5.", 5), (".5", HALF), ("€12", 12),
        ("3/4", Fraction(3, 4)), ("-3/4", Fraction(-3, 4)), ("1 1/2", 1 + HALF), ("-1 1/2", -1 - HALF), ("1.5/3", HALF),
        ("\N{MINUS SIGN}4", -4),
    ],
)  # fmt: skip
def test_numbers(text: str, value: Fraction) -> None:
    assert parse_number(text) == value


NO_NUMBERS = ["", " ", "+", "-", "x", "16 eggs", "1/0", "1 1/0", "1,23", "0,111", "12 34", "1,2,3", "(1,2)", "[1,300]", "1e5", "3/4/5", "²"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number(text: str) -> None:
    assert parse_number(text) is None


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**6))
def test_every_written_number_is_read_back(whole: int, decimals: int) -> None:
    assert parse_number(f"{whole:,}") == whole
    assert parse_number(f"{whole}.{decimals:06d}") == Fraction(f"{whole}.{decimals:06d}")
    assert parse_number(f"{whole}/{decimals + 1}") == Fraction(whole, decimals + 1)


@given(st.text())
def test_any_text_gets_a_verdict(text: str) -> None:
    assert grade(text, "18", "number") in ("correct", "wrong", "unparsable")
    assert grade_answer(text, "18", "number") in ("correct", "wrong", "unparsable")


@given(st.integers(0, 999), st.integers(0, 999))
def test_only_the_gold_value_is_correct(answer: int, gold: int) -> None:
    assert grade(f"\\boxed{{{answer}}}", str(gold), "number") == ("correct" if answer == gold else "wrong")


@pytest.mark.parametrize(("answer", "gold"), [("2024.5", "2025"), ("0.33", "1/3"), ("15", "5"), ("1300", "3")])
def test_near_is_not_right(answer: str, gold: str) -> None:
    assert grade_answer(answer, gold, "number") == "wrong"


@pytest.mark.parametrize(("answer", "gold"), [("(1,2,3,4,5,6)", "5"), ("[1,300]", "3"), ("5 or 6", "5")])
def test_a_gold_answer_among_others_is_not_right(answer: str, gold: str) -> None:
    assert grade_answer(answer, gold, "number") == "unparsable"


def test_the_last_box_counts() -> None:
    assert extract_answer(r"\boxed{3} no: \boxed{4}") == "4"
    assert extract_answer(r"\boxed{\frac{1}{2}} and \boxed{ {a} b }") == "{a} b"
    assert extract_answer("no box") is None
    assert extract_answer(r"\boxed{5") is None
    assert boxed_answers("\\boxed{5\n<|reflect|>\n\\boxed{6}") == ["6"]  # the first is never closed


def test_unclosed_boxes_are_read_in_one_pass() -> None:
    start = time.perf_counter()
    assert boxed_answers("\\boxed{" * 20_000 + "7}") == ["7"]
    assert time.perf_counter() - start < 1
    assert boxed_answers(r"} \boxed{a \boxed{b} c} \boxed{d \boxed{e}") == [r"a \boxed{b} c", "e"]


@pytest.mark.parametrize("number", ["1" * 5000, "0." + "3" * 5000, "1" * 301, "1/" + "3" * 5000])
def test_an_endless_number_is_unparsable(number: str) -> None:
    assert grade(f"\\boxed{{{number}}}", "3", "number") == "unparsable"
    assert parse_number("1" * 300) == int("1" * 300)


@given(st.lists(st.text(st.characters(blacklist_characters="{}\\")), max_size=4))
def test_boxes_come_back_in_order(answers: list[str]) -> None:
    assert boxed_answers(" so ".join(f"\\boxed{{{answer}}}" for answer in answers)) == [answer.strip() for answer in answers]


def test_an_empty_reply_to_a_prefix_that_holds_the_answer_earns_nothing() -> None:
    prefix = "12 + 7 = 19\n\\boxed{19}\n<|reflect|>"
    assert grade(prefix, "19", "number") == "correct"  # this is why only the response may be graded
    assert grade("", "19", "number") == "unparsable"


def test_literals_and_choices() -> None:
    assert grade_answer("7 + 7 -  4 + 3", "7 + 7 - 4 + 3", "literal") == "correct"
    assert grade_answer("7 - 7 - 4 + 3", "7 + 7 - 4 + 3", "literal") == "wrong"
    assert grade_answer("Yes.", "yes", "literal") == "correct"
    assert grade_answer("(B)", "B", "choice") == "correct"
    assert grade_answer("b.", "B", "choice") == "correct"
    assert grade_answer("BC", "B", "choice") == "wrong"
    assert grade_answer("", "B", "choice") == "unparsable"


def test_a_gold_answer_that_is_no_number_is_an_error_and_never_a_wrong() -> None:
    with pytest.raises(DataError, match="'16 eggs' is not a number"):
        grade_answer("16", "16 eggs", "number")


@pytest.mark.skipif(not (DATA / "grading/pairs.jsonl").exists(), reason=f"public grading pairs are not at {DATA} (COAT_DATA)")
def test_no_public_wrong_prediction_of_a_number_is_accepted() -> None:
    pairs = [json.loads(line) for line in (DATA / "grading/pairs.jsonl").read_text().splitlines()]
    numbers = [pair for pair in pairs if parse_number(pair["gold"]) is not None]
    verdicts = [grade_answer(extract_answer(pair["pred"]) or pair["pred"], pair["gold"], "number") for pair in numbers]
    assert sum(verdict == "correct" for verdict in verdicts) >= 25
    assert not [pair for pair, verdict in zip(numbers, verdicts, strict=True) if verdict == "correct" and not pair["expected"]]
