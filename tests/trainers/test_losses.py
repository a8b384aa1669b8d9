"""Every expected number is worked out beside it."""

import math

import pytest
import torch

from trainers.losses import DUAL_CLIP, explained_variance, gae, moments, policy_loss, scale, value_loss, whiten


def test_gae_on_three_steps_by_hand() -> None:
    # γ = 0.9, λ = 0.5, γλ = 0.45
    # δ2 = 1 - 0.4 = 0.6                    A2 = 0.6
    # δ1 = 0 + 0.9 · 0.4 - 0.2 = 0.16       A1 = 0.16 + 0.45 · 0.6 = 0.43
    # δ0 = 0 + 0.9 · 0.2 - 0.5 = -0.32      A0 = -0.32 + 0.45 · 0.43 = -0.1265
    advantages, returns = gae(
        torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.2, 0.4]]), torch.ones(1, 3, dtype=torch.bool), gamma=0.9, lam=0.5
    )
    assert torch.allclose(advantages, torch.tensor([[-0.1265, 0.43, 0.6]]))
    assert torch.allclose(returns, torch.tensor([[0.3735, 0.63, 1.0]]))


def test_gae_with_gamma_and_lambda_one_returns_the_terminal_reward_everywhere() -> None:
    rewards, values = torch.tensor([[0.0, 0.0, -1.0]]), torch.tensor([[0.3, -0.2, 0.9]])
    _, returns = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=1.0)
    assert torch.allclose(returns, torch.full((1, 3), -1.0))


def test_gae_ignores_what_stands_behind_the_last_action() -> None:
    actions = torch.tensor([[True, True, False]])
    short = gae(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.25]]), actions[:, :2], gamma=0.9, lam=0.5)
    padded = gae(torch.tensor([[0.0, 1.0, 99.0]]), torch.tensor([[0.5, 0.25, 77.0]]), actions, gamma=0.9, lam=0.5)
    for one, other in zip(short, padded, strict=True):
        assert torch.equal(one, other[:, :2])
        assert other[0, 2] == 0


def test_whitening_by_hand() -> None:
    # over 1, 2, 3: mean 2, variance (1 + 0 + 1) / 3, so 1 becomes -1 / √(2/3) = -1.2247
    x, actions = torch.tensor([[1.0, 2.0], [3.0, 100.0]]), torch.tensor([[True, True], [True, False]])
    assert torch.allclose(whiten(x, actions), torch.tensor([[-1.2247, 0.0], [1.2247, 0.0]]), atol=1e-4)


def test_whitening_over_two_ranks_equals_whitening_the_whole() -> None:
    """Each rank adds the other's sums: first (sum, count), then the squared deviations from the common mean."""
    x, actions = torch.tensor([[1.0, 2.0], [5.0, 8.0]]), torch.ones(2, 2, dtype=torch.bool)
    # mean 16 / 4 = 4; squares of the second row: 1 + 16 = 17
    others = iter([torch.tensor([13.0, 2.0]), torch.tensor(17.0)])
    first = whiten(x[:1], actions[:1], lambda sums: sums + next(others))
    assert torch.allclose(first, whiten(x, actions)[:1])


def test_scaling_keeps_what_was_zero() -> None:
    # over 3, 0, -4, 5: mean square 50 / 4; the masked 100 is not counted
    x, actions = torch.tensor([[3.0, 0.0, -4.0], [5.0, 100.0, 0.0]]), torch.tensor([[True, True, True], [True, False, False]])
    expected = torch.tensor([[3.0, 0.0, -4.0], [5.0, 0.0, 0.0]]) / 12.5**0.5
    assert torch.allclose(scale(x, actions), expected, atol=1e-5)


def test_a_constant_whitens_to_zero() -> None:
    assert torch.equal(whiten(torch.full((2, 2), 3.0), torch.ones(2, 2, dtype=torch.bool)), torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.0, 2.0, -2.0, False),
        (1.5, 1.0, -1.2, True),  # -min(1.5, 1.2)
        (0.5, 1.0, -0.5, False),  # -min(0.5, 0.8)
        (1.5, -1.0, 1.5, False),  # -min(-1.5, -1.2)
        (0.5, -1.0, 0.8, True),  # -min(-0.5, -0.8)
        (5.0, -1.0, 3.0, False),  # 5, but at most 3 · 1: the dual clip
        (5.0, -0.5, 1.5, False),  # 2.5, but at most 3 · 0.5
    ],
)
def test_clipped_policy_loss_by_hand(ratio: float, advantage: float, loss: float, clipped: bool) -> None:
    assert DUAL_CLIP == 3.0
    terms = policy_loss(torch.tensor([math.log(ratio)]), torch.tensor([0.0]), torch.tensor([advantage]), 0.2, 0.2)
    assert terms.loss.item() == pytest.approx(loss, rel=1e-5)
    assert terms.clipped.item() is clipped
    assert terms.kl.item() == pytest.approx(ratio - 1 - math.log(ratio), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.25, 1.0, -1.25, False),  # below 1 + 0.28
        (1.5, 1.0, -1.28, True),
        (0.85, -1.0, 0.9, True),  # -min(-0.85, -0.9): the low clip is 0.1
        (0.92, -1.0, 0.92, False),
    ],
)
def test_the_clip_may_be_wider_above_than_below(ratio: float, advantage: float, loss: float, clipped: bool) -> None:
    terms = policy_loss(torch.tensor([math.log(ratio)]), torch.tensor([0.0]), torch.tensor([advantage]), 0.1, 0.28)
    assert terms.loss.item() == pytest.approx(loss, rel=1e-5)
    assert terms.clipped.item() is clipped


def test_dual_clip_stops_the_gradient() -> None:
    logprobs = torch.tensor([math.log(5.0), math.log(1.5)], requires_grad=True)
    policy_loss(logprobs, torch.zeros(2), torch.tensor([-1.0, -1.0]), 0.2, 0.2).loss.sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([0.0, 1.5])


def test_a_huge_log_ratio_stays_finite() -> None:
    terms = policy_loss(torch.tensor([0.0, -900.0]), torch.tensor([-900.0, 0.0]), torch.tensor([-1.0, 1.0]), 0.2, 0.2)
    assert torch.isfinite(terms.loss).all()
    assert torch.isfinite(terms.kl).all()


@pytest.mark.parametrize(
    ("value", "old", "target", "loss"),
    [
        (1.0, 0.5, 0.4, 0.18),  # clipped to 0.7: 0.5 · max(0.6², 0.3²)
        (1.0, 0.5, 1.2, 0.125),  # 0.5 · max(0.2², 0.5²)
        (0.6, 0.5, 1.0, 0.08),  # within the clip: 0.5 · 0.4²
    ],
)
def test_clipped_value_loss_by_hand(value: float, old: float, target: float, loss: float) -> None:
    assert value_loss(torch.tensor([value]), torch.tensor([old]), torch.tensor([target]), 0.2).item() == pytest.approx(loss)


def test_explained_variance() -> None:
    returns, actions = torch.tensor([[1.0, 3.0, 50.0]]), torch.tensor([[True, True, False]])
    assert explained_variance(returns, returns, actions) == 1.0
    assert explained_variance(torch.zeros(1, 3), returns, actions) == pytest.approx(0.0)
    # R - V = 0.5, 1.5: variance 0.25, of R: 1
    assert explained_variance(torch.tensor([[0.5, 1.5, 0.0]]), returns, actions) == pytest.approx(0.75)
    assert explained_variance(torch.zeros(1, 3), torch.ones(1, 3), actions) == 0.0


def test_moments_are_of_the_actions_only() -> None:
    mean, std = moments(torch.tensor([[2.0, 4.0, 9.0]]), torch.tensor([[True, True, False]]))
    assert (mean.item(), std.item()) == (3.0, 1.0)
