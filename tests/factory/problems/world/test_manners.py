"""What the world knows of its problems, and that nothing is known of others."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from factory.params import World
from factory.problems.manners import PLAIN, manners_of
from factory.problems.world import FAMILIES, MANNERS
from factory.problems.world.draw import to_problem
from factory.problems.world.model import WAYS, Family, Task, draw_task
from factory.schemas import Problem

WORLD = World(train=1, dev=1, heldout=1, unseen=1, max_steps=3, max_number=40)


def drawn(family: Family) -> tuple[Task, Problem]:
    rng, task = random.Random(1), None
    while task is None:
        task = draw_task(family, rng, WORLD)
    return task, to_problem(task, "train")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_attempts_start_anew_in_the_families_that_search(family: Family) -> None:
    _, problem = drawn(family)
    assert manners_of(problem) is MANNERS
    assert MANNERS.starts_anew(problem) == (family.checks is not None) == (problem.group == "search")


def test_the_group_is_only_a_label() -> None:
    for name in ("moves", "tally"):
        _, problem = drawn(FAMILIES[name])
        assert MANNERS.starts_anew(replace(problem, group="hard ones")) == (name == "moves")


def test_of_other_problems_nothing_is_known() -> None:
    _, problem = drawn(FAMILIES["moves"])
    other = replace(problem, source="mine")  # a family's and a group's names mean nothing elsewhere
    assert manners_of(other) is PLAIN
    assert not PLAIN.starts_anew(other)
    assert not PLAIN.owns_up(other, "Wrong.")
    assert PLAIN.tried(other) == set()
    assert PLAIN.analysed_steps(problem, problem.solution or "") == [0]


def test_a_wrong_guess_owns_up_in_a_line_without_numbers() -> None:
    for name in ("moves", "tally"):
        _, problem = drawn(FAMILIES[name])
        assert MANNERS.owns_up(problem, "Wrong.") == (name == "moves")
        assert not MANNERS.owns_up(problem, "20 + 7 = 27")


def test_what_a_search_tries_may_not_be_given_away() -> None:
    task, problem = drawn(FAMILIES["moves"])
    assert MANNERS.tried(problem) >= {Fraction(number) for number in task.facts.numbers}
    assert MANNERS.tried(drawn(FAMILIES["tally"])[1]) == set()


def test_every_wrong_way_of_a_search_is_found_where_it_owns_up() -> None:
    for family in FAMILIES.values():
        task, problem = drawn(family)
        for guess in range(len(WAYS)) if family.checks else ():
            lines = task.attempt(guess)
            found = MANNERS.compare(problem, lines, ())
            if guess == task.facts.guess:
                assert found is None
            else:
                assert found is not None
                assert (lines[found.step - 1], found.hint, found.resume) == ("Wrong.", f"not {WAYS[guess]}.", 0)
                assert found.since is not None
                assert found.since < found.step


@pytest.mark.parametrize(
    ("solution", "steps"),
    [
        ("Try 9 and 4.\n9 + 4 = 13\n9 * 4 = 36\n\\boxed{4}", [2]),
        ("Make 40.\nTry 12 + 12 + 16.\n12 + 12 = 24\n24 + 16 = 40\n40 - 40 = 0\nRight.\n\\boxed{12 + 12 + 16}", [3]),
        ("Try second.\n\\boxed{second}", [1]),
    ],
)
def test_a_search_is_one_strategy(solution: str, steps: list[int]) -> None:
    _, problem = drawn(FAMILIES["moves"])
    assert MANNERS.analysed_steps(problem, solution) == steps


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_gold_solution_is_analysed_once_a_strategy(family: Family) -> None:
    task, problem = drawn(family)
    assert len(MANNERS.analysed_steps(problem, "\n".join(task.solution))) == len(task.facts.strategy)
