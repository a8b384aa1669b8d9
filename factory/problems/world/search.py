"""The families in which checking is easy and guessing hard: where reflection and exploration can pay.

moves: "Tom had 20 apples. Then 7 came or went and then 4. Now there are 17. Up or down?"
→ one attempt:  Make 17. · Try down up. · 20 - 7 = 13 · 13 + 4 = 17 · 17 - 17 = 0 · Right. · \\boxed{down up}

A guess is one of four ways, each known by two words: what was tried and what comes next can be told without reading the problem, and the
numbers are used in the order in which they stand there. The guess has to be made at once; what follows is arithmetic that can be honest.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from itertools import permutations

from factory.params import World
from factory.problems.world import wordings
from factory.problems.world.arithmetic import Equation, compute
from factory.problems.world.model import WAYS, Check, Facts, Family
from factory.problems.world.words import Cast

ALONE, FACTOR, SIZE, MOVED = 30, 5, 8, 9  # the largest number at first, most packs, most in one, the largest change
Numbers = tuple[int, ...]


def _starts(sign: str, world: World) -> list[Numbers]:
    """What may be there at first: a number, two together, or packs and what is in one."""
    numbers, sizes = range(2, min(world.max_number, ALONE) + 1), range(2, SIZE + 1)
    if not sign:
        return [(number,) for number in numbers]
    return [(number, size) for number in (numbers if sign == "+" else range(2, FACTOR + 1)) for size in sizes]


def _changes(world: World) -> list[Numbers]:
    return list(permutations(range(2, max(4, min(world.max_number, MOVED) + 1)), 2))


def _checks(sign: str, facts: Facts, guess: int) -> tuple[Check, ...] | None:
    """Equations of a way: what is there at first, and each change up or down; None below 0."""
    result, *others, target = facts.numbers
    signs = [*sign, *("-" if step == "down" else "+" for step in WAYS[guess % len(WAYS)].split())]
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
    """What is there at first is told in one of `starts`, then come two different changes: of the four ways exactly one is right."""

    def draw(rng: random.Random, world: World) -> Facts | None:
        return _facts(sign, strategy, (*rng.choice(_starts(sign, world)), *rng.choice(_changes(world))), rng.randrange(len(WAYS)))

    def everything(world: World) -> Iterator[Facts | None]:
        for start in _starts(sign, world):
            for change in _changes(world):
                yield from (_facts(sign, strategy, (*start, *change), right) for right in range(len(WAYS)))

    def tell(facts: Facts, rng: random.Random) -> str:
        *before, one, other, target = facts.numbers
        cast = Cast.draw(rng)
        cast = dataclasses.replace(cast, thing=thing or cast.thing)
        start = cast.one_of(starts, rng, **dict(zip("ab", before, strict=False)))
        return f"{start} {cast.one_of(wordings.MOVED, rng, c=one, d=other, t=target)} {rng.choice(wordings.WHICH_WAY)}"

    def space(world: World) -> int:
        """Counted."""
        return sum(facts is not None for facts in everything(world))

    return Family(name, "search", unseen, draw, tell, space, lambda facts, guess: _checks(sign, facts, guess))


SEARCH_FAMILIES = (
    _family("moves", "try the ways", "", wordings.MOVES_START),
    _family("pack_moves", "multiply and try", "*", wordings.PACK_START),
    _family("both_moves", "add and try", "+", wordings.BOTH_START),
    _family("guests", "try the ways", "", wordings.GUESTS, unseen=True),
    _family("saving_moves", "multiply and try", "*", wordings.SAVES, thing="coins", unseen=True),
)
