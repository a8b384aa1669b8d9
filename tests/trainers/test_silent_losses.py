"""Silent failures of a loss: what is trained on, and how a step's loss is divided. Each test holds a check to the code as it is, then
plants the mistake in the code that trains: `caught` passes only when the same check fails then."""

import csv
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase, Trainer

from factory.engines.sampler import Sampler
from factory.language import tokens
from factory.language.conversation import said
from trainers import batches, hf, ppo, run, sft
from trainers.machine import ALONE, Machine

sys.path.insert(0, str(Path(__file__).parent))
import sorts
from gradients import GRADIENTS, in_two_processes
from planted import ROWS, Plant, caught, replaced, trains, tune

# What is trained on


def logged_loss_is_that_of_answers_alone(start: Path) -> None:
    log = tune(start, ROWS).with_suffix(".csv")
    logged = float(next(csv.DictReader(log.read_text().splitlines()))["loss"])
    model, words = run.load(start)
    total, count = 0.0, 0
    for asked, told in ROWS:
        head, tail = words(asked)["input_ids"], [*words(told)["input_ids"], words.eos_token_id]
        with torch.no_grad():
            chances = model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)[len(head) - 1 : -1]  # (tail, V)
        total, count = total - chances[range(len(tail)), tail].sum().item(), count + len(tail)
    assert logged == pytest.approx(total / count, rel=1e-4)


def everything_labelled(*given: Any) -> list[batches.Tokens]:
    return [batches.Tokens(row.ids, list(row.ids)) for row in COMPLETION_ONLY(*given)]


def end_without_label(*given: Any) -> list[batches.Tokens]:
    return [batches.Tokens(row.ids, [*row.labels[:-1], batches.IGNORED]) for row in COMPLETION_ONLY(*given)]


COMPLETION_ONLY = batches.completion_only


class Recollated(sft._Tuner):
    """With the usual collator of Hugging Face, which makes labels of the ids anew, and ignores those that equal the padding."""

    def __init__(self, job: hf.Job, *, processing_class: PreTrainedTokenizerBase, **options: Any) -> None:
        usual = DataCollatorForLanguageModeling(processing_class, mlm=False)

        def collated(rows: list[dict[str, Any]]) -> Any:
            return usual([{"input_ids": row["input_ids"]} for row in rows])

        super().__init__(job, data_collator=collated, processing_class=processing_class, **options)


@trains
@pytest.mark.parametrize(
    "plant", [replaced(batches, "completion_only", everything_labelled), replaced(sft, "_Tuner", Recollated)], ids=["labels", "collator"]
)
def test_prompt_tokens_in_the_loss(start: Path, plant: Plant) -> None:
    caught(partial(logged_loss_is_that_of_answers_alone, start), plant)


def what_is_learnt_by_heart_ends(start: Path) -> None:
    model, words = run.load(tune(start, [("3 + 4?", "7"), ("3 + 8?", "8")], steps=30))
    prompts = tokens.prompt_ids(words, [said("user", asked) for asked in ("3 + 4?", "3 + 8?")])
    found = Sampler(model, words).sample(prompts, [0, 1], max_tokens=9, temperature=0.0)
    assert [(words.decode(one.token_ids), one.finished) for one in found] == [("7", True), ("8", True)]


@trains
@pytest.mark.parametrize(
    "plant",
    [replaced(batches, "completion_only", end_without_label), replaced(sft, "_Tuner", Recollated)],
    ids=["no label", "it is the padding"],
)
def test_the_end_token_is_never_trained(chat: Path, plant: Plant) -> None:
    caught(partial(what_is_learnt_by_heart_ends, chat), plant)


def test_another_end_is_trained_than_the_template_writes() -> None:
    """A base model's eos is not where its chat template ends a turn."""
    words = sorts.from_the_hub(sorts.QWEN2_BASE)
    told = [*sorts.QUESTION, said("assistant", "7")[0]]

    def a_sequence_is_the_templates_own() -> None:
        (row,) = batches.completion_only(words, [sorts.QUESTION], ["7"])
        written = words(words.apply_chat_template([turn._asdict() for turn in told], tokenize=False), add_special_tokens=False)["input_ids"]
        assert written[: len(row.ids)] == row.ids

    def ended_by_eos(*given: Any) -> Any:
        return [(head, [*tail[:-1], words.eos_token_id]) for head, tail in tokens.sequence_ids(*given)]

    caught(a_sequence_is_the_templates_own, replaced(batches, "sequence_ids", ended_by_eos))


# How a step's loss is divided


@cache
def undivided(kind: str, start: Path) -> torch.Tensor:
    return GRADIENTS[kind](start, ALONE)


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(one.norm())), f"off by {float((one - other).norm() / one.norm()):.2g}"


def a_step_may_be_cut_anyhow(kind: str, start: Path) -> None:
    uneven = Machine(pass_tokens=130 if kind == "ppo" else 300)  # passes of one and of two rows
    same(undivided(kind, start), GRADIENTS[kind](start, uneven))


def sum_of_means(self: Any, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
    return super(sft._Tuner, self).compute_loss(model, inputs, return_outputs=return_outputs)


def uncounted(self: Any, batches_of: Any, count: int, device: Any) -> Any:
    return [next(batches_of) for _ in range(count)], None


def mean_of_a_pass(patch: pytest.MonkeyPatch) -> None:
    plain, valued = ppo.policy_loss, ppo.value_loss
    patch.setattr(ppo, "policy_loss", lambda *given: (found := plain(*given))._replace(loss=found.loss / len(found.loss)))
    patch.setattr(ppo, "value_loss", lambda *given: (found := valued(*given)) / len(found))


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        pytest.param("sft", replaced(sft._Tuner, "compute_loss", sum_of_means), marks=trains),
        pytest.param("sft", replaced(Trainer, "get_batch_samples", uncounted), marks=trains),
        pytest.param("orm", replaced(hf.Job, "weight", lambda *_: 1.0), marks=trains),
        pytest.param("dpo", replaced(hf.Job, "weight", lambda *_: 1.0), marks=trains),
        ("ppo", mean_of_a_pass),
    ],
    ids=["sft sum of means", "sft mean of means", "orm", "dpo", "ppo"],
)
@pytest.mark.slow
def test_loss_scale_under_accumulation(kind: str, plant: Plant, start: Path) -> None:
    caught(partial(a_step_may_be_cut_anyhow, kind, start), plant)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_loss_scale_over_ranks(start: Path, tmp_path: Path) -> None:
    alone = {kind: undivided(kind, start) for kind in GRADIENTS}
    sound, planted = in_two_processes(start, tmp_path / "both")
    for kind, gradient in sound.items():
        same(alone[kind], gradient)
    for kind, gradient in planted.items():
        with pytest.raises(AssertionError, match="off by"):
            same(alone[kind], gradient)
