"""Trackers get what the live log gets, from our own loops and from Hugging Face's; one that is missing is named in a line."""

import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import Trainer, TrainingArguments

from factory.errors import ParamsError
from trainers import batches, live, run


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_an_unknown_or_missing_tracker_is_one_line_that_says_what_to_do() -> None:
    with pytest.raises(ParamsError, match=r"^training.report_to names mlflow, expected some of tensorboard, trackio, wandb$"):
        live.reporting(["mlflow"], "tuned")
    missing = next((name for name in live.TRACKERS if find_spec(name) is None), None)
    if missing is None:
        pytest.skip("all trackers are installed")
    Path(missing).mkdir()  # W&B's folder of runs is called as its module
    with pytest.raises(ParamsError, match=f"^training.report_to names {missing}, which is not installed: pip install {missing}$"):
        live.trackers([missing], "tuned")


def test_nobody_is_told_where_nobody_is_named() -> None:
    assert live.reporting([], "tuned")["report_to"] == "none"
    assert live.trackers([], "tuned") == []


def test_only_the_first_process_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.setenv("RANK", "1")
    assert live.trackers(["tensorboard"], "tuned") == []


@pytest.mark.slow
def test_our_own_loop_reports_to_tensorboard_what_it_logs() -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    with live.Live("policy_r1", 4, trackers=live.trackers(["tensorboard"], "policy_r1")) as log:
        for number in (1, 2, 3):
            log.step(number, {"reward": number / 4, "value_loss": None, "kl": math.nan}, tokens_seen=64 * number)
    with live.Live("policy_r1", 4, 2, live.trackers(["tensorboard"], "policy_r1", after=2)) as log:
        log.step(3, {"reward": -1.0}, tokens_seen=192)
    assert scalars(live.BOARDS / "policy_r1") == {
        "train/reward": [(1, 0.25), (2, 0.5), (3, -1.0)],  # the third step of the first run is gone, as in the file
        "train/tokens_seen": [(1, 64.0), (2, 128.0), (3, 192.0)],
    }


@pytest.mark.slow
def test_a_trainer_reports_to_tensorboard(start: Path, pairs: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")  # as they were, when the test is over
    monkeypatch.setenv("WANDB_PROJECT", live.PROJECT)
    model, tokenizer = run.load(start)
    rows = batches.plain(tokenizer, [prompt for prompt, _ in pairs[:20]], [completion for _, completion in pairs[:20]])
    settings = TrainingArguments(
        "training", per_device_train_batch_size=4, num_train_epochs=1, logging_steps=1, save_strategy="no", use_cpu=True,
        dataloader_pin_memory=False, **live.reporting(["tensorboard"], "tuned"),
    )  # fmt: skip
    data = [{"input_ids": row.ids, "labels": row.labels} for row in rows]
    trainer = Trainer(model, settings, train_dataset=data, data_collator=batches.collate(tokenizer.pad_token_id))
    trainer.train()
    logged = [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    found = scalars(live.BOARDS / "tuned")["train/loss"]
    assert [step for step, _ in found] == [step for step, _ in logged] == [1, 2, 3, 4, 5]
    assert [value for _, value in found] == pytest.approx([value for _, value in logged])


OURS = """
from trainers import live
with live.Live("policy_r1", 4, trackers=live.trackers(["{name}"], "policy_r1")) as log:
    log.step(1, {{"reward": 0.25, "value_loss": None}}, tokens_seen=64)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "suffix"), [("trackio", ".db"), ("wandb", ".wandb")])
def test_our_own_loop_reports_to_the_other_trackers(name: str, suffix: str, tmp_path: Path) -> None:
    """In a process of its own: they read at their import where they may write."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path), "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    subprocess.run([sys.executable, "-c", OURS.format(name=name)], env=environment, check=True, capture_output=True)
    (written,) = tmp_path.rglob(f"*{suffix}")
    assert b"train/reward" in written.read_bytes()
