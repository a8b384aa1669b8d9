"""What a worked text says that cannot be, each beside what it may well say."""

import pytest

from factory.templates.contradictions import false_numbers, false_rewritings, false_solutions, other_end
from factory.templates.simplifications import false_simplifications


@pytest.mark.parametrize(
    ("judge", "text", "wrong"),
    [
        (false_numbers, "Since log₅2 > log₅3, go on.", ["log₅2 > log₅3"]),
        (false_numbers, "C_2^1 + C_2^2 = 4", [r"\binom{2}{1} + \binom{2}{2} = 4"]),
        (false_numbers, "2^1.25+1.25-4 ≈ -0.156", ["2^1.25+1.25-4 ≈ -0.156"]),
        (false_rewritings, "S = (a - b)² = a² + 2ab + b²", ["(a - b)² = a² + 2ab + b²"]),
        (false_rewritings, "T = a₁q⁸·a₁q⁹ = (a₁q)²q¹⁷", ["a₁q⁸·a₁q⁹ = (a₁q)²q¹⁷"]),
        (false_solutions, "From c/a = √3/2, we get a = 2c.", ["a = 2c against c/a = √3/2"]),
        (false_solutions, "q¹⁵ = -8 ⇒ q = -2^{1/15}", ["q = -2^{1/15} against q¹⁵ = -8"]),
        (false_simplifications, "2(x+1) = 4y. Expanding gives 2x + 1 = 4y", ["2x + 1 = 4y for 2(x+1) = 4y"]),
    ],
)
def test_what_cannot_be(judge, text, wrong):
    assert judge(text) == wrong


@pytest.mark.parametrize(
    ("judge", "text"),
    [
        (false_numbers, "If 1 > 2, discard it. 1200° ÷ 360° = 3 remainder 120°. sin30° = 1/2, tan21° + tan39° = tan60°(1 - tan21°tan39°)"),
        (false_rewritings, "2x + 3 = 4x + 5. D = D(2X) = 4D(X). S = 1/2ab = ab/2. V = πr²h = 3π(9 - r²)"),
        (false_solutions, "x² = 9 ⇒ x = 3. 2x + y = 5, so x = 1. 37.5b = 26 ⇒ b = 0.693. f(x) = -f(1-x) ⇒ x = 1/2"),
        (false_simplifications, "100 = (r₁ - r₂)² + r₁r₂ ⇒ r₁r₂ = 64. x² = 4x ⇒ x - 4 = 0. 17/a² = 1 ⇒ a² = 17"),
    ],
)
def test_what_may_be_is_left_alone(judge, text):
    assert judge(text) == []


def test_an_answer_that_is_not_the_end_of_its_calculation():
    assert other_end("Thus a = q⁵ = (-2)⁵ = -32.", "a = -2")
    assert not other_end("Thus a = q⁵ = (-2)⁵ = -32.", "a = -32")
    assert not other_end("Thus a = q⁵.", "a = -2")
