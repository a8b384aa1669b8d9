"""How often a policy solves a problem: counted over its samples, kept on each of them, and windows that stages draw from.

    counted(rows)[0]        → Rollout(right=3, samples=8, pass_rate=0.375, pass_low=0.137, pass_high=0.694, model="base@3fa9…", …)
    outside(1.0, (0.1, 0.9), "restarts.pass_rate")   → "pass rate outside of restarts.pass_rate [0.1, 0.9]"

A sample without an answer, a truncated one and one that could not be graded in time are not right; a request that failed is no sample.
Recorded answers of several models are samples of one policy: the rate is over all of the table.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from factory.evaluation.statistics import wilson
from factory.schemas import Rollout

Window = tuple[float, float]  # closed: both ends lie in it
ALL: Window = (0.0, 1.0)


def counted(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The rollouts of one policy with the pass rates of their problems, and Wilson's 95 % interval of each."""
    samples = Counter(row.problem_id for row in rollouts)
    right = Counter(row.problem_id for row in rollouts if row.verdict == "correct")
    return [replace(row, **columns(right[row.problem_id], samples[row.problem_id])) for row in rollouts]


@lru_cache(maxsize=1 << 12)
def columns(right: int, samples: int) -> Mapping[str, Any]:
    """A problem's columns on each of its rollouts."""
    rate, (low, high) = right / samples, wilson(right, samples)  # whose ends may miss 0 and 1 by a float's last bit
    return MappingProxyType(
        {"right": right, "samples": samples, "pass_rate": rate, "pass_low": min(low, rate), "pass_high": max(high, rate)}
    )


def rates(rollouts: Iterable[Rollout]) -> dict[str, float]:
    """Problem id → its pass rate."""
    return {row.problem_id: row.pass_rate for row in rollouts}


def outside(rate: float | None, window: Window, key: str) -> str | None:
    """Why a problem is not drawn from, None for one whose rate lies in the window. `key`: the window's, in the params."""
    low, high = window
    if rate is None:
        return None if window == ALL else f"no sample, so no pass rate for {key} [{low:g}, {high:g}]"
    return None if low <= rate <= high else f"pass rate outside of {key} [{low:g}, {high:g}]"
