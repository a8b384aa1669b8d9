"""What every trainer shares: released rows in, Hugging Face settings, a watched run, a log and a verified checkpoint out.

    rows = run.load_dataset_rows(Path("data/datasets/demonstrations"), Demonstration)    # refuses benchmark test data
    model, tokenizer = run.load(Path("data/models/base"))
    …
    run.finish(trainer, tokenizer, Path("data/models/format_tuned"), watch, log)      # data/logs/format_tuned.csv, then the folder

A log has a line every few steps: `step,loss,lr,tokens_seen` and the method's own diagnostics. A folder holds config, weights and
tokenizer only, and is written only when what a reader would load gives the same ids and the same logits.
"""

import csv
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments
from transformers.utils import logging

from factory import storage
from factory.errors import DataError
from factory.schemas import R

WORK = Path(".factory/training")  # what a trainer keeps while it runs: never an out of a stage
TOKENS_A_PASS = 16384  # padded tokens that one GPU takes through a forward and backward pass; a larger batch is accumulated
LARGE = 100_000_000  # parameters from which bf16 and gradient checkpointing pay, on a GPU
PROBE = "Tom has 12 apples.\nSolve:\n12 + 7 = 19\n<|reflect|>But wait.\n\\boxed{19}"
LOG_COLUMNS = ("step", "loss", "lr", "tokens_seen")  # of every log; a method adds its own behind them


def load_dataset_rows(folder: Path, row_type: type[R]) -> list[R]:
    """Rows of a dataset that passed its gate. Raises DataError when `release` did not write it or when it is benchmark test data."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        raise DataError(f"{folder} has no manifest.json: only `dvc repro release@{folder.name}` makes a dataset to train on") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{folder}/manifest.json is not JSON ({error}): `dvc repro -f release@{folder.name}` writes it again") from None
    if manifest.get("purpose") != "train":
        raise DataError(f"{folder} is benchmark test data, not for training (its purpose is {manifest.get('purpose')!r})")
    rows = storage.read_rows(folder, row_type)
    if not rows:
        raise DataError(f"{folder} holds no rows to train on")
    return rows


def quiet() -> None:
    """No bars for reading and writing weights; none at all where the output is no terminal."""
    logging.disable_progress_bar()
    if not sys.stderr.isatty():
        disable_progress_bars()
        os.environ["TQDM_DISABLE"] = "1"  # how TRL asks


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Raises DataError when the folder is not a model's."""
    if not (folder / "config.json").exists():
        raise DataError(f"{folder} holds no model: `dvc repro` makes it")
    quiet()
    return AutoTokenizer.from_pretrained(folder)


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal model in fp32 and its tokenizer. Raises DataError when the folder is missing or its two halves do not fit."""
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = len(weight_of(model.get_input_embeddings()))
    if len(tokenizer) > rows:
        raise DataError(f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model only {rows}")
    return model, tokenizer


def weight_of(layer: torch.nn.Module) -> torch.Tensor:
    """The matrix of an embedding or a linear layer."""
    assert isinstance(layer.weight, torch.Tensor)
    return layer.weight


def first_line(error: BaseException) -> str:
    """What an error of a library says, without the paragraphs behind it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1])[:200]
    return said if said and isinstance(error, OSError | ValueError) else f"{type(error).__name__} {said}".strip()


def fitting(name: str, lengths: Sequence[int], limit: int) -> list[int]:
    """Numbers of the rows that fit into `limit` tokens; how many do not is said aloud. Raises DataError when none does."""
    kept = [row for row, length in enumerate(lengths) if length <= limit]
    if not kept:
        raise DataError(f"{name}: none of {len(lengths)} rows fits into the model's {limit} tokens (max_length of pretraining.base)")
    if left_out := len(lengths) - len(kept):
        print(f"{name}: left out {left_out} of {len(lengths)} rows that are longer than the model's {limit} tokens", flush=True)
    return kept


def arguments(
    name: str, model: PreTrainedModel, *, batch: int, steps: int, longest: int, lr: float, seed: int, schedule: str = "cosine"
) -> dict[str, Any]:
    """Hugging Face settings common to all trainers; the rows come in their final order. On a GPU a batch is accumulated from passes of
    TOKENS_A_PASS, and large models train in bf16 with gradient checkpointing; on a CPU both only cost time."""
    quiet()
    cuda = torch.cuda.is_available()
    share = max(1, batch // int(os.environ.get("WORLD_SIZE", "1")))
    micro = next(n for n in range(share, 0, -1) if share % n == 0 and (n == 1 or not cuda or n * longest <= TOKENS_A_PASS))
    large = cuda and model.num_parameters() > LARGE
    return {
        "output_dir": str(WORK / name),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": share // micro,
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "learning_rate": lr,
        "lr_scheduler_type": schedule,
        "warmup_steps": 0.05,  # a share of all steps
        "weight_decay": 0.0,
        "adam_beta2": 0.98,  # short runs: 0.999 would average over more steps than there are
        "max_grad_norm": 1.0,
        "logging_steps": max(1, steps // 50),
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": not sys.stderr.isatty(),
        "bf16": large,
        "gradient_checkpointing": large,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "seed": seed % 2**32,
        "data_seed": seed % 2**32,
    }


class Watch(TrainerCallback):
    """Stops a run whose loss is no number, and writes a plain line every ten seconds where no progress bar can be shown."""

    def __init__(self, name: str, tokens_by_step: Sequence[int]) -> None:
        self.name, self.tokens = name, tokens_by_step
        self.started = self.shown = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.started = self.shown = time.monotonic()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **values: Any) -> None:
        loss = float(values["logs"].get("loss", 0.0))
        if not math.isfinite(loss):
            raise DataError(f"{self.name}: the loss is {loss} at step {state.global_step} of {state.max_steps}: lower lr in params.yaml")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_log = control.should_log or state.global_step == state.max_steps  # the log ends where the run ends
        now = time.monotonic()
        if args.disable_tqdm and state.is_world_process_zero and now - self.shown > 10:
            self.shown = now
            seen, spent = self.seen(state.global_step), now - self.started
            left = spent * (self.tokens[-1] - seen) / seen
            print(f"{self.name}: step {state.global_step}/{state.max_steps}, {seen / spent:,.0f} tokens/s, {left:.0f} s left", flush=True)

    def seen(self, step: int) -> int:
        return self.tokens[min(step, len(self.tokens)) - 1]


def train(trainer: Trainer, watch: Watch) -> None:
    """Run to the end. Raises DataError when the loss or a weight is no number."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    trainer.train()
    if not all(bool(parameter.isfinite().all()) for parameter in trainer.accelerator.unwrap_model(trainer.model).parameters()):
        raise DataError(f"{watch.name}: a weight is no number after {trainer.state.global_step} steps: lower its lr in params.yaml")
    if trainer.is_world_process_zero():
        spent = time.monotonic() - watch.started
        tokens = watch.tokens[-1]
        print(f"{watch.name}: {trainer.state.global_step} steps, {tokens:,} tokens, {tokens / spent:,.0f} tokens/s", flush=True)


def finish(
    trainer: Trainer, tokenizer: PreTrainedTokenizerBase, target: Path, watch: Watch, log: Path, extra: Mapping[str, str] | None = None
) -> None:
    """Write the log (`extra`: our column → Hugging Face's name) and the model folder, from the first process only."""
    state = trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_world_process_zero():
        columns = {"step": "step", "loss": "loss", "lr": "learning_rate", **(extra or {})}
        logged = [entry for entry in trainer.state.log_history if "loss" in entry]
        lines: list[dict[str, Any]] = [{ours: entry.get(theirs) for ours, theirs in columns.items()} for entry in logged]
        for line in lines:
            line["tokens_seen"] = watch.seen(line["step"])
        write_log(log, [*LOG_COLUMNS, *(extra or {})], lines)
        save_model(trainer.accelerator.unwrap_model(trainer.model), tokenizer, target, state)
    trainer.accelerator.wait_for_everyone()


def write_log(path: Path, columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> None:
    """A CSV with floats in six digits and empty cells for what a line lacks."""
    with storage.whole_file(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for line in lines:
            cells = [line.get(column) for column in columns]
            writer.writerow(["" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])


def save_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, state: dict[str, torch.Tensor] | None = None
) -> None:
    """Weights (no optimizer), config and tokenizer, whole or not at all. Raises DataError when reading them back gives other ids or
    other logits: `AutoTokenizer` replaces a custom tokenizer in silence for some architectures."""
    model.config.use_cache = True  # the Hugging Face trainer switches it off for training
    for key in ("is_local", "local_files_only"):  # how this copy was read says nothing about the tokenizer
        tokenizer.init_kwargs.pop(key, None)
    with storage.whole_folder(folder) as temporary:
        model.save_pretrained(temporary, state_dict=state)
        tokenizer.save_pretrained(temporary)
        _verify(model, tokenizer, temporary, folder.name)
        for file in temporary.iterdir():
            file.chmod(0o644)  # safetensors writes for the owner alone


def _verify(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, name: str) -> None:
    again = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    if again.chat_template != tokenizer.chat_template:
        raise DataError(f"{name}: the saved tokenizer reads back with another chat template")
    if again.get_vocab() != tokenizer.get_vocab() or again(PROBE, add_special_tokens=False)["input_ids"] != ids:
        raise DataError(f"{name}: the saved tokenizer reads back as {type(again).__name__}, which gives other ids")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return  # the weights of a sharded model cannot be run here
    reloaded: torch.nn.Module = type(model).from_pretrained(folder, dtype=model.dtype)
    reloaded.to(model.device).eval()
    was_training = model.training
    model.eval()
    with torch.no_grad():
        batch = torch.tensor([ids[: getattr(model.config, "max_position_embeddings", None)]], device=model.device)  # (1, T)
        before, after = model(input_ids=batch).logits, reloaded(input_ids=batch).logits
    model.train(was_training)
    # Equal weights give equal logits but for the last bits, which the alignment of a buffer may change.
    weights = model.state_dict()
    equal = all(torch.equal(weights[name], weight) for name, weight in reloaded.state_dict().items())
    if not (equal and torch.allclose(before, after, rtol=1e-4, atol=1e-5)):
        raise DataError(f"{name}: the saved weights give other logits than the model that was saved")
