"""The base model of the laptop: pretrained from scratch on the corpus (`adopt` takes one from the Hub instead).

A corpus row is raw text of one role, without turns; the loss is on its completion and the eos behind it:

    "Tom has 12 apples. He buys 7. How many apples are there?\\nSolve:\\n"   "12 + 7 = 19\\n\\\\boxed{19}"

To the tokenizer's chat template (`trainers.tokenizer`) a conversation is the same text, so that the base answers what it was taught.

    python -m pipelines.pretraining base

The plain Hugging Face trainer is used here: on two CPU cores it runs as fast as a bare loop, which TRL's extra diagnostics do not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    PreTrainedTokenizerBase,
    Qwen3Config,
    Qwen3ForCausalLM,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from factory.errors import DataError
from factory.schemas import CorpusText
from trainers import batches, hf, run, shards
from trainers.machine import ALONE, Machine
from trainers.muon import Muon
from trainers.stepwise import Stepwise
from trainers.tokenizer import build

WARMUP, FLOOR = 0.05, 0.02  # shares of the run, and of the peak learning rate
LEVEL, EARLY = 0.7, 0.8  # shares of the run: where the learning rate is down, and where the early model is kept


@dataclass(frozen=True)
class Settings:
    hidden: int
    layers: int
    heads: int
    intermediate: int
    max_length: int
    epochs: int
    batch: int
    lr: float
    muon_lr: float
    init: float


class _Pretrainer(Stepwise, Trainer):
    pass


def pretrain(
    corpus: Sequence[CorpusText],
    meta_tokens: Iterable[str],
    settings: Settings,
    *,
    seed: int,
    target: Path,
    log: Path,
    machine: Machine = ALONE,
) -> None:
    """Build the tokenizer, train a Qwen3 on every row `epochs` times, save both. Raises DataError for a text that the tokenizer cannot
    give back, and when training diverges."""
    shards.refuse(machine, "pretraining")
    tokenizer = build([row.prompt + row.completion for row in corpus], meta_tokens, settings.max_length)
    rows = batches.plain(tokenizer, [row.prompt for row in corpus], [row.completion for row in corpus])
    rows = [rows[i] for i in run.fitting(target.name, [len(row.ids) for row in rows], settings.max_length)]
    lengths = [len(row.ids) for row in rows]
    order = batches.order(lengths, settings.batch, seed, epochs=settings.epochs)

    def fresh() -> Qwen3ForCausalLM:
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(_config(settings, len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id))

    job = hf.Job.of(target, settings, machine, seed, lengths, order, corpus, build=fresh)
    model = fresh()
    optimizer = Muon(model, muon_lr=settings.muon_lr, adamw_lr=settings.lr)
    trainer = _Pretrainer(
        job,
        model=model,
        args=TrainingArguments(**job.arguments(model)),
        train_dataset=[{"input_ids": row.ids, "labels": row.labels} for row in (rows[i] for i in order)],
        data_collator=batches.collate(tokenizer.pad_token_id),
        optimizers=(optimizer, LambdaLR(optimizer, lambda step: settled(step / len(job.tokens)))),
    )
    early = job.checkpoints.root / "early"
    trainer.add_callback(_Early(round(EARLY * len(job.tokens)), tokenizer, early))
    job.run(trainer)
    job.finish(trainer, tokenizer, target, log, beside=early)


class _Early(TrainerCallback):
    """Saves the model as it was at EARLY, so that what the rest adds can be measured."""

    def __init__(self, step: int, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        self.step, self.tokenizer, self.folder = max(1, step), tokenizer, folder

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **values: Any) -> None:
        if state.global_step == self.step and state.is_world_process_zero:
            run.save_model(values["model"], self.tokenizer, self.folder)
            values["model"].config.use_cache = False  # as it was: the trainer goes on


def settled(done: float) -> float:
    """The share of the peak learning rate after a share of the run: up in WARMUP, down in a line to FLOOR at LEVEL, and level from there.

    The level end is the proof that the base is not cut short: what it adds is measured (`settling` in the metrics)."""
    if done < WARMUP:
        return min(1.0, (done + 1e-3) / WARMUP)
    return max(FLOOR, 1 - (1 - FLOOR) * (done - WARMUP) / (LEVEL - WARMUP))


def _config(settings: Settings, vocabulary: int, pad: int, eos: int) -> Qwen3Config:
    if settings.hidden % settings.heads or (settings.hidden // settings.heads) % 2:
        raise DataError(f"pretraining.base.hidden is {settings.hidden}: expected an even number of times heads ({settings.heads})")
    return Qwen3Config(
        vocab_size=vocabulary, hidden_size=settings.hidden, num_hidden_layers=settings.layers, num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads, head_dim=settings.hidden // settings.heads,
        intermediate_size=settings.intermediate, max_position_embeddings=settings.max_length, tie_word_embeddings=True,
        pad_token_id=pad, eos_token_id=eos, bos_token_id=None, initializer_range=settings.init,
    )  # fmt: skip
