"""What duplicates and splits need to know of a text, made once for many texts in several processes.

    keys(["Tom has 3 apples …", …])    → Keys(exact=[…], signature=[…], masked=[…], sketches=…, shingles=…, ends=…)

All are numbers of 64 bits: equal texts have equal numbers in every process; two others of a million meet once in 10^7 times.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from factory.problems.grams import I64, U64, Batch
from factory.problems.lexer import exact_key, masked, signature, tokens
from factory.problems.processes import mapped
from factory.problems.similar import SHINGLE

BATCH = 1000
GRAM = 8  # tokens of the grams that a sketch is made of
SKETCH = 16
_FACTORS: U64 = np.random.default_rng(17).integers(0, 1 << 63, SKETCH, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
NOTHING = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class Keys:
    """Of B texts. `exact`, `signature`, `masked`: (B,) numbers of `lexer.exact_key`, of the tokens that decide, of all tokens without
    values; `sketches`: (B, SKETCH) smallest hashes of its 8-grams, `NOTHING` for shorter texts; `lengths`: (B,) tokens.
    `shingles`, `ends`: those of `similar.shingles`, each once a text."""

    exact: U64
    signature: U64
    masked: U64
    sketches: U64
    lengths: I64
    shingles: U64
    ends: I64


def keys(texts: Sequence[str]) -> Keys:
    batches = [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)] or [[]]
    found = list(mapped(_keys, batches))
    starts = np.cumsum([0, *(len(part.shingles) for part in found)])
    columns = {
        name: np.concatenate([getattr(part, name) for part in found])
        for name in ("exact", "signature", "masked", "sketches", "lengths", "shingles")
    }
    return Keys(**columns, ends=np.concatenate([part.ends + start for part, start in zip(found, starts, strict=False)]))


def _keys(texts: Sequence[str]) -> Keys:
    found = [tokens(text) for text in texts]
    blind = [masked(text) for text in found]
    shingles, ends = _shingles(blind)
    return Keys(
        _numbers([exact_key(text) for text in texts]), _numbers(["\0".join(signature(text)) for text in found]),
        _numbers(["\0".join(text) for text in blind]), _sketches(_batch(found)), np.array([len(text) for text in found], np.int64),
        shingles, ends,
    )  # fmt: skip


def _numbers(texts: Sequence[str]) -> U64:
    return np.array([number(text) for text in texts], np.uint64)


def number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


_number_of_word = lru_cache(maxsize=1 << 18)(number)


def _batch(texts: Sequence[Sequence[str]]) -> Batch:
    ids = [_number_of_word(word) for text in texts for word in text]
    return Batch(np.array(ids, np.uint64), np.cumsum([len(text) for text in texts], dtype=np.int64))


def _shingles(blind: Sequence[Sequence[str]]) -> tuple[U64, I64]:
    """Trigrams of tokens; of a shorter text the whole."""
    batch = _batch([text if len(text) >= SHINGLE else [" ".join(text), "", ""] for text in blind])
    grams, of = batch.grams(SHINGLE)
    order = np.lexsort((grams, of))
    grams, of = grams[order], of[order]
    new = np.append(True, (grams[1:] != grams[:-1]) | (of[1:] != of[:-1])) if len(grams) else np.zeros(0, bool)
    return grams[new], np.cumsum(np.bincount(of[new], minlength=len(blind))).astype(np.int64)


def _sketches(batch: Batch) -> U64:
    grams, of = batch.grams(GRAM)
    found = np.full((len(batch.ends), SKETCH), NOTHING)
    if len(grams):
        starts = np.flatnonzero(np.append(True, of[1:] != of[:-1]))
        for nth in range(SKETCH):
            mixed = (grams ^ (grams >> np.uint64(29))) * _FACTORS[nth]
            found[of[starts], nth] = np.minimum.reduceat(mixed ^ (mixed >> np.uint64(32)), starts)
    return found
