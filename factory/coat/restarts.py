"""Start states for Restart-and-Explore (Satori Algorithm 1): plain problems, and prefixes of graded solutions that end in `<|reflect|>`.

    Restart(id="8c1f…", problem_id="a07b…", parent_id="51aa…", buffer="-", backtrack=1, prompt=(Message("user", "Tom has 12 apples. …"),),
            prefix="12 + 7 = 18\\n<|reflect|>", prefix_has_answer=False, answer="15", answer_kind="number", pass_rate=0.375, round="r1")

`restarts.pass_rate` is a window: of problems whose pass rate lies outside of it nothing is drawn, and they and their rollouts are rejects.
D- starves when the policy is good: quotas a sign say how many were wanted, `Buffers.summary` how many there were.
Run: `python -m pipelines.restarts r1`.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory import grading
from factory.coat import grammar
from factory.coat.pass_rates import Window, outside, rates
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.language.steps import By
from factory.schemas import Buffer, Conversation, Problem, Reject, Restart, Rollout
from factory.storage import reject

WINDOW = "restarts.pass_rate"
SIGNS: dict[str, Buffer] = {"correct": "+", "wrong": "-"}


@dataclass(frozen=True)
class Buffers:
    rows: list[Restart]
    rejects: list[Reject]  # parents that cannot be continued, parents and problems outside of the window
    not_drawn: int  # fit parents beyond one a problem and sign, or beyond the quota

    def summary(self, plain: int, per_sign: int) -> str:
        sizes = Counter(row.buffer for row in self.rows)
        starved = [f"D{sign} starves: {sizes[sign]:,} of {per_sign:,}" for sign in ("+", "-") if sizes[sign] < per_sign]
        counts = f"{sizes['0']:,} of {plain:,} plain problems, {sizes['+']:,} D+, {sizes['-']:,} D-"
        return "; ".join([f"{counts}, {len(self.rejects):,} rejects, {self.not_drawn:,} parents not drawn", *starved])


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
    problems: Sequence[Problem], rollouts: Sequence[Rollout], *, max_backtrack: int, per_sign: int, seed: int, round: str,
    steps: By = "line",
) -> Buffers:  # fmt: skip
    """D+ and D-: at most one parent a problem and sign, the last 0 ≤ t ≤ `max_backtrack` steps dropped, `<|reflect|>` appended."""
    by_id = {problem.id: problem for problem in problems}
    fit: dict[tuple[str, str], list[Rollout]] = defaultdict(list)
    rejects: list[Reject] = []
    for rollout in sorted(rollouts, key=lambda rollout: rollout.id):
        if reason := _unfit(rollout, steps):
            rejects.append(reject(f"restarts_{round}", rollout, reason, rollout.problem_id))
        else:
            fit[SIGNS[rollout.verdict], rollout.problem_id].append(rollout)
    rows: list[Restart] = []
    for sign in SIGNS.values():
        drawn = {
            key: random.Random(seed_for(seed, "restarts", round, *key)).choice(parents) for key, parents in fit.items() if key[0] == sign
        }
        order = sorted(drawn, key=lambda key: seed_for(seed, "restarts", round, "quota", *key))
        rows += [_cut(by_id[key[1]], drawn[key], sign, max_backtrack, seed, round, steps) for key in order[:per_sign]]
    not_drawn = sum(len(parents) for parents in fit.values()) - len(rows)
    assert len(rows) + len(rejects) + not_drawn == len(rollouts)
    return Buffers(rows, rejects, not_drawn)


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


def _cut(problem: Problem, parent: Rollout, sign: Buffer, max_backtrack: int, seed: int, round: str, steps: By) -> Restart:
    backtrack = random.Random(seed_for(seed, "restarts", round, "backtrack", parent.id)).randint(0, max_backtrack)
    prefix, dropped = grammar.cut(parent.completion, backtrack, steps)
    return _state(problem, parent, parent.prompt, sign, dropped, prefix, parent.pass_rate, round)


def _state(
    problem: Problem, parent: Rollout | None, prompt: Conversation, buffer: Buffer, backtrack: int, prefix: str, pass_rate: float | None,
    round: str,
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
