"""Every table of the line by its name, with the row type of each: those of `factory/schemas.py`, and the planner's third view.

    table_of("restarts_r1")   → Restart
    TABLES["adjustments"]     → Adjustment

`factory/schemas.py` is a dependency of every stage; a row type that only the planner's half has stands here.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from factory import schemas
from factory.schemas import Example, Row

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


TABLES: dict[str, type[Row]] = {**schemas.TABLES, "adjustments": Adjustment}


def table_of(name: str) -> type[Row]:
    """The row type of a table or dataset by its name, as `schemas.table_of`. Raises DataError for a name that no table has."""
    return TABLES[name] if name in TABLES else schemas.table_of(name)
