"""Start states as Algorithm 1 says it, of rows that are all in memory: what `factory.coat.buffers` must make of tables of any size."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory import grading
from factory.coat import grammar
from factory.coat.cutting import SIGNS, Cuts
from factory.coat.pass_rates import Window, outside, rates
from factory.coat.restarts import WINDOW, Draw, Prefer
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.language.steps import By
from factory.rejects import reject
from factory.schemas import Buffer, Conversation, Problem, Reject, Restart, Rollout


@dataclass(frozen=True)
class Buffers:
    rows: list[Restart]
    rejects: list[Reject]  # parents that cannot be continued, parents and problems outside of the window
    not_drawn: int  # fit parents beyond one a problem and sign, or beyond the quota


def within(
    problems: Sequence[Problem], rollouts: Sequence[Rollout], window: Window, round: str
) -> tuple[list[Problem], list[Rollout], list[Reject]]:
    """Those of the problems whose pass rate lies in the window, and the rollouts whose does; the others are rejects."""
    stage, known = f"restarts_{round}", rates(rollouts)
    out = {row.id: outside(known.get(row.id), window, WINDOW) for row in problems}
    out |= {row.id: outside(row.pass_rate, window, WINDOW) for row in rollouts}
    rejects = [reject(stage, row, reason, row.id) for row in problems if (reason := out[row.id])]
    rejects += [reject(stage, row, reason, row.problem_id) for row in rollouts if (reason := out[row.id])]
    return [row for row in problems if not out[row.id]], [row for row in rollouts if not out[row.id]], rejects


def plain_states(
    problems: Sequence[Problem], count: int, *, prompts: Prompts, seed: int, round: str, known: Mapping[str, float]
) -> list[Restart]:
    """Buffer `0`: problems without a prefix, in seeded order whatever their weights, by which they were sampled. `known`: pass rates."""
    order = sorted(problems, key=lambda problem: seed_for(seed, "restarts", round, "plain", problem.id))
    return [
        _state(problem, None, prompts.render("solve", problem=problem.problem), "0", 0, "", known.get(problem.id), round)
        for problem in order[:count]
    ]


def restart_states(
    problems: Sequence[Problem], rollouts: Sequence[Rollout], *, cuts: Cuts, per_sign: int, seed: int, round: str, prefer: Prefer = "any"
) -> Buffers:  # fmt: skip
    """D+ and D-: at most one parent a problem and sign, its last steps dropped, `<|reflect|>` appended. Within a quota parents come in
    seeded order; `even`: those first whose problem's pass rate is nearest to 1/2, `hard`: whose is lowest."""
    by_id = {problem.id: problem for problem in problems}
    fit: dict[tuple[str, str], list[Rollout]] = defaultdict(list)
    rejects: list[Reject] = []
    for rollout in sorted(rollouts, key=lambda rollout: rollout.id):
        if reason := _unfit(rollout, cuts.by):
            rejects.append(reject(f"restarts_{round}", rollout, reason, rollout.problem_id))
        else:
            fit[SIGNS[rollout.verdict], rollout.problem_id].append(rollout)
    rows: list[Restart] = []
    for sign in SIGNS.values():
        drawn = {
            key: random.Random(seed_for(seed, "restarts", round, *key)).choice(parents) for key, parents in fit.items() if key[0] == sign
        }
        order = sorted(drawn, key=lambda key: (_rank(drawn[key].pass_rate, prefer), seed_for(seed, "restarts", round, "quota", *key)))
        rows += [_cut(by_id[key[1]], drawn[key], sign, cuts, seed, round) for key in order[:per_sign]]
    not_drawn = sum(len(parents) for parents in fit.values()) - len(rows)
    assert len(rows) + len(rejects) + not_drawn == len(rollouts)
    return Buffers(rows, rejects, not_drawn)


def _rank(rate: float, prefer: Prefer) -> float:
    return {"any": 0.0, "even": abs(rate - 0.5), "hard": rate}[prefer]


def teacher_states(
    problems: Sequence[Problem], count: int, *, cuts: Cuts, prompts: Prompts, seed: int, round: str, known: Mapping[str, float]
) -> Buffers:
    """Buffer `t`: beginnings of gold solutions, of problems whose pass rate is 0, in seeded order; none comes as far as the answer.
    `known`: pass rates."""
    never = sorted((problem for problem in problems if known.get(problem.id) == 0), key=lambda problem: problem.id)
    never.sort(key=lambda problem: seed_for(seed, "restarts", round, "teacher", problem.id))
    rows: list[Restart] = []
    rejects: list[Reject] = []
    for problem in never:
        if reason := _no_teacher(problem, cuts.by):
            rejects.append(reject(f"restarts_{round}", problem, reason, problem.id))
        elif len(rows) < count:
            assert problem.solution is not None
            rng = random.Random(seed_for(seed, "restarts", round, "teacher", "cut", problem.id))
            steps = grammar.split_steps(problem.solution, cuts.by)
            dropped = min(max(cuts.backtrack(problem.solution, rng), _telling(steps)), len(steps) - 1)
            prefix = grammar.cut_before(problem.solution, dropped, cuts.by)
            prompt = prompts.render("solve", problem=problem.problem)
            rows.append(_state(problem, problem, prompt, "t", dropped, prefix, 0.0, round))
    return Buffers(rows, rejects, len(never) - len(rows) - len(rejects))


def _no_teacher(problem: Problem, by: By) -> str | None:
    if problem.solution is None:
        return "no gold solution to begin with"
    if len(steps := grammar.split_steps(problem.solution, by)) <= _telling(steps):
        return "a gold solution without a beginning that leaves anything to be solved"
    try:
        grammar.parse(problem.solution, by)
    except grammar.CoatError:
        return "a gold solution that is no COAT trajectory"
    return None


def _telling(steps: Sequence[str]) -> int:
    """How many last steps of a solution give its answer: that which boxes it, and where it does nothing else the one before."""
    last = steps[-1].strip().strip("$.")
    return 2 if last.startswith("\\boxed{") and last.endswith("}") else 1


def _unfit(rollout: Rollout, steps: By) -> str | None:
    if rollout.finish_reason != "stop":
        return "truncated parent"
    if rollout.verdict not in SIGNS:
        return f"{rollout.verdict} parent"
    try:
        grammar.parse(rollout.completion, steps)
    except grammar.CoatError:
        return "parent is no COAT trajectory"
    return None


def _cut(problem: Problem, parent: Rollout, sign: Buffer, cuts: Cuts, seed: int, round: str) -> Restart:
    backtrack = cuts.backtrack(parent.completion, random.Random(seed_for(seed, "restarts", round, "backtrack", parent.id)))
    prefix, dropped = grammar.cut(parent.completion, backtrack, cuts.by)
    return _state(problem, parent, parent.prompt, sign, dropped, prefix, parent.pass_rate, round)


def _state(
    problem: Problem, parent: Rollout | Problem | None, prompt: Conversation, buffer: Buffer, backtrack: int, prefix: str,
    pass_rate: float | None, round: str,
) -> Restart:  # fmt: skip
    return Restart(
        id=row_id("restart", round, buffer, problem.id, parent.id if parent else None, prefix),
        problem_id=problem.id,
        parent_id=parent.id if parent else None,
        buffer=buffer,
        backtrack=backtrack,
        prompt=prompt,
        prefix=prefix,
        prefix_has_answer=bool(grading.boxed_answers(prefix)),
        answer=problem.answer,
        answer_kind=problem.answer_kind,
        decimals=problem.decimals,
        pass_rate=pass_rate,
        round=round,
    )


def start_states(
    problems: Sequence[Problem], rollouts: Sequence[Rollout], draw: Draw, *, any_split: bool = False
) -> tuple[list[Restart], list[Reject], int]:
    """Rows, rejects and parents not drawn."""
    known, prompts = rates(rollouts), Prompts.of(draw.prompts)
    startable = never_solved = [problem for problem in problems if any_split or (problem.split == "train" and problem.id in known)]
    startable, parents, rejects = within(startable, rollouts, draw.window, draw.round)
    buffers = Buffers([], [], len(parents))
    if draw.per_sign:
        buffers = restart_states(
            problems, parents, cuts=draw.cuts, per_sign=draw.per_sign, seed=draw.seed, round=draw.round, prefer=draw.prefer
        )
    rows = buffers.rows
    if draw.teacher:
        begun = teacher_states(never_solved, draw.teacher, cuts=draw.cuts, prompts=prompts, seed=draw.seed, round=draw.round, known=known)
        rows, rejects = [*rows, *begun.rows], [*rejects, *begun.rejects]
    rows = [*rows, *plain_states(startable, draw.plain, prompts=prompts, seed=draw.seed, round=draw.round, known=known)]
    return rows, [*buffers.rejects, *rejects], buffers.not_drawn
