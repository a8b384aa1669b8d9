"""Which problems are drawn: at most so many of a source, those of a weightier source earlier, so that every prefix is a sample of the mix.

    kept, rejects = capped(problems, {"gsm8k": 5000}, seed)
    in_order(kept)[:400]                 # by their ids
    in_order(kept, seed, "plans")[:400]  # another order, of the stage's own

Weighted sampling without replacement by exponential keys: a problem's place is -log(1 - u) / weight, where u in (0, 1) is its hash. Then a
source of twice the weight is drawn twice as often for its size, until it is used up. With equal weights the order is that of the hashes.
Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import log1p
from typing import Protocol, TypeVar

from factory.identity import ID_LENGTH, seed_for
from factory.rejects import reject
from factory.schemas import Problem, Reject

BEYOND = "beyond the source's cap"


class Drawn(Protocol):
    """What decides when a problem is drawn."""

    @property
    def id(self) -> str: ...

    @property
    def weight(self) -> float: ...


D = TypeVar("D", bound=Drawn)


def capped(problems: Iterable[Problem], caps: Mapping[str, int], seed: int) -> tuple[list[Problem], list[Reject]]:
    """At most `caps[source]` problems of each source; of a lower cap those that a higher one keeps as well. The others are rejects."""
    taken: Counter[str] = Counter()
    kept, rejects = [], []
    for row in sorted(problems, key=lambda problem: seed_for(seed, "problems", "cap", problem.id)):
        if taken[row.source] == caps.get(row.source):
            rejects.append(reject("problems", row, BEYOND))
        else:
            taken[row.source] += 1
            kept.append(row)
    return sorted(kept, key=lambda problem: problem.id), rejects


def in_order(problems: Iterable[D], *key: object) -> list[D]:
    """All of them, the first to be drawn first, whatever their order was. `key`: (run seed, stage, …); without it ids are the hashes."""
    rows = sorted(problems, key=lambda problem: problem.id)
    if len({row.weight for row in rows}) > 1:
        return sorted(rows, key=lambda row: -log1p(-_share(row, *key)) / row.weight)
    return sorted(rows, key=lambda row: seed_for(*key, row.id)) if key else rows


def _share(problem: Drawn, *key: object) -> float:
    """A hash as a number in (0, 1)."""
    place, places = (seed_for(*key, problem.id), 2**63) if key else (int(problem.id, 16), 16**ID_LENGTH)
    return min((2 * place + 1) / (2 * places), 1 - 2**-53)
