"""Leakage between the sides of the split: train on one, dev · heldout · unseen on the other.

    two_sided(problems)      → {"a07b…"}: ids whose id, canonical instance or normalised text stands in more than one split
    Sides(problems).unseen_text("Tom has 12 apples. …")   → False when a held-out problem has this text

Numbers stay in a normalised text: two problems that differ in a number are two problems. Near-duplicates are the problems stage's.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from factory.schemas import Problem


def normalised(text: str) -> str:
    """Words and numbers in lower case, nothing else: `Tom has $3.` → `tom has 3`."""
    return " ".join(re.findall(r"\w+", text.lower()))


def two_sided(problems: Sequence[Problem]) -> frozenset[str]:
    """Ids of the problems that stand, by id, instance or normalised text, in more than one split."""
    keys: tuple[Callable[[Problem], str], ...] = (lambda row: row.id, lambda row: row.instance, lambda row: normalised(row.problem))
    return frozenset(row.id for key in keys for row in _mixed(problems, key))


def _mixed(problems: Sequence[Problem], key: Callable[[Problem], str]) -> Iterable[Problem]:
    splits: dict[str, set[str]] = {}
    for row in problems:
        splits.setdefault(key(row), set()).add(row.split)
    return (row for row in problems if len(splits[key(row)]) > 1)


class Sides:
    """What stands in which split, for questions about rows that carry text instead of a problem's id."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.instances = frozenset(row.instance for row in problems)
        self.texts = frozenset(normalised(row.problem) for row in problems)
        self.kept_texts = frozenset(normalised(row.problem) for row in problems if row.split != "train")

    def new_instance(self, instance: str) -> bool:
        """In no split at all, train included."""
        return instance not in self.instances

    def new_text(self, text: str) -> bool:
        """No problem of any split opens this text (a corpus text begins with its problem's line)."""
        return normalised(text.split("\n", 1)[0]) not in self.texts

    def unseen_text(self, text: str) -> bool:
        """No problem of dev, heldout or unseen."""
        return normalised(text) not in self.kept_texts
