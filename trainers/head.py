"""Log-probabilities and entropy at many positions without a tensor of positions × vocabulary.

    log_probs_and_entropy(states, model.get_output_embeddings(), targets, temperature=0.6)      → (N,), (N,)

At 7B a batch of 4,096 actions over 152,000 tokens is 2.5 GB of logits in float32, three times with their gradients. Here the positions
pass through the output layer in groups of about HEAD_VALUES logits, and a group's logits are computed once more when its gradient is
due (Chen et al. 2016, checkpointing). What fits into one group takes the plain way.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

HEAD_VALUES = 1 << 26  # logits at once: 256 MB in float32


def log_probs_and_entropy(
    states: Tensor, head: nn.Module, targets: Tensor, temperature: float, values: int = HEAD_VALUES
) -> tuple[Tensor, Tensor]:
    """log softmax(head(states) / temperature) at the targets, (N,), and the entropy of these distributions in nats, (N,), which carries no
    gradient. `states`: (N, H); `head`: a linear output layer; `values`: most logits at once."""
    weight, bias = head.weight, getattr(head, "bias", None)  # once: under adapters the matrix is put together here
    assert isinstance(weight, Tensor)
    group = max(1, values // len(weight))
    if len(states) <= group:
        return _plain(states, weight, bias, targets, temperature)
    found = [
        checkpoint(_plain, states[rows], weight, bias, targets[rows], temperature, use_reentrant=False, preserve_rng_state=False)
        if torch.is_grad_enabled()
        else _plain(states[rows], weight, bias, targets[rows], temperature)
        for rows in (slice(begin, begin + group) for begin in range(0, len(states), group))
    ]
    logprobs, entropies = zip(*found, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def _plain(states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    distribution = torch.log_softmax(linear(states, weight, bias).float() / temperature, dim=-1)  # (n, V)
    return distribution.gather(-1, targets[:, None]).squeeze(-1), entropy(distribution.detach())


def entropy(distribution: Tensor) -> Tensor:
    """Of (N, V) log-probabilities, (N,) in nats."""
    return -(distribution.exp() * distribution).sum(-1)
