"""Claims on answers counted by hand: what holds, what only looks so, and what cannot be said."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from factory.evaluation.claim import Claim
from factory.evaluation.claims import Evidence, Verdict, by_group, group_table, judge, table
from factory.evaluation.greedy import models_of
from factory.evaluation.metrics import PLANNER_ARMS
from factory.grading import grade
from factory.identity import row_id
from factory.params import load
from factory.problems.world import CLAIMS, FAMILIES
from factory.schemas import Answer, Problem

ROOT = Path(__file__).parents[3]
RIGHT, WRONG = "\\boxed{5}", "\\boxed{6}"
TO_RIGHT, TO_WRONG = f"{WRONG}\n<|reflect|>But wait.\n{RIGHT}", f"{RIGHT}\n<|reflect|>But wait.\n{WRONG}"
STAYED = f"{RIGHT}\n<|reflect|>Good.\n{RIGHT}"
ABOVE = Claim(1, "one above another", "policy_r1", "base")


def problems(count: int, seed: int = 1, split: str = "heldout", group: str = "procedures") -> list[Problem]:
    return [
        Problem(
            id=row_id(seed, split, group, number), source="world", family="tally", group=group, split=split, instance=f"{number}",
            problem="?", answer="5", answer_kind="number",
        )
        for number in range(count)
    ]  # fmt: skip


def answers(asked: Sequence[Problem], model: str, texts: Sequence[str], arm: str = "policy") -> list[Answer]:
    return [
        Answer(
            id=row_id(model, arm, problem.id), model=f"{model}@1", arm=arm, problem_id=problem.id, split=problem.split,
            family=problem.family, group=problem.group, completion=text, verdict=grade(text, "5", "number").verdict,
            finish_reason="stop",
            tokens=3, calls=1,
        )
        for problem, text in zip(asked, texts, strict=True)
    ]  # fmt: skip


def right(count: int, of: int) -> list[str]:
    """The first `count` answers are right."""
    return [RIGHT] * count + [WRONG] * (of - count)


def seed(number: int, count: int, **arms: int) -> Evidence:
    """`arms`: how many of `count` held-out problems each trained model has right, the same ones first."""
    asked = problems(count, number)
    return [row for name, n in arms.items() for row in answers(asked, name, right(n, count))], asked


def heldout(evidence: dict[int, Evidence], claim: Claim = ABOVE) -> Verdict:
    found, unseen = judge(evidence, [claim], resamples=400)
    assert (found.split, unseen.split) == ("heldout", "unseen")
    return found


def test_above_on_three_seeds_together() -> None:
    found = heldout({n: seed(n, 10, policy_r1=8, base=4) for n in (1, 2, 3)})
    assert (found.first, found.second, found.n) == (0.8, 0.4, 30)
    assert found.value == pytest.approx(0.4)
    # 12 ones and 18 zeros: standard error sqrt(0.4 * 0.6 / 30) = 0.089
    assert found.low == pytest.approx(0.4 - 1.96 * 0.089, abs=0.04)
    assert found.high == pytest.approx(0.4 + 1.96 * 0.089, abs=0.04)
    assert found.seeds == pytest.approx({1: 0.4, 2: 0.4, 3: 0.4})
    assert found.holds


def test_equal_arms_and_a_few_problems_more_are_not_above() -> None:
    assert not heldout({1: seed(1, 50, policy_r1=20, base=20)}).holds
    found = heldout({1: seed(1, 50, policy_r1=21, base=20)})
    assert found.value == pytest.approx(0.02)
    assert found.low == 0.0  # one problem more: left out of a third of the resamples
    assert not found.holds


def test_a_margin_is_asked_of_the_difference_beside_its_interval() -> None:
    evidence = {1: seed(1, 200, policy_r1=120, base=100)}
    assert heldout(evidence, replace(ABOVE, margin=0.08)).holds
    found = heldout(evidence, replace(ABOVE, margin=0.15))
    assert found.low is not None
    assert found.low > 0
    assert not found.holds


@pytest.mark.slow
def test_not_below_allows_two_points_and_no_more() -> None:
    claim = Claim(2, "r2 not below r1", "policy_r2", "policy_r1", not_below=True)
    assert heldout({1: seed(1, 100, policy_r2=40, policy_r1=40)}, claim).holds
    assert heldout({1: seed(1, 1000, policy_r2=395, policy_r1=400)}, claim).holds  # 0.5 points less, at least -1 with 1000 problems
    lost = heldout({1: seed(1, 1000, policy_r2=370, policy_r1=400)}, claim)
    assert lost.value == pytest.approx(-0.03)
    assert not lost.holds


def test_a_claim_about_a_group_counts_that_group_only() -> None:
    searches, procedures = problems(10, group="search"), problems(10)
    rows = answers(searches, "policy_r1", right(2, 10)) + answers(procedures, "policy_r1", right(9, 10))
    rows += answers(searches, "base", right(1, 10)) + answers(procedures, "base", right(0, 10))
    found = heldout({1: (rows, searches + procedures)}, replace(ABOVE, group="search"))
    assert (found.first, found.second, found.n) == (0.2, 0.1, 10)


def test_a_claim_about_all_is_also_shown_by_group() -> None:
    searches, procedures = problems(10, group="search"), problems(10)
    rows = answers(searches, "policy_r1", right(9, 10)) + answers(procedures, "policy_r1", right(5, 10))
    rows += answers(searches, "base", right(0, 10)) + answers(procedures, "base", right(5, 10))
    apart = by_group([ABOVE, replace(ABOVE, group="search")], ("procedures", "search"))
    assert [claim.group for claim in apart] == ["procedures", "search"]
    lines = group_table(judge({1: (rows, searches + procedures)}, apart, resamples=50)).splitlines()
    assert lines[:2] == ["| claim | split | procedures | search |", "|---|---|---|---|"]
    assert lines[2].startswith("| 1. one above another | heldout | +0.0 [+0.0, +0.0] | +90.0 [+")
    assert lines[3:] == ["| 1. one above another | unseen | not measurable | not measurable |"]


def test_splits_are_judged_apart() -> None:
    known, unseen = problems(4), problems(4, split="unseen")
    rows = answers(known, "policy_r1", right(4, 4)) + answers(known, "base", right(1, 4))
    rows += answers(unseen, "policy_r1", right(1, 4)) + answers(unseen, "base", right(3, 4))
    one, other = judge({1: (rows, known + unseen)}, [ABOVE], resamples=100)
    assert (one.split, one.value) == ("heldout", 0.75)
    assert (other.split, other.value) == ("unseen", -0.5)


def test_correction_compares_how_often_a_wrong_first_attempt_ends_right() -> None:
    claim = Claim(4, "corrects itself", "policy_r1", "format_tuned", correction=True)
    asked = problems(40)
    rows = answers(asked, "policy_r1", [TO_RIGHT] * 18 + [WRONG] * 2 + [TO_WRONG] * 5 + [STAYED] * 10 + [RIGHT] * 5)
    rows += answers(asked, "format_tuned", [TO_WRONG] * 12 + [TO_RIGHT] * 4 + [WRONG] * 12 + [RIGHT] * 12)
    found = heldout({1: (rows, asked)}, claim)
    assert (found.first, found.second) == (18 / 20, 4 / 16)  # of answers wrong at first: those without a reflection too
    assert found.value == pytest.approx(0.65)
    assert found.n == 40
    assert found.holds
    none = heldout({1: (answers(asked, "policy_r1", [STAYED] * 40) + answers(asked, "format_tuned", [RIGHT] * 40), asked)}, claim)
    assert (none.first, none.second, none.value, none.low) == (None, None, None, None)
    assert not none.holds


def test_correction_has_room_where_nothing_right_is_spoilt() -> None:
    """Both arms turn only wrong answers right: of the answers that changed sides 100 % in each, of the wrong ones 30 of 40 and 10 of 40."""
    claim = Claim(4, "corrects itself", "policy_r1", "format_tuned", correction=True)
    asked = problems(60)
    rows = answers(asked, "policy_r1", [TO_RIGHT] * 30 + [WRONG] * 10 + [RIGHT] * 20)
    rows += answers(asked, "format_tuned", [TO_RIGHT] * 10 + [WRONG] * 30 + [STAYED] * 20)
    found = heldout({1: (rows, asked)}, claim)
    assert (found.first, found.second) == (0.75, 0.25)
    assert found.holds


def test_seeds_are_pooled_by_their_problems_and_not_averaged() -> None:
    """9 of 10 against 0 of 10, and 30 against 30 of 90: 39 - 30 of 100, not the mean of 0.9 and 0."""
    found = heldout({1: seed(1, 10, policy_r1=9, base=0), 2: seed(2, 90, policy_r1=30, base=30)})
    assert found.seeds == pytest.approx({1: 0.9, 2: 0.0})
    assert (found.first, found.second) == (0.39, 0.3)
    assert found.value == pytest.approx(0.09)


def test_a_claim_whose_arms_are_missing_is_left_out() -> None:
    complete, lacking = seed(1, 4, policy_r1=2, base=1), seed(2, 4, base=1)
    assert [verdict.claim.number for verdict in judge({1: complete}, CLAIMS, resamples=50)] == [1, 1]  # one claim, two splits
    assert judge({1: complete, 2: lacking}, [ABOVE], resamples=50) == []
    assert judge({2: lacking}, CLAIMS, resamples=50) == []


def test_arms_of_the_planner_go_by_their_own_names() -> None:
    """Their answers are the frozen base's: they are no answers of the arm `base`."""
    asked = problems(6)
    rows = answers(asked, "base", right(1, 6)) + answers(asked, "policy_r1", right(4, 6))
    rows += answers(asked, "base", right(3, 6), "oracle") + answers(asked, "base", right(1, 6), "direct")
    assert heldout({1: (rows, asked)}).second == 1 / 6
    found = heldout({1: (rows, asked)}, Claim(5, "oracle above none", "oracle", "direct"))
    assert (found.first, found.second, found.n) == (3 / 6, 1 / 6, 6)


def test_only_problems_that_both_arms_answered_count_and_failures_are_wrong() -> None:
    asked = problems(10)
    rows = answers(asked, "policy_r1", right(10, 10)) + answers(asked[:4], "base", right(2, 4))
    rows = [replace(row, verdict="timeout") if row.problem_id == asked[3].id else row for row in rows]
    found = heldout({1: (rows, asked)})
    assert (found.first, found.second, found.n) == (3 / 4, 2 / 4, 4)


def test_a_problem_is_resampled_with_both_its_answers() -> None:
    """Two arms that differ on one problem of 400 have a narrow interval, however uncertain each is."""
    found = heldout({1: seed(1, 400, policy_r1=201, base=200)})
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.02


def test_verdicts_do_not_depend_on_the_order_of_rows() -> None:
    rows, asked = seed(1, 30, policy_r1=20, base=9)
    assert judge({1: (rows, asked)}, [ABOVE], resamples=200) == judge({1: (rows[::-1], asked[::-1])}, [ABOVE], resamples=200)


def test_every_claim_is_about_arms_that_the_line_has() -> None:
    arms = {*models_of(load(ROOT / "params.yaml")), *PLANNER_ARMS}
    assert {name for claim in CLAIMS for name in (claim.first, claim.second)} <= arms
    assert {claim.number for claim in CLAIMS} == {1, 2, 3, 4, 5}
    assert {claim.group for claim in CLAIMS} - {None} <= {family.group for family in FAMILIES.values()}


def test_the_table() -> None:
    claim = Claim(4, "corrects itself", "policy_r1", "format_tuned", correction=True)
    rows = [
        Verdict(ABOVE, "heldout", 0.8, 0.4, 0.4, 0.225, 0.5751, 30, {1: 0.4, 2: -0.004, 3: None}),
        Verdict(claim, "unseen", None, 1.0, None, None, None, 30, {1: None, 2: None, 3: None}),
    ]
    assert table(rows).splitlines() == [
        "| claim | split | first | second | difference [95 %] | seeds 1, 2, 3 | holds |",
        "|---|---|---|---|---|---|---|",
        "| 1. one above another | heldout | .800 | .400 | +40.0 [+22.5, +57.5] | +40.0, -0.4, – | yes |",
        "| 4. corrects itself | unseen | – | 1.000 | not measurable | –, –, – | no |",
    ]
