"""The outcome reward model: Bradley-Terry with a margin on graded pairs, from the weights of the policy that wrote them.

    prompt [user: "Tom has 12 apples. …"]   chosen "12 + 7 = 19\\n\\\\boxed{19}"   rejected "12 - 7 = 5\\n\\\\boxed{5}"   margin 2.0

    loss = -log σ(r(chosen) - r(rejected) - margin)                                     (Satori §3.3, τ = 2)

    python -m pipelines.orm r1

A sequence is the whole conversation as the policy's chat template writes it (`language.tokens.pair_ids`), and the logit is read at its
last token: the end of turn, or what the template writes behind it. The saved tokenizer keeps that template, so that every reader (PPO,
`TransformersScorer`, vLLM's /classify) reads the same ids at the same place. `reward_mean` and `reward_std` of the logits over the
training completions are stored in config.json, so that a reader can normalise. A tenth of the problems is held out for the accuracy.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging
from trl import RewardConfig, RewardTrainer

from factory.identity import seed_for
from factory.schemas import OrmPair
from trainers import batches, hf, lora, run
from trainers.collate import micro_batches
from trainers.lora import Lora
from trainers.machine import ALONE, Machine
from trainers.stepwise import Pairwise


@dataclass(frozen=True)
class Settings:
    epochs: int
    batch: int
    lr: float
    lora: Lora | None = None


@dataclass(frozen=True)
class Pair:
    chosen: list[int]
    rejected: list[int]
    margin: float


class _Tokenised(Pairwise, RewardTrainer):
    pass


def fit(rows: Sequence[OrmPair], settings: Settings, *, seed: int, start: Path, target: Path, log: Path, machine: Machine = ALONE) -> None:
    """Train and save a reward model. Raises DataError when training diverges."""
    tokenizer = run.load_tokenizer(start)
    model = lora.ready(from_policy(start, tokenizer), settings.lora, tokenizer, machine)
    train, heldout = split(rows, seed)
    pairs = tokenise(train, tokenizer)
    sizes = [max(len(pair.chosen), len(pair.rejected)) for pair in pairs]
    pairs = [pairs[i] for i in run.fitting(target.name, sizes, model.config.max_position_embeddings)]
    lengths = [len(pair.chosen) + len(pair.rejected) for pair in pairs]
    order = batches.order(lengths, settings.batch, seed, epochs=settings.epochs)
    taken, widest = [pairs[i] for i in order], 2 * max(sizes)
    job = hf.Job.of(
        target, settings, machine, seed, lengths, order, rows, build=lambda: from_policy(start, tokenizer), start=start, width=widest
    )
    options = RewardConfig(**job.arguments(model), max_length=None)
    trainer = _Tokenised(job, model=model, args=options, train_dataset=dataset(taken), processing_class=tokenizer)
    job.run(trainer)
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    with machine.autocast(model):
        logits = scores(model, [ids for pair in pairs for ids in (pair.chosen, pair.rejected)], settings.batch, machine.tokens_a_pass)
    model.config.reward_mean, model.config.reward_std = statistics.fmean(logits), statistics.pstdev(logits) or 1.0
    held = tokenise(heldout, tokenizer)
    if held:
        with machine.autocast(model):
            accuracy = pair_accuracy(model, held, settings.batch, machine.tokens_a_pass)
        if trainer.is_world_process_zero():
            print(f"{target.name}: right on {accuracy:.1%} of {len(held)} pairs of held-out problems", flush=True)
        trainer.state.log_history[-2]["heldout_accuracy"] = accuracy
    extra = {"accuracy": "accuracy", "margin": "margin", "heldout_accuracy": "heldout_accuracy"}
    job.finish(trainer, tokenizer, target, log, extra, keep_adapters=True)


def from_policy(start: Path, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The policy's weights under a scalar head of zeros: every completion starts with the same reward."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # the head is new and the language head unused: both are meant
    model = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, dtype=torch.float32)
    logging.set_verbosity(level)
    model.config.pad_token_id = tokenizer.pad_token_id  # the logit is read at the last token that is no padding
    torch.nn.init.zeros_(model.score.weight)
    return model


def split(rows: Sequence[OrmPair], seed: int) -> tuple[list[OrmPair], list[OrmPair]]:
    """(train, held out): a tenth of the problems, whole, chosen by hash."""
    problems = sorted({row.problem_id for row in rows}, key=lambda problem: seed_for(seed, "heldout", problem))
    held = set(problems[: len(problems) // 10])
    return [row for row in rows if row.problem_id not in held], [row for row in rows if row.problem_id in held]


def tokenise(rows: Sequence[OrmPair], tokenizer: PreTrainedTokenizerBase) -> list[Pair]:
    prompts = [row.prompt for row in rows]
    chosen, rejected = (batches.wholes(tokenizer, prompts, [getattr(row, side) for row in rows]) for side in ("chosen", "rejected"))
    return [Pair(right, wrong, row.margin) for row, right, wrong in zip(rows, chosen, rejected, strict=True)]


def dataset(pairs: Sequence[Pair]) -> Dataset:
    """In TRL's own column names, which it takes as tokenised already."""
    return Dataset.from_dict(
        {"chosen_ids": [p.chosen for p in pairs], "rejected_ids": [p.rejected for p in pairs], "margin": [p.margin for p in pairs]}
    )


def scores(model: PreTrainedModel, sequences: Sequence[list[int]], batch: int, most: int | None = None) -> list[float]:
    """The logit of each sequence, in order, in passes of `batch` sequences, or of at most `most` padded tokens."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    found = [0.0] * len(sequences)
    pad = model.config.pad_token_id
    lengths = [len(sequence) for sequence in sequences]
    passes = micro_batches(lengths, order, most) if most else [order[start : start + batch] for start in range(0, len(order), batch)]
    model.eval()
    with torch.no_grad():
        for rows in passes:
            longest = max(lengths[row] for row in rows)
            ids = torch.tensor([sequences[i] + [pad] * (longest - len(sequences[i])) for i in rows], device=model.device)  # (B, T)
            for row, logit in zip(rows, model(input_ids=ids, use_cache=False).logits[:, 0].tolist(), strict=True):
                found[row] = logit
    return found


def pair_accuracy(model: PreTrainedModel, pairs: Sequence[Pair], batch: int, most: int | None = None) -> float:
    """Share of pairs whose chosen side scores higher."""
    found = scores(model, [ids for pair in pairs for ids in (pair.chosen, pair.rejected)], batch, most)
    return sum(a > b for a, b in zip(found[::2], found[1::2], strict=True)) / len(pairs)
