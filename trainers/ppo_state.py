"""What a round of PPO is set to, and all that its training changes: models, optimizers, schedules, the iteration, the log.

state = build_state(players.actor, players.critic, Settings(iterations=60, batch=128, …))
state.save(folder), state.load(folder)          # in a checkpoint: what a resumed run needs
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

from factory.errors import ParamsError
from trainers import machine, shards
from trainers.buffer import OnlineBuffer, Quotas
from trainers.diagnostics import Diagnostics
from trainers.policy import Actor, Critic

FLOOR = 0.1  # the learning rate's cosine ends at this share of its peak
BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class Settings:
    """As in `params.yaml` (ppo, and the round's temperature and samples)."""

    iterations: int
    batch: int  # responses an iteration
    minibatch: int
    epochs: int
    samples: int  # responses a start state
    temperature: float
    lr: float
    critic_lr: float
    warmup_share: float
    critic_warmup: int  # first iterations, in which only the critic trains
    clip_low: float  # the ratio of new to old probability stays above 1 - clip_low and below 1 + clip_high
    clip_high: float
    value_clip: float
    gamma: float
    lam: float
    kl: float
    baselines: tuple[str, ...]  # critic, siblings (a response's reward less the mean of its siblings'), or both
    max_grad_norm: float
    seed: int
    alike: Literal["keep", "skip", "refill"] = "keep"  # groups whose siblings are all right or all wrong
    refills: int = 2  # refill: at most so many batches are sampled beside the first
    online: Quotas | None = None  # the policy's own responses as start states of later iterations
    importance: float | None = None  # most that a response's token counts where the sampler computed its log-probability otherwise

    def __post_init__(self) -> None:
        if self.batch % self.samples:
            raise ParamsError(f"ppo.batch is {self.batch}, expected a multiple of the round's samples, {self.samples}")
        if "siblings" in self.baselines and self.samples == 1:
            raise ParamsError("ppo.baselines names siblings, expected a round with more than one of samples")
        if self.alike != "keep" and "siblings" not in self.baselines:
            raise ParamsError(f"ppo.alike is {self.alike}, expected keep: ppo.baselines names no siblings, whatever is alike teaches")
        if self.lam < 1 and "critic" not in self.baselines:
            raise ParamsError(
                f"ppo.lam is {self.lam:g}, expected 1: without a critic in ppo.baselines every value is 0, and λ only fades the reward of "
                "actions far from the end"
            )
        if self.critic_warmup and "critic" not in self.baselines:
            raise ParamsError(f"ppo.critic_warmup is {self.critic_warmup}, expected 0: ppo.baselines names no critic")
        if self.critic_warmup >= self.iterations:
            raise ParamsError(f"ppo.critic_warmup is {self.critic_warmup}, expected less than ppo.iterations, {self.iterations}")

    @property
    def updates_per_epoch(self) -> int:
        return math.ceil(self.batch / self.minibatch)

    @property
    def on_policy(self) -> bool:
        """One update an iteration: the policy that improves is still the one that acted."""
        return self.epochs * self.updates_per_epoch == 1

    def updates(self, iterations: int) -> int:
        return iterations * self.epochs * self.updates_per_epoch


class Learner:
    """A model's optimizer, schedule and gradient clipping."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter], lr: float, updates: int, settings: Settings) -> None:
        self.parameters, self.max_norm = parameters, settings.max_grad_norm
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(parameters, lr=lr, betas=BETAS, weight_decay=0.0)
        self.schedule = LambdaLR(self.optimizer, lambda step: warm_cosine(step, round(updates * settings.warmup_share), updates))

    @property
    def lr(self) -> float:
        return float(self.schedule.get_last_lr()[0])

    def step(self) -> float:
        """Apply the gradients of all processes; returns their norm before clipping. Raises FloatingPointError when it or a weight is not
        finite."""
        machine.add_gradients(shards.unspread(self.parameters))
        norm = float(shards.full(torch.nn.utils.clip_grad_norm_(self.parameters, self.max_norm)))
        if not math.isfinite(norm):
            raise FloatingPointError(f"gradient norm {norm}")
        self.optimizer.step()
        if not math.isfinite(float(shards.full(torch.nn.utils.get_total_norm([parameter.detach() for parameter in self.parameters])))):
            raise FloatingPointError("a weight is no number")
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        return norm


@dataclass
class State:
    """All that training changes, and so all that a checkpoint holds."""

    actor: Actor
    critic: Critic | None
    reference: Actor | None
    actor_learner: Learner
    critic_learner: Learner | None
    buffer: OnlineBuffer | None = None
    iteration: int = 0
    log: list[Diagnostics] = field(default_factory=list)

    @property
    def shares(self) -> bool:
        """Whether all models can take a prompt among its responses."""
        return all(player.shares for player in (self.actor, self.critic, self.reference) if player is not None)

    @property
    def learners(self) -> list[Learner]:
        return [learner for learner in (self.actor_learner, self.critic_learner) if learner is not None]

    def keep_pace(self, settings: Settings) -> None:
        """An iteration whose groups fared alike made fewer updates than planned: the learning rates fall all the same."""
        planned = [(self.actor_learner, self.iteration - settings.critic_warmup), (self.critic_learner, self.iteration)]
        for learner, iterations in planned:
            while learner is not None and learner.schedule.last_epoch < settings.updates(max(0, iterations)):
                learner.schedule.step()

    def save(self, folder: Path) -> None:
        """To be called in all processes: the first writes all, or each its part where weights are spread."""
        learners = [
            {**shards.parts(learner.parameters, learner.optimizer), "schedule": learner.schedule.state_dict()} for learner in self.learners
        ]
        held = {"iteration": self.iteration, "learners": learners, "log": json.dumps([asdict(row) for row in self.log])}
        buffer = self.buffer.written() if self.buffer else ""
        shards.write(folder, {**held, "buffer": buffer}, self.actor_learner.parameters)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        found = shards.read(folder)
        for number, learner in enumerate(self.learners):
            kept = [one["learners"][number] for one in found]
            shards.restore(kept, learner.parameters, learner.optimizer)
            learner.schedule.load_state_dict(kept[0]["schedule"])
        held = found[0]
        self.iteration = held["iteration"]
        if self.buffer:
            self.buffer.read(held["buffer"])
        self.log = [Diagnostics.of(row) for row in json.loads(held["log"])]


def warm_cosine(step: int, warmup: int, total: int) -> float:
    """The share of the peak learning rate: a linear rise over `warmup` updates, then a cosine to FLOOR at `total`."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done))


def build_state(actor: Actor, critic: Critic | None, settings: Settings, reference: Actor | None = None) -> State:
    """`reference`: whom the KL penalty keeps the actor with, the actor as it is now where none is given."""
    reference = reference or (actor.before() if settings.kl > 0 else None)
    for player in (actor, critic, reference):
        if player is not None:
            player.spread()
    actor_learner = Learner(actor.trained(), settings.lr, settings.updates(settings.iterations - settings.critic_warmup), settings)
    critic_learner = Learner(critic.trained(), settings.critic_lr, settings.updates(settings.iterations), settings) if critic else None
    return State(actor, critic, reference, actor_learner, critic_learner, OnlineBuffer(settings.online) if settings.online else None)
