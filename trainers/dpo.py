"""Direct preference optimisation of the planner on pairs of template trajectories (ReasonFlux §3.2, eq. 5; Rafailov et al. 2023, eq. 7).

    prompt [user: "Tom has 12 apples. …\\nPlan:\\n"]   chosen "put together (add, total)"   rejected "take away (subtract, left)"

    loss = -log σ(β (log π(chosen)/π_ref(chosen) - log π(rejected)/π_ref(rejected)))
    nll α:  … - α log π(chosen) / |chosen|, of each pair      (Pang et al. 2024, Iterative reasoning preference optimization, eq. 1)
    apo_zero:  1 - σ(β log π(chosen)/π_ref(chosen)) + σ(β log π(rejected)/π_ref(rejected))      (D'Oosterlinck et al. 2024, eq. 7)

    python -m pipelines.planner_dpo

The reference is the start model: its log-probabilities are computed once, before the first step, so no second model is held in memory.
(Left to itself TRL would load the reference from the path that the config remembers.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets
from peft import PeftModel
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from factory.schemas import TrajectoryPair
from trainers import batches, hf, lora, run
from trainers import machine as processes
from trainers.lora import Lora
from trainers.machine import ALONE, Machine
from trainers.stepwise import Pairwise

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
    loss: str = "sigmoid"
    nll: float = 0.0
    lora: Lora | None = None


class _Tokenised(Pairwise, DPOTrainer):
    """TRL tokenises prompt + completion as one text and looks for where the prompt ends; our rows are ids already."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        """TRL writes them into a temporary file of the first process, which the others do not find."""
        return dataset

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        """TRL's own SFT term is a mean over the tokens of a pass, which depends on how a step is cut into passes; this one is a pair's."""
        if not self.nll:
            return super()._compute_loss(model, inputs, return_outputs)
        seen: list[torch.Tensor] = []
        with model.register_forward_hook(lambda _, __, outputs: seen.append(outputs.log_probs)):
            loss = super()._compute_loss(model, inputs, return_outputs=False)
        mask = inputs["completion_mask"][..., 1:].chunk(2)[0]
        chosen = seen[0][:, -mask.size(1) :].chunk(2)[0]
        return loss - self.nll * ((chosen * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()

    def __init__(self, job: hf.Job, train_dataset: Dataset, nll: float, **options: Any) -> None:
        self.nll = nll
        super().__init__(job, train_dataset=train_dataset, **options)
        mine, size = processes.share(len(train_dataset)), self.args.per_device_train_batch_size
        found: list[tuple[float, float]] = []
        for first in range(0, math.ceil(len(train_dataset) / processes.world()), size):  # as many passes in every process
            rows = mine[first : first + size]
            inputs = self._prepare_inputs(self.data_collator([train_dataset[row] for row in rows or [0]]))
            chosen, rejected = self.compute_ref_log_probs(self.model, inputs)
            found += list(zip(chosen.tolist(), rejected.tolist(), strict=True))[: len(rows)]
        chosen, rejected = zip(*processes.gathered(found), strict=True)
        columns = {"ref_chosen_logps": list(chosen), "ref_rejected_logps": list(rejected)}
        self.train_dataset = concatenate_datasets([train_dataset, Dataset.from_dict(columns)], axis=1)


def prefer(
    rows: Sequence[TrajectoryPair],
    settings: Settings,
    *,
    seed: int,
    start: Path,
    target: Path,
    log: Path,
    machine: Machine = ALONE,
) -> None:
    """Train `start` on the pairs and save it as `target`. Raises DataError when training diverges."""
    model, tokenizer = lora.load(start, settings.lora, machine)
    pairs = tokenise(rows, tokenizer)
    sizes = [len(prompt) + max(len(chosen), len(rejected)) for prompt, chosen, rejected in pairs]
    pairs = [pairs[i] for i in run.fitting(target.name, sizes, model.config.max_position_embeddings)]
    lengths = [2 * len(prompt) + len(chosen) + len(rejected) for prompt, chosen, rejected in pairs]
    order = batches.order(lengths, settings.batch, seed, epochs=settings.epochs)
    taken, widest = [pairs[i] for i in order], 2 * max(sizes)
    job = hf.Job.of(target, settings, machine, seed, lengths, order, rows, build=lambda: run.load(start)[0], start=start, width=widest)
    columns = zip(*taken, strict=True)
    trainer = _Tokenised(
        job,
        nll=settings.nll,
        model=model,
        args=DPOConfig(
            **job.arguments(model), beta=settings.beta, loss_type=[settings.loss], precompute_ref_log_probs=True, max_length=None
        ),
        train_dataset=Dataset.from_dict(dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), map(list, columns), strict=True))),
        processing_class=tokenizer,
    )
    if isinstance(trainer.model, PeftModel):
        trainer.model.delete_adapter("ref")  # TRL's, of which all is computed; beside it a resumed trainer would not read the trained one
    job.run(trainer)
    job.finish(trainer, tokenizer, target, log, DIAGNOSTICS)


def tokenise(rows: Sequence[TrajectoryPair], tokenizer: PreTrainedTokenizerBase) -> list[tuple[list[int], list[int], list[int]]]:
    """(prompt, chosen and end of turn, rejected and end of turn) of each pair."""
    prompts = [row.prompt for row in rows]
    chosen, rejected = (batches.sequences(tokenizer, prompts, [getattr(row, side) for row in rows]) for side in ("chosen", "rejected"))
    return [(head, right, wrong) for (head, right), (_, wrong) in zip(chosen, rejected, strict=True)]
