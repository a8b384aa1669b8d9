"""Muon for the weight matrices, AdamW for the rest: what makes a base learn to copy and add in minutes on two cores.

Muon orthogonalises the momentum of every hidden matrix by a Newton-Schulz iteration (Jordan et al. 2024, "Muon: an optimizer for hidden
layers"). PyTorch's own does the iteration in bf16, which a CPU without such units runs many times slower; here it is in fp32, where for
matrices of a few hundred rows it costs little. What it gained on the laptop's base is measured in docs/log.md.
"""

from collections.abc import Callable
from typing import Any

import torch

# Coefficients of the quintic iteration x ← a·x + (b·xxᵀ + c·(xxᵀ)²)x, which drives all singular values towards 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """(rows, columns) → the same shape with singular values near 1 (0.7 to 1.2 after five steps)."""
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.size(0) > x.size(1)
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.AdamW):
    """Muon for the hidden matrices (group 0), AdamW for embeddings and norms (group 1); one schedule scales both learning rates.

    A matrix moves by `lr` times sqrt(max(1, rows/columns)) along its orthogonalised Nesterov momentum, whatever its gradient's scale.
    """

    def __init__(self, model: torch.nn.Module, *, muon_lr: float, adamw_lr: float, momentum: float = 0.95) -> None:
        named = list(model.named_parameters())
        matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name and "head" not in name]
        hidden = {id(weight) for weight in matrices}
        groups: list[dict[str, Any]] = [
            {"params": matrices, "lr": muon_lr},
            {"params": [weight for _, weight in named if id(weight) not in hidden]},
        ]
        super().__init__(groups, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=0.01)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        matrices = self.param_groups[0]
        for weight in matrices["params"]:
            if weight.grad is not None:
                state = self.state[weight]
                state.setdefault("step", torch.zeros(()))  # without which AdamW cannot read any state back
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                momentum.mul_(self.momentum).add_(weight.grad)
                update = orthogonalise(weight.grad + self.momentum * momentum)
                weight.add_(update, alpha=-matrices["lr"] * max(1.0, weight.size(0) / weight.size(1)) ** 0.5)
                weight.grad = None  # so that AdamW passes it by
        super().step()
