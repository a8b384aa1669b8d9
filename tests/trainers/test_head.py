"""Log-probabilities in groups of positions: the plain numbers and gradients, without a tensor of positions × vocabulary."""

import pytest
import torch
from torch import nn

from trainers.head import log_probs_and_entropy


@pytest.fixture
def head() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(16, 50, bias=False)


def plainly(states: torch.Tensor, head: nn.Linear, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    distribution = torch.log_softmax(head(states) / 0.7, -1)
    return distribution[torch.arange(len(targets)), targets], -(distribution.exp() * distribution).sum(-1)


@pytest.mark.parametrize("values", [50, 7 * 50, 40 * 50, 10**9])
def test_groups_give_the_plain_log_probabilities_entropies_and_gradients(head: nn.Linear, values: int) -> None:
    states, targets = torch.randn(40, 16, requires_grad=True), torch.randint(50, (40,))
    weights = torch.randn(40)
    found = log_probs_and_entropy(states, head, targets, 0.7, values)
    ours = torch.autograd.grad((found[0] * weights).sum(), [states, head.weight])
    expected = plainly(states, head, targets)
    theirs = torch.autograd.grad((expected[0] * weights).sum(), [states, head.weight])
    for one, other in zip((*found, *ours), (*expected, *theirs), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_entropy_carries_no_gradient(head: nn.Linear) -> None:
    states = torch.randn(9, 16, requires_grad=True)
    assert not log_probs_and_entropy(states, head, torch.zeros(9, dtype=torch.long), 1.0, 150)[1].requires_grad


def test_no_tensor_of_all_positions_and_the_whole_vocabulary_is_made(head: nn.Linear) -> None:
    states, targets = torch.randn(64, 16, requires_grad=True), torch.randint(50, (64,))

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple) else (out,):
                if isinstance(tensor, torch.Tensor):
                    self.numbers = max(self.numbers, tensor.numel())
            return out

    for values, most in ((8 * 50, 64 * 16), (10**9, 64 * 50)):
        with Largest() as seen:
            log_probs_and_entropy(states, head, targets, 1.0, values)[0].sum().backward()
        assert seen.numbers == most
