"""Restart buffers: real prefixes of real parents, one a problem and sign, within quotas, starvation said aloud."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from factory.coat.buffers import start_states
from factory.coat.cutting import Cuts
from factory.coat.grammar import REFLECT, split_steps
from factory.coat.pass_rates import counted
from factory.coat.restarts import Draw
from factory.identity import row_id
from factory.language.conversation import said
from factory.language.prompting import Prompts
from factory.merging import merge, merge_rejects, scratch
from factory.processes import workers
from factory.schemas import Problem, Reject, Restart, Rollout
from factory.storage import REJECTS, read_rows, write_rows


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


PROMPTS = Prompts.of("laptop")
PROBLEMS = [problem(number) for number in range(20)]
ROLLOUTS = counted([rollout(source, ordinal, "correct" if ordinal % 2 else "wrong") for source in PROBLEMS for ordinal in range(6)])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@dataclass
class Made:
    rows: list[Restart]
    rejects: list[Reject]
    not_drawn: int
    summary: str


def made(problems: list[Problem], rollouts: list[Rollout], cuts: Cuts | None = None, *, any_split: bool = True, **draw: object) -> Made:
    """What the tables come to, read back."""
    given: dict = {"plain": 0, "per_sign": 0, "seed": 1, "round": "r1", "prompts": "laptop", **draw}
    drawn = Draw(cuts=cuts or Cuts(2), **given)
    write_rows(Path("problems.parquet"), Problem, problems)
    write_rows(Path("rollouts.parquet"), Rollout, rollouts)
    with scratch("restarts") as folder:
        with workers() as each:
            found = start_states(Path("problems.parquet"), Path("rollouts.parquet"), drawn, folder, each, any_split=any_split)
        merge(Path("restarts.parquet"), Restart, found.rows)
        merge_rejects("restarts", found.rejects)
    rows, rejects = read_rows(Path("restarts.parquet"), Restart), read_rows(REJECTS / "restarts.parquet", Reject)
    return Made(rows, rejects, found.not_drawn, found.summary(drawn))


def states(rollouts: list[Rollout] = ROLLOUTS, per_sign: int = 100, seed: int = 1) -> Made:
    return made(PROBLEMS, rollouts, per_sign=per_sign, seed=seed)


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
    assert "starves" not in buffers.summary


def test_starvation_is_said() -> None:
    only_right = [row for row in ROLLOUTS if row.verdict == "correct" or row.problem_id == PROBLEMS[0].id]
    assert "D- starves: 1 of 15" in states(only_right, per_sign=15).summary


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
    return made(problems, ROLLOUTS[:60], plain=count, seed=seed).rows


@pytest.mark.slow
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
    found = made(problems, MIXED, plain=99, per_sign=99, window=window)
    rejects, drawn = found.rejects, {row.problem_id for row in found.rows if row.buffer in "+-"}
    assert {row.problem_id for row in found.rows if row.buffer == "0"} == {problems[n].id for n in left}
    assert drawn == {problems[n].id for n in left if n < 5}
    assert len(found.rows) + found.not_drawn + len(rejects) == len(problems) + len(MIXED)
    named = f"restarts.pass_rate [{window[0]:g}, {window[1]:g}]"
    reasons = {problem.id: {row.reason for row in rejects if row.parent_id == problem.id} for problem in problems}
    for n, problem in enumerate(problems):
        expected = set() if n in left else {f"pass rate outside of {named}" if n < 5 else f"no sample, so no pass rate for {named}"}
        assert reasons[problem.id] == expected


@pytest.mark.slow
def test_the_seed_decides_and_the_order_of_rows_does_not() -> None:
    assert states().rows == states(ROLLOUTS[::-1]).rows
    assert states().rows != states(seed=2).rows


LONG = "".join(f"{number} + 1 = {number + 1}\n" for number in range(19)) + "\\boxed{19}"


def test_a_share_of_the_parents_steps_is_kept() -> None:
    """Of 20 steps 2 to 18, whatever the backtrack would be, and at least one of a single one."""
    rollouts = counted(
        [rollout(source, ordinal, "correct" if ordinal % 2 else "wrong", LONG) for source in PROBLEMS for ordinal in range(2)]
    )
    rows = made(PROBLEMS, rollouts, Cuts(2, (0.1, 0.9)), per_sign=100).rows
    kept = [row.prefix.removesuffix(f"\n{REFLECT}") for row in rows]
    counts = {len(split_steps(text)) for text in kept}
    assert counts <= set(range(2, 19))
    assert len(counts) > 10
    assert all(LONG.startswith(text) and LONG[len(text)] == "\n" for text in kept)
    assert {row.backtrack + len(split_steps(text)) for row, text in zip(rows, kept, strict=True)} == {20}
    short = [rollout(source, 0, "wrong", "\\boxed{3}") for source in PROBLEMS]
    cut = made(PROBLEMS, short, Cuts(2, (0.0, 0.1)), per_sign=100).rows
    assert {(row.prefix, row.backtrack) for row in cut} == {(f"\\boxed{{3}}\n{REFLECT}", 0)}


@pytest.mark.slow
def test_a_quota_may_prefer_problems_by_their_pass_rates() -> None:
    """Of problem n min(n, 10) of 10 samples are right."""
    rollouts = counted(
        [rollout(source, n, "correct" if n < min(number, 10) else "wrong") for number, source in enumerate(PROBLEMS) for n in range(10)]
    )
    drawn = {prefer: made(PROBLEMS, rollouts, per_sign=3, prefer=prefer).rows for prefer in ("any", "even", "hard")}
    rates = {prefer: {sign: sorted(row.pass_rate for row in rows if row.buffer == sign) for sign in "+-"} for prefer, rows in drawn.items()}
    assert rates["hard"] == {"+": [0.1, 0.2, 0.3], "-": [0.0, 0.1, 0.2]}
    assert rates["even"] == {"+": [0.4, 0.5, 0.6], "-": [0.4, 0.5, 0.6]}
    assert rates["any"] not in (rates["hard"], rates["even"])


def taught(problems: list[Problem], count: int = 100, cuts: Cuts | None = None) -> Made:
    """Of the first ten problems every second was never solved."""
    tries = [rollout(source, n, "correct" if n > number % 2 else "wrong") for number, source in enumerate(PROBLEMS[:10]) for n in range(2)]
    return made(problems, counted(tries), cuts, teacher=count)


@pytest.mark.slow
def test_a_teacher_begins_what_the_policy_never_solved() -> None:
    solved = [replace(problem, solution=LONG) for problem in PROBLEMS]
    texts = {problem.id: problem.problem for problem in PROBLEMS}
    shares = {(1.0, 1.0): {2}, (0.25, 0.25): {15}, (0.0, 0.0): {19}}
    for cuts, dropped in [(Cuts(2), {2}), (Cuts(0), {2}), *((Cuts(2, share), dropped) for share, dropped in shares.items())]:
        buffers = taught(solved, cuts=cuts)
        assert {row.backtrack for row in buffers.rows} == dropped
        for row in buffers.rows:
            assert (row.buffer, row.parent_id, row.pass_rate) == ("t", row.problem_id, 0.0)
            assert row.prefix == "\n".join(split_steps(LONG)[: 20 - row.backtrack]) + "\n"
            assert not row.prefix_has_answer
            assert row.prompt == PROMPTS.render("solve", problem=texts[row.problem_id])
        assert {row.problem_id for row in buffers.rows} == {problem.id for problem in PROBLEMS[1:10:2]}
    assert len(taught(solved, 3).rows) == 3
    assert "5 of 9 after a teacher" in taught(solved, 9).summary


def test_a_beginning_leaves_more_than_the_answer_to_be_written() -> None:
    """A last step that only boxes what was computed before leaves nothing to solve."""
    solution = "10 - 4 = 6\n6 - 2 = 4\n\\boxed{4}"
    found = {row.prefix for row in taught([replace(problem, solution=solution) for problem in PROBLEMS], cuts=Cuts(2)).rows}
    assert found == {"10 - 4 = 6\n"}
    ends_in_words = "10 - 4 = 6\nSo he has 6 - 2 = \\boxed{4}."
    assert {row.prefix for row in taught([replace(problem, solution=ends_in_words) for problem in PROBLEMS]).rows} == {"10 - 4 = 6\n"}


def test_a_solution_that_nothing_can_be_left_of_is_a_reject() -> None:
    solutions = [None, "\\boxed{7}", f"1\n2 {REFLECT}\n\\boxed{{7}}", LONG, LONG]
    problems = [replace(problem, solution=text) for problem, text in zip(PROBLEMS[1:10:2], solutions, strict=True)]
    buffers = taught(problems)
    assert sorted(reject.reason for reject in buffers.rejects) == [
        "a gold solution that is no COAT trajectory", "a gold solution without a beginning that leaves anything to be solved",
        "no gold solution to begin with",
    ]  # fmt: skip
    assert len(buffers.rows) == 2
