"""Sets of shingles that overlap, found without comparing all pairs.

    index = Index([shingles(tokens(text)) for text in texts], 0.9)
    list(index.similar(7))     → the positions that were added and whose Jaccard similarity to number 7 is at least 0.9

Prefix filtering (Bayardo et al. 2007): two sets that overlap by the threshold share one of their rarest shingles, so that only a few
postings are looked up. It finds every pair as long as no more than `MOST` sets were added under one shingle; beyond, it compares with the
first ones, which keeps the time linear in the number of sets.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from factory.problems.lexer import masked

SHINGLE = 3  # tokens
MOST = 32  # sets a shingle leads to


def shingles(found: Sequence[str]) -> frozenset[str]:
    """Trigrams of tokens, the values of numbers masked; the whole text when it is shorter."""
    blind = masked(found)
    return frozenset(" ".join(blind[at : at + SHINGLE]) for at in range(max(1, len(blind) - SHINGLE + 1)))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    shared = len(first & second)
    union = len(first) + len(second) - shared
    return shared / union if union else 1.0


class Index:
    """Of some of `sets`, by their positions."""

    def __init__(self, sets: Sequence[frozenset[str]], threshold: float) -> None:
        self.sets, self.threshold = sets, threshold
        self._frequency = Counter(chain.from_iterable(sets))
        self._postings: dict[str, list[int]] = defaultdict(list)

    def _rarest(self, at: int) -> list[str]:
        size = len(self.sets[at])
        ordered = sorted(self.sets[at], key=lambda shingle: (self._frequency[shingle], shingle))
        return ordered[: size - math.ceil(self.threshold * size - 1e-9) + 1]

    def add(self, at: int) -> None:
        for shingle in self._rarest(at):
            if len(postings := self._postings[shingle]) < MOST:
                postings.append(at)

    def similar(self, at: int, skip: Callable[[int], bool] = lambda _: False) -> Iterator[int]:
        """Positions added before, lowest first, that reach the threshold. `skip`: which ones need no comparison."""
        own = self.sets[at]
        for other in sorted({found for shingle in self._rarest(at) for found in self._postings.get(shingle, ())}):
            if not skip(other) and jaccard(own, self.sets[other]) >= self.threshold:
                yield other
