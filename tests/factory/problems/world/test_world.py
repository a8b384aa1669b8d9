"""The world's problems: right, balanced, disjoint by canonical instance, in a small vocabulary."""

import random
import re
from collections import Counter

import pytest

from factory.errors import DataError
from factory.grading import grade
from factory.params import World
from factory.problems.world import FAMILIES, STRATEGIES, draw_problems, spaces
from factory.problems.world.arithmetic import LARGEST, Slip, execute, parse_equation
from factory.problems.world.mistakes import mistaken, owners
from factory.problems.world.model import Task, draw_task
from factory.problems.world.strategies import PROCEDURES, RIVALS, operations
from factory.schemas import Problem

WORLD = World(train=600, dev=120, heldout=240, unseen=100, max_steps=4, max_number=99)


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return draw_problems(WORLD, seed=1)


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    rng = random.Random(3)
    drawn = [draw_task(family, rng, WORLD) for family in FAMILIES.values() for _ in range(60)]
    return [task for task in drawn if task is not None]


def test_sizes_and_balance(problems: list[Problem]) -> None:
    assert Counter(problem.split for problem in problems) == {"train": 600, "dev": 120, "heldout": 240, "unseen": 100}
    for split in ("train", "dev", "heldout", "unseen"):
        counts = Counter(problem.family for problem in problems if problem.split == split)
        assert max(counts.values()) - min(counts.values()) <= 1, split
        assert all(FAMILIES[name].unseen == (split == "unseen") for name in counts)
    assert sum(not family.unseen for family in FAMILIES.values()) >= 8
    assert {family.group for family in FAMILIES.values() if family.unseen} == {"procedures", "search"}


def test_no_instance_on_two_sides(problems: list[Problem]) -> None:
    assert len({problem.instance for problem in problems}) == len(problems)
    assert len({problem.problem for problem in problems}) == len(problems)


def test_same_seed_same_world(problems: list[Problem]) -> None:
    assert draw_problems(WORLD, seed=1) == problems
    assert {p.instance for p in draw_problems(WORLD, seed=2)} != {p.instance for p in problems}


def test_gold_solutions_are_right(problems: list[Problem]) -> None:
    for problem in problems:
        assert problem.solution is not None
        assert grade(problem.solution, problem.answer, problem.answer_kind) == "correct"
        for line in problem.solution.splitlines():
            if equation := parse_equation(line):
                assert equation.holds, problem
                assert 0 <= equation.value <= LARGEST


def test_numbers_stay_small(problems: list[Problem]) -> None:
    """A product of two numbers may be larger than either; every other number of a problem is at most max_number."""
    for problem in problems:
        if problem.family not in ("sum_product", "diff_product", "pick_two", "signs"):
            assert all(int(number) <= WORLD.max_number for number in re.findall(r"\d+", problem.problem)), problem.problem


def test_numbers_stand_in_computing_order(tasks: list[Task]) -> None:
    """What `follow` and every template rely on: the strategies consume the numbers as they are read."""
    for task in tasks:
        if task.family.group == "procedures":
            assert tuple(map(int, re.findall(r"\d+", task.text))) == task.facts.numbers
            equations = execute(task.facts.numbers, operations(task.facts.strategy))
            assert equations is not None
            assert str(equations[-1].value) == task.answer


def test_each_right_search_answer_is_the_only_one(tasks: list[Task]) -> None:
    for task in tasks:
        if task.family.name == "sum_product":
            total, product = task.facts.numbers
            assert [a for a in range(total // 2 + 1) if a * (total - a) == product] == [int(task.answer)]
        if task.family.name == "diff_product":
            gap, product = task.facts.numbers
            assert [a for a in range(1, product + 1) if a * (a + gap) == product] == [int(task.answer)]


def test_instance_ignores_wording_and_order() -> None:
    rng = random.Random(1)
    task = next(t for t in iter(lambda: draw_task(FAMILIES["tally"], rng, WORLD), 0) if t and len(set(t.facts.strategy)) == 2)
    assert task is not None
    assert len({FAMILIES["tally"].tell(task.facts, random.Random(n)) for n in range(20)}) > 10
    start, *changes = task.instance.removeprefix("tally:").split(",")
    assert start == str(task.facts.numbers[0])
    assert changes == sorted(changes)


def test_a_wrong_plan_gives_a_wrong_answer(tasks: list[Task]) -> None:
    """Templates compete: replacing one strategy by what looks applicable too rarely keeps the answer."""
    kept, tried = 0, 0
    for task in tasks:
        if task.family.group == "procedures":
            for place, name in enumerate(task.facts.strategy):
                for rival in RIVALS[name]:
                    plan = (*task.facts.strategy[:place], rival, *task.facts.strategy[place + 1 :])
                    equations = execute(task.facts.numbers, operations(plan))
                    if equations and STRATEGIES[rival].operation != STRATEGIES[name].operation:
                        tried += 1
                        kept += str(equations[-1].value) == task.answer
    assert tried > 500
    assert kept / tried < 0.05


def test_strategies_are_complete_and_compete() -> None:
    assert set(RIVALS) == set(STRATEGIES)
    for name, strategy in STRATEGIES.items():
        assert 2 <= len(name.split()) <= 3
        assert strategy.tags
        assert strategy.description
        assert strategy.scope
        assert strategy.steps
        assert set(RIVALS[name]) <= set(STRATEGIES)
    assert max(Counter(STRATEGIES[name].operation for name in PROCEDURES).values()) >= 4  # same operation, other scope


def test_spaces_hold_what_is_drawn(problems: list[Problem]) -> None:
    for name, (space, drawn) in spaces(WORLD, problems).items():
        assert space >= drawn > 0, name


def test_spaces_are_bounds_from_below() -> None:
    """Counted by drawing until nothing new comes, in a world small enough for it."""
    small = World(train=1, dev=1, heldout=1, unseen=1, max_steps=2, max_number=15)
    rng = random.Random(0)
    for name in ("sum_product", "diff_product", "coins", "unit_price", "savings", "share", "pooling"):
        found = {task.instance for _ in range(20_000) if (task := draw_task(FAMILIES[name], rng, small))}
        exact = name in ("sum_product", "diff_product", "coins")
        assert len(found) == FAMILIES[name].space(small) if exact else len(found) >= FAMILIES[name].space(small), name


def test_an_exhausted_family_says_so() -> None:
    with pytest.raises(DataError, match=r"family \w+ has no instance left after \d+ .*raise problems\.world\.max_number"):
        draw_problems(World(train=2400, dev=1, heldout=1, unseen=1, max_steps=4, max_number=12), seed=1)


def test_small_worlds_can_be_drawn() -> None:
    assert len(draw_problems(World(train=24, dev=12, heldout=12, unseen=4, max_steps=1, max_number=30), seed=1)) == 52


def test_a_slip_is_carried_on() -> None:
    assert [str(e) for e in execute((15, 7, 4), ("subtract", "add"), Slip(0, 9)) or ()] == ["15 - 7 = 9", "9 + 4 = 13"]
    assert execute((3, 7), ("subtract",)) is None  # below 0
    assert execute((7, 3), ("divide",)) is None  # a fraction
    assert execute((7, 3), ("add", "add")) is None  # no number left


def test_mistakes_are_wrong_where_they_say(tasks: list[Task]) -> None:
    rng = random.Random(5)
    for task in tasks:
        mistake = mistaken(task, rng)
        assert mistake.lines != task.solution
        wrong = mistake.lines[mistake.step - 1]
        if task.family.group == "procedures":
            assert mistake.lines[: mistake.step - 1] == task.solution[: mistake.step - 1]
            assert wrong != task.solution[mistake.step - 1]
            assert mistake.lines[: mistake.step - 1] + mistake.resume == task.solution
        else:
            assert mistake.resume == task.solution
            assert parse_equation(wrong)


def test_hints_never_leak(tasks: list[Task]) -> None:
    rng = random.Random(6)
    for task in tasks:
        computed = {str(equation.value) for equation in task.equations} | {task.answer}
        for _ in range(5):
            assert not computed & set(re.findall(r"\d+", mistaken(task, rng).hint)), task.text


def test_every_equation_has_an_owner(tasks: list[Task]) -> None:
    for task in tasks:
        assert len(owners(task)) == len(task.equations)
