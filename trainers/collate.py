"""Token ids to tensors for PPO: right padding, explicit masks, micro-batches of similar length.

    prompt (5, 6, 7), actions (8, 9)  →  input_ids  5 6 7 8 9 0 0        the padding is never `!= pad` of anything
                                         states     . . x x . . .        a state predicts the action that follows it
                                         targets    8 9

Right padding with causal attention: no token attends to padding, so positions count from 0 and attention needs no mask but the causal one
(the fast kernel). A test shows that neither the padding's value nor the company in the batch changes a log-probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Ids = tuple[int, ...]

MICRO_TOKENS = 4096 if torch.cuda.is_available() else 2048  # padded tokens of one forward: bounds memory; 2,048 stay in a CPU's caches


@dataclass(frozen=True)
class Batch:
    input_ids: Tensor  # (B, T)
    states: Tensor  # (B, T) bool: the token after this one is an action
    targets: Tensor  # (N,) the actions, response after response; N = states.sum()


def collate(prompts: Sequence[Ids], actions: Sequence[Ids], device: torch.device) -> Batch:
    """Every prompt and every list of actions has at least one token."""
    assert all(prompts), "an empty prompt has no state to act from"
    assert all(actions), "a response without actions has nothing to learn from"
    width = max(len(prompt) + len(action) for prompt, action in zip(prompts, actions, strict=True))
    input_ids = torch.zeros(len(prompts), width, dtype=torch.long)
    states = torch.zeros(len(prompts), width, dtype=torch.bool)
    for row, (prompt, action) in enumerate(zip(prompts, actions, strict=True)):
        input_ids[row, : len(prompt) + len(action)] = torch.tensor(prompt + action)
        states[row, len(prompt) - 1 : len(prompt) + len(action) - 1] = True
    targets = torch.tensor([token for action in actions for token in action])
    return Batch(input_ids.to(device), states.to(device), targets.to(device))


def action_mask(actions: Sequence[Ids]) -> Tensor:
    """(B, R) bool, R the longest response. Selecting by it gives actions in the order of `Batch.targets`."""
    counts = torch.tensor([len(action) for action in actions])
    return torch.arange(int(counts.max()))[None, :] < counts[:, None]


def micro_batches(lengths: Sequence[int], rows: Sequence[int], limit: int = MICRO_TOKENS) -> list[list[int]]:
    """`rows` sorted by length and cut so that rows × longest ≤ `limit` (a single longer row stands alone)."""
    batches: list[list[int]] = []
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= limit:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
