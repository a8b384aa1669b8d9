"""A training by one of Hugging Face's trainers: settings, rows cut over processes, a watched run that resumes, a log, a saved model.

    job = hf.Job.of(target, settings, machine, seed, lengths, order, rows, build=lambda: run.load(start)[0], start=start)
    trainer = Tuner(job, model=model, args=SFTConfig(**job.arguments(model), …), …)      # as `trainers.stepwise` shows
    job.run(trainer)
    job.finish(trainer, tokenizer, target, log)       # data/logs/format_tuned.csv, then the folder

The rows come in their final order (`batches.order`); every `batch` of them are one step, over however many processes and passes: a step's
gradient is the same sum. A log has about 50 lines, `step,loss,lr,tokens_seen` and the method's own, means over the steps since the line
before; the live log (`trainers.live`) has one a step.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from factory.errors import DataError
from trainers import batches, lora, machine, run, shards
from trainers.checkpoints import Checkpoints, weights_in
from trainers.live import Bar, LiveCallback, reporting, thinned
from trainers.machine import Machine

LINES = 50  # of a log, about
LOG_COLUMNS = ("step", "loss", "lr", "tokens_seen")  # of every log; a method adds its own behind them


class Rates(Protocol):
    """What every method's settings hold."""

    @property
    def batch(self) -> int: ...
    @property
    def lr(self) -> float: ...


@dataclass
class Job:
    """One training: `lengths` are the tokens of its rows in training order; `parts`, `made_of` and `start` what its result depends on."""

    name: str
    machine: Machine
    lengths: Sequence[int]
    batch: int
    lr: float
    seed: int
    parts: tuple[object, ...]
    build: Callable[[], PreTrainedModel]  # the model before this training, in float32
    made_of: Sequence[object] = ()  # rows
    start: Path | None = None
    schedule: str = "cosine"
    width: int | None = None  # padded tokens of the widest row, where that is more than its length: both sides of a pair

    @classmethod
    def of(
        cls, target: Path, settings: Rates, machine: Machine, seed: int, lengths: Sequence[int], order: Sequence[int],
        rows: Sequence[object], *,
        build: Callable[[], PreTrainedModel], start: Path | None = None, width: int | None = None,
    ) -> "Job":  # fmt: skip
        """The job that makes `target`: `lengths` of tokenised rows, trained on in `order`; `rows` are what they were made of."""
        ordered = [lengths[i] for i in order]
        return cls(
            target.name, machine, ordered, settings.batch, settings.lr, seed, (settings, list(order)), build, rows, start, width=width
        )

    @cached_property
    def tokens(self) -> list[int]:
        """Sequence tokens seen after each step."""
        return batches.tokens_by_step(self.lengths, range(len(self.lengths)), self.batch)

    @cached_property
    def passes(self) -> int:
        """Forward and backward passes of a process in a step, so that none has more padded tokens than the machine takes."""
        share, most = math.ceil(self.batch / machine.world()), self.machine.tokens_a_pass
        return math.ceil(share / max(1, min(share, most // (self.width or max(self.lengths))))) if most else 1

    def rows(self, step: int) -> range:
        """Places in the training order."""
        return range(step * self.batch, min((step + 1) * self.batch, len(self.lengths)))

    def cut(self, step: int) -> list[list[int]]:
        """What this process takes of a step, pass by pass; as many passes in every process, of which some may be empty."""
        rows = self.rows(step)
        count = min(self.passes, math.ceil(len(rows) / machine.world()))
        pieces = count * machine.world()
        edges = [len(rows) * piece // pieces for piece in range(pieces + 1)]
        return [list(rows[edges[piece] : edges[piece + 1]]) for piece in range(machine.rank(), pieces, machine.world())]

    def weight(self, step: int, rows: int) -> float:
        """What the mean over `rows` pairs of a pass counts, so that the step's gradient is the mean over all its pairs; Hugging Face's
        trainer takes the mean over passes and processes."""
        return rows * len(self.cut(step)) * machine.world() / len(self.rows(step))

    @cached_property
    def checkpoints(self) -> Checkpoints:
        origin = weights_in(self.start) if self.start else None
        shape = (list(self.lengths), self.batch, self.lr, self.seed, self.schedule, self.width, self.machine.precision)
        return Checkpoints.of(run.WORK / self.name, self.machine, origin, *shape, *self.parts, rows=self.made_of)

    def arguments(self, model: torch.nn.Module) -> dict[str, Any]:
        """Hugging Face settings common to all methods."""
        run.quiet()
        cuda = self.machine.device.type == "cuda"
        return {
            "output_dir": str(self.checkpoints.root),
            "per_device_train_batch_size": math.ceil(len(self.rows(0)) / machine.world() / len(self.cut(0))),  # of the largest pass
            "gradient_accumulation_steps": self.passes,
            "num_train_epochs": 1,
            "learning_rate": self.lr,
            "lr_scheduler_type": self.schedule,
            "warmup_steps": 0.05,  # a share of all steps
            "weight_decay": 0.0,
            "adam_beta2": 0.98,  # short runs: 0.999 would average over more steps than there are
            "max_grad_norm": 1.0,
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "save_strategy": "no",  # `_Watch` says when
            **reporting(self.machine.report_to, self.name),
            "disable_tqdm": not sys.stderr.isatty(),
            "bf16": self.machine.bf16(model),
            "gradient_checkpointing": self.machine.recomputes(model),
            "use_cpu": not cuda,
            "dataloader_pin_memory": cuda,
            "average_tokens_across_devices": True,
            "ddp_find_unused_parameters": False,
            "seed": self.seed % 2**32,
            "data_seed": self.seed % 2**32,
        }

    def run(self, trainer: Trainer) -> None:
        """Go to the end, from the last checkpoint if there is one. Raises DataError when the loss or a weight is no number."""
        found = self.checkpoints.latest()
        watch = _Watch(self, int(found.name.rpartition("-")[2]) if found else 0)
        model = cast(PreTrainedModel, trainer.model)
        self.machine.speed_up(model)
        if self.machine.device.type == "cuda":
            lora.plain(model).base_model.register_forward_pre_hook(_without_mask, with_kwargs=True)
        trainer.remove_callback(PrinterCallback)
        if trainer.pop_callback(ProgressCallback):
            trainer.add_callback(Bar)
        trainer.add_callback(watch)
        trainer.add_callback(LiveCallback(self.name, lambda step: self.tokens[step - 1]))
        if found and machine.rank() == 0:
            print(f"{self.name}: goes on after step {watch.first}", flush=True)
        trainer.train(resume_from_checkpoint=str(found) if found else None)
        if not shards.finite(trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)):
            raise DataError(f"{self.name}: a weight is no number after {trainer.state.global_step} steps: lower its lr in params.yaml")
        if trainer.is_world_process_zero():
            spent, tokens = time.monotonic() - watch.started, self.tokens[-1] - watch.before
            print(f"{self.name}: {trainer.state.global_step} steps, {tokens:,} tokens, {tokens / spent:,.0f} tokens/s", flush=True)

    def finish(
        self, trainer: Trainer, tokenizer: PreTrainedTokenizerBase, target: Path, log: Path, extra: Mapping[str, str] | None = None,
        keep_adapters: bool = False, beside: Path | None = None,
    ) -> None:  # fmt: skip
        """Write the log (`extra`: our column → Hugging Face's name) and the model, the folder `beside` in its own; first process only."""
        model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        model = lora.collected(model, self.build, self.machine)
        if trainer.is_world_process_zero():
            columns = {"loss": "loss", "lr": "learning_rate", **(extra or {})}
            run.write_log(log, [*LOG_COLUMNS, *(extra or {})], self.lines(trainer.state.log_history, columns))
            if keep_adapters and self.start:
                beside = lora.keep(model, self.checkpoints.root, self.start)
            run.save_model(lora.merged(model, self.build), tokenizer, target, beside)
        machine.wait()
        self.checkpoints.clear()

    def lines(self, history: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> list[dict[str, Any]]:
        """Of the log, from a history with an entry a step."""
        rows = thinned(history, max(1, len(self.tokens) // LINES))
        return [
            {
                "step": row["step"],
                "tokens_seen": self.tokens[row["step"] - 1],
                **{ours: row.get(theirs) for ours, theirs in columns.items()},
            }
            for row in rows
        ]


def _without_mask(_: torch.nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Rows are padded on the right, where a causal model does not look: without a mask attention takes its fast kernel."""
    return arguments, {**options, "attention_mask": None}


class _Watch(TrainerCallback):
    """Saves checkpoints, stops a run whose loss is no number, and writes a plain line every ten seconds where no progress bar can be
    shown."""

    def __init__(self, job: Job, first: int) -> None:
        self.job, self.first, self.before = job, first, job.tokens[first - 1] if first else 0
        self.started = self.shown = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.started = self.shown = time.monotonic()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **values: Any) -> None:
        logs = values["logs"]
        if "loss" not in logs:
            return
        if not math.isfinite(loss := float(logs["loss"])):
            raise DataError(
                f"{self.job.name}: the loss is {loss} at step {state.global_step} of {state.max_steps}: lower lr in params.yaml"
            )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_save = state.global_step < state.max_steps and self.job.checkpoints.due()
        now = time.monotonic()
        if args.disable_tqdm and state.is_world_process_zero and now - self.shown > 10:
            self.shown = now
            tokens, spent = self.job.tokens[state.global_step - 1], now - self.started
            rate = (tokens - self.before) / spent
            left = (self.job.tokens[-1] - tokens) / rate
            print(f"{self.job.name}: step {state.global_step}/{state.max_steps}, {rate:,.0f} tokens/s, {left:.0f} s left", flush=True)
