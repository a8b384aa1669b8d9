"""Intervals against arithmetic written out and against what they promise."""

import random

import pytest

from factory.evaluation.statistics import paired_bootstrap, wilson


def test_wilson_by_hand() -> None:
    # p = 0.41, n = 100, z = 1.96: centre (0.41 + 0.019208) / 1.038416 = 0.41333,
    # half width 1.96 * sqrt(0.002419 + 0.00009604) / 1.038416 = 0.09466
    low, high = wilson(41, 100)
    assert low == pytest.approx(0.31867, abs=1e-4)
    assert high == pytest.approx(0.50799, abs=1e-4)


def test_wilson_stays_within_zero_and_one_and_knows_nothing_of_nothing() -> None:
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert 0 < wilson(0, 10)[1] < 0.3
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = random.Random(1)
    covered = 0
    for _ in range(1000):
        low, high = wilson(sum(generator.random() < 0.3 for _ in range(80)), 80)
        covered += low <= 0.3 <= high
    assert 930 <= covered <= 975


def test_bootstrap_of_a_paired_difference() -> None:
    a, b = [1.0] * 60 + [0.0] * 40, [1.0] * 40 + [0.0] * 60  # a is right where b is, and on 20 problems more
    mean, low, high = paired_bootstrap(a, b, resamples=2000, seed=1)
    assert mean == pytest.approx(0.2)
    # 20 ones and 80 zeros: standard error sqrt(0.2 * 0.8 / 100) = 0.04
    assert low == pytest.approx(0.2 - 1.96 * 0.04, abs=0.015)
    assert high == pytest.approx(0.2 + 1.96 * 0.04, abs=0.015)


def test_pairing_narrows_the_interval() -> None:
    generator = random.Random(2)
    a = [float(generator.random() < 0.5) for _ in range(400)]
    b = list(a)
    b[0] = 1 - b[0]
    mean, low, high = paired_bootstrap(a, b, resamples=500, seed=1)
    assert high - low < 0.02
    assert abs(mean) == pytest.approx(1 / 400)


def test_the_seed_alone_decides_the_draws() -> None:
    a, b = [1.0, 0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 1.0]
    assert paired_bootstrap(a, b, resamples=100, seed=3) == paired_bootstrap(a, b, resamples=100, seed=3)
    assert paired_bootstrap(a, a, resamples=100, seed=3) == (0.0, 0.0, 0.0)


def test_arms_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1"):
        paired_bootstrap([1, 0], [1], resamples=100, seed=1)
    with pytest.raises(ValueError, match="0 and 0"):
        paired_bootstrap([], [], resamples=100, seed=1)
