"""n-grams of many texts at once, as 64-bit numbers: what `overlap` and `dedup` look up by the million.

    words = Words([["tom", "has", "3"], …])              a number for each word of these texts
    batch = words.numbered([["tom", "has", "4"], …])     → Batch(ids=[1, 2, 9, …], ends=[3, …]); 9: a word that they do not have
    batch.grams(2)                                       → (n-grams as uint64, the text of each)

A gram is Σ ids·factors modulo 2^64 with fixed factors: equal grams have equal numbers in every process, two others collide once in 10^19.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
MOST = 4096  # tokens a gram may have
_FACTORS: U64 = np.random.default_rng(20_261_128).integers(0, 1 << 63, MOST, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True)
class Batch:
    """Texts one after the other. `ids`: (T,) of all tokens; `ends`: (B,) where each text ends."""

    ids: U64
    ends: I64

    @property
    def lengths(self) -> I64:
        return np.diff(self.ends, prepend=0)

    def grams(self, size: int) -> tuple[U64, I64]:
        """(grams, the text of each), in order, repeated ones too; texts shorter than `size` have none."""
        count = len(self.ids) - size + 1
        if count <= 0:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        of = np.repeat(np.arange(len(self.ends)), self.lengths)
        found = np.zeros(count, np.uint64)
        for at in range(size):
            found += self.ids[at : at + count] * _FACTORS[at]
        inside = of[:count] == of[size - 1 :]
        return found[inside], of[:count][inside]


class Words:
    """Numbers of words, from 1."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self._known: dict[str, int] = {}
        for text in texts:
            for word in text:
                self._known.setdefault(word, len(self._known) + 1)

    def numbered(self, texts: Sequence[Sequence[str]]) -> Batch:
        """Words that nobody knows have numbers of this batch alone."""
        known, new, first = self._known, dict[str, int](), len(self._known) + 1
        ids = [known.get(word) or new.setdefault(word, first + len(new)) for text in texts for word in text]
        return Batch(np.array(ids, np.uint64), np.cumsum([len(text) for text in texts], dtype=np.int64))


@dataclass(frozen=True)
class Postings:
    """Gram → its owners, each once. `grams`: (G,) sorted; owners of gram g: `owners[starts[g]:starts[g + 1]]`."""

    grams: U64
    starts: I64
    owners: I64

    @classmethod
    def of(cls, grams: U64, owners: I64, most: int | None = None) -> "Postings":
        """`most`: grams with more owners are left out."""
        grams, owners = unique_pairs(grams, owners)
        keys, starts, counts = np.unique(grams, return_index=True, return_counts=True)
        if most is not None:
            kept = np.repeat(counts <= most, counts)
            return cls.of(grams[kept], owners[kept])
        return cls(keys, np.append(starts, len(grams)), owners)

    def found(self, grams: U64, texts: I64, weights: F64 | None = None) -> tuple[I64, I64, F64]:
        """(texts, owners, n): n different grams of the text are the owner's; with `weights`, one a gram of the table, n is their sum.
        `texts`: whose grams these are, ascending."""
        if not len(self.grams) or not len(grams):
            return _NONE, _NONE, np.zeros(0)
        weights = np.ones(len(self.grams)) if weights is None else weights
        place = np.minimum(np.searchsorted(self.grams, grams), len(self.grams) - 1)
        hit = self.grams[place] == grams
        places, texts = unique_pairs(place[hit], texts[hit])
        order = np.argsort(texts, kind="stable")
        places, texts = places[order], texts[order]
        sizes = self.starts[places + 1] - self.starts[places]
        parts = [self._counted(places[part], texts[part], sizes[part], weights) for part in _parts(texts, sizes)]
        at, owners, sums = ([part[column] for part in parts] or [_NONE] for column in range(3))
        return np.concatenate(at), np.concatenate(owners), np.concatenate(sums).astype(np.float64)

    def _counted(self, places: I64, texts: I64, sizes: I64, weights: F64) -> tuple[I64, I64, F64]:
        inner = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        owners = self.owners[np.repeat(self.starts[places], sizes) + inner]
        width = int(self.owners.max()) + 1
        keys, of = np.unique(np.repeat(texts, sizes) * width + owners, return_inverse=True)
        return keys // width, keys % width, np.bincount(of, np.repeat(weights[places], sizes)).astype(np.float64)


_NONE: I64 = np.zeros(0, np.int64)
_LARGEST = 4_000_000  # pairs of a gram and an owner at a time


def _parts(texts: I64, sizes: I64) -> list[slice]:
    """Whole texts with about `_LARGEST` pairs each."""
    if not len(texts):
        return []
    bins = (np.cumsum(sizes) - 1) // _LARGEST
    first = np.append(True, texts[1:] != texts[:-1])
    cut = np.flatnonzero(first & np.append(True, bins[1:] != bins[:-1]))
    cut = cut if len(cut) and cut[0] == 0 else np.append(0, cut)
    return [slice(int(start), int(end)) for start, end in zip(cut, np.append(cut[1:], len(texts)), strict=True)]


def unique_pairs(first: npt.NDArray, second: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Each pair once, sorted by the first, then the second."""
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    new = np.append(True, (first[1:] != first[:-1]) | (second[1:] != second[:-1])) if len(first) else np.zeros(0, bool)
    return first[new], second[new]
