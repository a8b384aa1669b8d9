"""Both sides of the split, by id, instance and text."""

from dataclasses import replace

from factory.gate.leakage import Sides, marks, normalised, two_sided
from factory.schemas import Problem

ONE = Problem(
    id="a", source="world", family="tally", group="procedures", split="train", instance="tally 3 4", problem="Tom has 3 apples, gets 4.",
    answer="7", answer_kind="number",
)  # fmt: skip
OTHER = replace(ONE, id="b", split="heldout", instance="tally 5 4", problem="Tom has 5 apples, gets 4.")


def test_numbers_make_two_problems_and_letters_do_not() -> None:
    assert normalised("Tom  has $3.") == normalised("tom has 3") == "tom has 3"
    assert two_sided(marks([ONE, OTHER])) == frozenset()


def test_each_way_of_standing_on_both_sides() -> None:
    assert two_sided(marks([ONE, replace(OTHER, instance=ONE.instance)])) == {"a", "b"}
    assert two_sided(marks([ONE, replace(OTHER, problem="TOM has 3 apples gets 4")])) == {"a", "b"}
    assert two_sided(marks([ONE, replace(OTHER, id="a")])) == {"a"}


def test_twins_within_one_split_are_no_leak() -> None:
    assert two_sided(marks([ONE, replace(ONE, id="c")])) == frozenset()


def test_corpus_texts_and_examples() -> None:
    sides = Sides(marks([ONE, OTHER]))
    assert not sides.new_instance("tally 3 4")
    assert sides.new_instance("tally 9 9")
    assert not sides.new_text("Tom has 3 apples, gets 4.\nSolve:\n3 + 4 = 7")
    assert sides.new_text("Tom has 8 apples, gets 4.\nSolve:")
    assert sides.unseen_text(ONE.problem)
    assert not sides.unseen_text(OTHER.problem)
