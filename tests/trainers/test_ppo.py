"""PPO's invariants on real tiny models, and that it learns a toy task.

The task: prompt `a` wants `b`, prompt `c` wants `d`. Ids: 0 pad, 1 end, 2 a, 3 b, 4 c, 5 d, 6 and 7 noise.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from factory.coat.rewards import Reward
from factory.engines.sampler import Sampled, Sampler
from factory.errors import DataError, ParamsError
from factory.language.conversation import said
from factory.schemas import Restart
from trainers import ppo
from trainers.buffer import Quotas
from trainers.checkpoints import Checkpoints
from trainers.collate import Ids, collate, micro_batches
from trainers.losses import policy_loss
from trainers.policy import Actor, Critic
from trainers.ppo import Learner, Settings, State, build_state, evaluate, train, warm_cosine
from trainers.rollout import Order, Response, Sample, Start, collect

VOCABULARY = ["<pad>", "<end>", "a", "b", "c", "d", "e", "f"]
EOS = 1
SETTINGS = Settings(
    iterations=3, batch=32, minibatch=16, epochs=1, samples=1, temperature=1.0, lr=1e-3, critic_lr=1e-3, warmup_share=0.1, critic_warmup=0,
    clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0, lam=0.95, kl=0.0, baselines=("critic",), max_grad_norm=1.0, seed=1,
)  # fmt: skip
STARTS = [
    Start(
        Restart(
            id=f"{number}", problem_id="p", parent_id=None, buffer="0" if number % 3 else "-", backtrack=0, prompt=said("user", asked),
            prefix="", prefix_has_answer=False, answer=wanted, answer_kind="text", round="r1",
        ), (VOCABULARY.index(asked),),
    ) for number, (asked, wanted) in enumerate([("a", "b"), ("c", "d")] * 6)
]  # fmt: skip


def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<pad>")


def fresh(settings: Settings = SETTINGS) -> State:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, max_position_embeddings=16,
        pad_token_id=0, eos_token_id=EOS,
    )  # fmt: skip
    actor = Actor(LlamaForCausalLM(config), settings.temperature)
    config.num_labels = 1
    critic = Critic(LlamaForSequenceClassification(config), 0.0, 1.0) if "critic" in settings.baselines else None
    return build_state(actor, critic, settings)


def draw(state: State, prompts: Sequence[Ids], seeds: Sequence[int]) -> list[Sampled]:
    return Sampler(state.actor.model, tokenizer()).sample(prompts, seeds, max_tokens=4, temperature=state.actor.temperature)


def sampling(state: State) -> Sample:
    return partial(draw, state)


def first_token_right(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
    right = [VOCABULARY[response.actions[0]] == start.row.answer for start, response in zip(starts, responses, strict=True)]
    return [Reward("correct" if one else "wrong", float(one) - 1.0, 0.0, 0.0) for one in right]


def run(state: State, settings: Settings) -> list[str]:
    lines: list[str] = []
    train(state, STARTS, sampling(state), first_token_right, settings, eos=EOS, action_ids={"reflect": 6}, report=lines.append)
    return lines


def weights(module: torch.nn.Module | None) -> list[torch.Tensor]:
    assert module is not None
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def learnt(**changes: Any) -> State:
    """The state after it has learnt the toy task from chance."""
    settings = dataclasses.replace(SETTINGS, iterations=20, batch=64, minibatch=32, lr=1e-2, **changes)
    state = fresh(settings)
    run(state, settings)
    accuracy = [row.rollouts["accuracy"] or 0.0 for row in state.log]
    assert accuracy[0] < 0.4
    assert sum(accuracy[-3:]) / 3 > 0.9
    return state


@pytest.mark.slow
def test_a_toy_task_is_learnt_from_chance() -> None:
    assert learnt(critic_lr=1e-2, critic_warmup=1).critic is not None


@pytest.mark.slow
def test_siblings_alone_are_baseline_enough() -> None:
    state = learnt(samples=4, lam=1.0, baselines=("siblings",))
    assert state.critic is None
    assert state.critic_learner is None
    cells = state.log[-1].cells()
    assert [cells[name] for name in ("value_loss", "critic_grad_norm", "critic_lr", "explained_variance")] == [None] * 4
    assert cells["approx_kl"] is not None


def test_the_ratio_is_one_on_the_first_minibatch() -> None:
    state = fresh()
    rollouts = collect(Order(STARTS, 1), 0, 32, 1, sampling(state), first_token_right, EOS)
    experience = evaluate(state, rollouts, SETTINGS)
    rows = ppo.minibatches(32, 16, seed=5)[0]
    batch = collate([rollouts.prompts[row] for row in rows], [rollouts.actions[row] for row in rows], torch.device("cpu"))
    logprobs = state.actor.log_probs(batch)
    old = experience.select(rows)
    assert torch.allclose((logprobs - old.logprobs).exp(), torch.ones_like(logprobs), atol=1e-5)
    assert not policy_loss(logprobs, old.logprobs, old.advantages, 0.2, 0.2).clipped.any()


@pytest.mark.slow
def test_learning_rate_zero_keeps_the_ratio_one_and_the_weights() -> None:
    settings = dataclasses.replace(SETTINGS, lr=0.0, critic_lr=0.0, epochs=2)
    state = fresh(settings)
    before = weights(state.actor), weights(state.critic)
    run(state, settings)
    assert same(before[0], weights(state.actor))
    assert same(before[1], weights(state.critic))
    for row in state.log:
        assert row.updates.approx_kl == pytest.approx(0.0, abs=1e-9)
        assert row.updates.clip_fraction == 0.0


def test_old_log_probs_are_what_the_sampler_drew_from() -> None:
    """At temperature 1 the sampler's own log-probabilities (plain softmax) must agree with the recomputed ones."""
    state = fresh()
    sampled = draw(state, [start.ids for start in STARTS], range(len(STARTS)))
    batch = collate([start.ids for start in STARTS], [one.token_ids or (EOS,) for one in sampled], torch.device("cpu"))
    recomputed = state.actor.log_probs(batch).tolist()
    place = 0
    for one in sampled:
        if one.token_ids:
            assert recomputed[place : place + len(one.token_ids)] == pytest.approx(one.logprobs, abs=1e-4)
        place += len(one.token_ids) or 1


def test_what_the_actor_computed_when_it_acted_is_what_a_pass_of_its_own_would_find() -> None:
    settings = dataclasses.replace(SETTINGS, temperature=0.6)
    state = fresh(settings)
    rollouts = collect(Order(STARTS, 1), 0, 32, 1, sampling(state), first_token_right, EOS)
    assert {response.finished for response in rollouts.responses} == {True, False}
    forgot = dataclasses.replace(rollouts, responses=[dataclasses.replace(response, acted=None) for response in rollouts.responses])
    acted, again = (evaluate(state, each, settings) for each in (rollouts, forgot))
    assert forgot.acted_logprobs is None
    assert acted.logprobs.any()
    torch.testing.assert_close(acted.logprobs, again.logprobs, rtol=0, atol=1e-5)
    assert torch.equal(acted.advantages, again.advantages)


def test_critic_warm_up_trains_only_the_critic() -> None:
    settings = dataclasses.replace(SETTINGS, iterations=2, critic_warmup=1)
    state = fresh(settings)
    before = weights(state.actor), weights(state.critic)
    after: list[list[torch.Tensor]] = []

    def report(_: str) -> None:
        after.append(weights(state.actor))

    train(state, STARTS, sampling(state), first_token_right, settings, eos=EOS, action_ids={}, report=report)
    assert same(before[0], after[0])
    assert not same(before[0], after[1])
    assert not same(before[1], weights(state.critic))
    assert state.log[0].updates.approx_kl is None
    assert state.log[1].updates.approx_kl is not None


def test_no_kl_coefficient_no_reference_model() -> None:
    assert fresh().reference is None


@pytest.mark.slow
def test_the_kl_penalty_counts_the_distance_to_a_frozen_reference() -> None:
    settings = dataclasses.replace(SETTINGS, kl=0.1, lam=1.0)
    state = fresh(settings)
    assert state.reference is not None
    frozen = weights(state.reference)
    run(state, settings)
    assert same(frozen, weights(state.reference))
    rollouts = collect(Order(STARTS, 1), 0, 32, 1, sampling(state), first_token_right, EOS)
    experience = evaluate(state, rollouts, settings)
    for row, (prompt, actions) in enumerate(zip(rollouts.prompts, rollouts.actions, strict=True)):
        batch = collate([prompt], [actions], torch.device("cpu"))
        distance = (state.actor.log_probs(batch) - state.reference.log_probs(batch)).sum().item()
        # γ = λ = 1: the first state's return is the sum of all rewards
        assert experience.returns[row, 0].item() == pytest.approx(rollouts.rewards[row].total - 0.1 * distance, abs=1e-4)


def test_how_a_minibatch_is_cut_into_forwards_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is normalised by the count of actions of the whole iteration, not by means of micro-batches."""
    whole, cut = fresh(), fresh()
    settings = dataclasses.replace(SETTINGS, iterations=1)
    run(whole, settings)
    monkeypatch.setattr(ppo, "micro_batches", partial(micro_batches, limit=9))
    run(cut, settings)
    for one, other in zip(weights(whole.actor) + weights(whole.critic), weights(cut.actor) + weights(cut.critic), strict=True):
        assert torch.allclose(one, other, atol=2e-5)
    assert whole.log[0].updates.critic_grad_norm == pytest.approx(cut.log[0].updates.critic_grad_norm, rel=1e-3)


def test_advantages_are_whitened_over_the_whole_batch() -> None:
    state = fresh()
    rollouts = collect(Order(STARTS, 1), 0, 32, 1, sampling(state), first_token_right, EOS)
    experience = evaluate(state, rollouts, SETTINGS)
    chosen = experience.advantages[experience.mask]
    assert chosen.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert chosen.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)


def test_where_all_siblings_fare_alike_nothing_is_learnt() -> None:
    """However long the wrong responses to another prompt are: their mean must not become praise for these."""
    settings = dataclasses.replace(SETTINGS, samples=4, lam=1.0, baselines=("siblings",))
    state = fresh(settings)

    def reward(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
        short = [start.row.answer == "b" and len(response.actions) < 3 for start, response in zip(starts, responses, strict=True)]
        return [Reward("correct" if one else "wrong", float(one) - 1.0, 0.0, 0.0) for one in short]

    rollouts = collect(Order(STARTS, 1), 0, 8, 4, sampling(state), reward, EOS)
    advantages = evaluate(state, rollouts, settings).advantages
    hopeless = [row for row, start in enumerate(rollouts.starts) if start.row.answer == "d"]
    assert hopeless
    assert not advantages[hopeless].any()
    chosen = advantages[rollouts.mask]
    assert chosen.square().mean().item() == pytest.approx(1.0, abs=1e-4)
    assert abs(chosen.mean().item()) > 0.01  # the bias that whitening would have added


@pytest.mark.parametrize("baselines", [("critic", "siblings"), ()])
def test_with_a_critic_beside_the_siblings_and_without_any_baseline_advantages_are_whitened(baselines: tuple[str, ...]) -> None:
    settings = dataclasses.replace(SETTINGS, samples=4, lam=1.0, baselines=baselines)
    state = fresh(settings)
    rollouts = collect(Order(STARTS, 1), 0, 8, 4, sampling(state), first_token_right, EOS)
    experience = evaluate(state, rollouts, settings)
    assert experience.advantages[experience.mask].mean().item() == pytest.approx(0.0, abs=1e-5)


def test_on_policy_the_old_log_probs_need_no_pass_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(SETTINGS, minibatch=32, samples=4, lam=1.0, baselines=("siblings",))
    assert settings.on_policy
    assert not SETTINGS.on_policy
    spared, paid = fresh(settings), fresh(settings)
    rollouts = collect(Order(STARTS, settings.seed), 0, 8, 4, sampling(spared), first_token_right, EOS)
    assert not evaluate(spared, rollouts, settings).logprobs.any()
    batch = collate(rollouts.prompts, rollouts.actions, torch.device("cpu"))
    acted = spared.actor(batch)[1].mean().item()
    run(spared, settings)
    monkeypatch.setattr(Settings, "on_policy", False)
    run(paid, settings)
    for one, other in zip(weights(spared.actor), weights(paid.actor), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert spared.log[0].updates.entropy == pytest.approx(acted, abs=1e-5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    one, other = fresh(), fresh()
    run(one, SETTINGS)
    run(other, SETTINGS)
    assert same(weights(one.actor), weights(other.actor))
    assert [row.cells() for row in one.log] == [row.cells() for row in other.log]


def halves(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
    """One sibling in two is right where `b` is wanted, none elsewhere."""
    right = [start.row.answer == "b" and number % 2 == 0 for number, start in enumerate(starts)]
    return [Reward("correct" if one else "wrong", float(one) - 1.0, 0.0, 0.0) for one in right]


SIBLINGS = dataclasses.replace(SETTINGS, samples=4, lam=1.0, baselines=("siblings",), critic_lr=0.0)


@pytest.mark.parametrize(("alike", "groups"), [("skip", [8, 8, 8]), ("refill", None)])
def test_groups_that_fare_alike_are_left_out_or_replaced(alike: Any, groups: list[int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, trained = dataclasses.replace(SIBLINGS, alike=alike), list[int]()
    state, evaluated = fresh(settings), ppo.evaluate

    def seen(state: State, rollouts: Any, settings: Settings) -> ppo.Experience:
        assert {start.row.answer for start in rollouts.starts} == {"b"}
        trained.append(len(rollouts.starts) // 4)
        return evaluated(state, rollouts, settings)

    monkeypatch.setattr(ppo, "evaluate", seen)
    train(state, STARTS, sampling(state), halves, settings, eos=EOS, action_ids={}, report=lambda _: None)
    sampled, same = ([int(row.rollouts[name] or 0) for row in state.log] for name in ("groups", "groups_alike"))
    assert all(same), "half of the start states want d"
    if alike == "skip":
        assert sampled == groups
        assert trained == [all_ - alike for all_, alike in zip(sampled, same, strict=True)]
    else:
        assert trained == [8, 8, 8]
        assert all(8 < count <= 8 * (1 + settings.refills) for count in sampled)


@pytest.mark.slow
def test_learning_rates_fall_as_planned_where_updates_are_left_out() -> None:
    settings = dataclasses.replace(SIBLINGS, alike="skip", minibatch=4, iterations=6)
    state = fresh(settings)
    run(state, settings)
    assert any(int(row.rollouts["groups_alike"] or 0) for row in state.log)
    assert state.actor_learner.lr == pytest.approx(0.1 * settings.lr)


def test_an_iteration_in_which_all_groups_fare_alike_changes_no_weight() -> None:
    settings = dataclasses.replace(SIBLINGS, alike="refill", refills=1)
    state = fresh(settings)
    before = weights(state.actor)

    def hopeless(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
        return [Reward("wrong", -1.0, number / 100, 0.0) for number in range(len(starts))]  # the reward model alone tells them apart

    train(state, STARTS, sampling(state), hopeless, settings, eos=EOS, action_ids={}, report=lambda _: None)
    assert same(before, weights(state.actor))
    assert [(row.rollouts["groups"], row.rollouts["groups_alike"], row.updates.policy_loss) for row in state.log] == [(16, 16, None)] * 3


def restarting(starts: Sequence[Start], responses: Sequence[Response], rewards: Sequence[Any], seeds: Sequence[int]) -> list[Any]:
    """The first token of a finished response is the prefix."""
    made: list[Any] = []
    for start, response, one, seed in zip(starts, responses, rewards, seeds, strict=True):
        row = dataclasses.replace(start.row, id=f"{start.row.id}.{seed}", buffer="+" if one.correct else "-", prefix="x")
        made.append((row, (*start.ids, response.actions[0])) if response.finished else None)
    return made


ONLINE = dataclasses.replace(SIBLINGS, iterations=4, alike="refill", online=Quotas(share=0.5, per_sign=20, per_problem=9, depth=2))


def online(state: State, **more: Any) -> list[Any]:
    return train(
        state, STARTS, sampling(state), first_token_right, ONLINE, eos=EOS, action_ids={}, again=restarting, report=lambda _: None, **more
    )


@pytest.mark.slow
def test_own_responses_become_start_states_of_later_iterations() -> None:
    state = fresh(ONLINE)
    log = online(state)
    assert [row.rollouts["groups_online"] for row in log[:2]] == [0, 4]
    assert all(0 < (row.rollouts["groups_online"] or 0) <= 4 for row in log[1:])
    assert log[0].rollouts["accuracy_+"] is None
    assert log[1].rollouts["accuracy_+"] is not None
    assert state.buffer is not None
    assert {depth for _, depth in state.buffer.held} == {1, 2}
    other = fresh(ONLINE)
    assert [row.cells() for row in online(other)] == [row.cells() for row in log]
    assert other.buffer == state.buffer


@pytest.mark.slow
def test_a_checkpoint_holds_the_online_buffer(tmp_path: Path) -> None:
    straight = fresh(ONLINE)
    online(straight)
    kept = Checkpoints(tmp_path / "kept", "text", minutes=0.0, kept=9)
    online(fresh(ONLINE), checkpoints=kept)
    resumed = fresh(ONLINE)
    resumed.load(kept.folder(2))
    assert resumed.iteration == 2
    online(resumed)
    assert same(weights(straight.actor), weights(resumed.actor))
    assert straight.buffer == resumed.buffer


@pytest.mark.slow
def test_refilling_goes_on_where_it_stopped() -> None:
    """How far into the order an iteration came hangs on what was sampled: the log says it."""
    settings = dataclasses.replace(SIBLINGS, alike="refill")
    straight, stopped = fresh(settings), fresh(settings)

    class Stop(Exception):
        pass

    def stop(_: str) -> None:
        raise Stop

    def go_on(state: State, report: Any) -> None:
        train(state, STARTS, sampling(state), halves, settings, eos=EOS, action_ids={}, report=report)

    go_on(straight, lambda _: None)
    with pytest.raises(Stop):
        go_on(stopped, stop)
    go_on(stopped, lambda _: None)
    assert same(weights(straight.actor), weights(stopped.actor))
    assert [row.cells() for row in straight.log] == [row.cells() for row in stopped.log]


@pytest.mark.slow
def test_a_state_holds_all_that_a_later_run_needs() -> None:
    """Stopping after an iteration and going on with the same state equals going on without a stop."""
    straight, stopped = fresh(), fresh()
    run(straight, SETTINGS)

    class Stop(Exception):
        pass

    def stop(_: str) -> None:
        raise Stop

    with pytest.raises(Stop):
        train(stopped, STARTS, sampling(stopped), first_token_right, SETTINGS, eos=EOS, action_ids={}, report=stop)
    assert stopped.iteration == 1
    run(stopped, SETTINGS)
    assert same(weights(straight.actor), weights(stopped.actor))
    assert same(weights(straight.critic), weights(stopped.critic))


def test_divergence_is_an_error_that_names_the_iteration() -> None:
    def infinite(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
        return [Reward("correct", float("inf"), 0.0, 0.0)] * len(starts)

    state = fresh()
    with pytest.raises(DataError, match=r"diverged at iteration 1 .*lower ppo\.lr"):
        train(state, STARTS, sampling(state), infinite, SETTINGS, eos=EOS, action_ids={})


def test_a_weight_that_is_no_number_is_noticed_by_the_update_that_made_it() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    learner = Learner(list(module.parameters()), 0.1, 1, SETTINGS)
    module.weight.grad = torch.zeros(1, 1)
    torch.nn.init.constant_(module.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="a weight is no number"):
        learner.step()


def test_the_log_has_every_diagnostic_every_iteration() -> None:
    state = fresh()
    lines = run(state, SETTINGS)
    assert len(lines) == len(state.log) == 3
    assert lines[2].startswith("3/3  reward -")
    assert "0 s left" in lines[2]
    expected = (
        "iteration reward reward_rule reward_orm reward_bonus accuracy accuracy_0 accuracy_+ accuracy_- accuracy_t wrong_to_right "
        "right_to_wrong response_length truncated_share tokens explainable_variance groups groups_alike groups_online value_loss "
        "policy_loss approx_kl clip_fraction "
        "critic_grad_norm actor_grad_norm critic_lr actor_lr entropy mismatch mismatch_kl explained_variance reference_kl reflect"
    )
    assert list(state.log[0].cells()) == expected.split()
    assert [row.cells()["iteration"] for row in state.log] == [1, 2, 3]
    assert state.log[0].rollouts["accuracy_+"] is None


def test_schedule_rises_then_falls_to_a_tenth() -> None:
    shares = [warm_cosine(step, 4, 24) for step in range(25)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[4] == 1.0
    assert shares[14] == pytest.approx(0.55)  # half way: 0.1 + 0.9 · 0.5
    assert shares[24] == pytest.approx(0.1)
    assert all(before >= after for before, after in itertools.pairwise(shares[4:]))


def test_minibatches_hold_every_response_once() -> None:
    cut = ppo.minibatches(10, 4, seed=1)
    assert [len(rows) for rows in cut] == [4, 4, 2]
    assert sorted(row for rows in cut for row in rows) == list(range(10))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"ppo\.batch is 32, expected a multiple"):
        dataclasses.replace(SETTINGS, samples=5)
    with pytest.raises(ParamsError, match=r"ppo\.critic_warmup is 3"):
        dataclasses.replace(SETTINGS, critic_warmup=3)
    with pytest.raises(ParamsError, match=r"ppo\.critic_warmup is 1, expected 0"):
        dataclasses.replace(SETTINGS, critic_warmup=1, samples=2, baselines=("siblings",), lam=1.0)
    for baselines in ((), ("siblings",)):
        with pytest.raises(ParamsError, match=r"ppo\.lam is 0\.95, expected 1: without a critic"):
            dataclasses.replace(SETTINGS, samples=2, baselines=baselines)
    with pytest.raises(ParamsError, match=r"ppo\.alike is skip, expected keep"):
        dataclasses.replace(SETTINGS, alike="skip")
    with pytest.raises(ParamsError, match=r"ppo\.baselines names siblings"):
        dataclasses.replace(SETTINGS, lam=1.0, baselines=("siblings",))
