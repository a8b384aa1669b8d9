"""What duplicates and splits need to know of a text, made once for many texts in several processes.

    keys(["Tom has 3 apples …", …])    → Keys(place={"Tom …": 0}, exact=[…], signature=[…], masked=[…], …)

All are numbers of 64 bits: equal texts have equal numbers in every process; two others of a million meet once in 10^7 times.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from factory.problems.grams import I64, U64, Batch, unique_pairs
from factory.problems.lexer import exact_key, masked, signature, tokens
from factory.problems.similar import SHINGLE
from factory.processes import mapped

BATCH = 1000
GRAM = 5  # tokens of the grams by which a text is found inside another


@dataclass(frozen=True)
class Keys:
    """Of B different texts. `place`: the row of each. `exact`, `signature`, `masked`: (B,) numbers of `lexer.exact_key`, of the tokens that
    decide, of all tokens without values. `shingles`, `grams`: each once a text, those of `similar.shingles` and of
    `GRAM` tokens; where those of a text end: `shingle_ends`, `gram_ends`."""

    place: dict[str, int]
    exact: U64
    signature: U64
    masked: U64
    shingles: U64
    shingle_ends: I64
    grams: U64
    gram_ends: I64

    def at(self, texts: Iterable[str]) -> I64:
        return np.array([self.place[text] for text in texts], np.int64)


def keys(texts: Iterable[str]) -> Keys:
    place = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    different = list(place)
    batches = [different[at : at + BATCH] for at in range(0, len(different), BATCH)] or [[]]
    parts = list(mapped(_keys, batches))
    names = [name for name in _Part._fields if not name.endswith("_ends")]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    for name, owned in (("shingle_ends", "shingles"), ("gram_ends", "grams")):
        starts = np.cumsum([0, *(len(getattr(part, owned)) for part in parts[:-1])])
        columns[name] = np.concatenate([getattr(part, name) + start for part, start in zip(parts, starts, strict=True)])
    return Keys(place, **columns)


def chosen(values: U64, ends: I64, rows: I64) -> tuple[U64, I64]:
    """(values, ends) of some rows, in their order."""
    sizes = np.diff(ends, prepend=0)[rows]
    inner = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return values[np.repeat(ends[rows] - sizes, sizes) + inner], np.cumsum(sizes)


class _Part(NamedTuple):
    exact: U64
    signature: U64
    masked: U64
    shingles: U64
    shingle_ends: I64
    grams: U64
    gram_ends: I64


def inside(text: Sequence[str]) -> list[str]:
    """Tokens as they stand inside another text: capitals aside, without the line break at the start of a program and the white space that
    is shown because the other text has quotation marks around them."""
    first = 1 if text and not text[0].strip() else 0
    return [token.lower() for token in text[first:] if token != "␣"]


def _keys(texts: Sequence[str]) -> _Part:
    found = [tokens(text) for text in texts]
    blind = [masked(text) for text in found]
    return _Part(
        _numbers([exact_key(text) for text in texts]), _numbers(["\0".join(signature(text)) for text in found]),
        _numbers(["\0".join(text) for text in blind]),
        *_once([text if len(text) >= SHINGLE else [" ".join(text), "", ""] for text in blind], SHINGLE), *_once(map(inside, found), GRAM),
    )  # fmt: skip


def _numbers(texts: Sequence[str]) -> U64:
    return np.array([number(text) for text in texts], np.uint64)


def number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


_number_of_word = lru_cache(maxsize=1 << 18)(number)


def _batch(texts: Sequence[Sequence[str]]) -> Batch:
    ids = [_number_of_word(word) for text in texts for word in text]
    return Batch(np.array(ids, np.uint64), np.cumsum([len(text) for text in texts], dtype=np.int64))


def _once(texts: Iterable[Sequence[str]], size: int) -> tuple[U64, I64]:
    """(grams of a text, each once, ascending; where each text's end)."""
    batch = _batch(list(texts))
    grams, of = batch.grams(size)
    owners, grams = unique_pairs(of, grams)
    return grams, np.cumsum(np.bincount(owners, minlength=len(batch.ends))).astype(np.int64)
