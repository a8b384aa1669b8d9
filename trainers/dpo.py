"""Direct preference optimisation of the planner on pairs of template trajectories (ReasonFlux §3.2, eq. 5; Rafailov et al. 2023, eq. 7).

    prompt [user: "Tom has 12 apples. …\\nPlan:\\n"]   chosen "put together (add, total)"   rejected "take away (subtract, left)"

    loss = -log σ(β (log π(chosen)/π_ref(chosen) - log π(rejected)/π_ref(rejected)))

    python -m pipelines.planner_dpo

The reference is the start model: its log-probabilities are computed once, before the first step, so no second model is held in memory.
(Left to itself TRL would load the reference from the path that the config remembers.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from factory.schemas import TrajectoryPair
from trainers import batches, run

DIAGNOSTICS = {
    "accuracy": "rewards/accuracies", "margin": "rewards/margins", "reward_chosen": "rewards/chosen", "reward_rejected": "rewards/rejected",
    "logp_chosen": "logps/chosen", "logp_rejected": "logps/rejected",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    epochs: int
    batch: int
    lr: float
    beta: float


class _Tokenised(DPOTrainer):
    """TRL tokenises prompt + completion as one text and looks for where the prompt ends; our rows are ids already."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset


def prefer(rows: Sequence[TrajectoryPair], settings: Settings, *, seed: int, start: Path, target: Path, log: Path) -> None:
    """Train `start` on the pairs and save it as `target`. Raises DataError when training diverges."""
    model, tokenizer = run.load(start)
    pairs = tokenise(rows, tokenizer)
    sizes = [len(prompt) + max(len(chosen), len(rejected)) for prompt, chosen, rejected in pairs]
    pairs = [pairs[i] for i in run.fitting(target.name, sizes, model.config.max_position_embeddings)]
    lengths = [2 * len(prompt) + len(chosen) + len(rejected) for prompt, chosen, rejected in pairs]
    order = batches.order(lengths, settings.batch, seed, epochs=settings.epochs)
    watch = run.Watch(target.name, batches.tokens_by_step(lengths, order, settings.batch))
    common = run.arguments(
        target.name, model, batch=settings.batch, steps=len(watch.tokens), longest=max(lengths), lr=settings.lr, seed=seed
    )
    columns = zip(*(pairs[i] for i in order), strict=True)
    trainer = _Tokenised(
        model=model,
        args=DPOConfig(**common, beta=settings.beta, precompute_ref_log_probs=True, max_length=None),
        train_dataset=Dataset.from_dict(dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), map(list, columns), strict=True))),
        processing_class=tokenizer,
    )
    run.train(trainer, watch)
    run.finish(trainer, tokenizer, target, watch, log, DIAGNOSTICS)


def tokenise(rows: Sequence[TrajectoryPair], tokenizer: PreTrainedTokenizerBase) -> list[tuple[list[int], list[int], list[int]]]:
    """(prompt, chosen and end of turn, rejected and end of turn) of each pair."""
    prompts = [row.prompt for row in rows]
    chosen, rejected = (batches.sequences(tokenizer, prompts, [getattr(row, side) for row in rows]) for side in ("chosen", "rejected"))
    return [(head, right, wrong) for (head, right), (_, wrong) in zip(chosen, rejected, strict=True)]
