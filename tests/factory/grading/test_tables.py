"""Tables: cells in order, numbers exactly, a unit left out on one side only, text folded."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.grading.tables import compare_table, read_table
from factory.schemas import Verdict


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a, b,c", [["a", "b", "c"]]),
        ("a\nb", [["a"], ["b"]]),
        ("1,234, 5", [["1,234", "5"]]),
        ("1,234,567.5", [["1,234,567.5"]]),
        ("1, 234", [["1", "234"]]),
        ("12,34", [["12", "34"]]),
        ('"Smith, John", 4', [["Smith, John", "4"]]),
        ("a\tb, c\n1\t2", [["a", "b, c"], ["1", "2"]]),
        ("| a | b |\n|---|:-:|\n| 1 | 2\\|3 |", [["a", "b"], ["1", "2|3"]]),
        ("```\n| a | b |\n```", [["a", "b"]]),
        ("a | b", [["a", "b"]]),
        ("", []),
    ],
)
def test_cells(text: str, rows: list[list[str]]) -> None:
    assert read_table(text).rows == rows


@pytest.mark.parametrize(
    ("answer", "gold", "verdict"),
    [
        ("Spain, 1,234, 50%", "spain, 1234, 50", "correct"),
        ("a, b", "a\nb", "correct"),
        ("| x | y |\n|---|---|\n| 1 | 2 |", "1, 2", "correct"),  # names of columns that one side has
        ("| x | y |\n|---|---|\n| 1 | 2 |", "x\ty\n1\t2", "correct"),
        ("| x | y |\n|---|---|\n| 1 | 2 |", "| x | z |\n|---|---|\n| 1 | 2 |", "wrong"),
        ("0.5", "1/2", "correct"),
        ("69.75", "69.75%", "correct"),
        ("50 percent", "50%", "correct"),
        ("5 cm", "5", "correct"),
        ("$5", "5 dollars", "correct"),
        ("5 km/h", "5 km per hour", "correct"),
        ("5 m²", "5 m^2", "correct"),
        ("No correlation, -0.15.", "No correlation, -0.15", "correct"),
        ("Australia", "australia", "correct"),
        ("5 cm", "5 m", "wrong"),
        ("5 m²", "5 m", "wrong"),
        ("$5", "5%", "wrong"),
        ("0.33", "1/3", "wrong"),
        ("b, a", "a, b", "wrong"),
        ("a, b, c", "a, b", "wrong"),
        ("a, b\nc, d", "a, b, c\nd", "wrong"),
        ("12", "12 de octubre", "wrong"),  # a word is no unit
        ("3", "3 - 0", "wrong"),
        ("3", "3rd", "wrong"),
        ("", "a", "unparsable"),
        ("```", "a", "unparsable"),
    ],
)
def test_tables(answer: str, gold: str, verdict: Verdict) -> None:
    assert compare_table(answer, gold)[0] == compare_table(gold, answer)[0] == verdict


def test_reasons() -> None:
    assert compare_table("a, 5 cm", "a, 5 m") == ("wrong", "cell 2 differs: 5 cm against 5 m")
    assert compare_table("a", "a, b") == ("wrong", "1 cells against 2")
    assert compare_table("a", "") == ("unparsable", "the gold answer: no cells")


@pytest.mark.parametrize(
    "text",
    ["|" * 10_000, "," * 10_000, '"' * 10_000, "1," * 5_000, "1,111" * 2_000, "\x00", "\ud800,1", "-" * 10_000, "|-" * 5_000, "1 " * 5_000],
)
def test_hostile_tables_cost_bounded_time(text: str) -> None:
    start = time.process_time()
    assert compare_table(text, text)[0] in ("correct", "unparsable")
    assert compare_table(text, "a, b")[0] in ("wrong", "unparsable")
    assert time.process_time() - start < 1
    assert compare_table("x" * 10_001, "a")[0] == "unparsable"


CELLS = st.text(st.characters(), max_size=40) | st.text('ab1,2|-\t\n"%$. ', max_size=30)


@given(CELLS, CELLS)
@settings(max_examples=200)
@pytest.mark.slow
def test_no_text_raises_and_order_of_the_sides_does_not_matter(first: str, second: str) -> None:
    verdict, reason = compare_table(first, second)
    assert verdict == compare_table(second, first)[0]
    assert (verdict == "correct") == (not reason)
    assert compare_table(first, first)[0] == ("correct" if read_table(first).rows else "unparsable")
