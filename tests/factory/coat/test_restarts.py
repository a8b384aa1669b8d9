"""Restart buffers: real prefixes of real parents, one a problem and sign, within quotas, starvation said aloud."""

from dataclasses import replace

import pytest

from factory.coat.grammar import REFLECT, split_steps
from factory.coat.pass_rates import counted, rates
from factory.coat.restarts import Buffers, plain_states, restart_states, within
from factory.identity import row_id
from factory.language.conversation import said
from factory.language.prompting import Prompts
from factory.schemas import Problem, Restart, Rollout


def problem(number: int) -> Problem:
    text = f"Tom has {number} and gets 7."
    return Problem(
        id=row_id(text), source="test", family="tally", group="procedures", split="train", instance=text, problem=text,
        answer=str(number + 7), answer_kind="number",
    )  # fmt: skip


def rollout(source: Problem, ordinal: int, verdict: str, completion: str = "") -> Rollout:
    text = completion or f"Try {ordinal}.\n{ordinal} + 7 = {ordinal + 7}\n\\boxed{{{ordinal + 7}}}"
    return Rollout(
        id=row_id(source.id, ordinal), problem_id=source.id, prompt=said("user", f"{source.problem}\nSolve:\n"), completion=text,
        steps=split_steps(text),
        answer="", verdict=verdict, finish_reason="stop", tokens=9, model="base@1", prompt_version="solve@1", seed=1, round="r1",
    )  # fmt: skip


PROMPTS = Prompts("laptop")
PROBLEMS = [problem(number) for number in range(20)]
ROLLOUTS = counted([rollout(source, ordinal, "correct" if ordinal % 2 else "wrong") for source in PROBLEMS for ordinal in range(6)])


def states(rollouts: list[Rollout] = ROLLOUTS, per_sign: int = 100, seed: int = 1) -> Buffers:
    return restart_states(PROBLEMS, rollouts, max_backtrack=2, per_sign=per_sign, seed=seed, round="r1")


def test_a_prefix_is_a_prefix_of_its_parent_with_whole_steps_dropped() -> None:
    parents = {row.id: row for row in ROLLOUTS}
    buffers = states()
    assert {row.backtrack for row in buffers.rows} == {0, 1, 2}
    for row in buffers.rows:
        parent = parents[row.parent_id or ""]
        kept = row.prefix.removesuffix(f"\n{REFLECT}")
        assert row.prefix == f"{kept}\n{REFLECT}"
        assert parent.completion.startswith(kept)
        assert len(split_steps(kept)) == len(parent.steps) - row.backtrack
        assert row.prompt == parent.prompt
        assert row.buffer == {"correct": "+", "wrong": "-"}[parent.verdict]
        assert row.prefix_has_answer == ("\\boxed{" in row.prefix) == (row.backtrack == 0)


def test_one_parent_a_problem_and_sign() -> None:
    rows = states().rows
    assert len(rows) == len({(row.problem_id, row.buffer) for row in rows}) == 40


def test_quotas_hold_for_each_sign_and_nothing_is_lost() -> None:
    buffers = states(per_sign=7)
    assert [row.buffer for row in buffers.rows].count("+") == [row.buffer for row in buffers.rows].count("-") == 7
    assert len(buffers.rows) + len(buffers.rejects) + buffers.not_drawn == len(ROLLOUTS)
    assert "starves" not in buffers.summary(0, 7)


def test_starvation_is_said() -> None:
    only_right = [row for row in ROLLOUTS if row.verdict == "correct" or row.problem_id == PROBLEMS[0].id]
    assert "D- starves: 1 of 15" in states(only_right, per_sign=15).summary(0, 15)


def test_backtracking_is_clamped_so_that_one_step_remains() -> None:
    short = [rollout(source, 0, "wrong", "\\boxed{3}") for source in PROBLEMS]
    rows = states(short).rows
    assert {(row.prefix, row.backtrack, row.prefix_has_answer) for row in rows} == {(f"\\boxed{{3}}\n{REFLECT}", 0, True)}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"finish_reason": "length"}, "truncated parent"),
        ({"verdict": "unparsable"}, "unparsable parent"),
        ({"verdict": "timeout"}, "timeout parent"),
        ({"completion": "a <|reflect|>b\n\\boxed{3}"}, "parent is no COAT trajectory"),
        ({"completion": "a\n<|retry|>b\n\\boxed{3}"}, "parent is no COAT trajectory"),
    ],
)
def test_unfit_parents_are_rejects(values: dict, reason: str) -> None:
    bad = replace(rollout(PROBLEMS[0], 99, "wrong"), **values)
    buffers = states([*ROLLOUTS, bad])
    assert [(reject.reason, reject.parent_id) for reject in buffers.rejects] == [(reason, PROBLEMS[0].id)]
    assert bad.id not in {row.parent_id for row in buffers.rows}


def test_a_parent_that_reflected_already_is_fit() -> None:
    text = f"1 + 7 = 9\n{REFLECT}But wait: 1 + 7 is not 9.\n<|explore|>This time, add 7.\n<|continue|>1 + 7 = 8\n\\boxed{{8}}"
    rows = states([rollout(source, 0, "correct", text) for source in PROBLEMS]).rows
    assert {row.prefix.count(REFLECT) for row in rows} == {2}


def plain(problems: list[Problem] = PROBLEMS, count: int = 5, seed: int = 1) -> list[Restart]:
    return plain_states(problems, count, prompts=PROMPTS, seed=seed, round="r1", known=rates(ROLLOUTS[:60]))


def test_plain_problems_have_no_prefix_and_come_in_seeded_order() -> None:
    rows = plain()
    assert {(row.buffer, row.prefix, row.parent_id, row.backtrack, row.prefix_has_answer) for row in rows} == {("0", "", None, 0, False)}
    assert rows == plain(PROBLEMS[::-1])
    assert {row.id for row in rows} != {row.id for row in plain(seed=2)}
    assert len(plain(count=99)) == 20


def test_every_state_carries_the_pass_rate_of_its_problem() -> None:
    """Three of six samples of each problem are right; only the first ten problems were sampled for the plain ones."""
    assert {row.pass_rate for row in states().rows} == {0.5}
    assert {(row.problem_id in {problem.id for problem in PROBLEMS[:10]}, row.pass_rate) for row in plain(count=99)} == {
        (True, 0.5), (False, None),
    }  # fmt: skip


MIXED = [  # problem n has n right of 4 samples; the sixth was never sampled
    row for n, source in enumerate(PROBLEMS[:5])
    for row in counted([rollout(source, k, "correct" if k < n else "wrong") for k in range(4)])
]  # fmt: skip


@pytest.mark.parametrize(
    ("window", "left"), [((0.0, 1.0), [0, 1, 2, 3, 4, 5]), ((0.01, 0.99), [1, 2, 3]), ((0.25, 0.5), [1, 2]), ((1.0, 1.0), [4])]
)  # fmt: skip
def test_the_window_is_closed_and_what_lies_outside_is_a_reject_that_names_it(window: tuple[float, float], left: list[int]) -> None:
    problems = PROBLEMS[:6]
    fit, parents, rejects = within(problems, MIXED, window, "r1")
    assert fit == [problems[n] for n in left]
    assert {row.problem_id for row in parents} == {problems[n].id for n in left if n < 5}
    assert len(fit) + len(parents) + len(rejects) == len(problems) + len(MIXED)
    named = f"restarts.pass_rate [{window[0]:g}, {window[1]:g}]"
    reasons = {problem.id: {row.reason for row in rejects if row.parent_id == problem.id} for problem in problems}
    for n, problem in enumerate(problems):
        expected = set() if n in left else {f"pass rate outside of {named}" if n < 5 else f"no sample, so no pass rate for {named}"}
        assert reasons[problem.id] == expected


def test_the_seed_decides_and_the_order_of_rows_does_not() -> None:
    assert states().rows == states(ROLLOUTS[::-1]).rows
    assert states().rows != states(seed=2).rows
