"""The interval of the difference of two shares that were counted apart.

    newcombe(56, 70, 48, 80)   → (0.0524, 0.3339)

R. G. Newcombe (1998), Interval estimation for the difference between independent proportions, method 10: from the two score intervals.
"""

from math import sqrt

from factory.evaluation.statistics import wilson


def newcombe(right: int, n: int, others_right: int, others_n: int) -> tuple[float, float]:
    """95 % interval of right / n - others_right / others_n, within [-1, 1]. Both are taken as drawn independently: where they were counted
    on the same problems it is a little wider than it need be. Raises ZeroDivisionError where nothing was counted."""
    share, other = right / n, others_right / others_n
    (low, high), (least, most) = wilson(right, n), wilson(others_right, others_n)
    below = sqrt((share - low) ** 2 + (most - other) ** 2)
    above = sqrt((high - share) ** 2 + (other - least) ** 2)
    return max(-1.0, share - other - below), min(1.0, share - other + above)
