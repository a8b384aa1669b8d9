"""Log-probabilities and values at action positions equal the models' own, whatever the company in the batch."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from factory.errors import DataError
from trainers.collate import collate
from trainers.policy import Actor, Critic, entropy, load_critic

CPU = torch.device("cpu")
PROMPTS = [(5, 6, 7), (9,), (3, 3, 4, 8, 2)]
ACTIONS = [(8, 9, 1), (2, 7, 7, 7, 1), (6,)]


def config(**more: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=12, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32,
        initializer_range=0.5, pad_token_id=0, eos_token_id=1, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def actor() -> Actor:
    torch.manual_seed(0)
    return Actor(LlamaForCausalLM(config()), temperature=0.6)


@pytest.fixture(scope="module")
def critic() -> Critic:
    torch.manual_seed(1)
    return Critic(LlamaForSequenceClassification(config(num_labels=1)), mean=0.5, std=2.0)


def test_log_probs_are_of_the_tempered_distribution(actor: Actor) -> None:
    expected = []
    for prompt, actions in zip(PROMPTS, ACTIONS, strict=True):
        logits = actor.model(input_ids=torch.tensor([prompt + actions])).logits[0]
        tempered = torch.log_softmax(logits / 0.6, dim=-1)
        expected += [tempered[len(prompt) - 1 + place, token] for place, token in enumerate(actions)]
    assert torch.allclose(actor.log_probs(collate(PROMPTS, ACTIONS, CPU)), torch.stack(expected), atol=1e-5)


def test_batch_composition_does_not_change_log_probs_or_values(actor: Actor, critic: Critic) -> None:
    together = collate(PROMPTS, ACTIONS, CPU)
    for function in (actor.log_probs, critic.values):
        alone = torch.cat([function(collate([prompt], [actions], CPU)) for prompt, actions in zip(PROMPTS, ACTIONS, strict=True)])
        assert torch.allclose(function(together), alone, atol=1e-5)


def test_the_paddings_value_changes_nothing(actor: Actor) -> None:
    batch = collate(PROMPTS, ACTIONS, CPU)
    before = actor.log_probs(batch)
    for row, (prompt, actions) in enumerate(zip(PROMPTS, ACTIONS, strict=True)):
        batch.input_ids[row, len(prompt) + len(actions) :] = 11
    assert torch.equal(actor.log_probs(batch), before)


def test_models_are_deterministic_in_training_too(actor: Actor) -> None:
    dropping = Actor(LlamaForCausalLM(config(attention_dropout=0.5)), temperature=1.0)
    batch = collate(PROMPTS, ACTIONS, CPU)
    assert torch.equal(dropping.log_probs(batch), dropping.log_probs(batch))
    dropping.log_probs(batch).sum().backward()
    assert all(parameter.grad is not None for parameter in dropping.parameters())


def test_the_critic_is_the_standardised_reward_model_at_every_state(critic: Critic) -> None:
    values = critic.values(collate(PROMPTS, ACTIONS, CPU))
    first = critic.logits([PROMPTS[0], PROMPTS[0] + ACTIONS[0][:1], PROMPTS[0] + ACTIONS[0][:2]])
    assert values[:3].tolist() == pytest.approx([(logit - 0.5) / 2.0 for logit in first], abs=1e-5)


def test_logits_are_the_reward_models_own(critic: Critic) -> None:
    sequences = [prompt + actions for prompt, actions in zip(PROMPTS, ACTIONS, strict=True)]
    expected = [critic.model(input_ids=torch.tensor([sequence])).logits[0, 0].item() for sequence in sequences]
    assert critic.logits(sequences) == pytest.approx(expected, abs=1e-5)


def test_entropy_of_a_uniform_distribution() -> None:
    assert entropy(torch.full((1, 8), -math.log(8))).item() == pytest.approx(math.log(8))


def test_a_reward_model_without_statistics_is_refused(critic: Critic, tmp_path: Path) -> None:
    critic.model.save_pretrained(tmp_path / "orm")
    with pytest.raises(DataError, match="reward_mean None and reward_std None"):
        load_critic(tmp_path / "orm")
    critic.model.config.reward_mean, critic.model.config.reward_std = 0.5, 2.0
    critic.model.save_pretrained(tmp_path / "orm")
    loaded = load_critic(tmp_path / "orm")
    assert (loaded.mean, loaded.std) == (0.5, 2.0)
    assert loaded.logits([(5, 6)]) == pytest.approx(critic.logits([(5, 6)]))


def test_a_missing_reward_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no reward model"):
        load_critic(tmp_path / "nothing")
