"""How alike a query and a text are in their writing: three and five characters at a time, every number one digit.

    shapes = Shapes.of([shape("the range of ax² + bx + c > 0 on R"), shape("choose 3 of 10")])
    shapes.scores(shape("solve 2x² + 3x + 1 > 0"), [shape("the range of ax² + bx + c > 0 on R"), shape("choose 3 of 10")])    → [8.4, 0.9]

Formulas have few words and much shape: `0x0 + 0x + 0 > 0`. Neighbouring words share characters too, so phrases and endings count. The index
asks for the score of the few templates whose terms fit best, so no text's grams are stored, only how rare each is in a sample of the library.
BM25, in which five characters count half of three.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K1 = 2.0
B = 0.75
LONG = 0.5  # what five characters count
_SLOTS = 1 << 16  # of the grams that a query may have: most of a text's are not among them
_PRIME = np.uint64(0x9E3779B97F4A7C15)

Keys = NDArray[np.uint64]  # hashes of grams; odd ones of five characters


@dataclass(frozen=True)
class Shape:
    """A text's distinct grams in the order of their hashes, how often it has each, and how many characters."""

    grams: Keys
    counts: NDArray[np.int64]
    length: int


def shape(text: str) -> Shape:
    codes = np.frombuffer(unicodedata.normalize("NFKC", text).lower().encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    digit = (codes >= ord("0")) & (codes <= ord("9"))
    space = (codes == ord(" ")) | ((codes >= 9) & (codes <= 13))
    codes[digit], codes[space] = ord("0"), ord(" ")
    again = np.zeros(len(codes), bool)
    again[1:] = (digit[1:] & digit[:-1]) | (space[1:] & space[:-1])
    codes = codes[~again]
    even, odd = ~np.uint64(1), np.uint64(1)
    grams, counts = np.unique(np.concatenate([_hashed(codes, 3) & even, _hashed(codes, 5) | odd]), return_counts=True)
    return Shape(grams, counts, len(codes))


def _hashed(codes: NDArray[np.uint64], size: int) -> Keys:
    total = np.zeros(max(len(codes) - size + 1, 0), np.uint64)
    for start in range(size if len(total) else 0):
        total = (total + codes[start : start + len(total)] + np.uint64(1)) * _PRIME
        total ^= total >> np.uint64(29)
    return total


@dataclass(frozen=True)
class Shapes:
    """How rare the grams are that at least two texts of a library have, those that one has or none, and how long a text is on average."""

    grams: Keys
    idf: NDArray[np.float32]
    rarest: float
    average: float

    @classmethod
    def of(cls, shapes: Sequence[Shape]) -> "Shapes":
        grams, spread = np.unique(np.concatenate([np.zeros(0, np.uint64), *(item.grams for item in shapes)]), return_counts=True)
        grams, spread = grams[spread > 1], spread[spread > 1]
        count = len(shapes)
        idf = np.log1p((count - spread + 0.5) / (spread + 0.5)).astype(np.float32)
        average = sum(item.length for item in shapes) / max(count, 1)
        return cls(grams, idf, float(np.log1p(max(count - 0.5, 0.5) / 1.5)), max(average, 1.0))

    def scores(self, query: Shape, shapes: Sequence[Shape]) -> NDArray[np.float64]:
        """(shapes,): 0 for a text that shares no three characters with the query."""
        if not len(query.grams) or not shapes:
            return np.zeros(len(shapes))
        maybe = np.zeros(_SLOTS, bool)
        maybe[_slot(query.grams)] = True
        grams = np.concatenate([item.grams for item in shapes])
        counts = np.concatenate([item.counts for item in shapes])
        owners = np.repeat(np.arange(len(shapes)), [len(item.grams) for item in shapes])
        there = np.flatnonzero(maybe[_slot(grams)])
        there = there[_places(query.grams, grams[there]) >= 0]
        grams, counts, owners = grams[there], counts[there], owners[there]
        norms = K1 * (1 - B + B * np.array([item.length for item in shapes]) / self.average)
        weights = counts * (K1 + 1) / (counts + norms[owners]) * self._idf(grams) * np.where(grams & np.uint64(1), LONG, 1.0)
        return np.bincount(owners, weights, minlength=len(shapes))

    def _idf(self, grams: Keys) -> NDArray[np.float64]:
        places = _places(self.grams, grams)
        known = np.append(self.idf, np.float32(self.rarest))  # at -1
        return known[places].astype(np.float64)


def _slot(keys: Keys) -> NDArray[np.int64]:
    return (keys >> np.uint64(48)).astype(np.int64)


def _places(ordered: Keys, keys: Keys) -> NDArray[np.int64]:
    """Where each key stands in `ordered`, -1 for one that does not."""
    if not len(ordered):
        return np.full(len(keys), -1)
    places = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.where(ordered[places] == keys, places, -1)
