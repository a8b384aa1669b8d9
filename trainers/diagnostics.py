"""What PPO always logs, one row an iteration.

    iteration,reward,reward_rule,reward_orm,reward_bonus,accuracy,accuracy_0,accuracy_+,accuracy_-,…,continue,reflect,explore
    1,-0.1875,-0.578,0.4297,-0.0391,0.4219,0.4516,0.6,0.2162,…,1.2,0.41,0.33

An empty cell means that there was nothing to measure: no response of that buffer, an iteration in which only the critic
trained, or no critic.
Seconds are not among them: the file is an out, the same on every run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from trainers import machine, run
from trainers.rollout import Rollouts


@dataclass(frozen=True)
class Updates:
    """Means over the actions; gradient norms (before clipping) and learning rates over the updates. None where a model did not train."""

    value_loss: float | None
    policy_loss: float | None
    approx_kl: float | None
    clip_fraction: float | None
    critic_grad_norm: float | None
    actor_grad_norm: float | None
    critic_lr: float | None
    actor_lr: float | None
    entropy: float | None  # of the policy as each update finds it, nats an action; on policy that is the one that acted
    mismatch: float | None  # |log π - log π_sampler|, where another program sampled than the one that trains
    mismatch_kl: float | None  # the low-variance estimate of KL(sampler ‖ policy)


class Means:
    """Gathers what `Updates` reports: sums of (N,) tensors, and a norm and a rate a step."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens  # that every sum runs over
        self.sums: dict[str, Tensor] = {}
        self.steps: dict[str, list[tuple[float, float]]] = {}

    def add(self, **terms: Tensor) -> None:
        for name, term in terms.items():
            self.sums[name] = self.sums.get(name, torch.zeros((), device=term.device)) + term.detach().sum()

    def step(self, model: str, lr: float, norm: float) -> None:
        self.steps.setdefault(model, []).append((lr, norm))

    def updates(self) -> Updates:
        mean = {name: float(machine.total(total)) / self.tokens for name, total in self.sums.items()}
        lr = {model: fmean(lr for lr, _ in steps) for model, steps in self.steps.items()}
        norm = {model: fmean(norm for _, norm in steps) for model, steps in self.steps.items()}
        return Updates(
            value_loss=mean.get("value_loss"), policy_loss=mean.get("policy_loss"), approx_kl=mean.get("approx_kl"),
            clip_fraction=mean.get("clip_fraction"), critic_grad_norm=norm.get("critic"), actor_grad_norm=norm.get("actor"),
            critic_lr=lr.get("critic"), actor_lr=lr.get("actor"), entropy=mean.get("entropy"), mismatch=mean.get("mismatch"),
            mismatch_kl=mean.get("mismatch_kl"),
        )  # fmt: skip


@dataclass(frozen=True)
class Diagnostics:
    iteration: int  # from 1
    rollouts: dict[str, float | None]
    updates: Updates
    explained_variance: float | None
    reference_kl: float | None  # of the policy that acted to the reference, nats an action; None without one
    actions: dict[str, float]  # meta-action tokens a response

    @classmethod
    def of(cls, held: dict[str, Any]) -> "Diagnostics":
        """Of what `dataclasses.asdict` made."""
        return cls(**{**held, "updates": Updates(**held["updates"])})

    def cells(self) -> dict[str, float | None]:
        """Column → value, in the order of the file."""
        explained = {"explained_variance": self.explained_variance, "reference_kl": self.reference_kl}
        return {"iteration": self.iteration, **self.rollouts, **vars(self.updates), **explained, **self.actions}


def describe(rollouts: Rollouts, samples: int = 1) -> dict[str, float | None]:
    """Rewards by part, accuracy by buffer, the shares of responses that corrected or broke an answer of their own, lengths, start states;
    of several `samples` a start state also what share of the rewards' variance lies between start states, which a critic that knows only
    these can explain (one-way analysis of variance; negative where there is none), of how many start states all samples fared alike, and
    how many came from the online buffer."""
    rewards = rollouts.rewards
    by_buffer = {buffer: [r.correct for r, s in zip(rewards, rollouts.starts, strict=True) if s.row.buffer == buffer] for buffer in "0+-t"}
    return {
        "reward": fmean(r.total for r in rewards),
        "reward_rule": fmean(r.rule for r in rewards),
        "reward_orm": fmean(r.orm for r in rewards),
        "reward_bonus": fmean(r.bonus for r in rewards),
        "accuracy": fmean(r.correct for r in rewards),
        **{f"accuracy_{buffer}": fmean(correct) if correct else None for buffer, correct in by_buffer.items()},
        "wrong_to_right": fmean(r.first is False and r.correct for r in rewards),
        "right_to_wrong": fmean(r.first is True and not r.correct for r in rewards),
        "response_length": fmean(map(len, rollouts.actions)),
        "truncated_share": fmean(not response.finished for response in rollouts.responses),
        "tokens": rollouts.tokens,
        "explainable_variance": between(torch.tensor([r.total for r in rewards]).view(-1, samples)) if samples > 1 else None,
        "groups": len(rewards) // samples,
        "groups_alike": sum(rollouts.alike(samples)) if samples > 1 else None,
        "groups_online": sum(start.born > 0 for start in rollouts.starts) // samples,
    }


def between(groups: torch.Tensor) -> float | None:
    """The share of the variance of (G, n) values that lies between groups, without bias; None where nothing varies."""
    count, size = groups.shape
    within = float(groups.var(dim=1).mean())
    total = float(groups.var(correction=0)) + within / (count * size)  # its expectation is between + within
    return 1 - within / total if count > 1 and total > 0 else None


def action_rates(rollouts: Rollouts, action_ids: Mapping[str, int]) -> dict[str, float]:
    """How often a response uses each meta-action token, by the token's name."""
    return {name: fmean(actions.count(token) for actions in rollouts.actions) for name, token in action_ids.items()}


def progress(row: Diagnostics, iterations: int, seconds: float) -> str:
    """One line: `12/30  reward -0.19  accuracy 0.42 (0 0.45  + 0.60  - 0.22)  length 61  kl 0.0021  2.8 s/iteration, 51 s left`."""
    cells = row.cells()
    buffers = "0+-" if cells["accuracy_t"] is None else "0+-t"
    split = "  ".join(f"{buffer} {_short(cells[f'accuracy_{buffer}'])}" for buffer in buffers)
    away = "" if row.reference_kl is None else f"  from the reference {row.reference_kl:.4f}"
    return (
        f"{row.iteration}/{iterations}  reward {_short(cells['reward'])}  accuracy {_short(cells['accuracy'])} ({split})"
        f"  length {cells['response_length']:.0f}  kl {_short(row.updates.approx_kl, 4)}{away}"
        f"  {seconds:.1f} s/iteration, {seconds * (iterations - row.iteration):.0f} s left"
    )


def _short(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def write_csv(path: Path, rows: list[Diagnostics]) -> None:
    """`data/logs/<model>.csv`, which DVC plots."""
    run.write_log(path, list(rows[0].cells()), [row.cells() for row in rows])
