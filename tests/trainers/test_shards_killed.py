"""Spread trainings of two processes that are killed -9 end in the very bits of one that nobody disturbed, whole checkpoints or none."""

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cuts
import kills
import pytest
import torch
from kills import resumed_after
from torch.distributed.tensor import DTensor

from trainers import run
from trainers.checkpoints import WHOLE, Checkpoints
from trainers.machine import Machine

pytestmark = pytest.mark.slow
METHODS = {name: cuts.METHODS[name] for name in ("sft", "orm", "dpo", "dpo_lora")}  # three steps
METHODS |= {name: partial(cuts.METHODS[name], iterations=3) for name in ("ppo", "ppo_lora")}
SPREAD = Machine(shard=True, save_minutes=0.0)
Fault = Callable[[int], None]  # what goes wrong in the process of this number


def nothing(_: int) -> None:
    """goes wrong."""


def together(method: str, start: Path, folder: Path, fault: Fault = nothing, count: int = 2) -> list[int]:
    """Exit codes of `count` processes that train."""

    def work(rank: int) -> None:
        fault(rank)
        METHODS[method](start, SPREAD)

    return kills.together(work, folder, count)


def outcome(method: str, folder: Path) -> cuts.Outcome:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return cuts.outcome(method)
    finally:
        os.chdir(before)


def whole(method: str, folder: Path) -> list[int]:
    return sorted(int(path.parent.name.rpartition("-")[2]) for path in (folder / run.WORK / method).glob(f"checkpoint-*/{WHOLE}"))


def half_a_part(victim: int, step: int) -> Fault:
    """The victim has written half of its file when it is killed."""

    def fault(rank: int) -> None:
        save = torch.save

        def torn(held: object, path: object, **options: object) -> None:
            save(held, path, **options)
            if rank == victim and f"checkpoint-{step}/state" in str(path):
                os.truncate(str(path), os.path.getsize(str(path)) // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = torn

    return fault


def just_declared(step: int) -> Fault:
    """The first process is killed when a checkpoint has become whole, before any other knows it."""

    def fault(_: int) -> None:
        declare = Checkpoints._declare_whole

        def last(self: Checkpoints, folder: Path) -> None:
            declare(self, folder)
            if folder.name == f"checkpoint-{step}":
                os.kill(os.getpid(), signal.SIGKILL)

        Checkpoints._declare_whole = last  # type: ignore[method-assign]

    return fault


def full_disk(victim: int, step: int) -> Fault:
    def fault(rank: int) -> None:
        save = torch.save

        def refused(held: object, path: object, **options: object) -> None:
            if rank == victim and f"checkpoint-{step}/state" in str(path):
                raise OSError(28, "No space left on device", str(path))
            save(held, path, **options)

        torch.save = refused

    return fault


def elsewhere(rank: int) -> None:
    """Another machine without the folder of the first."""
    if rank > 0:
        os.makedirs("apart")
        os.chdir("apart")


def half_of_each_layer(_: int) -> None:
    """Of players on one backbone a process holds half of what is frozen in the layers, and all else."""
    build = cuts.ppo.build_state

    def built(*given: Any) -> cuts.ppo.State:
        state = build(*given)
        for name, weight in state.actor.named_parameters():
            spread = ".layers." in name and not weight.requires_grad
            assert isinstance(weight, DTensor) == spread, name
            assert not isinstance(weight, DTensor) or weight.to_local().numel() * 2 == weight.numel(), name
        return state

    cuts.ppo.build_state = built


@pytest.mark.parametrize("method", METHODS)
def test_killed_in_the_middle_of_a_checkpoint_and_behind_one_it_ends_in_the_same_bits(method: str, start: Path, tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    codes = together(method, start, straight, half_of_each_layer if method == "ppo_lora" else nothing)
    assert codes == [0, 0], (straight / "said").read_text()
    victim = 0 if method in ("orm", "ppo_lora") else 1  # adapters of PPO are whole in every process: the first one writes them
    codes = together(method, start, stopped, half_a_part(victim, 2))
    assert (codes[victim], codes[1 - victim]) == (-signal.SIGKILL, 1)
    assert "make room" not in (stopped / "said").read_text()
    assert whole(method, stopped) == [1]
    codes = together(method, start, stopped, just_declared(2))
    assert codes == [-signal.SIGKILL, 1]
    assert whole(method, stopped) == [1, 2]
    shutil.copytree(stopped, tmp_path / "other")
    assert together(method, start, stopped) == [0, 0], (stopped / "said").read_text()
    assert resumed_after(stopped) == [1, 2]
    assert not (stopped / run.WORK / method).exists(), "nothing of a checkpoint stays"
    expected, found = outcome(method, straight), outcome(method, stopped)
    assert found.log == expected.log
    assert all(torch.equal(weight, found.weights[name]) for name, weight in expected.weights.items())
    if method in ("sft", "ppo"):
        goes_on_as_others(method, start, tmp_path / "other", expected)


def goes_on_as_others(method: str, start: Path, stopped: Path, expected: cuts.Outcome) -> None:
    """What two processes left behind, one and three finish to the same but for rounding."""
    loss = "csv.loss" if method == "sft" else "policy_loss"
    for count in (1, 3):
        shutil.copytree(stopped, folder := stopped.with_name(str(count)))
        assert together(method, start, folder, count=count) == [0] * count, (folder / "said").read_text()
        assert resumed_after(folder) == [1, 2]
        found = outcome(method, folder)
        assert found.log[loss] == pytest.approx(expected.log[loss], rel=2e-3, abs=1e-6)
        for name, weight in expected.weights.items():
            torch.testing.assert_close(found.weights[name], weight, rtol=0, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_whole_weights_are_not_spread_over_more_processes_but_refused(start: Path, tmp_path: Path) -> None:
    together("sft", start, tmp_path / "alone", just_declared(1), count=1)
    assert together("sft", start, tmp_path / "alone") == [1, 1]
    one, other = [line for line in (tmp_path / "alone" / "said").read_text().splitlines() if line.startswith("error: ")]
    assert one == other
    assert one.startswith("error: training.shard is true, expected false: .factory/training/sft/checkpoint-1 holds whole weights")
    assert whole("sft", tmp_path / "alone") == [1], "it stays for a run that is as it was"


def test_what_one_process_cannot_write_ends_all_in_a_line_and_leaves_the_checkpoint_before(start: Path, tmp_path: Path) -> None:
    assert together("ppo", start, tmp_path / "full", full_disk(1, 2)) == [1, 1]
    one, other = (tmp_path / "full" / "said").read_text().splitlines()
    assert one == other
    assert one.startswith("error: .factory/training/ppo/checkpoint-2 cannot be written (no space left on device: ")
    assert whole("ppo", tmp_path / "full") == [1]
    assert not (tmp_path / "full" / run.WORK / "ppo" / "checkpoint-2").exists()
    assert together("ppo", start, tmp_path / "full", elsewhere) == [1, 1]
    assert "error: process 1 does not see .factory/training/ppo/checkpoint-1: the machines" in (tmp_path / "full" / "said").read_text()
