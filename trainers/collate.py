"""Token ids to tensors for PPO: right padding, explicit masks, micro-batches of similar length.

    prompt (5, 6, 7), actions (8, 9)  →  input_ids  5 6 7 8 9 0 0        the padding is never `!= pad` of anything
                                         states     2 3                  a state predicts the action that follows it
                                         targets    8 9

Right padding with causal attention: no token attends to padding, so positions count from 0 and attention needs no mask but the causal one
(the fast kernel). A test shows that neither the padding's value nor the company in the batch changes a log-probability.

Responses to one prompt can stand behind one copy of it, whose states are then computed once instead of once a response:

    prompts (5, 6, 7) (5, 6, 7) (4,), actions (8, 9, 1) (2, 1) (3, 3, 1)
    →  input_ids  5 6 7 4 0 0 | 8 9 3 3 | 2            blocks: the prompts (2, 3), responses (2, 2), responses (1, 1)

A response attends to its prompt and to itself, at the positions behind its prompt: its log-probabilities are those of a row that holds
both. Its last action is no input, since no action follows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Ids = tuple[int, ...]

MICRO_TOKENS = 4096 if torch.cuda.is_available() else 2048  # padded tokens of one forward: bounds memory; 2,048 stay in a CPU's caches
NARROW = 0.8  # a response shorter than this share of the longest in its block begins a new block


@dataclass(frozen=True)
class Block:
    """Responses of about the same length, S, padded to R tokens."""

    width: int
    prompts: Tensor  # (S,) which prompt each answers
    bias: Tensor  # (S, 1, R, P + R) of attention: 0 where a token sees another, -inf where it does not


@dataclass(frozen=True)
class Layout:
    """How one row of tokens is cut: `prompts` of `width` tokens each, then blocks of responses. `positions`: (1, T)."""

    prompts: int
    width: int
    blocks: list[Block]
    positions: Tensor

    def cut(self, x: Tensor) -> list[Tensor]:
        """(1, H, T, D) → (rows, width, H, D) of each block, the prompts first."""
        shapes = [(self.prompts, self.width), *((len(block.prompts), block.width) for block in self.blocks)]
        parts = x.transpose(1, 2)[0].split([rows * width for rows, width in shapes])
        return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]


@dataclass(frozen=True)
class Batch:
    input_ids: Tensor  # (B, T)
    states: Tensor  # (N,) places in all B · T tokens: an action comes behind each
    targets: Tensor  # (N,) the actions, response after response
    siblings: Layout | None = None  # where prompts are shared; B is 1


def collate(prompts: Sequence[Ids], actions: Sequence[Ids], device: torch.device, *, share: bool = False) -> Batch:
    """Every prompt and every list of actions has at least one token. `share`: a prompt that several responses answer stands there once."""
    assert all(prompts), "an empty prompt has no state to act from"
    assert all(actions), "a response without actions has nothing to learn from"
    targets = torch.tensor([token for action in actions for token in action], device=device)
    if share and len(set(prompts)) < len(prompts):
        return _shared(prompts, actions, targets)
    width = max(len(prompt) + len(action) for prompt, action in zip(prompts, actions, strict=True))
    input_ids = _padded([prompt + action for prompt, action in zip(prompts, actions, strict=True)], width)
    begins = [row * width + len(prompt) - 1 for row, prompt in enumerate(prompts)]
    states = [place for begin, action in zip(begins, actions, strict=True) for place in range(begin, begin + len(action))]
    return Batch(input_ids.to(device), torch.tensor(states, device=device), targets)


def _shared(prompts: Sequence[Ids], actions: Sequence[Ids], targets: Tensor) -> Batch:
    distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    width, device = max(map(len, distinct)), targets.device
    lengths = torch.tensor([len(prompt) for prompt in distinct])
    parts, positions, blocks, begins = [_padded(list(distinct), width)], [torch.arange(width).repeat(len(distinct))], [], [0] * len(actions)
    used = len(distinct) * width
    for rows in cut([len(action) - 1 for action in actions]):
        size = len(actions[rows[0]]) - 1
        origins = torch.tensor([distinct[prompts[row]] for row in rows])
        real = (torch.arange(width) < lengths[origins, None])[:, None, None].expand(-1, 1, size, -1)  # (S, 1, R, P)
        sees = torch.cat([real, torch.ones(size, size).tril().bool().expand(len(rows), 1, -1, -1)], -1)
        bias = torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)
        blocks.append(Block(size, origins.to(device), bias.to(device)))
        parts.append(_padded([actions[row][:-1] for row in rows], size))
        positions.append((lengths[origins, None] + torch.arange(size)).flatten())
        for place, row in enumerate(rows):
            begins[row] = used + place * size
        used += len(rows) * size
    states: list[int] = []
    for prompt, action, begin in zip(prompts, actions, begins, strict=True):
        states += [distinct[prompt] * width + len(prompt) - 1, *range(begin, begin + len(action) - 1)]
    layout = Layout(len(distinct), width, blocks, torch.cat(positions)[None].to(device))
    return Batch(torch.cat([part.flatten() for part in parts])[None].to(device), torch.tensor(states, device=device), targets, layout)


def _padded(rows: Sequence[Ids], width: int) -> Tensor:
    """(B, `width`)"""
    return torch.tensor([row + (0,) * (width - len(row)) for row in rows])


def cut(lengths: Sequence[int]) -> list[list[int]]:
    """Rows with any tokens, the longest first, in blocks of about the same length."""
    blocks: list[list[int]] = []
    for row in sorted((row for row, length in enumerate(lengths) if length), key=lambda row: -lengths[row]):
        if blocks and lengths[row] >= NARROW * lengths[blocks[-1][0]]:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    return blocks


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


def sibling_batches(
    prompts: Sequence[Ids], actions: Sequence[Ids], rows: Sequence[int], limit: int = MICRO_TOKENS
) -> list[list[int]]:  # fmt: skip
    """`rows` with siblings next to each other and prompts sorted by length, cut so that their tokens, shared and padded, are at most
    `limit` (a single longer row stands alone)."""
    batches: list[list[int]] = []
    for row in sorted(rows, key=lambda row: (-len(prompts[row]), prompts[row], row)):
        if batches and _tokens(prompts, actions, [*batches[-1], row]) <= limit:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _tokens(prompts: Sequence[Ids], actions: Sequence[Ids], rows: Sequence[int]) -> int:
    """Padded tokens of `_shared`."""
    distinct, lengths = {prompts[row] for row in rows}, [len(actions[row]) - 1 for row in rows]
    return len(distinct) * max(map(len, distinct)) + sum(len(block) * lengths[block[0]] for block in cut(lengths))
