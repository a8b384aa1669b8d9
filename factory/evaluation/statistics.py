"""Intervals for accuracies and for paired differences.

    wilson(41, 100)                                   → (0.3186, 0.508)
    paired_bootstrap([1, 1, 0], [0, 1, 0], …)         → (0.333, 0.0, 1.0): difference of the means, low, high

Wilson: E. B. Wilson (1927), score interval. Bootstrap: percentile interval over problems, both arms resampled together.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np


def wilson(correct: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Score interval of a proportion, within [0, 1]; (0, 1) when nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_bootstrap(a: Sequence[float], b: Sequence[float], *, resamples: int, seed: int) -> tuple[float, float, float]:
    """mean(a) - mean(b) over the same problems in the same order, with its 95 % percentile interval.

    Raises ValueError when the arms differ in length or are empty.
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"paired arms need the same problems: got {len(a)} and {len(b)} scores")
    differences = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    generator = np.random.default_rng(seed)
    means = np.array([differences[generator.integers(0, len(differences), len(differences))].mean() for _ in range(resamples)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(differences.mean()), float(low), float(high)
