"""How alike a query and texts are in their writing: three and five characters at a time, every number one digit.

    texts = [written("the range of ax² + bx + c > 0 on R"), written("choose 3 of 10")]
    Shapes.of(texts).scores(written("solve 2x² + 3x + 1 > 0"), texts)    → [8.4, 0.9]

Formulas have few words and much shape: `0x0 + 0x + 0 > 0`. Neighbouring words share characters too, so phrases and endings count. The
index asks for the scores of the few templates whose terms fit best, so no text's grams are stored, only how rare each gram is in a sample
of the library. BM25, in which five characters count half of three.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K1 = 2.0
B = 0.75
LONG = 0.5  # what five characters count
_BITS = np.uint64(21)  # of a character
_FIVE = np.uint64(1 << 63)  # marks the keys of five characters; those of three are their 63 bits
_SLOTS = 1 << 16  # of the grams that a query may have: most of a text's are not among them
_PRIME = np.uint64(0x9E3779B97F4A7C15)

Keys = NDArray[np.uint64]
Owners = NDArray[np.int64]


def written(text: str) -> str:
    """Small letters; ² and ２ are 2."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return plain.lower().replace("\0", " ")


@dataclass(frozen=True)
class Shapes:
    """How rare the grams are that at least two texts of a library have, those that one has or none, and how long a text is on average.
    Texts and queries are given as `written` makes them."""

    grams: Keys
    idf: NDArray[np.float32]
    rarest: float
    average: float

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Shapes":
        own = [np.unique(_grams([text])[0]) for text in texts]
        grams, spread = np.unique(np.concatenate([np.zeros(0, np.uint64), *own]), return_counts=True)
        grams, spread = grams[spread > 1], spread[spread > 1]
        idf = np.log1p((len(texts) - spread + 0.5) / (spread + 0.5)).astype(np.float32)
        average = sum(map(len, texts)) / max(len(texts), 1)
        return cls(grams, idf, float(np.log1p(max(len(texts) - 0.5, 0.5) / 1.5)), max(average, 1.0))

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """(texts,): 0 for a text that shares no three characters with the query."""
        asked = np.unique(_grams([query])[0])
        if not len(asked) or not texts:
            return np.zeros(len(texts))
        maybe = np.zeros(_SLOTS, bool)
        maybe[_slot(asked)] = True
        grams, owners = _grams(texts)
        there = np.flatnonzero(maybe[_slot(grams)])
        columns = _places(asked, grams[there])
        there, columns = there[columns >= 0], columns[columns >= 0]
        pairs, counts = np.unique(owners[there] * len(asked) + columns, return_counts=True)
        owner, column = np.divmod(pairs, len(asked))
        norms = K1 * (1 - B + B * np.array([len(text) for text in texts]) / self.average)
        worth = self._idf(asked) * np.where(asked & _FIVE, LONG, 1.0)
        return np.bincount(owner, worth[column] * counts * (K1 + 1) / (counts + norms[owner]), minlength=len(texts)).astype(np.float64)

    def _idf(self, grams: Keys) -> NDArray[np.float64]:
        known = np.append(self.idf, np.float32(self.rarest))  # which stands at -1
        return known[_places(self.grams, grams)].astype(np.float64)


def _slot(keys: Keys) -> NDArray[np.int64]:
    return ((keys * _PRIME) >> np.uint64(48)).astype(np.int64)


def _places(ordered: Keys, keys: Keys) -> NDArray[np.int64]:
    """Where each key stands in `ordered`, -1 for one that does not."""
    if not len(ordered):
        return np.full(len(keys), -1)
    places = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.where(ordered[places] == keys, places, -1)


def _grams(texts: Sequence[str]) -> tuple[Keys, Owners]:
    """The keys of all grams, and the number of the text that has each."""
    codes = np.frombuffer("\0".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    digit = (codes >= ord("0")) & (codes <= ord("9"))
    space = (codes == ord(" ")) | ((codes >= 9) & (codes <= 13))
    again = np.zeros(len(codes), bool)
    again[1:] = (digit[1:] & digit[:-1]) | (space[1:] & space[:-1])
    codes = np.where(digit, ord("0"), np.where(space, ord(" "), codes))[~again].astype(np.uint64)
    ends = codes == 0
    owners = np.cumsum(ends)
    if len(codes) < 5:
        codes = np.append(codes, np.zeros(5, np.uint64))
        ends, owners = codes == 0, np.append(owners, np.full(5, len(texts) - 1))
    two = codes[:-1] << _BITS | codes[1:]
    three = two[:-1] << _BITS | codes[2:]
    five = (three[:-2] * _PRIME ^ two[3:]) * _PRIME | _FIVE
    inside = ~(ends[:-2] | ends[1:-1] | ends[2:])
    longer = inside[:-2] & inside[2:]
    return np.concatenate([three[inside], five[longer]]), np.concatenate([owners[:-2][inside], owners[:-4][longer]])
