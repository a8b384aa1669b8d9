"""Splits for sources without their own: whole clusters of look-alikes go to one side, chosen by a hash.

    problems, notes = assign(problems, {"train": 0.8, "dev": 0.1, "heldout": 0.1}, 0.9, seed=1)
    split_of("8c1f…", {"train": 0.8, "dev": 0.1, "heldout": 0.1}, seed=1)   → "train", today and tomorrow, whatever rows stand beside it

A cluster is what number-blind shingles cannot tell apart: "Tom has 3 apples …" and "Tom has 5 apples …" are two problems on one side.
400 sums of one template are one cluster and would leave a side empty: a cluster that is too large for the shares is spread row by row.
Any other cluster with a problem of a source that has a split of its own goes to that side.
"""

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import cast, get_args

import numpy as np

from factory.errors import ParamsError
from factory.identity import seed_for
from factory.problems.keys import Keys, chosen, keys
from factory.problems.similar import components
from factory.schemas import Problem, Split

LARGEST = 1 / 20  # of the smallest side: clusters up to it move the sides' sizes by about 2 % of all problems
FEW = 5  # look-alikes that always stay together
FURTHEST: tuple[Split, ...] = ("heldout", "unseen", "dev", "train")


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


def clusters(problems: Sequence[Problem], threshold: float, known: Keys | None = None) -> dict[str, str]:
    """Problem id → the lowest id of its cluster (transitive closure of number-blind similarity)."""
    rows = sorted(problems, key=lambda row: row.id)
    known = known or keys(row.problem for row in rows)
    at = known.at(row.problem for row in rows)
    _, lowest, group = np.unique(known.masked[at], return_index=True, return_inverse=True)  # rows with equal texts but for numbers
    order = np.argsort(lowest)  # groups by their lowest rows
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    roots = components(*chosen(known.shingles, known.shingle_ends, at[lowest[order]]), threshold)
    first = lowest[order][roots[place[group]]].tolist()
    return {row.id: rows[at].id for row, at in zip(rows, first, strict=True)}


def assign(
    problems: Sequence[Problem], shares: Mapping[str, float], threshold: float, seed: int, fixed: Sequence[Problem] = (),
    known: Keys | None = None,
) -> tuple[list[Problem], list[str]]:  # fmt: skip
    """The problems with cluster as `instance` and the split that its hash gives, and notes for the user. Rows of a cluster that holds more
    than `LARGEST` of the smallest side (and more than `FEW`) are clusters of their own.

    `fixed`: problems of sources with a split of their own. A cluster with some of them goes to their side; where they stand on several, to
    the one that is furthest from training (`FURTHEST`). `known`: keys of all these texts, where there are some already."""
    cluster_of = clusters([*problems, *fixed], threshold, known)
    sides: dict[str, set[Split]] = defaultdict(set)
    for row in fixed:
        sides[cluster_of[row.id]].add(row.split)
    sizes = Counter(cluster_of[row.id] for row in problems)
    positive = [share for share in shares.values() if share > 0]
    most = max(FEW, LARGEST * min(positive, default=1) * len(problems)) if len(positive) > 1 else len(problems)
    large = {cluster: size for cluster, size in sizes.items() if size > most}
    done = []
    for row in problems:
        cluster = row.id if cluster_of[row.id] in large else cluster_of[row.id]
        taken = () if cluster_of[row.id] in large else sides.get(cluster, ())
        split = next((side for side in FURTHEST if side in taken), None) or split_of(cluster, shares, seed)
        done.append(dataclasses.replace(row, instance=cluster, split=split))
    notes = [_note(large, len(problems), most)] if large else []
    if across := [row for row in fixed if len(sides[cluster_of[row.id]]) > 1]:
        notes.append(
            f"{len(across)} problems of sources with a split of their own look, but for their numbers, like one on another side "
            f"({across[0].source}, {across[0].split}: {across[0].id} is one): they stay where problems.sources puts them"
        )
    return done, notes


def _note(large: Mapping[str, int], total: int, most: float) -> str:
    example = max(large, key=lambda cluster: (large[cluster], cluster))
    return (
        f"{sum(large.values())} of {total} problems look alike but for their numbers, in {len(large)} groups of more than {most:.0f} (the "
        f"largest: {large[example]} like {example}): each is split by itself to keep problems.split_shares, so look-alikes stand on "
        "several sides"
    )
