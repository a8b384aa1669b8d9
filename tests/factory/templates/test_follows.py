"""Arithmetic of worked examples: what is judged, and what is left alone."""

import time

import pytest

from factory.grading import SHARED
from factory.templates.follows import misses_point, unreached, wrong_equations


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1. 9 × 4 = 36, so 36 + 5 = 42.", ["36 + 5 = 42"]),
        ("S₈ = -5+(-4)+(-16)+(-64) = -85", ["-5+(-4)+(-16)+(-64) = -85"]),
        ("|OP|² = (21 + 18)/4 = 15/2", ["(21 + 18)/4 = 15/2"]),
        ("V = (2√2)²×2 = 15 ⇒ done", ["(2√2)²×2 = 15"]),
        ("$\\frac{1}{2}+\\frac{1}{3} = \\frac{1}{6}$", ["((1)/(2))+((1)/(3)) = ((1)/(6))"]),
        ("- 3 × 5 = 16 points", ["3 × 5 = 16"]),
        ("0.1 + 0.2 = 0.4", ["0.1 + 0.2 = 0.4"]),
    ],
)
def test_an_equation_that_does_not_hold(text, wrong):
    assert wrong_equations(text, SHARED) == wrong


@pytest.mark.parametrize(
    "text",
    [
        "9 × 4 = 36, 2/3 = 0.67, √(1²+2²) = √5, 2⁻¹ = 0.5, 20% × 50 = 10, 3! = 6",
        "2x + 3 = 7, f(2) = 3 + 4 = 7, x₁+x₂ = 5, sin 30 = 0.5, C_5^2 = 10, log₂8 = 3",
        "2023 ÷ 4 = 505 remainder 3",
        "√(8/5÷2/5) = √4",
        "When q = 1: 5 = 5×3-4, which is not valid.",
        "If 1 + 1 = 3, discard it.",
        "the ratio 16/3 : 8/3 = 2 : 1",
        "3 + 4 ≠ 8, 3 + 4 ≥ 8, 1/3 ≈ 0.4",
        "Step 2: n = 12 = 3x",
        "sinαcosβ - 1/6 = 1/3",
    ],
)
def test_what_holds_or_cannot_be_read_is_left_alone(text):
    assert wrong_equations(text, SHARED) == []


def test_points_and_answers():
    line = "The line passes through (1, 2) and (3, 6); find it."
    assert misses_point(line, "y = 2x", SHARED) == ""
    assert misses_point(line, "y = 2x + 1", SHARED) == "(1, 2)"
    assert misses_point(line, "y = ax", SHARED) == misses_point("Find it.", "y = 2x + 1", SHARED) == ""
    assert unreached("1 + 1 = 2\nAnswer: 3", "3")
    assert not unreached("1 + 1 = 2\nAnswer: 2", "2")
    assert not unreached("Half of it.\nAnswer: x > 3", "x > 3")


@pytest.mark.slow
def test_long_texts_cost_little():
    start = time.process_time()
    for piece in ("1 = ", "1 + 1 = 3 ", "((((", "\\frac{1}{2} = ", "= = "):
        wrong_equations(piece * 20_000, SHARED)
    assert time.process_time() - start < 10
