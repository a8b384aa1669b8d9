"""PPO's arithmetic as pure functions on tensors (Schulman et al. 2016 for GAE, 2017 for the clipped losses; dual clip: Ye et al. 2020).

Tensors over a rollout batch are (B, R): response `b`, action `r`; `actions` is True where there is an action, always a leading part
of a row. Losses are a number a token, (N,): who calls them divides the sum by the token count of the whole iteration, so that a
token weighs the same in whichever minibatch or rank it falls. `Reduce` adds sums over ranks; with one process it is the identity.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]

DUAL_CLIP = 3.0  # bounds the loss of a bad action that has become much likelier, where the plain clip leaves it unbounded
LOG_RATIO_LIMIT = 20.0  # e^20 is finite in every dtype's accumulations; beyond it the clip decides anyway
EPSILON = 1e-8


def local(sums: Tensor) -> Tensor:
    """The `Reduce` of a single process."""
    return sums


def gae(rewards: Tensor, values: Tensor, actions: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns, (B, R) each. The state after the last action is worth 0, whether the response ended or was cut off.

    δ_t = r_t + γ V_{t+1} - V_t,  A_t = δ_t + γ λ A_{t+1},  return_t = A_t + V_t
    """
    advantages = torch.zeros_like(values)
    following_advantage = following_value = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * following_value - values[:, t]
        advantages[:, t] = torch.where(actions[:, t], delta + gamma * lam * following_advantage, 0.0)
        following_advantage = advantages[:, t]
        following_value = torch.where(actions[:, t], values[:, t], 0.0)
    return advantages, torch.where(actions, advantages + values, 0.0)


def moments(x: Tensor, actions: Tensor, reduce: Reduce = local) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over all actions of the rollout batch and of all ranks (divided by n, not n - 1)."""
    chosen = x[actions].double()
    total, count = reduce(torch.stack([chosen.sum(), torch.tensor(float(chosen.numel()), dtype=torch.double, device=x.device)]))
    mean = total / count
    variance = reduce((chosen - mean).square().sum()) / count
    return mean.to(x.dtype), variance.sqrt().to(x.dtype)


def whiten(x: Tensor, actions: Tensor, reduce: Reduce = local) -> Tensor:
    """Mean 0 and standard deviation 1 over the actions; 0 elsewhere."""
    mean, std = moments(x, actions, reduce)
    return torch.where(actions, (x - mean) / (std + EPSILON), 0.0)


def scale(x: Tensor, actions: Tensor, reduce: Reduce = local) -> Tensor:
    """Root mean square 1 over the actions, and what was 0 stays 0; 0 elsewhere."""
    mean, std = moments(x, actions, reduce)
    return torch.where(actions, x / ((mean.square() + std.square()).sqrt() + EPSILON), 0.0)


class PolicyLoss(NamedTuple):
    loss: Tensor  # (N,)
    kl: Tensor  # (N,) the low-variance estimate (ρ - 1) - log ρ of KL(old ‖ new)
    clipped: Tensor  # (N,) bool: the clip decided


def policy_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, low: float, high: float) -> PolicyLoss:
    """-min(ρA, clip(ρ, 1 - low, 1 + high) A), and at most -cA where A < 0 (dual clip). All (N,). A wider `high` lets what was unlikely
    grow (DAPO's clip-higher: Yu et al. 2025)."""
    log_ratio = (logprobs - old_logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = log_ratio.exp()
    plain, bounded = -ratio * advantages, -ratio.clamp(1 - low, 1 + high) * advantages
    loss = torch.maximum(plain, bounded)
    loss = torch.where(advantages < 0, torch.minimum(loss, -DUAL_CLIP * advantages), loss)
    with torch.no_grad():
        kl = (ratio - 1) - log_ratio
        clipped = bounded > plain
    return PolicyLoss(loss, kl, clipped)


def importance(logprobs: Tensor, sampled: Tensor, most: float | None) -> tuple[Tensor, Tensor]:
    """Weights of actions whose sampler computed other log-probabilities than the policy that acted, min(π / π_sampler, `most`), (N,), 1
    where `most` is None (truncated importance sampling: Ionides 2008); and the gap log π - log π_sampler, (N,). No gradient."""
    gap = (logprobs - sampled).detach().clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return torch.ones_like(gap) if most is None else gap.exp().clamp(max=most), gap


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """0.5 · max((V - R)², (clip(V, V_old ± ε) - R)²), (N,)."""
    bounded = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (bounded - returns).square())


def explained_variance(values: Tensor, returns: Tensor, actions: Tensor, reduce: Reduce = local) -> float:
    """1 - Var(R - V) / Var(R) over the actions: 1 is a perfect critic, 0 one no better than a constant. 0 when R does not vary."""
    _, spread = moments(returns, actions, reduce)
    _, residual = moments(returns - values, actions, reduce)
    return float(1 - residual.square() / spread.square()) if spread > 0 else 0.0
