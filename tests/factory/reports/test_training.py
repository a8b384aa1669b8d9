"""How the trainings went: one figure a measure, from logs as the trainers write them."""

import csv
from collections.abc import Sequence
from dataclasses import replace

from factory import storage
from factory.reports.page import Figure, Table
from factory.reports.training import training
from factory.schemas import Trajectory


def log(name: str, *rows: Sequence[object]) -> None:
    storage.LOGS.mkdir(parents=True, exist_ok=True)
    with (storage.LOGS / f"{name}.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def without_trajectories(line) -> None:
    (storage.TABLES / "trajectories.parquet").unlink()


def test_what_has_not_run_is_left_out(small_line) -> None:
    without_trajectories(small_line)
    assert list(training(small_line.params)) == []


def test_a_line_a_model_and_a_figure_a_measure(small_line) -> None:
    without_trajectories(small_line)
    log("base", ("step", "loss"), (1, 3.0), (2, 1.5))
    log("format_tuned", ("step", "loss"), (1, 0.9), (2, 0.4))
    log("cot_control", ("step", "loss"), (1, 0.8), (2, 0.5))
    log("nobody", ("step", "loss"), (1, 9.0), (2, 9.0))  # no model of the params
    base, tuned = training(small_line.params)
    assert isinstance(base, Figure)
    assert isinstance(tuned, Figure)
    assert (base.caption, tuned.caption) == ("Loss of the base, by step", "Loss of fine-tuning, by step")
    assert (base.svg.count("<polyline"), tuned.svg.count("<polyline")) == (1, 2)
    assert ">format_tuned<" in tuned.svg
    assert ">nobody<" not in base.svg + tuned.svg


def test_one_point_is_a_row_and_no_curve(small_line) -> None:
    """The held-out accuracy of a reward model is measured at its end only."""
    without_trajectories(small_line)
    log("orm_base", ("step", "loss", "heldout_accuracy"), (1, 2.0, ""), (2, 1.0, 0.75))
    log("orm_r1", ("step", "loss", "heldout_accuracy"), (1, 2.0, ""), (2, 1.0, 0.8))
    _, held = training(small_line.params)
    assert isinstance(held, Table)
    assert held.rows == (("orm_base", "0.75"), ("orm_r1", "0.8"))


def test_rounds_are_compared_and_each_has_its_parts(small_line) -> None:
    without_trajectories(small_line)
    header = ("iteration", "reward", "accuracy_0", "accuracy_+", "accuracy_-", "reward_rule", "reflect", "wrong_to_right", "right_to_wrong")
    log(
        "policy_r1",
        header,
        (1, -0.5, 0.25, "", 0.0, -0.4, 1.0, 0.1, 0.0),
        (2, "", "", "", "", "", "", "", ""),
        (3, -0.1, 0.5, "", 0.25, -0.2, 0.5, 0.3, 0.05),
    )
    log("policy_r2", header[:2], (1, -0.2), (2, 0.25))
    *figures, table = training(small_line.params)
    captions = [figure.caption for figure in figures]
    assert captions == [
        "Mean reward of the rollouts, by iteration", "Reward by part, policy_r1", "Accuracy by start state, policy_r1",
        "Meta-actions a response, policy_r1", "Share of responses that corrected or broke an answer of their own, policy_r1",
    ]  # fmt: skip
    assert figures[0].svg.count("<polyline") == 2
    assert figures[2].svg.count("<polyline") == 2  # no rollout started from D+: no line, and no zeros
    assert table.rows == (
        ("policy_r1", "reward", "-0.5", "-0.1", "2"),
        ("policy_r1", "accuracy_0", "0.25", "0.5", "2"),
        ("policy_r1", "accuracy_-", "0", "0.25", "2"),
        ("policy_r1", "wrong_to_right", "0.1", "0.3", "2"),
        ("policy_r1", "right_to_wrong", "0", "0.05", "2"),
        ("policy_r1", "reflect", "1", "0.5", "2"),
        ("policy_r2", "reward", "-0.2", "0.25", "2"),
    )


def test_rewards_of_plans_are_a_histogram(small_line) -> None:
    rows = storage.read_rows(storage.TABLES / "trajectories.parquet", Trajectory)
    (figure,) = training(small_line.params)
    assert figure.caption == f"R of {len(rows)} planned trajectories: shares, mean 0.625"  # half 1.0, half 0.25
    small_line.write("trajectories", Trajectory, [replace(row, reward=0.0) for row in rows])
    assert next(iter(training(small_line.params))).caption.endswith("mean 0.000")
