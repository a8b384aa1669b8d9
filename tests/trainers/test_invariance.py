"""However a batch is cut, a step is the same: over passes, in whichever order of its rows, over processes, with whole or sharded weights.

What hides a wrong scale is Adam, which divides it away: so the norms of the gradients are compared too, step by step.
"""

import os
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cuts
import kills
import pytest
import torch

from trainers import batches, hf, ppo
from trainers.machine import Machine

pytestmark = pytest.mark.slow

EXACT = ("csv.step", "csv.loss", "csv.lr", "csv.tokens_seen")  # TRL's diagnostics are means over passes, however many rows each has
ATOL = 2e-5  # a step moves a weight by about lr = 1e-3


def run(method: str, start: Path, folder: Path, here: Machine) -> cuts.Outcome:
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    try:
        cuts.METHODS[method](start, here)
        return cuts.outcome(method)
    finally:
        os.chdir(before)


def assert_same(one: cuts.Outcome, other: cuts.Outcome) -> None:
    assert list(one.log) == list(other.log)
    for name, values in one.log.items():
        if name in EXACT or not name.startswith("csv."):
            assert other.log[name] == pytest.approx(values, rel=2e-4, abs=2e-6), name
    assert set(one.weights) == set(other.weights)
    for name, weight in one.weights.items():
        torch.testing.assert_close(other.weights[name], weight, rtol=0, atol=ATOL, msg=lambda text, name=name: f"{name}: {text}")


@pytest.fixture(scope="module", params=list(cuts.ALL))
def whole(request: pytest.FixtureRequest, start: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, cuts.Outcome]:
    """A method, and what it comes to where a batch is one pass of one process."""
    return request.param, run(request.param, start, tmp_path_factory.mktemp(request.param) / "whole", Machine())


def test_a_short_training_has_uneven_steps(whole: tuple[str, cuts.Outcome]) -> None:
    method, found = whole
    steps = found.log["policy_loss" if method in cuts.PPO else "loss"]
    assert len(steps) == {"sft": 3, "orm": 3, "dpo": 3, "nll": 3, "ppo": 2, "arms": 2}[method]
    assert all(torch.isfinite(weight).all() for weight in found.weights.values())


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_passes_change_nothing(rows: int, whole: tuple[str, cuts.Outcome], start: Path, tmp_path: Path) -> None:
    method, expected = whole
    assert_same(expected, run(method, start, tmp_path / "cut", Machine(pass_tokens=cuts.pass_tokens(rows))))


def test_the_order_of_a_batchs_rows_changes_nothing(
    whole: tuple[str, cuts.Outcome], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, expected = whole
    order, minibatches = batches.order, ppo.minibatches

    def shuffled(lengths: Sequence[int], batch: int, seed: int, **budget: int) -> list[int]:
        rows = order(lengths, batch, seed, **budget)
        groups = [rows[begin : begin + batch] for begin in range(0, len(rows), batch)]
        return [row for group in groups for row in random.Random(1).sample(group, len(group))]

    monkeypatch.setattr(batches, "order", shuffled)
    monkeypatch.setattr(ppo, "minibatches", lambda *arguments: [rows[::-1] for rows in minibatches(*arguments)])
    assert_same(expected, run(method, start, tmp_path / "shuffled", Machine()))


def test_a_mean_of_means_would_be_seen(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run("orm", start, tmp_path / "whole", Machine())
    monkeypatch.setattr(hf.Job, "weight", lambda *_: 1.0)
    with pytest.raises(AssertionError, match="loss"):
        assert_same(expected, run("orm", start, tmp_path / "cut", Machine(pass_tokens=cuts.pass_tokens(4))))


@pytest.fixture(scope="module")
def together(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """Whether weights are spread → what two processes came to, all methods and cuts one behind the other."""

    @cache
    def trained(shard: bool) -> Path:
        folder = tmp_path_factory.mktemp("together") / "out"
        assert kills.together(lambda _: cuts.all_cuts(start, folder, shard), folder) == [0, 0], (folder / "said").read_text()[-4000:]
        return folder

    return trained


@pytest.mark.parametrize("rows", cuts.CUTS)
@pytest.mark.parametrize("shard", [False, True], ids=["whole weights", "sharded"])
def test_two_processes_make_the_steps_of_one(
    shard: bool, rows: int, whole: tuple[str, cuts.Outcome], together: Callable[[bool], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, expected = whole
    monkeypatch.chdir(together(shard) / str(rows))
    assert_same(expected, cuts.outcome(method))


@pytest.mark.parametrize("method", ["sft_lora", "orm_lora", "dpo_lora", "ppo_lora"])
def test_adapters_on_spread_weights_make_the_steps_of_one_process(
    method: str, together: Callable[[bool], Path], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(method, start, tmp_path / "alone", Machine())
    monkeypatch.chdir(together(True) / "1")
    assert_same(expected, cuts.outcome(method))
