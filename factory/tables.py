"""Every table of the line by its name, with the row type of each: those of `factory/schemas.py`, and what only a part of it has.

    table_of("restarts_r1")   → Restart
    TABLES["adjustments"]     → Adjustment

`factory/schemas.py` is a dependency of every stage; row types that few stages read stand here: the planner's third view, process rewards.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from factory import schemas
from factory.schemas import Example, Made, Rollout, Row, Verdict

StepSource = Literal["exact", "critic"]  # who says which step is the first wrong one
Adjust = Literal["keep", "revise", "fetch", "stop"]  # what may be done after a step; factory/templates/choices.py reads it
ADJUSTS: tuple[Adjust, ...] = get_args(Adjust)


@dataclass(frozen=True, kw_only=True)
class Adjustment(Example):
    """What is best done after step `place` of a plan (ReasonFlux §3.3, evaluate and adjust), by the recorded accuracies of the plans that
    begin like it. `value_…`: the accuracy of a choice over `n_…` graded solutions, None and 0 where none was recorded. `gain`: the best
    value of another choice less that of keeping the plan, with its 95 % interval; from `margin` on that choice is the answer."""

    choice: Adjust
    place: int
    steps: tuple[str, ...]
    template_ids: tuple[str, ...]
    value_keep: float
    value_revise: float | None
    value_fetch: float | None
    value_stop: float | None
    n_keep: int
    n_revise: int
    n_fetch: int
    n_stop: int
    gain: float
    interval: tuple[float, ...]
    margin: float


@dataclass(frozen=True, kw_only=True)
class ProcessReward(Made):
    """A solution with a label a step, as TRL's stepwise supervision has it: `prompt`, `completions`, `labels` (Uesato et al. 2022). A label
    is true while the solution is right up to and with its step, and false from `first_wrong` on, whatever follows: a right step behind a
    wrong one is labelled false. Steps joined by a newline are the rollout's completion. `by` says who named the first wrong step: `exact`,
    equations beside the gold solution's, or `critic`, a model that read the gold solution. `exact_step` and `critic_step` are what each
    names, from 1, None: no step; void where `compared` or `judged` is false. A step that only owns up to a miss is right itself: the wrong
    one is the next."""

    problem_id: str
    prompt: str
    completions: tuple[str, ...]
    labels: tuple[bool, ...]
    first_wrong: int | None
    by: StepSource
    compared: bool
    exact_step: int | None
    judged: bool
    critic_step: int | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class DrawnRollout(Rollout):
    """A rollout with what its sampler drew: `token_ids`, of the thought and the completion, with the token that ended it where one did, and
    `token_logprobs`, the natural logarithm of the probability with which each was drawn, at the sampling's temperature and of what top_p
    left; `logprob` is their sum. Written where `rollouts.drawn_tokens` asks for it."""

    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]


DRAWN = ("token_ids", "token_logprobs")
TABLES: dict[str, type[Row]] = {**schemas.TABLES, "adjustments": Adjustment, "process_rewards": ProcessReward}


def table_of(name: str) -> type[Row]:
    """The row type of a table or dataset by its name, as `schemas.table_of`. Raises DataError for a name that no table has."""
    return TABLES[name] if name in TABLES else schemas.table_of(name)


def row_type_of(kind: str, columns: Collection[str]) -> type[Row]:
    """Of a table of this kind that has these columns: rollouts may have their tokens beside."""
    return DrawnRollout if kind == "rollouts" and not set(DRAWN).isdisjoint(columns) else TABLES[kind]
