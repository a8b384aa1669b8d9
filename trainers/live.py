"""What a run shows while it trains: a line of JSON a step, and the trackers that the params name.

    {"step": 0, "of": 60, "seconds": 0.0, "tokens_seen": 0}
    {"step": 1, "of": 60, "seconds": 2.31, "tokens_seen": 3085, "loss": 2.1269, "grad_norm": 1.92, "lr": 0.0}

    with Live("policy_r1", 60, after=state.iteration) as live:                 # data/logs/live/policy_r1.jsonl
        live.step(1, {"reward": -0.19, "value_loss": None}, tokens_seen=7076)
    trainer.add_callback(LiveCallback("format_tuned", watch.seen))             # a Hugging Face trainer with logging_steps=1

The first process writes, and holds a lock on the file as long as the run lasts: a log without one is of a run that has ended, however it
ended. `factory status --watch` reads it; neither git nor DVC sees it, since seconds differ from run to run. The CSV of a run is made of
the same steps, `thinned`.
"""

import fcntl
import importlib.util
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from transformers import TrainerCallback
from transformers.trainer_callback import ProgressCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from factory.errors import ParamsError
from factory.storage import LOGS

LIVE = LOGS / "live"
TRACKERS = ("tensorboard", "trackio", "wandb")
PROJECT = "coat-factory"  # under which trackio and W&B group the runs; WANDB_PROJECT names another
BOARDS = Path(".factory/tensorboard")  # tensorboard --logdir .factory/tensorboard
NOT_RESUMED = ("epoch", "num_tokens")  # TRL counts tokens from 0 again after a resume: `tokens_seen` does not
OF_THE_LAST_STEP = ("epoch", "learning_rate", "grad_norm", "num_tokens", "step")  # the trainers average all other values


class Live:
    """The log of a run. `after`: the last step that a resumed run's checkpoint holds; later lines are cut off, and a torn one. A run from
    the start begins the file anew. Trackers get every number that the file gets."""

    def __init__(self, name: str, total: int, after: int = 0, trackers: Sequence[GeneralTracker] = ()) -> None:
        self.total, self.trackers, self.began = total, trackers, time.monotonic()
        self.stream: BinaryIO | None = None
        if not _first_process():
            return
        path = LIVE / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = path.open("a+b")
        fcntl.flock(self.stream, fcntl.LOCK_SH)  # shared: a reader that finds it free has taken it for a moment
        last = _cut(self.stream, after or -1)
        spent = last.get("seconds", 0.0)
        self.began -= spent  # the time that a run stood still is not counted
        if last.get("step") != after:
            self._write({"step": after, "of": total, "seconds": spent, **({} if after else {"tokens_seen": 0})})

    def step(self, number: int, values: Mapping[str, float | None], tokens_seen: int | None = None) -> None:
        """Write a step's line at once. `tokens_seen`: of the whole run so far. What is not finite becomes null."""
        if self.stream is None:
            return
        numbers = {name: _finite(value) for name, value in values.items()}
        seen = {} if tokens_seen is None else {"tokens_seen": tokens_seen}
        head = {"step": number, "of": self.total, "seconds": round(time.monotonic() - self.began, 3), **seen}
        self._write({**head, **numbers, **head})
        for tracker in self.trackers:
            tracker.log({f"train/{name}": value for name, value in {**seen, **numbers}.items() if value is not None}, step=number)

    def close(self) -> None:
        if self.stream is not None and not self.stream.closed:
            fcntl.flock(self.stream, fcntl.LOCK_UN)  # a process that was forked from this one may hold the file still
            self.stream.close()
            for tracker in self.trackers:
                tracker.finish()

    def _write(self, line: Mapping[str, float | None]) -> None:
        assert self.stream is not None
        self.stream.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self.stream.flush()

    def __enter__(self) -> "Live":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cut(stream: BinaryIO, last: int) -> dict[str, Any]:
    """Leave the whole lines up to step `last`; returns the last of them, {} when none is left."""
    stream.seek(0)
    kept, end = {}, 0
    for line in stream.read().splitlines(keepends=True):
        entry = _entry(line)
        if entry is None or entry["step"] > last:
            break
        kept, end = entry, end + len(line)
    stream.truncate(end)
    return kept


def _entry(line: bytes) -> dict[str, Any] | None:
    """None for a line that a kill or a crash has torn."""
    try:
        entry = json.loads(line)
        return {**entry, "step": int(entry["step"]), "seconds": float(entry["seconds"])} if line.endswith(b"\n") else None
    except (ValueError, KeyError, TypeError):
        return None


def _finite(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)


def _first_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


class LiveCallback(TrainerCallback):
    """The live log of a Hugging Face trainer, which has to log every step (`logging_steps: 1`): loss, gradient norm (before clipping),
    learning rate and the trainer's own diagnostics, under its names. `seen`: step → tokens of the run so far."""

    def __init__(self, name: str, seen: Callable[[int], int]) -> None:
        self.name, self.seen = name, seen
        self.live: Live | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        assert state.logging_steps == 1, "a live log has a line for every step"
        self.live = Live(self.name, state.max_steps, state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **values: Any) -> None:
        logs = values["logs"]
        if self.live is not None and "loss" in logs:  # the last entry of a run sums up
            numbers = {"lr" if name == "learning_rate" else name: value for name, value in logs.items() if name not in NOT_RESUMED}
            self.live.step(state.global_step, numbers, self.seen(state.global_step))

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.live is not None:
            self.live.close()


class Bar(ProgressCallback):
    """The progress bar, without a line above it for every step."""

    def on_log(self, *_: Any, **__: Any) -> None:
        pass


def thinned(history: Sequence[Mapping[str, Any]], every: int) -> list[dict[str, Any]]:
    """Of a history with an entry a step, what `logging_steps=every` would have logged: the first step, every so many and the last, as
    means since the row before. It is the same history whether a run was resumed or not; Trainer's own thinning forgets what it has
    summed since its last row."""
    steps = [entry for entry in history if "loss" in entry]
    rows, window = [], []
    for entry in steps:
        window.append(entry)
        if entry["step"] == 1 or entry["step"] % every == 0 or entry is steps[-1]:
            rows.append(_mean(window))
            window = []
    return rows


def _mean(window: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    row = dict(window[-1])
    for name in row.keys() - set(OF_THE_LAST_STEP):
        values = [entry[name] for entry in window if name in entry]
        row[name] = sum(values) / len(values)
    row["loss"] = float(sum((np.float32(entry["loss"]) for entry in window), np.float32(0))) / len(window)  # as Trainer adds it up
    return row


def check(names: Sequence[str]) -> None:
    """Raises ParamsError for a tracker that is not known or not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ParamsError(f"training.report_to names {name}, expected some of {', '.join(TRACKERS)}")
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # W&B's own folder of runs is no module
            raise ParamsError(f"training.report_to names {name}, which is not installed: pip install {name}")


def reporting(names: Sequence[str], run: str) -> dict[str, Any]:
    """Hugging Face settings with which a trainer reports to these trackers."""
    check(names)
    os.environ.setdefault("WANDB_PROJECT", PROJECT)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(BOARDS / run)
    return {"report_to": list(names) or "none", "run_name": run, "project": PROJECT}


def trackers(names: Sequence[str], run: str, after: int = 0) -> list[GeneralTracker]:
    """The same trackers, open, for a loop of our own; none but in the first process. `after`: as in `Live`. Several processes have to know
    of each other before."""
    check(names)
    if names:
        PartialState()  # by which they tell processes apart
    project = {"trackio": PROJECT, "wandb": os.environ.get("WANDB_PROJECT", PROJECT)}
    options = {"trackio": {"name": run, "resume": "allow"}, "wandb": {"name": run}}
    found = [
        LOGGER_TYPE_TO_CLASS[name](run, str(BOARDS), purge_step=after + 1)
        if name == "tensorboard"
        else LOGGER_TYPE_TO_CLASS[name](project[name], **options[name])
        for name in (names if _first_process() else ())
    ]
    for tracker in found:
        tracker.start()
    return found
