"""The stages that a params file asks for, with the tables each writes: for status and report, which show them in the line's order.

    stages_of(params)   → [Stage("inputs"), Stage("problems", ("problems",), "problems"), Stage("corpus@base", ("corpus",), "corpus"), …]

`dvc.yaml` is the architecture; a test holds this list equal to what it expands to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from factory.params import Params


@dataclass(frozen=True)
class Stage:
    """`tables`: names under data/tables; `rejects`: name under data/rejects, None for a stage that rejects nothing."""

    title: str
    tables: tuple[str, ...] = ()
    rejects: str | None = None


def stages_of(params: "Params") -> list[Stage]:
    return [*_rows(params), *_coat(params), *_rounds(params), *_planner(params), *_ends(params)]


def _rows(params: "Params") -> Iterator[Stage]:
    yield Stage("inputs")
    yield Stage("problems", ("problems",), "problems")
    for key, base in params.pretraining.items():
        yield Stage(f"corpus@{key}", (base.corpus,), base.corpus)
        yield Stage(f"pretraining@{key}")
    for key in params.adoption:
        yield Stage(f"adoption@{key}")
    for key in params.policies:
        yield Stage(f"rollouts@{key}", (f"rollouts_{key}",), f"rollouts_{key}")
        if params.orm_pairs:
            yield Stage(f"orm_pairs@{key}", (f"orm_pairs_{key}",), f"orm_pairs_{key}")
        if params.orm:
            yield Stage(f"orm@{key}")


def _coat(params: "Params") -> Iterator[Stage]:
    if params.demonstrations:
        yield Stage("demonstrations", ("demonstrations", "cot_demonstrations", "critic_judgements"), "demonstrations")
    if params.process_rewards:
        yield Stage("process_rewards", ("process_rewards",), "process_rewards")
    if params.format_tuning:
        yield Stage("format_tuning")
        yield Stage("cot_control")


def _rounds(params: "Params") -> Iterator[Stage]:
    if params.restarts:
        for key in params.rounds or params.policies:  # a line that trains nothing makes restarts of every policy's rollouts
            yield Stage(f"restarts@{key}", (f"restarts_{key}",), f"restarts_{key}")
    for key in params.rounds:
        yield Stage(f"ppo@{key}", (), f"ppo_{key}")
        if key in params.distillations:
            yield Stage(f"distillation@{key}", (f"distillation_{key}",), f"distillation_{key}")
            yield Stage(f"distill@{key}")


def _planner(params: "Params") -> Iterator[Stage]:
    if params.templates:
        yield Stage("templates", ("templates",), "templates")
        yield Stage("library")
    if params.planners:
        yield Stage("structure", ("structure",))
    for key in params.planners:
        yield Stage(f"plans@{key}", (f"plans_{key}",), f"plans_{key}")
        yield Stage(f"planner@{key}")
    if params.trajectories:
        yield Stage("trajectories", ("trajectories", "trajectory_pairs"), "trajectories")
    if params.planner_dpo:
        yield Stage("planner_dpo")
    if params.adjustments:
        yield Stage("adjustments", ("adjustments",), "adjustments")
    if params.planner_adjust:
        yield Stage("planner_adjust")


def _ends(params: "Params") -> Iterator[Stage]:
    for key in params.datasets:
        yield Stage(f"release@{key}")
    if params.evaluate:
        yield Stage("evaluate", ("answers",))
    yield Stage("report")
