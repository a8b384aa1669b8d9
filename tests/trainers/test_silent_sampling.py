"""Silent failures of sampling and of the ratio: who samples, and from which distribution."""

import copy
import dataclasses
import sys
from contextlib import contextmanager, nullcontext
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from factory.engines.sampler import Sampler, nucleus
from factory.errors import ParamsError
from factory.language import tokens
from factory.params import parse
from pipelines import acting
from trainers import policy, ppo, rollout, run
from trainers.collate import collate
from trainers.machine import Machine
from trainers.policy import Actor

sys.path.insert(0, str(Path(__file__).parent))
import sorts
import zoo
from gradients import SETTINGS, collected, opened, starts
from planted import CPU, ROOT, Plant, caught, replaced, shape


def its_own_copy(actor: Actor, *given: Any) -> rollout.Sample:
    return SAMPLING(copy.deepcopy(actor), *given)


SAMPLING = acting.sampling


def twin_made_once(patch: pytest.MonkeyPatch) -> None:
    acting = Actor.acting

    def stale(self: Actor) -> Any:
        if self._twin is None:
            return acting(self)
        return nullcontext(self._twin[0])

    patch.setattr(Actor, "acting", stale)


@pytest.mark.parametrize(
    ("precision", "plant"), [("float32", replaced(acting, "sampling", its_own_copy)), ("bfloat16", twin_made_once)], ids=["copy", "twin"]
)
@pytest.mark.slow
def test_stale_sampler(precision: Any, plant: Plant, start: Path) -> None:
    """For vLLM: tests/factory/engines/test_vllm_rollouts.py, where faults are planted in the way between the actor and the engine."""
    words = run.load_tokenizer(start)
    prompts, seeds = [one.ids for one in starts(start)], range(6)

    def new_weights_are_what_samples() -> None:
        actor = Actor(run.load(start)[0], 1.0, Machine(precision=precision))
        sample = acting.sampling(actor, words, 8)
        before = sample(prompts, seeds)
        torch.manual_seed(3)
        for parameter in actor.parameters():
            parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
        now = copy.deepcopy(actor.model)
        for parameter in now.parameters():
            parameter.data = parameter.data.to(getattr(torch, precision))
        after = [one.token_ids for one in sample(prompts, seeds)]
        assert after == [one.token_ids for one in Sampler(now, words).sample(prompts, seeds, max_tokens=8, temperature=1.0)]
        assert after != [one.token_ids for one in before]

    caught(new_weights_are_what_samples, plant)


def cut_to(top_p: float) -> Plant:
    return replaced(Sampler, "sample", partialmethod(Sampler.sample, top_p=top_p))


def untempered(patch: pytest.MonkeyPatch) -> None:
    plain = policy.log_probs_and_entropy
    patch.setattr(policy, "log_probs_and_entropy", lambda states, head, targets, _: plain(states, head, targets, 1.0))


@pytest.mark.parametrize("plant", [cut_to(0.8), untempered], ids=["top_p 0.8", "temperature forgotten"])
@pytest.mark.slow
def test_ratio_under_another_distribution_than_was_sampled(plant: Plant, chat: Path) -> None:
    model, words = run.load(chat)
    model.get_input_embeddings().weight.data.mul_(8)  # far from uniform
    actor, draws = Actor(model, 0.6), 4000
    (prompt,) = tokens.prompt_ids(words, [sorts.QUESTION])

    def sampled_as_trained() -> None:
        """E[∇ log π] is 0 where actions come from π; over one state's logits that is frequencies less π."""
        found = acting.sampling(actor, words, 1)([prompt] * draws, range(draws))
        drawn = torch.tensor([one.token_ids[0] if one.token_ids else words.eos_token_id for one in found])
        frequency = torch.bincount(drawn, minlength=len(words)) / draws
        every = collate([tuple(prompt)] * len(words), [(token,) for token in range(len(words))], CPU)
        chances = actor.log_probs(every).exp().detach()
        assert chances.sum().item() == pytest.approx(1.0, abs=1e-4)
        assert (frequency - chances).abs().sum() / 2 < 0.1  # the total variation distance; 4,000 draws alone make 0.07

    caught(sampled_as_trained, plant)


def test_truncated_sampling_makes_ratios_below_one_on_average_and_is_refused() -> None:
    """The mean of π / π_sampler is the mass that is kept: a policy that has not moved looks as if it had."""
    torch.manual_seed(0)
    chances = torch.randn(64, 256).mul(2).softmax(-1)
    kept = nucleus(chances, 0.8)
    sampler = kept / kept.sum(-1, keepdim=True)
    ratio = torch.where(kept > 0, chances / sampler, 0.0)
    assert (sampler * ratio).sum(-1).mean().item() == pytest.approx(kept.sum(-1).mean().item(), abs=1e-5)
    assert 0.8 < (sampler * ratio).sum(-1).mean() < 0.83
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    parse(document)
    for key, value in (("top_p", 0.95), ("top_k", 50), ("min_p", 0.05)):
        asked = copy.deepcopy(document)
        asked["rounds"]["r1"][key] = value
        with pytest.raises(ParamsError, match=f"rounds.r1.*{key} cuts off what is unlikely"):
            parse(asked)


def first_ratio_is_one(start: Path, config: LlamaConfig) -> None:
    torch.manual_seed(0)
    state = opened(start)
    state.actor = Actor(LlamaForCausalLM(config), 1.0)
    rollouts = collected(start, state)
    experience = ppo.evaluate(state, rollouts, SETTINGS)
    batch = collate(rollouts.prompts, rollouts.actions, CPU)
    with torch.no_grad():
        ratio = (state.actor.log_probs(batch) - experience.select([*range(6)]).logprobs).exp()
    assert torch.allclose(ratio, torch.ones_like(ratio), atol=1e-4)


@pytest.mark.slow
def test_dropout_while_ratios_are_computed(start: Path) -> None:
    words = run.load_tokenizer(start)
    dropping = shape(len(words), words.pad_token_id, words.eos_token_id, attention_dropout=0.3, initializer_range=0.5)
    states = Actor.states

    def in_training_mode(self: Actor, ids: torch.Tensor) -> torch.Tensor:
        self.whole.train()
        return states(self, ids)

    caught(partial(first_ratio_is_one, start, dropping), replaced(Actor, "states", in_training_mode))


@pytest.mark.slow
def test_old_log_probabilities_are_taken_when_the_policy_has_moved(start: Path) -> None:
    """The ratio is then 1 whatever happens, and nothing is ever clipped."""

    def the_second_epoch_sees_another_policy() -> None:
        settings = dataclasses.replace(SETTINGS, epochs=2, lr=1e-2)
        state = opened(start, settings)
        rollouts = collected(start, state, settings)
        updates = ppo.update(state, rollouts, ppo.evaluate(state, rollouts, settings), settings)
        assert updates.approx_kl is not None
        assert updates.approx_kl > 1e-4

    caught(the_second_epoch_sees_another_policy, replaced(ppo.Settings, "on_policy", True))


def test_the_samplers_copy_in_bfloat16_rounds_positions(start: Path) -> None:
    def they_are_counted_as_the_policy_does() -> None:
        actor = Actor(run.load(start)[0], 1.0, Machine(precision="bfloat16"))
        with actor.acting() as twin:
            assert twin.dtype == torch.bfloat16
            for one, other in zip(actor.model.buffers(), twin.buffers(), strict=True):
                assert torch.equal(one, other)

    def cast_whole(patch: pytest.MonkeyPatch) -> None:
        acting = Actor.acting

        @contextmanager
        def whole(self: Actor) -> Any:
            with acting(self) as twin:
                yield torch.nn.Module.to(twin, torch.bfloat16)

        patch.setattr(Actor, "acting", whole)

    caught(they_are_counted_as_the_policy_does, cast_whole)


@pytest.mark.parametrize("kind", ["llama", "starcoder2"])
def test_dropout_while_activations_are_recomputed(kind: str) -> None:
    """Transformers recomputes in training mode only; some models drop out in the very modules that recompute. Such a model is refused."""
    words = zoo.byte_tokenizer()
    batch = collate([(65, 66, 67)], [(70, 71)], CPU)
    steady = Actor(zoo.small(kind, len(words), attention_dropout=0.0, residual_dropout=0.0, embedding_dropout=0.0), 1.0)
    steady.recompute(True)
    assert torch.equal(steady.log_probs(batch), steady.log_probs(batch))
    dropping = Actor(zoo.small(kind, len(words), attention_dropout=0.3, residual_dropout=0.3, embedding_dropout=0.3), 1.0)
    with pytest.raises(ParamsError, match=r"training\.recompute is on, expected false for PPO with .*dropout is 0\.3"):
        dropping.recompute(True)
    if kind == "starcoder2":  # what the refusal spares: planted, two equal passes differ
        dropping.model.train()
        assert not torch.equal(dropping.log_probs(batch), dropping.log_probs(batch))


def test_sampling_leaves_recomputation_on(start: Path) -> None:
    actor = Actor(run.load(start)[0], 1.0, Machine(recompute=True))
    actor.recompute(True)
    before = [module.training for module in actor.modules()]
    assert any(before)
    acting.sampling(actor, run.load_tokenizer(start), 2)([(5, 6)], [1])
    assert [module.training for module in actor.modules()] == before
