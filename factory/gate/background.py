"""What rows are compared with when a dataset is audited: the problems, and the table that its rows come from.

gather("restarts_r1", params)   → Background(problems={…}, parents={"51aa…": Rollout(…), …}, …), from datasets.restarts_r1.parents

"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from factory.coat.pass_rates import rates
from factory.errors import ParamsError
from factory.gate.leakage import Sides, two_sided
from factory.language.steps import By
from factory.params import Params
from factory.schemas import Problem, Rollout, Row, Template, Trajectory
from factory.storage import TABLES, read_rows
from factory.tables import TABLES as ROW_TYPES


@dataclass(frozen=True)
class Background:
    """`two_sided`: ids of problems on both sides of the split. The parents stand under their row type, the other two are empty."""

    purpose: str
    notice: str
    steps: By
    problems: Mapping[str, Problem]
    two_sided: frozenset[str]
    sides: Sides
    rollouts: Mapping[str, Rollout]
    templates: Mapping[str, Template]
    trajectories: Mapping[str, Trajectory]

    @cached_property
    def pass_rates(self) -> dict[str, float]:
        """Of the problems that the rollouts are of."""
        return rates(self.rollouts.values())


def kind_of(dataset: str) -> str:
    """Which table's columns and suite a dataset has: `restarts_r1` → `restarts`. Raises ParamsError for a name that no table has."""
    for kind in (dataset, dataset.rsplit("_", 1)[0]):
        if kind in ROW_TYPES:
            return kind
    raise ParamsError(f"datasets.{dataset} is no table: expected the name of a table, with _<round> behind it where rounds have their own")


def gather(dataset: str, params: Params) -> Background:
    """Raises ParamsError for a dataset that the params do not list, DataError when a table is missing or malformed."""
    if dataset not in params.datasets:
        raise ParamsError(f"params.yaml lists no dataset {dataset!r}: expected one of {', '.join(params.datasets)}")
    source = params.datasets[dataset].parents
    row_type = ROW_TYPES[kind_of(source)]
    problems = read_rows(TABLES / "problems.parquet", Problem)
    parents: list[Row] = list(read_rows(TABLES / f"{source}.parquet", row_type)) if row_type is not Problem else []
    return Background(
        purpose=params.purpose, notice=params.release.notice, steps=params.steps, problems={row.id: row for row in problems},
        two_sided=two_sided(problems), sides=Sides(problems),
        rollouts={row.id: row for row in parents if isinstance(row, Rollout)},
        templates={row.id: row for row in parents if isinstance(row, Template)},
        trajectories={row.id: row for row in parents if isinstance(row, Trajectory)},
    )  # fmt: skip
