"""Proximal policy optimisation from start states that are already part answer (Satori, "Restart buffers" and "PPO").

    state = build_state(players.actor, players.critic, settings)                # trainers.players
    log = train(state, starts, sample, reward, settings, eos=1, action_ids={"reflect": 4, …})

One iteration acts (`rollout.collect`), evaluates what it did with the policy and critic that did it (`evaluate`), and improves both on it
(`update`). Every random draw derives from (seed, iteration), so the state holds no generator: models, optimizers, schedules and the
iteration number are all that a resumed run needs. Without a KL coefficient there is no reference.

Several processes each act on their part of an iteration's start states and keep these responses; sums run over all of them, so that a
step's gradient is that of one process.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from factory.errors import DataError, ParamsError
from factory.identity import seed_for
from trainers import machine, shards
from trainers.buffer import Found
from trainers.checkpoints import Checkpoints
from trainers.collate import MICRO_TOKENS, Batch, collate, micro_batches, sibling_batches
from trainers.diagnostics import Diagnostics, Means, Updates, action_rates, describe, progress
from trainers.live import Live
from trainers.losses import explained_variance, gae, importance, moments, policy_loss, scale, value_loss, whiten
from trainers.ppo_state import Learner, Settings, State, build_state, warm_cosine
from trainers.rollout import Again, Order, Rewards, Rollouts, Sample, Start, collect, collect_differing

__all__ = ["Experience", "Learner", "Settings", "State", "build_state", "evaluate", "minibatches", "train", "update", "warm_cosine"]


@dataclass(frozen=True)
class Experience:
    """What the acting policy and critic thought of the responses, (B, R) each, on the models' device; selected, (N,) each. On policy
    `logprobs` may be 0 throughout: `update` then takes those of the pass that trains."""

    mask: Tensor
    logprobs: Tensor
    values: Tensor
    advantages: Tensor  # of unit size over the whole batch
    returns: Tensor
    reference_kl: float | None = None  # log π - log π_reference, the mean over all actions of the batch

    def select(self, rows: list[int]) -> "Experience":
        """The actions of some responses, in the order of `Batch.targets`."""
        mask = self.mask[rows]
        fields = (self.logprobs, self.values, self.advantages, self.returns)
        logprobs, values, advantages, returns = (field[rows][mask] for field in fields)
        return Experience(mask, logprobs, values, advantages, returns)


def train(
    state: State, starts: Sequence[Start], sample: Sample, reward: Rewards, settings: Settings, *, eos: int, action_ids: Mapping[str, int],
    again: Again | None = None, checkpoints: Checkpoints | None = None, live: Live | None = None,
    report: Callable[[str], None] = print,
) -> list[Diagnostics]:  # fmt: skip
    """Run the iterations that `state` lacks, from its last checkpoint if it has done none; returns the log. `again` makes the start states
    of the online buffer, where the settings have one. Raises DataError when a loss, gradient or weight stops being finite."""
    if checkpoints is not None and state.iteration == 0 and (found := checkpoints.latest()):
        state.load(found)
    if settings.batch // settings.samples < machine.world():
        raise ParamsError(
            f"ppo.batch has {settings.batch // settings.samples} start states, expected one for each of {machine.world()} processes"
        )
    order, prompts, began, first = Order(starts, settings.seed), settings.batch // settings.samples, time.monotonic(), state.iteration
    while state.iteration < settings.iterations:
        number = state.iteration + 1
        try:
            everyones, rollouts = _act(order, state, prompts, settings, sample, reward, eos)
            if state.buffer is not None and again is not None:
                state.buffer.add(number, everyones.starts, _restarted(everyones, again, seed_for(settings.seed, "restarted", number)))
            updates, explained, kl = _learn(state, rollouts, settings) if rollouts.starts else (Means(0).updates(), None, None)
        except FloatingPointError as error:
            raise DataError(f"PPO diverged at iteration {number} ({error}), expected finite numbers; nothing saved: lower ppo.lr") from None
        row = Diagnostics(number, describe(everyones, settings.samples), updates, explained, kl, action_rates(everyones, action_ids))
        state.log.append(row)
        state.iteration = number
        state.keep_pace(settings)
        if live is not None:
            live.step(number, row.cells(), tokens_seen=sum(int(row.rollouts["tokens"] or 0) for row in state.log))
        if checkpoints is not None and number < settings.iterations and checkpoints.due():
            with checkpoints.writing(number) as folder:
                state.save(folder)
        report(progress(row, settings.iterations, (time.monotonic() - began) / (number - first)))
    return state.log


def _act(
    order: Order, state: State, prompts: int, settings: Settings, sample: Sample, reward: Rewards, eos: int
) -> tuple[Rollouts, Rollouts]:  # fmt: skip
    """What all processes sampled in this iteration, for the log, and what this one learns from. The log says how far into the order the
    iterations before came."""
    place = sum(int(row.rollouts["groups"] or 0) for row in state.log)
    if state.buffer is not None:
        order.instead = state.buffer.draw(seed_for(settings.seed, "drawn", state.iteration), place, prompts)
    if settings.alike == "keep":
        rollouts = collect(order, place, prompts, settings.samples, sample, reward, eos)
        return rollouts.of_all_processes(), rollouts
    most = prompts * (1 + (settings.refills if settings.alike == "refill" else 0))
    return collect_differing(order, place, prompts, most, settings.samples, sample, reward, eos)


def _restarted(rollouts: Rollouts, again: Again, seed: int) -> list[Found | None]:
    """What the responses of all processes make, each process a part of them."""
    rows = machine.share(len(rollouts.starts))
    mine = rollouts.select(rows)
    return machine.gathered(list(again(mine.starts, mine.responses, mine.rewards, [seed_for(seed, row) for row in rows])))


def _learn(state: State, rollouts: Rollouts, settings: Settings) -> tuple[Updates, float | None, float | None]:
    """What the updates came to, the variance that the critic explained before them, and the KL to the reference."""
    experience = evaluate(state, rollouts, settings)
    updates = update(state, rollouts, experience, settings)
    explained = explained_variance(experience.values, experience.returns, experience.mask, machine.total) if state.critic else None
    return updates, explained, experience.reference_kl


@torch.no_grad()
def evaluate(state: State, rollouts: Rollouts, settings: Settings) -> Experience:
    """Old log-probabilities, as the actor computed them when it acted or else by the same forward pass that trains, and values by that
    pass; then advantages and returns.

    Without a critic every value is 0: an action's advantage is then what followed it, less the siblings' mean, of which the size alone is
    normalised (with no baseline at all, whitening is the baseline). Whitening would centre it a second time: wrong responses that are long
    make the mean over actions negative, and taking it off praises whatever is said where all siblings fare alike. Only a KL penalty comes
    behind the siblings' mean and is not centred.
    """
    device = next(state.actor.parameters()).device
    mask = rollouts.mask.to(device)
    logprobs, values, references = (torch.zeros(mask.shape, device=device) for _ in range(3))
    lacking = state.reference is not None or not settings.on_policy
    if lacking and (acted := rollouts.acted_logprobs) is not None:
        logprobs, lacking = acted.to(device), False
    for rows, _ in _passes(state, rollouts, range(len(rollouts.starts))):
        batch = _batch(state, rollouts, rows, device)
        if lacking:
            _put(logprobs, rows, mask, state.actor.log_probs(batch))
        if state.critic is not None:
            _put(values, rows, mask, state.critic.values(batch))
        if state.reference is not None:
            _put(references, rows, mask, state.reference.log_probs(batch))
    rewards = rollouts.terminal_rewards(settings.samples if "siblings" in settings.baselines else 1).to(device)
    reference_kl = None
    if state.reference is not None:
        rewards -= settings.kl * (logprobs - references)
        reference_kl = float(moments(logprobs - references, mask, machine.total)[0])
    advantages, returns = gae(rewards, values, mask, gamma=settings.gamma, lam=settings.lam)
    normalise = scale if "siblings" in settings.baselines and state.critic is None else whiten
    return Experience(mask, logprobs, values, normalise(advantages, mask, machine.total), returns, reference_kl)


def update(state: State, rollouts: Rollouts, experience: Experience, settings: Settings) -> Updates:
    """One clipped update of actor and critic per minibatch. Raises FloatingPointError when something stops being finite.

    A minibatch's loss is its sum over the mean number of actions in a minibatch of this iteration: every action weighs the same,
    wherever it falls and however a minibatch is cut into passes and processes.
    """
    actor_trains = state.iteration >= settings.critic_warmup
    device = next(state.actor.parameters()).device
    tokens = int(machine.total(torch.tensor(rollouts.tokens, device=device)))
    means = Means(tokens * settings.epochs)
    sizes = machine.gathered([len(rollouts.starts)])
    before, count = sum(sizes[: machine.rank()]), sum(sizes)
    place = {before + row: row for row in range(len(rollouts.starts))}
    share = math.ceil(count / settings.minibatch) / tokens * shards.averaged(state.actor_learner.parameters)
    for epoch in range(settings.epochs):
        seed = seed_for(settings.seed, "minibatches", state.iteration, epoch)
        for minibatch in minibatches(count, settings.minibatch, seed, settings.samples):
            for rows, counts in _passes(state, rollouts, [place[row] for row in minibatch if row in place]):
                batch, old = _batch(state, rollouts, rows, device), experience.select(rows)
                if state.critic is not None:
                    losses = counts * value_loss(state.critic.values(batch), old.values, old.returns, settings.value_clip)
                    _backward(losses.sum() * share)
                    means.add(value_loss=losses)
                if actor_trains:
                    logprobs, spread = state.actor(batch)
                    acted = logprobs.detach() if settings.on_policy else old.logprobs
                    policy = policy_loss(logprobs, acted, old.advantages, settings.clip_low, settings.clip_high)
                    losses = counts * policy.loss
                    if (sampled := rollouts.sampled_logprobs(rows, device)) is not None:
                        weights, gap = importance(acted, sampled, settings.importance)
                        losses = losses * weights
                        means.add(mismatch=counts * gap.abs(), mismatch_kl=counts * (gap.exp() - 1 - gap))
                    _backward(losses.sum() * share)
                    rest = {"approx_kl": policy.kl, "clip_fraction": policy.clipped, "entropy": spread}
                    means.add(policy_loss=losses, **{name: counts * term for name, term in rest.items()})
            if state.critic_learner is not None:
                means.step("critic", state.critic_learner.lr, state.critic_learner.step())
            if actor_trains:
                means.step("actor", state.actor_learner.lr, state.actor_learner.step())
    return means.updates()


def _passes(state: State, rollouts: Rollouts, rows: Sequence[int]) -> list[tuple[list[int], int]]:
    """Siblings next to each other, or rows of about the same length; as many at once as the machine takes, each with 1. Where weights are
    spread, what a process lacks are passes of a row that counts 0."""
    limit = state.actor.machine.tokens_a_pass or MICRO_TOKENS
    if state.shares and len({rollouts.prompts[row] for row in rows}) < len(rows):
        passes = [(part, 1) for part in sibling_batches(rollouts.prompts, rollouts.actions, rows, limit)]
    else:
        passes = [(part, 1) for part in micro_batches(rollouts.lengths, rows, limit)]
    return shards.in_step(passes, ([0], 0), state.actor.machine)


def _backward(loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise FloatingPointError(f"loss {loss.item()}")
    loss.backward()


def minibatches(count: int, size: int, seed: int, samples: int = 1) -> list[list[int]]:
    """All of `range(count)` in a seeded order, `size` at a time; the last may be smaller. Every `samples` rows, siblings, stay together."""
    order = list(range(count // samples))
    random.Random(seed).shuffle(order)
    rows = [first * samples + number for first in order for number in range(samples)]
    return [rows[start : start + size] for start in range(0, count, size)]


def _batch(state: State, rollouts: Rollouts, rows: list[int], device: torch.device) -> Batch:
    return collate([rollouts.prompts[row] for row in rows], [rollouts.actions[row] for row in rows], device, share=state.shares)


def _put(field: Tensor, rows: list[int], mask: Tensor, values: Tensor) -> None:
    """Write (N,) values, in the order of `Batch.targets`, into the rows of a (B, R) field."""
    block = field[rows]
    block[mask[rows]] = values
    field[rows] = block
