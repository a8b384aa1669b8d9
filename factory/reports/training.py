"""How the trainings went, from their CSV logs: one figure a measure, one line a model.

training(params)   → Figure("loss …"), …, Figure("reward …"), Figure("accuracy by start state of policy_r1"), …, Table(first, last)
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from pathlib import Path

from factory.params import Params
from factory.reports.charts import curves, histogram
from factory.reports.page import Block, Figure, Table
from factory.reports.scan import Scan
from factory.storage import LOGS, TABLES

Line = list[tuple[float, float]]
COMPARED = {
    "reward": "Mean reward of the rollouts", "accuracy": "Share of right rollouts",
    "approx_kl": "Approximate KL of an update",
    "clip_fraction": "Share of actions whose ratio was clipped", "entropy": "Entropy of the policy (nats an action)",
    "explained_variance": "Explained variance of the critic", "response_length": "Actions a response",
    "groups_alike": "Start states whose samples were all right or all wrong",
    "truncated_share": "Share of responses cut off at the token limit",
}  # fmt: skip
PARTS = {
    "Reward by part": ("reward_rule", "reward_orm", "reward_bonus"),
    "Accuracy by start state": ("accuracy_0", "accuracy_+", "accuracy_-", "accuracy_t"),
    "Meta-actions a response": ("continue", "reflect", "explore"),
    "Share of responses that corrected or broke an answer of their own": ("wrong_to_right", "right_to_wrong"),
}


def training(params: Params) -> Iterable[Block]:
    """Losses of the supervised trainings, PPO's diagnostics, and the planner's rewards; what has not run is left out."""
    for caption, names in _supervised(params).items():
        logs = {path.stem: _read(path) for name in names if (path := LOGS / f"{name}.csv").exists()}
        yield from _figure(logs, "loss", "step", f"Loss of {caption}")
        yield from _figure(logs, "heldout_accuracy", "step", "Right on pairs of held-out problems")
    rounds = {path.stem: _read(path) for name in params.rounds if (path := LOGS / f"policy_{name}.csv").exists()}
    for column, caption in COMPARED.items():
        yield from _figure(rounds, column, "iteration", caption)
    for name, rows in rounds.items():
        for caption, columns in PARTS.items():
            series = {column: line for column in columns if (line := _line(rows, "iteration", column))}
            if series:
                yield Figure(curves(series, f"{caption}, {name}"), f"{caption}, {name}")
    ends = [
        (name, column, f"{line[0][1]:.4g}", f"{line[-1][1]:.4g}", str(len(line)))
        for name, rows in rounds.items()
        for column in (
            "reward",
            "accuracy_0",
            "accuracy_+",
            "accuracy_-",
            "wrong_to_right",
            "right_to_wrong",
            "response_length",
            "reflect",
            "entropy",
        )
        if (line := _line(rows, "iteration", column))
    ]
    if ends:
        yield Table(("policy", "measure", "first iteration", "last", "iterations"), tuple(ends))
    yield from _plan_rewards(params)


def _supervised(params: Params) -> dict[str, list[str]]:
    return {
        "the base": list(params.pretraining),
        "the reward models": [f"orm_{name}" for name in params.policies],
        "fine-tuning": ["format_tuned", "cot_control", *(f"distilled_{name}" for name in params.distillations)],
        "the planner": [*(f"planner_{name}" for name in params.planners), "planner_dpo", "planner_adjust"],
    }


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _line(rows: Sequence[Mapping[str, str]], x: str, y: str) -> Line:
    """Points of the rows in which both are there: an empty cell means that there was nothing to measure."""
    return [(float(row[x]), float(row[y])) for row in rows if row.get(x) and row.get(y)]


def _figure(logs: Mapping[str, list[dict[str, str]]], column: str, x: str, caption: str) -> Iterable[Block]:
    series = {name: line for name, rows in logs.items() if (line := _line(rows, x, column))}
    if any(len(line) > 1 for line in series.values()):
        yield Figure(curves(series, caption), f"{caption}, by {x}")
    elif series:
        yield Table(("model", column), tuple((name, f"{line[-1][1]:.4g}") for name, line in series.items()), caption)


def _plan_rewards(params: Params) -> Iterable[Block]:
    path = TABLES / "trajectories.parquet"
    if params.trajectories and path.exists():
        with Scan.of(path) as scan:
            rewards = scan.counts("reward")
        if total := sum(rewards.values()):
            mean = fsum(reward * count for reward, count in rewards.items()) / total
            yield Figure(histogram(rewards, "rewards of plans"), f"R of {total:,} planned trajectories: shares, mean {mean:.3f}")
