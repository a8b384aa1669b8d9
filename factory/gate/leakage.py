"""Leakage between the sides of the split: train on one, dev · heldout · unseen on the other.

    two_sided(marks(problems))      → {"a07b…"}: ids whose id, canonical instance or normalised text stands in more than one split
    Sides(marks(problems)).unseen_text("Tom has 12 apples. …")   → False when a held-out problem has this text

Numbers stay in a normalised text: two problems that differ in a number are two problems. Near-duplicates are the problems stage's.
Instances and texts are compared by 64 bits of a hash: among a million problems the odds that two others are taken for one are 10^-7.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl


class Placed(Protocol):
    """What is asked of a problem."""

    @property
    def id(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def instance(self) -> str: ...
    @property
    def problem(self) -> str: ...


def normalised(text: str) -> str:
    """Words and numbers in lower case, nothing else: `Tom has $3.` → `tom has 3`."""
    return " ".join(re.findall(r"\w+", text.lower()))


def hashed(text: str | bytes) -> int:
    """64 bits: equal texts have equal ones."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def marks(problems: Iterable[Placed]) -> "pl.DataFrame":
    """(id, split, hash of the instance, hash of the normalised text) of each."""
    import polars as pl

    found = [(row.id, row.split, hashed(row.instance), hashed(normalised(row.problem))) for row in problems]
    return pl.DataFrame(found, {"id": pl.String, "split": pl.String, "instance": pl.UInt64, "text": pl.UInt64}, orient="row")


def two_sided(found: "pl.DataFrame") -> frozenset[str]:
    """Ids of the problems that stand, by id, instance or normalised text, in more than one split."""
    import polars as pl

    mixed = (found.filter(pl.col("split").n_unique().over(key) > 1)["id"] for key in ("id", "instance", "text"))
    return frozenset(key for ids in mixed for key in ids)


class Sides:
    """What stands in which split, for questions about rows that carry text instead of a problem's id."""

    def __init__(self, found: "pl.DataFrame") -> None:
        import polars as pl

        self.instances = frozenset(found["instance"])
        self.texts = frozenset(found["text"])
        self.kept_texts = frozenset(found.filter(pl.col("split") != "train")["text"])

    def new_instance(self, instance: str) -> bool:
        """In no split at all, train included."""
        return hashed(instance) not in self.instances

    def new_text(self, text: str) -> bool:
        """No problem of any split opens this text (a corpus text begins with its problem's line)."""
        return hashed(normalised(text.split("\n", 1)[0])) not in self.texts

    def unseen_text(self, text: str) -> bool:
        """No problem of dev, heldout or unseen."""
        return hashed(normalised(text)) not in self.kept_texts
