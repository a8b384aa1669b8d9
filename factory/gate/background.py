"""What rows are compared with when a dataset is audited: the problems, and the table that its rows come from (`gather` makes it).

Background(problems={"a07b…": Problem(…)}, rollouts={"51aa…": Rollout(…), …}, …).pass_rates["a07b…"]   → 0.375
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from factory.coat.pass_rates import rates
from factory.errors import ParamsError
from factory.gate.leakage import Sides
from factory.grading import normalise
from factory.language.steps import By
from factory.schemas import Problem, Rollout, Template, Trajectory
from factory.tables import TABLES as ROW_TYPES


@dataclass(frozen=True)
class Background:
    """`two_sided`: ids of problems on both sides of the split. The parents stand under their row type, the other two are empty; a row has
    the columns that checks need. `problem_rates`: those of the rollouts' problems, where the rollouts here are not all."""

    purpose: str
    notice: str
    steps: By
    problems: Mapping[str, Problem]
    two_sided: frozenset[str]
    sides: Sides
    rollouts: Mapping[str, Rollout]
    templates: Mapping[str, Template]
    trajectories: Mapping[str, Trajectory]
    problem_rates: Mapping[str, float] | None = None

    @cached_property
    def pass_rates(self) -> Mapping[str, float]:
        """Of the problems that the rollouts are of."""
        return rates(self.rollouts.values()) if self.problem_rates is None else self.problem_rates

    @cached_property
    def accepted(self) -> tuple[Template, ...]:
        return tuple(template for template in self.templates.values() if template.status == "accepted")

    @cached_property
    def accepted_names(self) -> frozenset[str]:
        return frozenset(normalise(template.name) for template in self.accepted)


def kind_of(dataset: str) -> str:
    """Which table's columns and suite a dataset has: `restarts_r1` → `restarts`. Raises ParamsError for a name that no table has."""
    for kind in (dataset, dataset.rsplit("_", 1)[0]):
        if kind in ROW_TYPES:
            return kind
    raise ParamsError(f"datasets.{dataset} is no table: expected the name of a table, with _<round> behind it where rounds have their own")
