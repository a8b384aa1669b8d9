"""A vocabulary of tags: what is one tag, and what stays two."""

import pytest

from factory.templates.plan_reading import plan_lines
from factory.templates.tagging import folded, key_of, tags_of, vocabulary


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Odd Functions", "odd function"),
        ("Half-angle formula", "half angle formulas"),
        ("Heron's formula", "heron’s formulas"),
        ("Inequalities", "inequality"),
    ],
)
def test_case_plural_and_hyphen_are_one(one, other):
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"), [("probability", "conditional probability"), ("series", "serie a"), ("x + y", "x y"), ("C++", "C")]
)
def test_others_stay_two(one, other):
    assert key_of(one) != key_of(other)


def test_the_most_frequent_spelling_is_the_tag_and_all_are_recorded():
    known = vocabulary([("odd functions", "sum"), ("odd functions",), ("odd function",)])
    assert known == {"odd functions": ("odd functions", "odd function"), "sum": ("sum",)}
    assert folded(("odd function", "odd functions", "sum"), {"odd function": "odd functions"}) == ("odd functions", "sum")


def test_a_tag_is_one_that_a_plan_can_write():
    tags = tags_of(["Functions, Equations (Part one)", "Permutations 6.2.2 Permutation numbers", " ", "a,b"])
    assert tags == ("functions equations part one", "permutations", "permutation numbers", "a b")
    assert plan_lines(f"name ({', '.join(tags)})") == [("name", tags)]
    assert tags_of(["add, gain; loss"], split=True) == ("add", "gain", "loss")
