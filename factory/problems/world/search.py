"""The families in which checking is easy and guessing hard: where reflection and exploration can pay.

pick_two: "Which two of 9, 20, 19, 6, 11 add to 26? Give the smaller one."
→ one attempt:  Try 6 and 20. · 6 + 20 = 26 · \\boxed{6}

Attempts are short, and the guess stands first: it has to be made at once, what follows is arithmetic that can be honest.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence

from factory.params import World
from factory.problems.world import wordings
from factory.problems.world.arithmetic import Equation, compute
from factory.problems.world.model import Check, Facts, Family, Guessing

PICKED, FACTORS, SIGNED = 30, 12, 9  # the largest number to pick from, to pick factors from, to put a sign before
Guess = tuple[int, ...]


def _checked(*rows: tuple[int, str, int, int | None]) -> tuple[Check, ...] | None:
    """Checks of (left, sign, right, target); None when a result leaves the world's numbers."""
    checks = []
    for left, sign, right, target in rows:
        value = compute(left, sign, right)
        if value is None:
            return None
        checks.append(Check(Equation(left, sign, right, value), target))
    return tuple(checks)


def _read_first(facts: Facts, guess: Guess) -> str:
    return f"Try {guess[0]}."


def _read_pair(facts: Facts, guess: Guess) -> str:
    return f"Try {guess[0]} and {guess[1]}."


def _first(facts: Facts, guess: Guess) -> str:
    return str(guess[0])


# -- signs between four numbers


def _expression(facts: Facts, guess: Guess) -> str:
    rest = (f" {'+' if sign > 0 else '-'} {number}" for sign, number in zip(guess, facts.numbers[1:], strict=False))
    return f"{facts.numbers[0]}{''.join(rest)}"


def _signs(rng: random.Random, world: World) -> Facts | None:
    numbers = tuple(rng.randint(2, min(world.max_number, SIGNED)) for _ in range(4))
    patterns = list(itertools.product((1, -1), repeat=3))
    signs = rng.choice(patterns)
    target = _value(numbers, signs)
    if target < 0 or sum(_value(numbers, other) == target for other in patterns) != 1:
        return None
    facts = Facts((*numbers, target), ("guess the signs",), (*map(str, sorted(numbers)), f"={target}"), signs)
    wrong = (other for other in patterns if other != signs)
    return facts if _check_signs(facts, signs) and any(_check_signs(facts, other) for other in wrong) else None


def _value(numbers: Guess, signs: Guess) -> int:
    return numbers[0] + sum(sign * number for sign, number in zip(signs, numbers[1:], strict=True))


def _tell_signs(facts: Facts, rng: random.Random) -> str:
    return rng.choice(wordings.SIGNS).format(all=", ".join(map(str, facts.numbers[:4])), t=facts.numbers[4])


def _check_signs(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    rows: list[tuple[int, str, int, int | None]] = []
    result = facts.numbers[0]
    for place, sign in enumerate(guess, start=1):
        number = facts.numbers[place]
        rows.append((result, "+" if sign > 0 else "-", number, facts.numbers[4] if place == len(guess) else None))
        result += sign * number
        if result < 0:
            return None
    return _checked(*rows)


def _wrong_signs(facts: Facts, rng: random.Random) -> Guess:
    patterns = [signs for signs in itertools.product((1, -1), repeat=3) if signs != facts.guess and _check_signs(facts, signs)]
    return rng.choice(patterns)


def _space_signs(world: World) -> int:
    """Counted: four numbers and what their signs can make in one way only."""
    top = min(world.max_number, SIGNED)
    found = set()
    for numbers in itertools.product(range(2, top + 1), repeat=4):
        if numbers[1:] == tuple(sorted(numbers[1:])):
            targets = Counter(_value(numbers, signs) for signs in itertools.product((1, -1), repeat=3))
            found |= {(*sorted(numbers), target) for target, ways in targets.items() if ways == 1 and target >= 0}
    return len(found)


# -- some of the numbers: a pair by its sum, all but one by their sum, and (never trained on) a pair by its difference or product


def _sum_of_two(guess: Guess) -> int:
    return guess[0] + guess[1]


def _product_of_two(guess: Guess) -> int:
    return guess[0] * guess[1]


def _gap_of_two(guess: Guess) -> int:
    return guess[0] - guess[1]


def _sum_of_rest(guess: Guess) -> int:
    return sum(guess[1:])


def _pairs_of(numbers: Guess) -> list[Guess]:
    """The smaller number first."""
    return list(itertools.combinations(sorted(numbers), 2))


def _gaps_of(numbers: Guess) -> list[Guess]:
    """The larger number first."""
    return list(itertools.combinations(sorted(numbers, reverse=True), 2))


def _left_out_of(numbers: Guess) -> list[Guess]:
    """The one that is left out, then the others as they stand in the problem."""
    return [(out, *(n for n in numbers if n != out)) for out in numbers]


def _picked(
    strategy: str, choices: Callable[[Guess], list[Guess]], value: Callable[[Guess], int], count: int = 4, largest: int = PICKED
) -> tuple[Callable[[random.Random, World], Facts | None], Callable[[Facts, random.Random], Guess]]:
    """How a problem with one right choice is drawn, and how a wrong choice of it is."""

    def draw(rng: random.Random, world: World) -> Facts | None:
        numbers = tuple(rng.sample(range(2, min(world.max_number, largest) + 1), count))
        guess = rng.choice(choices(numbers))
        target = value(guess)
        if target in numbers or sum(value(other) == target for other in choices(numbers)) != 1:
            return None
        return Facts((*numbers, target), (strategy,), (*map(str, sorted(numbers)), f"={target}"), guess)

    def wrong(facts: Facts, rng: random.Random) -> Guess:
        return rng.choice([guess for guess in choices(facts.numbers[:-1]) if guess != facts.guess])

    return draw, wrong


def _tell_picked(texts: Sequence[str]) -> Callable[[Facts, random.Random], str]:
    def tell(facts: Facts, rng: random.Random) -> str:
        return rng.choice(texts).format(all=", ".join(map(str, facts.numbers[:-1])), t=facts.numbers[-1])

    return tell


def _check_pick_two(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    return _checked((guess[0], "+", guess[1], facts.numbers[-1]))


def _check_pick_product(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    return _checked((guess[0], "*", guess[1], facts.numbers[-1]))


def _check_pick_gap(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    return _checked((guess[0], "-", guess[1], facts.numbers[-1]))


def _check_leave_out(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    _, a, b, c = guess
    return _checked((a, "+", b, None), (a + b, "+", c, facts.numbers[-1]))


def _space_picked(count: int, largest: int = PICKED) -> Callable[[World], int]:
    """At least: one choice of each set of numbers is right for no other target."""
    return lambda world: math.comb(min(world.max_number, largest) - 1, count)


_draw_two, _wrong_two = _picked("pick a pair", _pairs_of, _sum_of_two, count=5)
_draw_out, _wrong_out = _picked("leave one out", _left_out_of, _sum_of_rest)
_draw_gap, _wrong_gap = _picked("pick a pair", _gaps_of, _gap_of_two)
_draw_product, _wrong_product = _picked("pick a pair", _pairs_of, _product_of_two, count=5, largest=FACTORS)

SEARCH_FAMILIES = (
    Family("pick_two", "search", False, _draw_two, _tell_picked(wordings.PICK_TWO), _space_picked(5),
           Guessing(_read_pair, _check_pick_two, _first, _wrong_two)),
    Family("leave_out", "search", False, _draw_out, _tell_picked(wordings.LEAVE_OUT), _space_picked(4),
           Guessing(_read_first, _check_leave_out, _first, _wrong_out)),
    Family("signs", "search", False, _signs, _tell_signs, _space_signs,
           Guessing(lambda facts, guess: f"Try {_expression(facts, guess)}.", _check_signs, _expression, _wrong_signs)),
    Family("pick_gap", "search", True, _draw_gap, _tell_picked(wordings.PICK_GAP), _space_picked(4),
           Guessing(_read_pair, _check_pick_gap, lambda facts, guess: str(guess[1]), _wrong_gap)),
    Family("pick_product", "search", True, _draw_product, _tell_picked(wordings.PICK_PRODUCT), _space_picked(5, FACTORS),
           Guessing(_read_pair, _check_pick_product, _first, _wrong_product)),
)  # fmt: skip
