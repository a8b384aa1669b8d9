"""Supervised fine-tuning on prompt/completion rows: format tuning, its plain control, distillation and the planner's first stage.

    prompt [user: "Tom has 12 apples. …\\nSolve:\\n"]   completion "12 + 7 = 18\\n<|reflect|>But wait. 12 + 7 is 19.\\n…\\n\\\\boxed{19}"

    python -m pipelines.format_tuning

The prompt is what the start model's chat template makes of the conversation. The loss is on the completion and the end of turn; with
`mask_wrong` not on the wrong attempts inside it (a model that imitates them begins wrongly). The budget is in sequence tokens, so that
arms tuned on different texts can be compared. Sources: Satori §3.2 (format tuning), §3.4 (distillation as a reset); ReasonFlux §3.2,
L_struct: the completion is description and scope, given name and tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from factory.schemas import Demonstration, Example
from trainers import batches, hf, lora, run
from trainers.lora import Lora
from trainers.machine import ALONE, Machine
from trainers.stepwise import Stepwise


@dataclass(frozen=True)
class Settings:
    tokens: int
    batch: int
    lr: float
    mask_wrong: bool = False
    lora: Lora | None = None


class _Tuner(Stepwise, SFTTrainer):
    pass


def tune(
    rows: Sequence[Demonstration | Example],
    settings: Settings,
    *,
    seed: int,
    start: Path,
    target: Path,
    log: Path,
    machine: Machine = ALONE,
) -> None:
    """Train `start` on `rows` for `tokens` sequence tokens, repeating shuffled epochs, and save it as `target`. Raises DataError when a
    row has a word without a token, or when training diverges."""
    model, tokenizer = lora.load(start, settings.lora, machine)
    spans = [row.wrong_spans if settings.mask_wrong and isinstance(row, Demonstration) else () for row in rows]
    sequences = batches.completion_only(tokenizer, [row.prompt for row in rows], [row.completion for row in rows], spans)
    limit = model.config.max_position_embeddings
    sequences = [sequences[i] for i in run.fitting(target.name, [len(row.ids) for row in sequences], limit)]
    lengths = [len(row.ids) for row in sequences]
    order = batches.order(lengths, settings.batch, seed, tokens=settings.tokens)
    columns = {"input_ids": [sequences[i].ids for i in order], "labels": [sequences[i].labels for i in order]}
    job = hf.Job.of(target, settings, machine, seed, lengths, order, rows, build=lambda: run.load(start)[0], start=start)
    trainer = _Tuner(
        job,
        model=model,
        args=SFTConfig(**job.arguments(model), max_length=None, packing=False, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
    )
    job.run(trainer)
    job.finish(trainer, tokenizer, target, log, {"accuracy": "mean_token_accuracy", "entropy": "entropy"})
