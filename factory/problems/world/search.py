"""The families in which checking is easy and guessing hard: where reflection and exploration can pay.

moves: "Tom had 20 apples. Then came 7, 4 and 9, or one of them went. Now there are 32. Which one went?"
→ one attempt:  Make 32. · Try second. · 20 + 7 = 27 · 27 - 4 = 23 · 23 + 9 = 32 · 32 - 32 = 0 · Right. · \\boxed{second}

A guess is one of four ways, each with a name of its own: what was tried and what comes next can be told without reading the problem, and
the numbers are used in the order in which they stand there. The guess has to be made at once, before the sum that would betray it; what
follows is arithmetic that can be honest.
"""

import dataclasses
import random
from collections.abc import Sequence
from functools import cache
from itertools import permutations

from factory.params import World
from factory.problems.world import wordings
from factory.problems.world.arithmetic import Equation, compute
from factory.problems.world.model import WAYS, Check, Facts, Family
from factory.problems.world.words import Cast

ALONE, FACTOR, SIZE, MOVED = 30, 5, 8, 9  # the largest number at first, most packs, most in one, the largest change
Numbers = tuple[int, ...]


@cache
def _starts(sign: str, largest: int) -> list[Numbers]:
    """What may be there at first: a number, two together, or packs and what is in one."""
    numbers, sizes = range(2, min(largest, ALONE) + 1), range(2, SIZE + 1)
    if not sign:
        return [(number,) for number in numbers]
    return [(number, size) for number in (numbers if sign == "+" else range(2, FACTOR + 1)) for size in sizes]


def _value(sign: str, start: Numbers) -> int:
    return (compute(start[0], sign, start[1]) or 0) if sign else start[0]


@cache
def _changes(largest: int) -> list[Numbers]:
    return list(permutations(range(2, max(5, min(largest, MOVED) + 1)), 3))


def _checks(sign: str, facts: Facts, guess: int) -> tuple[Check, ...] | None:
    """Equations of a way: what is there at first, and each change, of which at most one goes; None below 0."""
    result, *others, target = facts.numbers
    signs = [*sign, *("-" if way == WAYS[guess % len(WAYS)] else "+" for way in WAYS[1:])]
    checks = []
    for place, (operation, number) in enumerate(zip(signs, others, strict=True), start=1):
        value = compute(result, operation, number)
        if value is None:
            return None
        checks.append(Check(Equation(result, operation, number, value), target if place == len(signs) else None))
        result = value
    return tuple(checks)


def _facts(sign: str, strategy: str, numbers: Numbers, right: int) -> Facts | None:
    """None when a way cannot be gone, or when a number of the problem turns up in the right way by chance."""
    ways = [_checks(sign, Facts((*numbers, 0), (strategy,), ()), way) for way in range(len(WAYS))]
    if not all(ways) or {check.equation.value for check in ways[right] or ()} & set(numbers):
        return None
    target = (ways[right] or ())[-1].equation.value
    return Facts((*numbers, target), (strategy,), tuple(map(str, (*numbers, target))), right)


def _family(name: str, strategy: str, sign: str, starts: Sequence[str], *, thing: str = "", unseen: bool = False) -> Family:
    """What is there at first is told in one of `starts`, then come three different changes: of the four ways exactly one is right."""

    def draw(rng: random.Random, world: World) -> Facts | None:
        numbers = (*rng.choice(_starts(sign, world.max_number)), *rng.choice(_changes(world.max_number)))
        return _facts(sign, strategy, numbers, rng.randrange(len(WAYS)))

    def tell(facts: Facts, rng: random.Random) -> str:
        *before, first, second, third, target = facts.numbers
        cast = Cast.draw(rng)
        cast = dataclasses.replace(cast, thing=thing or cast.thing)
        start = cast.one_of(starts, rng, **dict(zip("ab" if sign else "n", before, strict=True)))
        return f"{start} {cast.one_of(wordings.MOVED, rng, c=first, d=second, e=third, t=target)} {rng.choice(wordings.WHICH_WENT)}"

    def space(world: World) -> int:
        """At least: one way of every start that no change uses up."""
        lasting = [start for start in _starts(sign, world.max_number) if _value(sign, start) >= MOVED]
        return len(lasting) * len(_changes(world.max_number))

    return Family(name, "search", unseen, draw, tell, space, lambda facts, guess: _checks(sign, facts, guess))


SEARCH_FAMILIES = (
    _family("moves", "try each one", "", wordings.PARTED_START),
    _family("pack_moves", "multiply and try", "*", wordings.SCALE_START),
    _family("both_moves", "add and try", "+", wordings.BOTH_START),
    _family("guests", "try each one", "", wordings.GUESTS, unseen=True),
    _family("saving_moves", "multiply and try", "*", wordings.SAVES, thing="coins", unseen=True),
)
