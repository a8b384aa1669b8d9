"""Pass rates: counted over all samples of a problem, whoever made them, and windows that are closed."""

from dataclasses import replace

import pytest

from factory.coat.pass_rates import ALL, counted, outside, rates
from factory.evaluation.statistics import wilson
from factory.language.conversation import said
from factory.schemas import Rollout, Verdict

BASE = Rollout(
    id="", problem_id="", prompt=said("user", "Tom has 12 and gets 7."), completion="", steps=(), answer=None, verdict="correct",
    finish_reason="stop", tokens=4, model="base@1", prompt_version="solve@1", seed=1, round="r1",
)  # fmt: skip


def samples(problem: str, *verdicts: Verdict) -> list[Rollout]:
    """Each by a model of its own, as recorded answers are."""
    return [replace(BASE, id=f"{problem}{n}", problem_id=problem, verdict=v, model=f"m{n}@1") for n, v in enumerate(verdicts)]


def test_whatever_is_not_correct_counts_as_wrong() -> None:
    rows = counted(samples("p", "correct", "wrong", "unparsable", "timeout") + samples("q", "correct"))
    low, high = wilson(1, 4)
    assert [(row.right, row.samples, row.pass_rate, row.pass_low, row.pass_high) for row in rows[:4]] == [(1, 4, 0.25, low, high)] * 4
    assert rates(rows) == {"p": 0.25, "q": 1.0}
    assert [row.id for row in rows] == ["p0", "p1", "p2", "p3", "q0"]


@pytest.mark.parametrize("count", range(1, 40))
def test_a_rate_lies_in_its_own_interval_at_both_ends_too(count: int) -> None:
    for verdict in ("correct", "wrong"):
        row = counted(samples("p", *[verdict] * count))[0]
        assert 0 <= row.pass_low <= row.pass_rate <= row.pass_high <= 1
        assert row.pass_rate == (verdict == "correct")


def test_counting_again_changes_nothing() -> None:
    rows = counted(samples("p", "correct", "wrong", "correct"))
    assert counted(rows) == rows


def test_both_ends_of_a_window_lie_in_it_and_unknown_only_in_the_whole() -> None:
    assert [outside(rate, (0.25, 0.75), "key") is None for rate in (0.0, 0.25, 0.5, 0.75, 1.0)] == [False, True, True, True, False]
    assert outside(0.0, ALL, "key") is outside(1.0, ALL, "key") is outside(None, ALL, "key") is None
    assert outside(1.0, (0.25, 0.75), "restarts.pass_rate") == "pass rate outside of restarts.pass_rate [0.25, 0.75]"
    assert outside(None, (0.25, 0.75), "restarts.pass_rate") == "no sample, so no pass rate for restarts.pass_rate [0.25, 0.75]"
