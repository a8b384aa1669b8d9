"""Adapters: nothing changes at first, what trains is small, and what is saved is a plain model with the same logits."""

import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from factory.coat.grammar import ACTIONS
from factory.language.conversation import said
from factory.schemas import Example, OrmPair, TrajectoryPair
from trainers import dpo, lora, reward, run, sft
from trainers.lora import Lora
from trainers.machine import Machine

MADE = {"problem_id": "p", "model": "m", "prompt_version": "1", "seed": 1, "round": "r1"}
LORA = Lora(4, 8, tuple(ACTIONS.values()))
IDS = torch.tensor([[5, 9, 4, 7, 3, 8]])


@pytest.mark.parametrize("tied", [True, False])
def test_fresh_adapters_change_nothing_and_merging_keeps_what_they_learnt(start: Path, tied: bool) -> None:
    words = AutoTokenizer.from_pretrained(start)
    torch.manual_seed(0)
    config = AutoModelForCausalLM.from_pretrained(start).config
    model = LlamaForCausalLM(LlamaConfig(**{**config.to_dict(), "tie_word_embeddings": tied}))
    before = model(IDS).logits.detach()
    adapted = lora.adapt(model, LORA, words)
    assert torch.equal(adapted(IDS).logits, before)
    train(adapted)
    learnt = adapted(IDS).logits.detach()
    assert not torch.allclose(learnt, before, atol=1e-3)
    with lora.active(adapted, None):
        assert torch.allclose(adapted(IDS).logits, before, atol=1e-6)
    handed = dict(lora.weights(adapted))
    merged = lora.merged(adapted, lambda: model)
    assert torch.allclose(merged(IDS).logits, learnt, atol=1e-5)
    assert set(handed) >= set(dict(merged.named_parameters()))
    assert all(torch.allclose(handed[name], weight, atol=1e-6) for name, weight in merged.named_parameters())


def test_the_rows_of_the_actions_are_trained_whole_and_no_others(start: Path) -> None:
    model, words = run.load(start)
    table = model.get_input_embeddings().weight.detach().clone()
    adapted = lora.adapt(model, LORA, words)
    ids = torch.tensor([[5, *words.convert_tokens_to_ids(list(ACTIONS.values())), 4]])
    train(adapted, ids)
    changed = (lora.merged(adapted, lambda: model).get_input_embeddings().weight != table).any(-1).nonzero().flatten().tolist()
    assert changed == sorted(words.convert_tokens_to_ids(list(ACTIONS.values())))


def test_weights_rounded_for_training_are_saved_as_they_were(start: Path) -> None:
    """bfloat16 keeps 8 bits: the change of the adapters goes onto the float32 weights."""
    model, words = run.load(start)
    adapted = lora.ready(model, LORA, words, Machine(precision="bfloat16"))
    assert {p.dtype for p in adapted.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert {p.dtype for p in adapted.parameters() if p.requires_grad} == {torch.float32}
    merged = lora.merged(adapted, lambda: run.load(start)[0])
    untouched = dict(run.load(start)[0].named_parameters())
    assert all(torch.equal(weight, untouched[name]) for name, weight in merged.named_parameters())


def train(model: torch.nn.Module, ids: torch.Tensor = IDS) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(4):
        torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.slow
def test_tuning_under_adapters_learns_and_saves_a_plain_model(start: Path, pairs: list[tuple[str, str]]) -> None:
    rows = [Example(id=str(n), prompt=said("user", a), completion=b, **MADE) for n, (a, b) in enumerate(pairs)]
    sft.tune(rows, sft.Settings(12000, 8, 2e-2, lora=LORA), seed=1, start=start, target=Path("tuned"), log=Path("tuned.csv"))
    losses = column("tuned.csv", "loss")
    assert losses[-1] < losses[0] - 0.2  # the model is untrained, its frozen embeddings are noise
    plain(Path("tuned"), start)


@pytest.mark.slow
def test_preferring_under_adapters_moves_the_margin_from_the_start_model(start: Path, pairs: list[tuple[str, str]]) -> None:
    """The reference is the model without adapters: the first margin is 0."""
    more = {"reward_chosen": 1.0, "reward_rejected": 0.0, "n_similar": 1, "n_decodes": 1, "template_ids": ()}
    rows = [
        TrajectoryPair(id=str(n), prompt=said("user", a), chosen=b, rejected=b.replace("}", "0}"), **more, **MADE)
        for n, (a, b) in enumerate(pairs)
    ]
    dpo.prefer(rows, dpo.Settings(2, 10, 1e-2, 0.5, lora=LORA), seed=1, start=start, target=Path("dpo"), log=Path("dpo.csv"))
    margins = column("dpo.csv", "margin")
    assert margins[0] == pytest.approx(0.0, abs=1e-6)
    assert margins[-1] > 0.1
    plain(Path("dpo"), start)


@pytest.mark.slow
def test_a_reward_model_under_adapters_is_saved_merged_with_its_adapters_beside(start: Path, pairs: list[tuple[str, str]]) -> None:
    rows = [
        OrmPair(id=str(n), problem_id=str(n % 10), prompt=said("user", a), chosen=b, rejected=b.replace("}", "0}"), margin=2.0,
                chosen_id="a", rejected_id="b", round="base")
        for n, (a, b) in enumerate(pairs)
    ]  # fmt: skip
    reward.fit(rows, reward.Settings(3, 8, 1e-2, lora=LORA), seed=1, start=start, target=Path("orm"), log=Path("orm.csv"))
    accuracy = column("orm.csv", "accuracy")
    assert accuracy[-1] > 0.9
    model = AutoModelForSequenceClassification.from_pretrained("orm")
    assert model.config.reward_std > 0
    assert model.score.weight.abs().sum() > 0
    assert {path.name for path in Path("orm/adapter").iterdir()} >= {"adapter_config.json", "adapter_model.safetensors", "start"}
    plain(Path("orm"), start)


def column(log: str, name: str) -> list[float]:
    with Path(log).open(encoding="utf-8") as stream:
        return [float(line[name]) for line in csv.DictReader(stream)]


def plain(folder: Path, start: Path) -> None:
    """No trace of adapters in the weights, and no weight outside of the linear layers changed but the actions' rows."""
    before, after = (load_file(where / "model.safetensors") for where in (start, folder))
    assert not [name for name in after if "lora" in name or "base_layer" in name]
    changed = [name for name in before if name in after and not torch.equal(before[name], after[name])]
    assert changed
    assert all("proj" in name or "embed_tokens" in name for name in changed)
