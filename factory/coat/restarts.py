"""Start states for Restart-and-Explore (Satori Algorithm 1): plain problems, and prefixes of graded solutions that end in `<|reflect|>`.

    Restart(id="8c1f…", problem_id="a07b…", parent_id="51aa…", buffer="-", backtrack=1, prompt=(Message("user", "Tom has 12 apples. …"),),
            prefix="12 + 7 = 18\\n<|reflect|>", prefix_has_answer=False, answer="15", answer_kind="number", pass_rate=0.375, round="r1")

Where a parent is cut: the last 0 to `max_backtrack` steps are dropped (Satori), or a share of its steps is kept that is drawn from
`prefix_share`. `<|reflect|>` follows both ways and for both signs: behind a right beginning it asks for a check that must not spoil it
(β), which is what a demonstration of type II-I does half way through a right solution.

Buffer `t` begins with a teacher's solution, the gold one, of problems that the policy never solved: their groups are wrong throughout and
teach nothing from the problem alone. At least the last step is left to the policy, and no `<|reflect|>` follows, since there is nothing to
find fault with: it goes on as if the beginning were its own (reverse curricula: Xi et al. 2024; adaptive backtracking: Amani et al. 2025).

    Restart(id="52b0…", problem_id="a07b…", parent_id="a07b…", buffer="t", backtrack=1, prefix="12 + 7 = 19\n", pass_rate=0.0, …)

`restarts.pass_rate` is a window: of problems whose pass rate lies outside of it nothing is drawn but a teacher's states, and they and
their rollouts are rejects. `restarts.prefer` says whose parents come first where there are more than the quota.
D- starves when the policy is good: quotas a sign say how many were wanted, `Buffers.summary` how many there were.

Tables of millions: of all rollouts id, problem, sign and pass rate are in memory; texts only a row group at a time, in several processes,
while they are judged, cut or rejected (factory/coat/buffers.py). Run: `python -m pipelines.restarts r1`.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from factory import grading
from factory.coat import grammar
from factory.coat.cutting import SIGNS, Cuts
from factory.coat.pass_rates import ALL, Window
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.language.steps import By
from factory.merging import Run
from factory.schemas import Buffer, Conversation, Message, Restart

WINDOW = "restarts.pass_rate"
Prefer = Literal["any", "even", "hard"]
Columns = Mapping[str, Any]  # a row of which only some columns were read


@dataclass(frozen=True)
class Draw:
    """What decides the start states of a round. `prompts`: the name of the set that asks."""

    cuts: Cuts
    prompts: str
    plain: int
    per_sign: int
    seed: int
    round: str
    teacher: int = 0
    window: Window = ALL
    prefer: Prefer = "any"

    def seed_for(self, *parts: str) -> int:
        return seed_for(self.seed, "restarts", self.round, *parts)


@dataclass
class Buffers:
    """Rows and rejects lie in files (factory/merging.py)."""

    rows: list[Run] = field(default_factory=list)
    rejects: list[Run] = field(default_factory=list)  # parents that cannot be continued, parents and problems outside of the window
    sizes: Counter[str] = field(default_factory=Counter)  # start states a buffer
    not_drawn: int = 0  # fit parents beyond one a problem and sign, or beyond the quota
    left_out: bool = False  # whether the window, or the want of a gold solution, refused anything

    def summary(self, draw: Draw) -> str:
        starved = [f"D{sign} starves: {self.sizes[sign]:,} of {draw.per_sign:,}" for sign in "+-" if self.sizes[sign] < draw.per_sign]
        counts = f"{self.sizes['0']:,} of {draw.plain:,} plain problems, {self.sizes['+']:,} D+, {self.sizes['-']:,} D-"
        counts += f", {self.sizes['t']:,} of {draw.teacher:,} after a teacher" if draw.teacher else ""
        rejects = sum(len(run.ids) for run in self.rejects)
        return "; ".join([f"{counts}, {rejects:,} rejects, {self.not_drawn:,} parents not drawn", *starved])


def unfit(finish_reason: str, verdict: str, tokens_stand_right: bool) -> str | None:
    """Why a rollout cannot be continued, None for a parent."""
    if finish_reason != "stop":
        return "truncated parent"
    if verdict not in SIGNS:
        return f"{verdict} parent"
    return None if tokens_stand_right else "parent is no COAT trajectory"


def choice(draw: Draw, sign: str, problem_id: str, parents: int) -> tuple[int, int]:
    """(which of a problem's parents of one sign is drawn, in the order of their ids; its place among those of other problems)."""
    which = random.Random(draw.seed_for(sign, problem_id)).choice(range(parents))
    return which, draw.seed_for("quota", sign, problem_id)


def after_parent(draw: Draw, parent: Columns, sign: Buffer, problem: Columns) -> Restart:
    """D+ or D-: the parent without its last steps, and `<|reflect|>`."""
    backtrack = draw.cuts.backtrack(parent["completion"], random.Random(draw.seed_for("backtrack", parent["id"])))
    prefix, dropped = grammar.cut(parent["completion"], backtrack, draw.cuts.by)
    prompt = tuple(Message(**turn) for turn in parent["prompt"])
    return _state(problem, parent["id"], prompt, sign, dropped, prefix, parent["pass_rate"], draw.round)


def plain_state(draw: Draw, prompts: Prompts, problem: Columns, pass_rate: float | None) -> Restart:
    """Buffer `0`: a problem without a prefix."""
    return _state(problem, None, prompts.render("solve", problem=problem["problem"]), "0", 0, "", pass_rate, draw.round)


def after_teacher(draw: Draw, prompts: Prompts, problem: Columns) -> Restart:
    """Buffer `t`: a beginning of the gold solution, which does not come as far as the answer."""
    solution, by = problem["solution"], draw.cuts.by
    steps = grammar.split_steps(solution, by)
    rng = random.Random(draw.seed_for("teacher", "cut", problem["id"]))
    dropped = min(max(draw.cuts.backtrack(solution, rng), _telling(steps)), len(steps) - 1)
    prefix = grammar.cut_before(solution, dropped, by)
    prompt = prompts.render("solve", problem=problem["problem"])
    return _state(problem, problem["id"], prompt, "t", dropped, prefix, 0.0, draw.round)


def no_teacher(solution: str | None, by: By) -> str | None:
    """Why a gold solution cannot be begun, None for one that can."""
    if solution is None:
        return "no gold solution to begin with"
    if len(steps := grammar.split_steps(solution, by)) <= _telling(steps):
        return "a gold solution without a beginning that leaves anything to be solved"
    return None if grammar.parses(solution) else "a gold solution that is no COAT trajectory"


def _telling(steps: Sequence[str]) -> int:
    """How many last steps of a solution give its answer: that which boxes it, and where it does nothing else the one before."""
    last = steps[-1].strip().strip("$.")
    return 2 if last.startswith("\\boxed{") and last.endswith("}") else 1


def _state(
    problem: Columns, parent_id: str | None, prompt: Conversation, buffer: Buffer, backtrack: int, prefix: str, pass_rate: float | None,
    round: str,
) -> Restart:  # fmt: skip
    return Restart(
        id=row_id("restart", round, buffer, problem["id"], parent_id, prefix),
        problem_id=problem["id"],
        parent_id=parent_id,
        buffer=buffer,
        backtrack=backtrack,
        prompt=prompt,
        prefix=prefix,
        prefix_has_answer=bool(grading.boxed_answers(prefix)),
        answer=problem["answer"],
        answer_kind=problem["answer_kind"],
        decimals=problem["decimals"],
        pass_rate=pass_rate,
        round=round,
    )
