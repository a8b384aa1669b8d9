"""The families in which checking is easy and guessing hard: where reflection and exploration can pay.

sum_product: "Two numbers add to 13 and multiply to 36. What is the smaller number?"
→ one attempt:  Try 4 and 9. · 4 + 9 = 13 · 4 * 9 = 36 · \\boxed{4}
"""

import itertools
import math
import random

from factory.params import World
from factory.problems.world import wordings
from factory.problems.world.arithmetic import LARGEST, Equation, compute
from factory.problems.world.model import Check, Facts, Family, Guessing
from factory.problems.world.words import Cast

SMALLER = 9  # the smaller number of a pair is 2 … SMALLER: its table can be learned, which of it to try must be guessed
NOTES = 9
PICKED, SIGNED = 30, 12  # the largest number to pick from, to put a sign before
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


def _pairs(world: World) -> list[Guess]:
    return [(a, b) for a in range(2, SMALLER + 1) for b in range(a, world.max_number + 1) if a * b <= LARGEST]


def _read_pair(facts: Facts, guess: Guess) -> str:
    return f"Try {guess[0]} and {guess[1]}."


def _first(facts: Facts, guess: Guess) -> str:
    return str(guess[0])


# -- two numbers by sum and product


def _sum_product(rng: random.Random, world: World) -> Facts:
    a = rng.randint(2, SMALLER)
    b = rng.randint(a, world.max_number)
    return Facts((a + b, a * b), ("guess a pair",), (str(a + b), str(a * b)), (a, b))


def _tell_sum_product(facts: Facts, rng: random.Random) -> str:
    total, product = facts.numbers
    return Cast.draw(rng).one_of(wordings.SUM_PRODUCT, rng, s=total, p=product)


def _check_sum_product(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    a, b = guess
    return _checked((a, "+", b, facts.numbers[0]), (a, "*", b, facts.numbers[1]))


def _wrong_sum_product(facts: Facts, rng: random.Random) -> Guess:
    """Mostly the right sum and a wrong product."""
    a = rng.choice([n for n in range(2, min(SMALLER, facts.numbers[0] // 2) + 1) if n != facts.guess[0]] or [facts.guess[0] + 1])
    b = max(a, facts.numbers[0] - a)
    return (a, b) if rng.random() < 0.8 else (a, b + rng.choice((1, 2, 10)))


# -- two numbers by difference and product (never trained on)


def _diff_product(rng: random.Random, world: World) -> Facts | None:
    a = rng.randint(2, SMALLER)
    b = rng.randint(a, world.max_number)
    return Facts((b - a, a * b), ("guess a pair",), (str(b - a), str(a * b)), (a, b)) if b - a >= 2 else None


def _tell_diff_product(facts: Facts, rng: random.Random) -> str:
    gap, product = facts.numbers
    return Cast.draw(rng).one_of(wordings.DIFF_PRODUCT, rng, d=gap, p=product)


def _check_diff_product(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    a, b = guess
    return _checked((b, "-", a, facts.numbers[0]), (a, "*", b, facts.numbers[1]))


def _wrong_diff_product(facts: Facts, rng: random.Random) -> Guess:
    a = rng.choice([n for n in range(2, SMALLER + 1) if n != facts.guess[0]])
    return a, a + facts.numbers[0]


# -- notes of two values


def _coins(rng: random.Random, world: World) -> Facts | None:
    low, high = sorted(rng.sample(range(2, 13), 2))
    count = rng.randint(3, NOTES)
    k = rng.randint(1, count - 1)
    total = k * high + (count - k) * low
    if total > world.max_number:
        return None
    return Facts((total, count, low, high), ("guess the notes",), tuple(map(str, (total, count, low, high))), (k, count - k))


def _tell_coins(facts: Facts, rng: random.Random) -> str:
    total, count, low, high = facts.numbers
    return Cast.draw(rng).one_of(wordings.COINS, rng, t=total, n=count, a=low, b=high)


def _check_coins(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    total, _, low, high = facts.numbers
    k, rest = guess
    return _checked((k, "*", high, None), (rest, "*", low, None), (k * high, "+", rest * low, total))


def _wrong_coins(facts: Facts, rng: random.Random) -> Guess:
    k = rng.choice([n for n in range(1, facts.numbers[1]) if n != facts.guess[0]])
    return k, facts.numbers[1] - k


def _space_coins(world: World) -> int:
    pairs = itertools.combinations(range(2, 13), 2)
    return sum(k * b + (n - k) * a <= world.max_number for a, b in pairs for n in range(3, NOTES + 1) for k in range(1, n))


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
    """At least: the sum of all four is made by no other signs."""
    return math.comb(min(world.max_number, SIGNED) - 1 + 3, 4)


# -- a pair out of five numbers


def _pick_two(rng: random.Random, world: World) -> Facts | None:
    numbers = tuple(rng.sample(range(2, min(world.max_number, PICKED) + 1), 5))
    guess = tuple(sorted(rng.sample(numbers, 2)))
    target = sum(guess)
    if sum(sum(pair) == target for pair in itertools.combinations(numbers, 2)) != 1:
        return None
    return Facts((*numbers, target), ("pick a pair",), (*map(str, sorted(numbers)), f"={target}"), guess)


def _tell_pick_two(facts: Facts, rng: random.Random) -> str:
    return rng.choice(wordings.PICK_TWO).format(all=", ".join(map(str, facts.numbers[:5])), t=facts.numbers[5])


def _check_pick_two(facts: Facts, guess: Guess) -> tuple[Check, ...] | None:
    return _checked((guess[0], "+", guess[1], facts.numbers[5]))


def _wrong_pick_two(facts: Facts, rng: random.Random) -> Guess:
    pairs = [tuple(sorted(pair)) for pair in itertools.combinations(facts.numbers[:5], 2)]
    return rng.choice([pair for pair in pairs if pair != facts.guess])


def _space_pick_two(world: World) -> int:
    """At least: the sum of the two smallest is made by no other pair."""
    return math.comb(min(world.max_number, PICKED) - 1, 5)


_PAIR = "try another pair."

SEARCH_FAMILIES = (
    Family("sum_product", "search", False, _sum_product, _tell_sum_product, lambda world: len(_pairs(world)),
           Guessing(_read_pair, _check_sum_product, _first, _wrong_sum_product, _PAIR)),
    Family("coins", "search", False, _coins, _tell_coins, _space_coins,
           Guessing(_read_pair, _check_coins, _first, _wrong_coins, "try other notes.")),
    Family("signs", "search", False, _signs, _tell_signs, _space_signs,
           Guessing(lambda facts, guess: f"Try {_expression(facts, guess)}.", _check_signs, _expression, _wrong_signs, "try other signs.")),
    Family("pick_two", "search", False, _pick_two, _tell_pick_two, _space_pick_two,
           Guessing(_read_pair, _check_pick_two, _first, _wrong_pick_two, _PAIR)),
    Family("diff_product", "search", True, _diff_product, _tell_diff_product, lambda world: sum(b - a >= 2 for a, b in _pairs(world)),
           Guessing(_read_pair, _check_diff_product, _first, _wrong_diff_product, _PAIR)),
)  # fmt: skip
