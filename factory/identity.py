"""Content hashes for rows, models and prompts, and seeds that depend on nothing but names.

>>> row_id("problem", "world", "Tom has 3 apples.")[:8]
'bfd16a09'
>>> seed_for(1, "rollouts", "abc") == seed_for(1, "rollouts", "abc")
True
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import orjson

ID_LENGTH = 20  # hex digits: 80 bits, a collision among 10^9 rows has odds below 10^-6


def digest(*parts: object) -> str:
    """SHA-256 (64 hex digits) of the parts as canonical JSON, so that ("ab", "c") and ("a", "bc") differ."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def row_id(*parts: object) -> str:
    """The id of a row: a hash of what identifies it (content, or parent + request key + sample ordinal)."""
    return digest(*parts)[:ID_LENGTH]


def seed_for(*parts: object) -> int:
    """A seed in [0, 2^63) derived from (run seed, stage, row id, …)."""
    return int(digest(*parts)[:16], 16) >> 1


def hash_files(paths: Iterable[Path], root: Path) -> str:
    """One hash over names (relative to `root`) and bytes of files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(str(path.relative_to(root)).encode() + b"\0")
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()[:ID_LENGTH]
