"""Equations as they stand in solutions of small models and of GSM8K."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.coat.demonstrations.equations import claims_of, equations_of, evaluate, judged, numbers_in, partial_values


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12 + 7 = 19", [("12 + 7 = 19", True)]),
        ("19 - 4 = 14", [("19 - 4 = 14", False)]),
        ("She makes 9 * 2 = $18 every day", [("9 * 2 = 18", True)]),
        ("$5 x 2 = $10.", [("5 * 2 = 10", True)]),
        ("$80,000+$50,000=$130,000", [("80,000+50,000 = 130,000", True)]),
        ("40% * 200 = 80", [("(40/100) * 200 = 80", True)]),
        ("100 - 60 = 40% are left", [("100 - 60 = (40/100)", True)]),
        ("16 eggs - 3 eggs = 13 eggs", [("16 - 3 = 13", True)]),
        ("35 questions x 2/5 = 14", [("35 * 2/5 = 14", True)]),
        ("3*4+5 = 12+5 = 17", [("3*4+5 = 12+5", True), ("12+5 = 17", True)]),
        ("5 * 60 = 300 + 58 = 358", [("5 * 60 = 300", True), ("300 + 58 = 358", True)]),
        ("(5+3)*2+1=17", [("(5+3)*2+1 = 17", True)]),
        ("60/7 = 8", [("60/7 = 8", False)]),
        ("800/3=266.67 cups", [("800/3 = 266.67", True)]),
        ("9 * 2 = $<<9*2=18>>18", [("9*2 = 18", True)]),
        ("part 2. 3+4=7", [("3+4 = 7", True)]),
        ("20 – 4 = 16", [("20 - 4 = 16", True)]),
        ("3/2 = 1 1/2 hours", [("3/2 = (1+1/2)", True)]),
        ("2(40+9) = 98", [("2*(40+9) = 98", True)]),
        ("2x+60=100", []), ("2 x + 60 = 100", []), ("3+2y = 21", []), ("1/2 (68) + 10 = 44", []), ("¾ x 3/3 = 9/12", []), ("3/4p = 12", []),
        ("250 of the books that were sold - 135 - 50 = 65", []), ("- 3 + 4 = 7", []), ("-3 + 4 = 1", [("-3 + 4 = 1", True)]),
        ("A = (2 + 3) and B = (4 * 5)", []), ("x = 3 + 4 so that y = 7", []), ("2 + 3 and 4 eggs = 9", []),
        ("4a^2 + 5 = 9", []), ("10^2 + 5 = 105", []), ("3 * 5 = 1.5 * 10^8", []), ("2 ** 3 + 1 = 9", []),
        ("x = 5", []), ("Try 4 and 9.", []), ("\\boxed{19}", []), ("1 / 0 = 2", []), ("20 = 20", []), ("", []),
    ],
)  # fmt: skip
def test_equations(text: str, found: list[tuple[str, bool]]) -> None:
    assert [(str(equation), equation.holds) for equation in equations_of((text,))] == found


@given(st.integers(0, 999), st.sampled_from("+-*"), st.integers(0, 999), st.integers(0, 10**6))
def test_an_equation_holds_exactly_when_it_is_true(left: int, sign: str, right: int, said: int) -> None:
    value = {"+": left + right, "-": left - right, "*": left * right}[sign]
    for claimed in (value, said):
        (equation,) = equations_of((f"{left} {sign} {right} = {claimed}",))
        assert (equation.holds, equation.true_value, equation.value) == (claimed == value, value, claimed)


@given(st.text(st.sampled_from("0123456789 +-*/().,=$%xa<>")))
def test_any_text_can_be_read(text: str) -> None:
    for equation in equations_of((text,)):
        assert equation.step == 1
    claims_of(text)
    numbers_in(text)


def test_evaluate() -> None:
    assert evaluate("2 + 3 * (4 - 1) / 2") == Fraction(13, 2)
    assert [evaluate(text) for text in ("", "2 +", "(2", "2 2", "1 / 0", "a")] == [None] * 6


def test_parts_of_a_chain_may_be_done_first() -> None:
    (chain,) = equations_of(("16 - 3 - 4 = 9",))
    assert partial_values(chain) == {13, 12, 7, 9}
    (product,) = equations_of(("2 * 3 * 5 = 30",))
    assert {6, 10, 15, 30} <= partial_values(product)


def test_claims() -> None:
    assert [claim.true for claim in claims_of("12 + 7 is 19. Right.")] == [True]
    assert [(claim.negated, claim.true) for claim in claims_of("30 is not 36.")] == [(True, True)]
    assert [claim.true for claim in claims_of("19 - 4 is 14.")] == [False]
    assert [claim.true for claim in claims_of("19 - 4 is not 15.")] == [False]
    assert [claim.true for claim in claims_of("2 / 3 is 0.67.")] == [True]
    assert claims_of("do not add 4.") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("This is 3 + 4 is 7.", ["3 + 4"]),  # `is 3` has nothing on its left, and its 3 belongs to the sum
        ("12 + 7 is 19 is 19, 2 + 2 is not 5", ["12 + 7", "2 + 2"]),
        ("so ($5 + $2) is $7", ["(5 + 2)"]),
        ("5 + is 3, 7is 7, 12 $ is 4", []),
    ],
)
def test_where_claims_stand(text: str, said: list[str]) -> None:
    assert [claim.left for claim in claims_of(text)] == said


@pytest.mark.parametrize(
    "text",
    [
        "1 " * 10_000,
        "0." + "3" * 20_000,
        "1" * 20_000,
        "5" + " " * 20_000 + "x",
        "1 is 1 " * 3_000,
        "1+" * 10_000 + "1 is 3",
        "1," * 10_000,
    ],
)
def test_long_texts_are_read_at_once(text: str) -> None:
    start = time.process_time()
    claims_of(text)
    equations_of((text,))
    numbers_in(text)
    assert time.process_time() - start < 3


def test_what_is_longer_than_a_person_would_write_is_no_arithmetic() -> None:
    endless = "1" * 5000
    assert numbers_in(f"{endless} and 5") == {5}
    assert claims_of(f"2 + 2 is {endless}") == claims_of(f"{endless} is 2") == []
    assert equations_of((f"2 + {endless} = 3", f"{endless} - 3 = 4", f"2 + 2 = {endless}")) == []
    assert [evaluate(text) for text in ("-" * 1500 + "5", "(" * 1500 + "5" + ")" * 1500, "1+" * 200 + "1")] == [None] * 3
    assert evaluate("(" * 90 + "5" + ")" * 90) == 5


def test_a_box_is_judged_by_the_equations_before_it() -> None:
    assert [str(equation) for equation in judged(("1 + 1 = 2", "2 + 1 = 3"))] == ["2 + 1 = 3"]
    assert [str(equation) for equation in judged(("1 + 1 = 2", "2 + 1 = 3", "\\boxed{3}"))] == ["1 + 1 = 2", "2 + 1 = 3"]
    assert judged(()) == []


def test_a_dash_at_the_start_of_a_line_is_a_bullet_and_no_minus() -> None:
    found = equations_of(["The costs:\n- Pens: 3 * 4 = 12\n- 2 * 5 = 10"])
    assert [(equation.left, equation.right, equation.holds) for equation in found] == [("3 * 4", "12", True), ("2 * 5", "10", True)]
    (maths,) = equations_of(["So\n\\[\n3 * 4\n= 12\n\\]"])
    assert (maths.left, maths.holds) == ("3 * 4", True)
