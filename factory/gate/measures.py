"""Measures of a whole dataset: what its rows are like together. Each is a pure function of columns; `table` states the range it should
lie in, and Great Expectations judges it as it judges rows.

    length_auc(columns)   → Measured(0.71, 0.69, 0.73): a longer solution is the chosen one

AUC: probability that a chosen text is longer than a rejected one, ties count half (Hanley & McNeil 1982); its interval keeps the texts of
one problem together (Obuchowski 1997, Biometrics 53, equation 3). Shares have Wilson's interval where their rows are independent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.evaluation.statistics import wilson

Columns = Mapping[str, pa.ChunkedArray]
Z = 1.96


@dataclass(frozen=True)
class Measured:
    """`value` None where there is nothing to measure; `low`, `high`: a 95 % interval; `counts`: what the value is made of."""

    value: float | None
    low: float | None = None
    high: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().to_numpy(zero_copy_only=False) if column.num_chunks else np.empty(0)


def length_auc(columns: Columns) -> Measured:
    """Of characters, chosen against rejected; 0.5: length says nothing."""
    chosen, rejected = _numbers(columns["chosen.length"]), _numbers(columns["rejected.length"])
    if not len(chosen):
        return Measured(None)
    _, clusters = np.unique(_numbers(columns["problem_id.hash"]), return_inverse=True)
    value, error = clustered_auc(chosen, rejected, clusters)
    if error is None:
        return Measured(round(value, 4))
    return Measured(round(value, 4), round(max(0.0, value - Z * error), 4), round(min(1.0, value + Z * error), 4))


def clustered_auc(right: np.ndarray, wrong: np.ndarray, clusters: np.ndarray) -> tuple[float, float | None]:
    """`right`, `wrong`: (pairs,) scores, `clusters`: (pairs,) the problem's number. Returns (AUC, its standard error, None for a single
    problem)."""
    over = _share_below(wrong, right)  # (pairs,) of each right one: share of wrong ones below it
    under = 1 - _share_below(right, wrong)
    value, n, groups = float(over.mean()), len(right), int(clusters.max()) + 1
    if groups < 2:
        return value, None
    sizes = np.bincount(clusters, minlength=groups)
    first = np.bincount(clusters, over, groups) - sizes * value
    second = np.bincount(clusters, under, groups) - sizes * value
    spread = groups / (groups - 1) * float(((first + second) ** 2).sum())  # S10/M + S01/N + 2 S11/(MN) with M = N
    return value, float(np.sqrt(spread)) / n


def _share_below(among: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,): of each value the share of `among` that is smaller, ties count half."""
    ordered = np.sort(among)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(ordered))


def longer_chosen(columns: Columns) -> Measured:
    """Of pairs of unequal length those whose chosen text is the longer one."""
    apart = _numbers(columns["chosen.length"]) - _numbers(columns["rejected.length"])
    return _share(int((apart > 0).sum()), int((apart != 0).sum()), {"longer": int((apart > 0).sum()), "shorter": int((apart < 0).sum()),
                                                                   "equal": int((apart == 0).sum())})  # fmt: skip


def plus_share(columns: Columns) -> Measured:
    """D+ among D+ and D-."""
    counts = _counts(columns["buffer"])
    return _share(counts.get("+", 0), counts.get("+", 0) + counts.get("-", 0), counts)


def plain_share(columns: Columns) -> Measured:
    counts = _counts(columns["buffer"])
    return _share(counts.get("0", 0), sum(counts.values()), counts)


def teacher_share(columns: Columns) -> Measured:
    counts = _counts(columns["buffer"])
    return _share(counts.get("t", 0), sum(counts.values()), counts)


def type_share(columns: Columns) -> Measured:
    """Of the most frequent type."""
    counts = _counts(columns["type"])
    return _share(max(counts.values(), default=0), sum(counts.values()), counts)


def depth_share(columns: Columns) -> Measured:
    """Of the most frequent number of reflections and explorations."""
    counts = {f"{float(key):g}": count for key, count in _counts(columns["depth"]).items()}
    return _share(max(counts.values(), default=0), sum(counts.values()), counts)


def never_solved(columns: Columns) -> Measured:
    """Rows whose problem's pass rate is 0."""
    return _rates(columns["pass_rate"], 0.0)


def always_solved(columns: Columns) -> Measured:
    """Rows whose problem's pass rate is 1."""
    return _rates(columns["pass_rate"], 1.0)


def _rates(column: pa.ChunkedArray, at: float) -> Measured:
    rates = _numbers(column.drop_null())
    inner = rates[(rates > 0) & (rates < 1)]
    bins = np.bincount(np.searchsorted(np.arange(1, 10) / 10, inner, "right"), minlength=10)
    counts = {"0": int((rates == 0).sum())}
    counts |= {f"{'(' if not place else '['}{place / 10:g}, {(place + 1) / 10:g})": int(count) for place, count in enumerate(bins)}
    return _share(int((rates == at).sum()), len(rates), {**counts, "1": int((rates == 1).sum())})


def repeated(columns: Columns) -> Measured:
    """Rows whose completion another row of the same problem has before them."""
    return _repeats(columns["problem_id.hash"], columns["completion.hash"])


def repeated_pairs(columns: Columns) -> Measured:
    """Texts, chosen and rejected, that stand on the same side of another pair of the same problem before them."""
    problems = pa.chunked_array([*columns["problem_id.hash"].chunks, *columns["problem_id.hash"].chunks], pa.uint64())
    texts = [*columns["chosen.hash"].chunks, *columns["rejected.hash"].chunks]
    return _repeats(problems, pa.chunked_array(texts, pa.uint64()))


def repeated_plans(columns: Columns) -> Measured:
    """Trajectories whose plan another one of the same problem has before them."""
    return _repeats(columns["problem_id.hash"], columns["plan.hash"])


def _repeats(problems: pa.ChunkedArray, texts: pa.ChunkedArray) -> Measured:
    first, second = _numbers(problems).astype(np.uint64), _numbers(texts).astype(np.uint64)
    distinct = len(np.unique(first * np.uint64(0x9E3779B97F4A7C15) ^ second))
    share = (len(first) - distinct) / len(first) if len(first) else None
    return Measured(None if share is None else round(share, 4), counts={"rows": len(first), "distinct": distinct})


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    found = pc.value_counts(column)
    return dict(sorted((str(item["values"]), int(item["counts"])) for item in found.to_pylist()))


def _share(part: int, of: int, counts: Mapping[str, int]) -> Measured:
    if not of:
        return Measured(None, counts=counts)
    low, high = wilson(part, of)
    return Measured(round(part / of, 4), round(low, 4), round(high, 4), counts)
