"""Sets of shingles that overlap, found without comparing all pairs.

    index = Index([shingles(tokens(text)) for text in texts], 0.9)
    list(index.similar(7))     → the positions that were added and whose Jaccard similarity to number 7 is at least 0.9
    components(grams, ends, 0.9)    → for each of a million sets the lowest position that it is linked with, the same search in columns

Prefix filtering (Bayardo et al. 2007): two sets that overlap by the threshold share one of their rarest shingles, so that only a few
postings are looked up. It finds every pair as long as no more than `MOST` sets were added under one shingle; beyond, it compares with the
first ones, which keeps the time linear in the number of sets.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from factory.problems.grams import I64, U64, Postings
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

    def similar(self, at: int) -> Iterator[int]:
        """Positions added before, lowest first, that reach the threshold."""
        own = self.sets[at]
        for other in sorted({found for shingle in self._rarest(at) for found in self._postings.get(shingle, ())}):
            if jaccard(own, self.sets[other]) >= self.threshold:
                yield other


class Union:
    """Disjoint sets of the numbers below `count`; the lowest of a set stands for it."""

    def __init__(self, count: int) -> None:
        self.root = list(range(count))

    def find(self, at: int) -> int:
        root = self.root
        while root[at] != at:
            root[at] = root[root[at]]
            at = root[at]
        return at

    def join(self, first: int, second: int) -> None:
        low, high = sorted((self.find(first), self.find(second)))
        self.root[high] = low

    def roots(self) -> I64:
        return np.array([self.find(at) for at in range(len(self.root))], np.int64)


def components(grams: U64, ends: I64, threshold: float) -> I64:
    """The lowest position of the component of each set, where sets that overlap by the threshold are linked.

    grams: (T,) of all sets, one after the other, each gram of a set once; ends: (S,) where each set ends. Of the sets under one of their
    rarest grams each is compared with the first `MOST`, unless they are linked already."""
    sizes = np.diff(ends, prepend=0)
    ranks = _ranks(grams)
    of = np.repeat(np.arange(len(ends)), sizes)
    width = int(ranks.max(initial=0)) + 1
    keys = np.sort(of * width + ranks)  # each set's grams, rare ones first
    del of, ranks
    prefix = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    inner = np.arange(len(keys)) - np.repeat(ends - sizes, sizes)
    rare = keys[inner < np.repeat(prefix, sizes)]
    del inner
    sets, ranks = rare // width, rare % width
    order = np.argsort(ranks, kind="stable")  # the sets of a gram, lowest first
    sets, ranks = sets[order], ranks[order]
    starts = np.flatnonzero(np.append(True, ranks[1:] != ranks[:-1]))
    first = np.repeat(starts, np.diff(starts, append=len(ranks)))
    union = Union(len(ends))
    for nth in range(MOST):
        later = np.flatnonzero(np.arange(len(sets)) > first + nth)
        if not len(later):
            break
        pairs = np.unique(sets[first[later] + nth] * len(ends) + sets[later])
        roots = union.roots()
        low, high = pairs // len(ends), pairs % len(ends)
        alike = (roots[low] != roots[high]) & (
            np.minimum(sizes[low], sizes[high]) >= threshold * np.maximum(sizes[low], sizes[high]) - 1e-9
        )
        for start in range(0, int(alike.sum()), PAIRS):
            few = np.flatnonzero(alike)[start : start + PAIRS]
            enough = _overlaps(keys, ends, sizes, width, low[few], high[few]) >= threshold
            for one, other in zip(low[few][enough].tolist(), high[few][enough].tolist(), strict=True):
                union.join(one, other)
    return union.roots()


PAIRS = 50_000  # compared at a time


def _ranks(grams: U64) -> I64:
    """Of each gram among all: the rarest first, of equally frequent ones the lower number."""
    values, inverse, counts = np.unique(grams, return_inverse=True, return_counts=True)
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(counts, kind="stable")] = np.arange(len(values))
    return ranks[inverse]


def _overlaps(keys: I64, ends: I64, sizes: I64, width: int, low: I64, high: I64) -> np.ndarray:
    """Jaccard similarities (P,) of pairs of sets."""
    parts = []
    for sets in (low, high):
        count = sizes[sets]
        inner = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        taken = keys[np.repeat(ends[sets] - count, count) + inner] % width
        parts.append(np.repeat(np.arange(len(sets)), count) * width + taken)
    both = np.sort(np.concatenate(parts), kind="stable")
    twice = both[:-1][both[1:] == both[:-1]] // width
    shared = np.bincount(twice, minlength=len(low))
    return shared / np.maximum(sizes[low] + sizes[high] - shared, 1)


def held_pairs(grams: U64, ends: I64, answers: U64) -> I64:
    """Pairs (P, 2) of a set and one that has its rarest gram, with equal `answers`, ascending: all in which the second holds the first are
    among them, as long as no more than `MOST` sets have one rarest gram. grams: (T,) of all sets, each gram of a set once."""
    sizes = np.diff(ends, prepend=0)
    _, inverse, counts = np.unique(grams, return_inverse=True, return_counts=True)
    often = counts[inverse]
    some = np.flatnonzero(sizes)
    rarest = np.minimum.reduceat(often * len(grams) + np.arange(len(grams)), (ends - sizes)[some]) % len(grams) if len(some) else some
    held = often[rarest] > 1  # a set whose rarest gram is its own stands in no other
    some, rarest = some[held], rarest[held]
    wanted = np.zeros(len(counts), bool)
    wanted[inverse[rarest]] = True
    hit = np.flatnonzero(wanted[inverse])
    of = np.searchsorted(ends, hit, side="right")
    mixed = grams ^ (np.repeat(answers, sizes) * _MIXING)
    outer, inner, _ = Postings.of(mixed[rarest], some, MOST).found(mixed[hit], of)
    pairs = np.stack([inner, outer], axis=1)[inner != outer]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


_MIXING = np.uint64(0x9E3779B97F4A7C15)
