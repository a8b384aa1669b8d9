"""Splits for sources without their own: whole clusters of look-alikes go to one side, chosen by a hash.

    split_of("8c1f…", {"train": 0.8, "dev": 0.1, "heldout": 0.1}, seed=1)   → "train", today and tomorrow, whatever rows stand beside it

A cluster is what number-blind word shingles cannot tell apart: "Tom has 3 apples …" and "Tom has 5 apples …" are two problems on one side.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import cast, get_args

from factory.errors import ParamsError
from factory.identity import seed_for
from factory.problems.dedup import shingles, similar_pairs
from factory.schemas import Problem, Split


def split_of(cluster: str, shares: Mapping[str, float], seed: int) -> Split:
    """Raises ParamsError when a share's name is no split or the shares do not sum to 1."""
    if unknown := [name for name in shares if name not in get_args(Split)]:
        raise ParamsError(f"problems.split_shares has {', '.join(unknown)}: expected some of {', '.join(get_args(Split))}")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ParamsError(f"problems.split_shares sums to {sum(shares.values()):g}: expected 1")
    place = seed_for(seed, "split", cluster) / 2**63
    ends = itertools.accumulate(shares.values())
    name = next((name for name, end in zip(shares, ends, strict=True) if place < end), list(shares)[-1])
    return cast(Split, name)


def clusters(problems: Sequence[Problem], threshold: float) -> dict[str, str]:
    """Problem id → the lowest id of its cluster (transitive closure of number-blind similarity)."""
    rows = sorted(problems, key=lambda row: row.id)
    root = list(range(len(rows)))

    def find(at: int) -> int:
        while root[at] != at:
            root[at] = root[root[at]]
            at = root[at]
        return at

    for earlier, later in similar_pairs([shingles(row.problem) for row in rows], threshold):
        low, high = sorted((find(earlier), find(later)))
        root[high] = low
    return {row.id: rows[find(at)].id for at, row in enumerate(rows)}


def assign(problems: Sequence[Problem], shares: Mapping[str, float], threshold: float, seed: int) -> list[Problem]:
    """The problems with cluster as `instance` and the split that its hash gives."""
    cluster_of = clusters(problems, threshold)
    return [
        dataclasses.replace(row, instance=cluster_of[row.id], split=split_of(cluster_of[row.id], shares, seed)) for row in problems
    ]  # fmt: skip
