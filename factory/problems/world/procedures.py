"""The families in which choosing the right strategies matters: a wrong plan gives a wrong answer.

backwards: "Mia has 15 apples now. Today she found 7 and lost 4. How many apples did Mia have at first?"
→ ("undo gain", "undo loss"):  15 - 7 = 8 · 8 + 4 = 12
"""

import dataclasses
import random
from collections.abc import Callable, Sequence

from factory.params import World
from factory.problems.world import wordings
from factory.problems.world.model import Facts, Family
from factory.problems.world.words import Cast, told

FACTOR = 9  # what a running result is multiplied or divided by: 2 … FACTOR
CHANGE = 5  # a gain or loss is at most max_number // CHANGE: sums that a small model can learn, chains that it must read
SIZE = 12  # the other factor, and the largest quotient: tables that can be learned
_FACTORS = range(2, FACTOR + 1)

_GAIN = {"put together", "undo gain"}  # what the story tells as a gain, whatever is to be computed


def _changes(rng: random.Random, world: World, least: int, most: int) -> list[tuple[str, int]]:
    most = max(0, min(most, world.max_steps))
    count = rng.randint(min(least, most), most)
    return [(rng.choice(("gain", "loss")), rng.randint(2, max(2, world.max_number // CHANGE))) for _ in range(count)]


def _strategy(changes: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    return tuple("put together" if kind == "gain" else "take away" for kind, _ in changes)


def _signed(changes: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Canonical: which change comes first makes no other instance."""
    return tuple(sorted(("+" if kind == "gain" else "-") + str(number) for kind, number in changes))


def _story(facts: Facts, first: int, last: int | None = None) -> list[tuple[str, int]]:
    """The changes that strategies `first` … `last` tell of."""
    pairs = list(zip(facts.strategy, facts.numbers[1:], strict=True))[first:last]
    return [("gain" if name in _GAIN else "loss", number) for name, number in pairs]


def _tally(rng: random.Random, world: World) -> Facts:
    start, changes = rng.randint(2, world.max_number), _changes(rng, world, 2, 4)
    return Facts((start, *(n for _, n in changes)), _strategy(changes), (str(start), *_signed(changes)))


def _tell_tally(facts: Facts, rng: random.Random) -> str:
    cast = Cast.draw(rng)
    start, end = cast.one_of(wordings.TALLY_START, rng, n=facts.numbers[0]), cast.one_of(wordings.NOW, rng)
    return f"{start} {told(cast, _story(facts, 0), rng)} {end}"


def _backwards(rng: random.Random, world: World) -> Facts:
    end, changes = rng.randint(2, world.max_number), _changes(rng, world, 2, 3)
    strategy = tuple("undo gain" if kind == "gain" else "undo loss" for kind, _ in changes)
    return Facts((end, *(n for _, n in changes)), strategy, (str(end), *_signed(changes)))


def _tell_backwards(facts: Facts, rng: random.Random) -> str:
    cast = Cast.draw(rng)
    start, end = cast.one_of(wordings.BACKWARDS_START, rng, n=facts.numbers[0]), cast.one_of(wordings.AT_FIRST, rng)
    return f"{start} {told(cast, _story(facts, 0), rng)} {end}"


def _scale_tally(rng: random.Random, world: World) -> Facts:
    packs, size = rng.randint(2, FACTOR), rng.randint(2, min(world.max_number, SIZE))
    changes = _changes(rng, world, 1, min(2, world.max_steps - 1))
    low, high = sorted((packs, size))
    return Facts((packs, size, *(n for _, n in changes)), ("equal groups", *_strategy(changes)), (str(low), str(high), *_signed(changes)))


def _tell_scale_tally(facts: Facts, rng: random.Random) -> str:
    cast, starts = Cast.draw(rng), wordings.SCALE_START
    if rng.random() < 0.3:
        cast, starts = dataclasses.replace(cast, thing="coins"), wordings.SAVES
    start = cast.one_of(starts, rng, a=facts.numbers[0], b=facts.numbers[1])
    return " ".join(filter(None, (start, told(cast, _story(facts, 1), rng), cast.one_of(wordings.NOW, rng))))


def _compare_sum(rng: random.Random, world: World) -> Facts:
    first, other = rng.randint(2, world.max_number), rng.randint(2, max(2, world.max_number // 3))
    name, changes = rng.choice(("compare up", "compare down")), _changes(rng, world, 0, min(1, world.max_steps - 1))
    sign = "+" if name == "compare up" else "-"
    numbers = (first, other, *(n for _, n in changes))
    return Facts(numbers, (name, *_strategy(changes)), (str(first), sign + str(other), *_signed(changes)))


def _tell_compare_sum(facts: Facts, rng: random.Random) -> str:
    cast = Cast.draw(rng)
    word = "more" if facts.strategy[0] == "compare up" else "fewer"
    parts = [cast.one_of(wordings.COMPARE_START, rng, a=facts.numbers[0], b=facts.numbers[1], word=word)]
    for kind, number in _story(facts, 1):
        parts.append((wordings.COMPARE_GAIN if kind == "gain" else wordings.COMPARE_LOSS).format(n=number))
    return " ".join((*parts, cast.one_of(wordings.TOGETHER, rng)))


def _unit_price(rng: random.Random, world: World) -> Facts | None:
    count, price, wanted = rng.randint(2, FACTOR), rng.randint(2, SIZE), rng.randint(2, FACTOR)
    changes = _changes(rng, world, 0, min(1, world.max_steps - 2))
    numbers = (count * price, count, wanted, *(n for _, n in changes))
    if count == wanted:
        return None
    return Facts(numbers, ("cost of one", "cost of many", *_strategy(changes)), (*map(str, numbers[:3]), *_signed(changes)))


def _tell_unit_price(facts: Facts, rng: random.Random) -> str:
    cast = Cast.draw(rng)
    total, count, wanted = facts.numbers[:3]
    parts = [cast.one_of(wordings.PRICE_START, rng, a=total, b=count), cast.one_of(wordings.PRICE_WANTED, rng, c=wanted)]
    for kind, number in _story(facts, 2):
        parts.append((wordings.PRICE_GAIN if kind == "gain" else wordings.PRICE_LOSS).format(n=number))
    return " ".join((*parts, cast.one_of(wordings.COST, rng)))


def _share(rng: random.Random, world: World) -> Facts | None:
    """A tally and then one division by a small number: shared, or packed into full bags."""
    start, changes = rng.randint(2, world.max_number), _changes(rng, world, 1, min(2, world.max_steps - 1))
    parts, total = rng.randint(2, FACTOR), start + sum(n if kind == "gain" else -n for kind, n in changes)
    start -= total % parts  # it comes out even
    total -= total % parts
    if not (2 <= start <= world.max_number and 2 * parts <= total <= SIZE * parts):
        return None
    key = (str(start), *_signed(changes), f"/{parts}")
    return Facts((start, *(n for _, n in changes), parts), (*_strategy(changes), rng.choice(("share equally", "full bags"))), key)


def _tell_share(facts: Facts, rng: random.Random) -> str:
    cast = Cast.draw(rng)
    start = cast.one_of(wordings.PARTED_START, rng, n=facts.numbers[0])
    end = cast.one_of(wordings.PARTED_END[facts.strategy[-1]], rng, n=facts.numbers[-1])
    return " ".join(filter(None, (start, told(cast, _story(facts, 0, -1), rng), end)))


def _savings(rng: random.Random, world: World) -> Facts | None:
    weeks, coins, parts = rng.randint(2, FACTOR), rng.randint(2, min(world.max_number, SIZE)), rng.randint(2, FACTOR)
    lost = rng.randint(2, max(2, world.max_number // CHANGE))
    rest = weeks * coins - lost
    lost += rest % parts
    if not 2 * parts <= rest < (SIZE + 1) * parts or lost > world.max_number:
        return None
    low, high = sorted((weeks, coins))
    key = (str(low), str(high), f"-{lost}", f"/{parts}")
    return Facts((coins, weeks, lost, parts), ("equal groups", "take away", "share equally"), key)


def _tell_savings(facts: Facts, rng: random.Random) -> str:
    cast = dataclasses.replace(Cast.draw(rng), thing="coins")
    coins, weeks, lost, parts = facts.numbers
    end = cast.one_of(wordings.PARTED_END["share equally"], rng, n=parts)
    return f"{cast.one_of(wordings.SAVES, rng, a=coins, b=weeks)} {told(cast, [('loss', lost)], rng)} {end}"


def _products(most: int) -> set[tuple[int, int]]:
    """Two factors, whichever stands first."""
    return {(min(a, b), max(a, b)) for a in _FACTORS for b in range(2, min(most, SIZE) + 1)}


def _space_scale(most: int) -> int:
    """At least: one gain, or one loss that leaves something."""
    return sum(1 + (a * b > change) for a, b in _products(most) for change in range(2, most // CHANGE + 1))


def _space_share(most: int) -> int:
    """At least: one change, and what is then shared comes out even."""
    changes = [sign * change for change in range(2, most // CHANGE + 1) for sign in (1, -1)]
    return sum(2 <= parts * each - change <= most for parts in _FACTORS for each in range(2, SIZE + 1) for change in changes)


def _space_savings(most: int) -> int:
    """Counted: what is lost must leave a number that can be shared."""
    shared = range(2, SIZE + 1)
    return sum(2 <= a * b - parts * each <= most // CHANGE for a, b in _products(most) for parts in _FACTORS for each in shared)


def _pooling(rng: random.Random, world: World) -> Facts | None:
    first, other, parts = rng.randint(2, world.max_number), rng.randint(2, max(2, world.max_number // 2)), rng.randint(2, FACTOR)
    name = rng.choice(("compare up", "compare down"))
    total = 2 * first + (other if name == "compare up" else -other)
    if total % parts or not 2 * parts <= total <= SIZE * parts:
        return None
    key = (str(first), ("+" if name == "compare up" else "-") + str(other), f"/{parts}")
    return Facts((first, other, parts), (name, "share equally"), key)


def _tell_pooling(facts: Facts, rng: random.Random) -> str:
    cast = Cast.draw(rng)
    first, other, parts = facts.numbers
    word = "more" if facts.strategy[0] == "compare up" else "fewer"
    start = cast.one_of(wordings.COMPARE_START, rng, a=first, b=other, word=word)
    return f"{start} {cast.one_of(wordings.PARTED_END['share equally'][:2], rng, n=parts)}"


def _family(name: str, draw: Callable[[random.Random, World], Facts | None], tell: Callable[[Facts, random.Random], str],
            space: Callable[[int], int], unseen: bool = False) -> Family:  # fmt: skip
    return Family(name, "procedures", unseen, draw, tell, lambda world: max(0, space(min(world.max_number, 200))))


# Bounds from below: they count only the shortest problems of a family whose changes are all gains.
PROCEDURE_FAMILIES = (
    _family("tally", _tally, _tell_tally, lambda n: (n - 1) * (n // CHANGE - 1) * (n // CHANGE) // 2),
    _family("scale_tally", _scale_tally, _tell_scale_tally, _space_scale),
    _family("backwards", _backwards, _tell_backwards, lambda n: (n - n // CHANGE * 2) * (n // CHANGE - 1) * (n // CHANGE) // 2),
    _family("compare_sum", _compare_sum, _tell_compare_sum, lambda n: (n - 1) * (n // 3 - 1)),
    _family("unit_price", _unit_price, _tell_unit_price, lambda n: (FACTOR - 1) * (SIZE - 1) * (FACTOR - 2)),
    _family("share", _share, _tell_share, _space_share),
    _family("savings", _savings, _tell_savings, _space_savings, True),
    _family("pooling", _pooling, _tell_pooling, lambda n: (n - 1) * (n // 2 - 1) // 2, True),
)
