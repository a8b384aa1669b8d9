"""The world's problems: right, balanced, disjoint by canonical instance, in a small vocabulary."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.grading import grade
from factory.params import World, load
from factory.problems.world import FAMILIES, STRATEGIES, draw_problems, search, spaces
from factory.problems.world.arithmetic import LARGEST, Slip, execute, parse_equation
from factory.problems.world.draw import _quotas
from factory.problems.world.families import TRAINED, UNSEEN
from factory.problems.world.mistakes import mistaken, owners
from factory.problems.world.model import WAYS, Task, draw_task
from factory.problems.world.procedures import FACTOR, SIZE
from factory.problems.world.strategies import PROCEDURES, RIVALS, operations
from factory.schemas import Problem

ROOT = Path(__file__).parents[4]
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
        groups = {group: [n for name, n in counts.items() if FAMILIES[name].group == group] for group in ("procedures", "search")}
        assert abs(sum(groups["procedures"]) - sum(groups["search"])) <= 1, split
        assert all(max(shares) - min(shares) <= 1 for shares in groups.values()), split
        assert set(counts) == {name for name, family in FAMILIES.items() if family.unseen == (split == "unseen")}
    assert sum(not family.unseen for family in FAMILIES.values()) >= 8
    assert {family.group for family in FAMILIES.values() if family.unseen} == {"procedures", "search"}


@pytest.mark.parametrize("size", [1, 12, 13, 97])
def test_quotas_are_half_procedures_half_search(size: int) -> None:
    """An odd one is a procedure; what does not divide goes to a group's first families, one each."""
    for families in (TRAINED, UNSEEN):
        quotas = _quotas(size, families)
        assert sum(quotas) == size
        for group, half in (("procedures", size - size // 2), ("search", size // 2)):
            shares = [quota for quota, family in zip(quotas, families, strict=True) if family.group == group]
            assert sum(shares) == half
            assert shares == sorted(shares, reverse=True)
            assert shares[0] - shares[-1] <= 1


def test_no_instance_on_two_sides(problems: list[Problem]) -> None:
    assert len({problem.instance for problem in problems}) == len(problems)
    assert len({problem.problem for problem in problems}) == len(problems)


def test_same_seed_same_world(problems: list[Problem]) -> None:
    assert draw_problems(WORLD, seed=1) == problems
    assert {p.instance for p in draw_problems(WORLD, seed=2)} != {p.instance for p in problems}


def test_gold_solutions_are_right(problems: list[Problem]) -> None:
    for problem in problems:
        assert problem.solution is not None
        assert grade(problem.solution, problem.answer, problem.answer_kind).correct
        for line in problem.solution.splitlines():
            if equation := parse_equation(line):
                assert equation.holds, problem
                assert 0 <= equation.value <= LARGEST


ALONE, PACKS = search.ALONE, search.FACTOR * search.SIZE
LARGER = {  # what is made of two or more of a problem's numbers may be larger than each of them
    "unit_price": FACTOR * SIZE, "moves": ALONE + 24, "guests": ALONE + 24, "pack_moves": PACKS + 24, "saving_moves": PACKS + 24,
    "both_moves": ALONE + search.SIZE + 24,
}  # fmt: skip


@pytest.mark.parametrize("most", [30, 99])
def test_numbers_stay_small(most: int) -> None:
    """Every number of a procedure is at most max_number but for a price of several; a search has ranges of its own."""
    world, rng = WORLD.model_copy(update={"max_number": most}), random.Random(8)
    drawn = [task for family in FAMILIES.values() for _ in range(200) if (task := draw_task(family, rng, world))]
    assert {task.family.name for task in drawn} == set(FAMILIES)
    for task in drawn:
        assert all(int(number) <= LARGER.get(task.family.name, most) for number in re.findall(r"\d+", task.text)), task.text


def test_numbers_stand_in_computing_order(tasks: list[Task]) -> None:
    """What `follow` and every template rely on: the strategies consume the numbers as they are read."""
    for task in tasks:
        if task.family.group == "procedures":
            assert tuple(map(int, re.findall(r"\d+", task.text))) == task.facts.numbers
            equations = execute(task.facts.numbers, operations(task.facts.strategy))
            assert equations is not None
            assert str(equations[-1].value) == task.answer


def test_each_right_search_answer_is_the_only_one(tasks: list[Task]) -> None:
    """Solved by trying everything, from the problem's numbers alone."""
    seen: Counter[str] = Counter()
    for task in tasks:
        if task.family.group != "search":
            continue
        *first, one, two, three, target = task.facts.numbers
        match task.family.name:
            case "moves" | "guests":
                (start,) = first
            case "pack_moves" | "saving_moves":
                start = first[0] * first[1]
            case "both_moves":
                start = first[0] + first[1]
            case name:
                pytest.fail(f"{name} has no solver here")
        gone = {"none": 0, "first": one, "second": two, "third": three}
        found = [name for name, number in gone.items() if start + one + two + three - 2 * number == target]
        assert found == [task.answer], task.text
        seen[task.family.name] += 1
    assert set(seen) == {name for name, family in FAMILIES.items() if family.group == "search"}


def test_a_search_guesses_first_and_its_checks_follow(tasks: list[Task]) -> None:
    for task in tasks:
        if task.family.checks:
            wanted, first, *checks, off, outcome, box = task.solution
            number = wanted.removeprefix("Make ").removesuffix(".")
            assert number in re.findall(r"\d+", task.text)
            assert (off, outcome) == (f"{number} - {number} = 0", "Right.")
            assert re.fullmatch(r"Try .+\.", first)
            assert len(checks) <= 4
            assert all(parse_equation(line) for line in checks)
            assert box == f"\\boxed{{{task.answer}}}"
            made = task.checks(task.facts.guess)
            assert [check.target for check in made] == [None] * (len(made) - 1) + [made[-1].equation.value]


def test_every_wrong_way_can_be_gone_and_misses(tasks: list[Task]) -> None:
    """An honest check of each way is possible, so that no way is ruled out but by trying it."""
    for task in tasks:
        if task.family.checks:
            outcomes = [task.attempt(way)[-2] for way in range(len(WAYS))]
            assert [way for way, outcome in enumerate(outcomes) if outcome == "Right."] == [task.facts.guess]
            assert outcomes.count("Wrong.") == len(WAYS) - 1
            assert task.attempt(task.facts.guess + len(WAYS)) == task.solution  # the ring


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
    scopes = Counter(STRATEGIES[name].operation for name in PROCEDURES)
    assert all(scopes[operation] >= 2 for operation in ("add", "subtract", "multiply", "divide"))  # same operation, other scope
    assert max(scopes.values()) >= 3


def test_spaces_hold_what_is_drawn(problems: list[Problem]) -> None:
    for name, (space, drawn) in spaces(WORLD, problems).items():
        assert space >= drawn > 0, name


@pytest.mark.slow
def test_spaces_are_bounds_from_below() -> None:
    """Counted by drawing until nothing new comes, in a world small enough for it."""
    small = World(train=1, dev=1, heldout=1, unseen=1, max_steps=2, max_number=15)
    rng = random.Random(0)
    for name, family in FAMILIES.items():
        space = family.space(small)
        found: set[str] = set()
        for _ in range(60_000):
            if task := draw_task(family, rng, small):
                found.add(task.instance)
            if len(found) >= space:
                break
        assert len(found) >= space, name


@pytest.mark.slow
def test_the_lines_own_world_is_as_large_as_it_says() -> None:
    rng, world = random.Random(0), load(ROOT / "params.yaml").problems.world
    assert world
    for name, family in FAMILIES.items():
        if family.group == "procedures":
            found: set[str] = set()
            for _ in range(60_000):
                if task := draw_task(family, rng, world):
                    found.add(task.instance)
                if len(found) == family.space(world):
                    break
            assert len(found) == family.space(world), name


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
            tried = WAYS.index(next(line[4:-1] for line in mistake.lines if line.startswith("Try ")))
            assert mistake.resume == (task.solution if mistake.hint == "check it again." else task.attempt(tried + 1))
            assert mistake.hint in ("check it again.", f"not {WAYS[tried]}.")
            equation = parse_equation(wrong)
            assert (equation and not equation.holds) or wrong == "Wrong."


def test_hints_never_leak(tasks: list[Task]) -> None:
    rng = random.Random(6)
    for task in tasks:
        computed = {str(equation.value) for equation in task.equations} | {task.answer}
        for _ in range(5):
            assert not computed & set(re.findall(r"\d+", mistaken(task, rng).hint)), task.text


def test_every_equation_has_an_owner(tasks: list[Task]) -> None:
    for task in tasks:
        assert len(owners(task)) == len(task.equations)
