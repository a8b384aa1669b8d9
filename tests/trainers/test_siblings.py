"""Responses behind one copy of their prompt: the log-probabilities, values and gradients are those of rows that hold both."""

import dataclasses
import random
from collections.abc import Callable, Sequence

import pytest
import torch
from test_architectures import REFUSED, WORK
from torch import Tensor
from transformers import LlamaConfig, LlamaForSequenceClassification
from zoo import byte_tokenizer, small

from factory.coat.rewards import Reward
from factory.language.conversation import said
from factory.schemas import Restart
from trainers import attention, lora, ppo, rollout
from trainers.collate import Batch, Ids, collate, sibling_batches
from trainers.lora import Lora
from trainers.machine import ALONE, Machine
from trainers.policy import Actor, Critic

CPU = torch.device("cpu")
SIZES = [(5, 12), (5, 3), (5, 11), (1, 7), (1, 1), (5, 1), (9, 20)]  # tokens of prompt and response; the prompt of each size is one


def ids(count: int, seed: int) -> Ids:
    return tuple(random.Random(seed).choices(range(3, 290), k=count))


PROMPTS = [ids(asked, asked) for asked, _ in SIZES]
ACTIONS = [ids(said, 100 * said + number) for number, (_, said) in enumerate(SIZES)]


def gradients(model: torch.nn.Module, of: Callable[[Batch], Tensor], *, share: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """What a model makes of the seven responses, and the gradients of a sum that weighs each token differently."""
    model.zero_grad()
    batch = collate(PROMPTS, ACTIONS, CPU, share=share)
    assert (batch.siblings is not None) == share
    found = of(batch)
    (found * torch.linspace(-1, 1, len(found))).mean().backward()
    return found.detach(), {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def assert_shared_equals_apart(model: torch.nn.Module, of: Callable[[Batch], Tensor]) -> None:
    (apart, slopes), (shared, other) = (gradients(model, of, share=share) for share in (False, True))
    torch.testing.assert_close(shared, apart, rtol=0, atol=1e-5)
    assert slopes.keys() == other.keys()
    assert any(slope.abs().max() > 0.01 for slope in slopes.values())
    for name, slope in slopes.items():
        torch.testing.assert_close(other[name], slope, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("name", WORK)
def test_every_supported_architecture_shares_prompts(name: str) -> None:
    kind, changes = WORK[name]
    actor = Actor(small(kind, 300, **changes).float(), 0.7)
    assert actor.shares
    assert_shared_equals_apart(actor, actor.log_probs)


@pytest.mark.parametrize("name", [name for name, (_, _, cause) in REFUSED.items() if "window" in cause or "ALiBi" in cause])
def test_others_keep_a_row_for_each_response(name: str) -> None:
    kind, changes, _ = REFUSED[name]
    model = small(kind, 300, **changes)
    assert not attention.enable(model)
    assert model.config._attn_implementation != attention.NAME


def llama(**more: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=64, initializer_range=0.3, pad_token_id=0, eos_token_id=1, **more,
    )  # fmt: skip


def critic(machine: Machine = ALONE) -> Critic:
    torch.manual_seed(1)
    return Critic(LlamaForSequenceClassification(llama(num_labels=1)), 0.5, 2.0, machine)


def test_values_are_the_same() -> None:
    one = critic()
    assert_shared_equals_apart(one, one.values)


def test_recomputed_layers_and_adapters_see_the_same_siblings() -> None:
    actor = Actor(lora.adapt(small("llama", 300), Lora(rank=4, alpha=8), byte_tokenizer()), 0.7)
    for name, weight in actor.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(1))
    actor.recompute(True)
    assert_shared_equals_apart(actor, actor.log_probs)


def test_bfloat16_differs_by_its_rounding_only() -> None:
    one = critic(Machine(precision="bfloat16"))
    with torch.no_grad():
        apart, shared = (one.values(collate(PROMPTS, ACTIONS, CPU, share=share)) for share in (False, True))
        exact = critic().values(collate(PROMPTS, ACTIONS, CPU))
    assert (shared - exact).abs().max() < 2 * (apart - exact).abs().max()


def test_a_model_that_ignores_the_layout_fails_instead_of_attending_to_strangers() -> None:
    actor = Actor(small("llama", 300), 0.7)
    actor.model.set_attn_implementation("sdpa")
    with pytest.raises((RuntimeError, TypeError)):
        actor.log_probs(collate(PROMPTS, ACTIONS, CPU, share=True))


def test_a_prompt_stands_there_once_and_last_actions_are_no_input() -> None:
    batch = collate([(5, 6, 7), (5, 6, 7), (4,)], [(8, 9, 1), (2, 1), (3, 3, 1)], CPU, share=True)
    assert batch.input_ids.tolist() == [[5, 6, 7, 4, 0, 0, 8, 9, 3, 3, 2]]
    assert batch.siblings is not None
    assert batch.siblings.positions.tolist() == [[0, 1, 2, 0, 1, 2, 3, 4, 1, 2, 3]]
    assert batch.states.tolist() == [2, 6, 7, 2, 10, 3, 8, 9]
    assert batch.targets.tolist() == [8, 9, 1, 2, 1, 3, 3, 1]


def test_passes_hold_every_response_once_and_siblings_together() -> None:
    prompts, actions = [ids(5 + number // 4, number // 4) for number in range(32)], [ids(1 + number % 7, number) for number in range(32)]
    rows = random.Random(1).sample(range(32), 30)
    passes = sibling_batches(prompts, actions, rows, 80)
    assert sorted(row for part in passes for row in part) == sorted(rows)
    assert all(
        collate([prompts[row] for row in part], [actions[row] for row in part], CPU, share=True).input_ids.numel() <= 80 for part in passes
    )
    assert sum(len({prompts[row] for row in part}) for part in passes) <= 8 + len(passes) - 1
    assert sibling_batches(prompts, actions, [3, 4], 1) == [[4], [3]]


def test_siblings_stay_in_one_minibatch() -> None:
    cut = ppo.minibatches(24, 8, seed=1, samples=4)
    assert sorted(row for rows in cut for row in rows) == list(range(24))
    assert all(len({row // 4 for row in rows}) == 2 for rows in cut)
    assert cut != ppo.minibatches(24, 8, seed=2, samples=4)


def rollouts(samples: int) -> rollout.Rollouts:
    row = Restart(
        id="", problem_id="p", parent_id=None, buffer="0", backtrack=0, prompt=said("user", "?"), prefix="", prefix_has_answer=False,
        answer="", answer_kind="text", round="r1",
    )  # fmt: skip
    starts = [rollout.Start(row, ids(5 + number % 3, number)) for number in range(4) for _ in range(samples)]
    responses = [rollout.Response(ids(2 + number % 9, number), ids(2 + number % 9, number), False) for number in range(len(starts))]
    return rollout.Rollouts(starts, responses, [Reward("wrong", float(number % 3), 0.0, 0.0) for number in range(len(starts))])


@pytest.mark.parametrize("changes", [{}, {"baselines": ("siblings",), "lam": 1.0}, {"minibatch": 8, "epochs": 2, "kl": 0.1}])
def test_an_update_is_the_same(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ppo.Settings(
        iterations=2, batch=16, minibatch=16, epochs=1, samples=4, temperature=0.7, lr=1e-3, critic_lr=1e-3, warmup_share=0.1,
        critic_warmup=0, clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0, lam=0.95, kl=0.0,
        baselines=("critic", "siblings"), max_grad_norm=1.0, seed=1,
    )  # fmt: skip
    settings = dataclasses.replace(settings, **changes)
    tokens: list[int] = []
    base = Actor.forward

    def counted(actor: Actor, batch: Batch) -> tuple[Tensor, Tensor]:
        tokens.append(batch.input_ids.numel())
        return base(actor, batch)

    monkeypatch.setattr(Actor, "forward", counted)

    def updated(shares: bool) -> tuple[Sequence[Tensor], dict[str, float | None], int]:
        tokens.clear()
        state = ppo.build_state(Actor(small("llama", 300), 0.7), critic() if "critic" in settings.baselines else None, settings)
        state.actor.shares = shares
        found = rollouts(4)
        report = ppo.update(state, found, ppo.evaluate(state, found, settings), settings)
        return [weight.detach() for learner in state.learners for weight in learner.parameters], dataclasses.asdict(report), sum(tokens)

    (apart, said, many), (shared, says, few) = updated(False), updated(True)
    assert few < many
    for one, other in zip(apart, shared, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=2e-5)
    assert {name: value for name, value in says.items() if value is not None} == pytest.approx(
        {name: value for name, value in said.items() if value is not None}, rel=1e-3, abs=1e-5
    )
