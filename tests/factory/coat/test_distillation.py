"""Distillation rows: right, valid, hardest problems first, and every other sample a reject with its reason."""

from collections import Counter
from dataclasses import replace

from factory.coat.distillation import hardest
from factory.coat.pass_rates import counted
from factory.identity import row_id
from factory.language.conversation import said
from factory.schemas import Rollout

BASE = Rollout(
    id="", problem_id="", prompt=said("user", "Tom has 12 and gets 7.\nSolve:\n"), completion="", steps=(), answer=None, verdict="correct",
    finish_reason="stop", tokens=4, model="policy_r1@1", request_ids=("q",), prompt_version="solve@1", seed=1, round="r1",
)  # fmt: skip


def rows(problem: str, right: int, wrong: int) -> list[Rollout]:
    return counted([
        replace(BASE, id=row_id(problem, n), problem_id=problem, completion=f"way {n}\n\\boxed{{19}}", verdict=verdict)
        for n, verdict in enumerate(["correct"] * right + ["wrong"] * wrong)
    ])  # fmt: skip


def test_the_hardest_solved_problems_come_first() -> None:
    rollouts = rows("easy", 4, 0) + rows("middling", 2, 2) + rows("hard", 1, 3) + rows("unsolved", 0, 4)
    for keep, expected in ((1, ["hard"]), (3, ["hard", "middling", "middling"]), (9, ["hard", "middling", "middling", "easy", "easy"])):
        kept, rejects = hardest(rollouts, keep=keep, seed=1, round="r1")
        assert [row.problem_id for row in kept] == expected
        assert len(kept) + len(rejects) == len(rollouts)
    assert Counter(reject.reason for reject in rejects) == {"wrong": 9, "more than 2 right samples of the problem": 2}


def test_a_row_is_its_rollout_with_its_lineage() -> None:
    rollout = rows("hard", 1, 0)[0]
    (row,), _ = hardest([rollout], keep=5, seed=1, round="r1")
    assert (row.prompt, row.completion, row.parents) == (rollout.prompt, rollout.completion, ("hard",))
    assert (row.model, row.request_ids, row.prompt_version, row.round) == ("policy_r1@1", ("q",), "solve@1", "r1")


def test_what_may_not_be_learned() -> None:
    good, *others = rows("p", 5, 0)
    bad = [
        replace(others[0], finish_reason="length"),
        replace(others[1], verdict="unparsable"),
        replace(others[2], completion="a\n<|explore|>b\n\\boxed{19}"),
        replace(others[3], completion=good.completion),
    ]
    kept, rejects = hardest([good, *bad], keep=9, seed=1, round="r1")
    assert [row.completion for row in kept] == [good.completion]
    reasons = {"truncated", "unparsable", "no COAT trajectory", "the same text as another sample"}
    assert {reject.reason for reject in rejects} == reasons


def test_beyond_the_quota_is_a_reject_too() -> None:
    _, rejects = hardest(rows("easy", 2, 0) + rows("hard", 1, 1), keep=1, seed=1, round="r1")
    assert Counter(reject.reason for reject in rejects) == {"wrong": 1, "beyond the quota: easier problems": 2}
