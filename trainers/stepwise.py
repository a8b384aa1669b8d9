"""Hugging Face trainers whose steps are a job's: cut over processes and passes, kept in checkpoints whole or not at all.

class Tuner(Stepwise, SFTTrainer): …         # a loss that is divided by the trained tokens of the whole step
class Preferrer(Pairwise, DPOTrainer): …     # one that is a mean over pairs
Tuner(job, model=model, args=SFTConfig(**job.arguments(model)), …)
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import Trainer

from factory.errors import ParamsError
from trainers import batches, lora, machine, shards
from trainers.hf import Job

Collate = Callable[[list[Any]], dict[str, Any]]

if TYPE_CHECKING:
    _Base = Trainer
else:
    _Base = object


class Stepwise(_Base):
    """Mixed into a Hugging Face trainer: its steps are a job's, cut over processes and passes. For losses that are divided by the
    trained tokens of the whole step."""

    job: Job
    empty = False  # the pass that is being computed

    def __init__(self, job: Job, **options: Any) -> None:
        self.job = job
        if spread := shards.wanted(job.machine):
            lora.plain(
                options["model"]
            )._is_distributed_loading_by_transformers = True  # what the trainer asks: then it neither moves nor wraps it
        super().__init__(**options)
        if spread:
            shards.spread(options["model"], job.machine)
        self.accelerator.gather = self._of_all  # for diagnostics; its own wants as many rows of every process

    def get_train_dataloader(self) -> DataLoader[Any]:
        data: Any = self.train_dataset
        if isinstance(data, Dataset):
            data = self._remove_unused_columns(data, description="training")
        cuts = [rows for step in range(len(self.job.tokens)) for rows in self.job.cut(step)]
        return DataLoader(data, batch_sampler=cuts, collate_fn=self._collated(data), pin_memory=self.args.dataloader_pin_memory)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        assert len(getattr(self.model, "peft_config", "1")) == 1, (
            "of several adapters Hugging Face's trainer reads back those in subfolders"
        )
        with self.job.checkpoints.writing(self.state.global_step):
            super()._save_checkpoint(model, trial)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Of a checkpoint; spread weights go with the optimizer's states."""
        if not shards.wanted(self.job.machine):
            super().save_model(output_dir, _internal_call)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Where weights are spread, which none of Hugging Face's ways saves, each process writes its part."""
        if not shards.wanted(self.job.machine):
            return super()._save_optimizer_and_scheduler(output_dir)
        parameters, optimizer, schedule = self._changing()
        shards.write(Path(output_dir), {**shards.parts(parameters, optimizer), "schedule": schedule.state_dict()}, parameters)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Raises ParamsError for weights that were whole and are to be spread now."""
        if shards.has_parts(Path(resume_from_checkpoint)):
            return  # they are read with the optimizer
        if shards.wanted(self.job.machine):
            raise ParamsError(
                f"training.shard is true, expected false: {resume_from_checkpoint} holds whole weights; go on as it was begun, or delete it"
            )
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not shards.has_parts(Path(checkpoint)):
            return super()._load_optimizer_and_scheduler(checkpoint)
        held = shards.read(Path(checkpoint))
        parameters, optimizer, schedule = self._changing()
        shards.restore(held, parameters, optimizer)
        schedule.load_state_dict(held[0]["schedule"])

    def _changing(self) -> tuple[list[torch.Tensor], torch.optim.Optimizer, LambdaLR]:
        """The parameters in the optimizer's order, the optimizer and its schedule."""
        assert self.optimizer is not None and self.lr_scheduler is not None, "they are made before a checkpoint is written or read"  # noqa: PT018
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]], self.optimizer, self.lr_scheduler

    def _collated(self, data: Any) -> Collate:
        """An empty pass runs a row without loss, since all processes must meet when gradients are added."""

        def collated(rows: list[Any]) -> dict[str, Any]:
            batch = self.data_collator(rows or [data[0]])
            return batch if rows else {**batch, "labels": torch.full_like(batch["labels"], batches.IGNORED)}

        return collated

    def _of_all(self, mine: torch.Tensor) -> torch.Tensor:
        """The rows of all processes, however many each has."""
        if machine.world() == 1:
            return mine
        rows = [] if self.empty else [mine.detach().cpu().reshape(-1, *mine.shape[1:])]
        return torch.cat(machine.gathered(rows)).to(mine.device)


class Pairwise(Stepwise):
    """The same for losses that are means over the pairs of a pass."""

    def _collated(self, data: Any) -> Collate:
        return lambda rows: {**self.data_collator(rows or [data[0]]), "rows": len(rows)}

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        rows = inputs.pop("rows")
        weight, self.empty = self.job.weight(self.state.global_step, rows), rows == 0
        found: Any = super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)
        return (weight * found[0], found[1]) if return_outputs else weight * found
