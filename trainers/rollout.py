"""Acting: which start states, in which order, and what came back. The sampler and the reward are callables given by the caller.

    Restart(buffer="-", prompt=(Message("user", "Tom has 12 apples. …\\nSolve:\\n"),), prefix="12 + 7 = 18\\n<|reflect|>", …)
    → Start(row=…, ids=(17, 4, …, 2))                      # the prompt of PPO is prompt + prefix, never cut
    → Response(token_ids=(88, 31, …), actions=(88, 31, …, 1), finished=True)

A response's actions are the tokens that the policy chose. The end of turn is one of them only when it was sampled: a response that ran
into the token limit has no invented end; its reward stands at its last token, and nothing is bootstrapped behind it.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from factory.errors import DataError
from factory.identity import seed_for
from factory.rejects import reject
from factory.schemas import Conversation, Reject, Restart
from trainers import machine
from trainers.collate import Ids, action_mask

TOO_LONG = "prompt and prefix leave no room for a response"


class Sampled(Protocol):
    """What a sampler gives back; `token_ids` are without the end of turn, `finished` says that it was sampled."""

    @property
    def token_ids(self) -> Ids: ...
    @property
    def finished(self) -> bool: ...


class Rewarded(Protocol):
    """A reward in its parts; `total` is their sum."""

    @property
    def verdict(self) -> str: ...
    @property
    def correct(self) -> bool: ...
    @property
    def rule(self) -> float: ...
    @property
    def orm(self) -> float: ...
    @property
    def bonus(self) -> float: ...
    @property
    def total(self) -> float: ...
    @property
    def first(self) -> bool | None:
        """Whether an answer that it reflected on was right; None without one."""


@dataclass(frozen=True)
class Start:
    """`depth`: restarts behind it. `born`: the iteration that found it, 0 for one that was there before."""

    row: Restart
    ids: Ids
    depth: int = 0
    born: int = 0


@dataclass(frozen=True)
class Response:
    token_ids: Ids  # without the end of turn
    actions: Ids  # with it, when it was sampled
    finished: bool
    logprobs: tuple[float, ...] | None = None  # of the actions, as a sampler computed them that is not the trained model itself
    acted: tuple[float, ...] | None = None  # of the actions, as the trained model itself computed them when it acted


Sample = Callable[[Sequence[Ids], Sequence[int]], Sequence[Sampled]]  # prompts, a seed each
Rewards = Callable[[Sequence[Start], Sequence[Response]], Sequence[Rewarded]]
# start states that responses make, each with its ids, of a seed each; None for a response that makes none
Again = Callable[[Sequence[Start], Sequence[Response], Sequence[Rewarded], Sequence[int]], Sequence[tuple[Restart, Ids] | None]]


@dataclass(frozen=True)
class Rollouts:
    """One iteration's responses with their start states and rewards, B each."""

    starts: list[Start]
    responses: list[Response]
    rewards: list[Rewarded]

    @cached_property
    def prompts(self) -> list[Ids]:
        return [start.ids for start in self.starts]

    @cached_property
    def actions(self) -> list[Ids]:
        return [response.actions for response in self.responses]

    @cached_property
    def lengths(self) -> list[int]:
        """Prompt and actions."""
        return [len(prompt) + len(actions) for prompt, actions in zip(self.prompts, self.actions, strict=True)]

    @cached_property
    def mask(self) -> Tensor:
        """(B, R) bool"""
        return action_mask(self.actions)

    @property
    def tokens(self) -> int:
        """Actions, all responses together."""
        return sum(map(len, self.actions))

    def of_all_processes(self) -> "Rollouts":
        together = machine.gathered([(self.starts, self.responses, self.rewards)])
        return Rollouts(*([one for part in column for one in part] for column in zip(*together, strict=True)))

    def __add__(self, other: "Rollouts") -> "Rollouts":
        return Rollouts(self.starts + other.starts, self.responses + other.responses, self.rewards + other.rewards)

    def select(self, rows: Iterable[int]) -> "Rollouts":
        chosen = list(rows)
        starts, responses, rewards = self.starts, self.responses, self.rewards
        return Rollouts([starts[row] for row in chosen], [responses[row] for row in chosen], [rewards[row] for row in chosen])

    def alike(self, samples: int) -> list[bool]:
        """Of each group of `samples` siblings, whether they are all right or all wrong, which is what DAPO filters by (Yu et al. 2025). The
        reward model may tell them apart all the same: what it says is not what the filter is for."""
        right = [rewarded.correct for rewarded in self.rewards]
        return [len(set(right[first : first + samples])) == 1 for first in range(0, len(right), samples)]

    def sampled_logprobs(self, rows: Sequence[int], device: torch.device) -> Tensor | None:
        """(N,) in the order of `Batch.targets`, or None where the sampler is the trained model."""
        kept = [self.responses[row].logprobs for row in rows]
        return (
            torch.tensor([value for logprobs in kept for value in logprobs or ()], device=device) if kept and kept[0] is not None else None
        )

    @cached_property
    def acted_logprobs(self) -> Tensor | None:
        """(B, R), 0 behind a response; None where the trained model has not computed them when it acted."""
        if any(response.acted is None for response in self.responses):
            return None
        logprobs = torch.zeros(self.mask.shape)
        logprobs[self.mask] = torch.tensor([value for response in self.responses for value in response.acted or ()])
        return logprobs

    def terminal_rewards(self, siblings: int = 1) -> Tensor:
        """(B, R): the total at the last action, 0 elsewhere; of `siblings` > 1 responses to one start, less the mean of the others' (a
        baseline that depends on no action of the response: Kool et al. 2019)."""
        totals = torch.tensor([rewarded.total for rewarded in self.rewards])
        if siblings > 1:
            groups = totals.view(-1, siblings)
            totals = ((groups - groups.mean(dim=1, keepdim=True)) * siblings / (siblings - 1)).flatten()
        rewards = torch.zeros(self.mask.shape)
        rewards[torch.arange(len(totals)), self.mask.sum(dim=1) - 1] = totals
        return rewards


def start_states(
    rows: Sequence[Restart], encode: Callable[[Sequence[Conversation], Sequence[str]], Sequence[Ids]], limit: int, stage: str
) -> tuple[list[Start], list[Reject]]:
    """Rows whose prompt and prefix have at most `limit` tokens; the others are rejected, not cut (a cut prompt loses its `<|reflect|>`).

    `encode`: (prompts, prefixes) → ids of both (`batches.start_ids`), encoded apart: the boundary between them is a token boundary, as it
    was when the prefix was sampled. Raises DataError when no row is left.
    """
    starts, rejects = [], []
    for row, ids in zip(rows, encode([row.prompt for row in rows], [row.prefix for row in rows]), strict=True):
        if len(ids) <= limit:
            starts.append(Start(row, ids, depth=int(row.buffer in "+-")))
        else:
            rejects.append(reject(stage, row, TOO_LONG, parent_id=row.id))
    if not starts:
        raise DataError(f"none of {len(rows)} start states fits into {limit} tokens: lower ppo.max_tokens or use a longer context")
    assert len(starts) + len(rejects) == len(rows)
    return starts, rejects


class Order:
    """An endless stream over the start states: one seeded permutation after another, so that a place in it is a pure function; but for
    those places that states of the online buffer take (`instead`)."""

    def __init__(self, starts: Sequence[Start], seed: int) -> None:
        self.starts, self.seed = starts, seed
        self.instead: dict[int, Start] = {}
        self._epoch, self._permutation = -1, list(range(len(starts)))

    def __getitem__(self, place: int) -> Start:
        if place in self.instead:
            return self.instead[place]
        epoch, within = divmod(place, len(self.starts))
        if epoch != self._epoch:
            self._permutation = list(range(len(self.starts)))
            random.Random(seed_for(self.seed, "order", epoch)).shuffle(self._permutation)
            self._epoch = epoch
        return self.starts[self._permutation[within]]


def collect(order: Order, first: int, prompts: int, samples: int, sample: Sample, reward: Rewards, eos: int) -> Rollouts:
    """`samples` responses to each of the `prompts` start states from place `first` on; a prompt's samples are consecutive. Of several
    processes each takes a part of the start states."""
    places = [first + number for number in machine.share(prompts) for _ in range(samples)]
    starts = [order[place] for place in places]
    seeds = [seed_for(order.seed, starts[row].row.id, place, row % samples) for row, place in enumerate(places)]
    responses = [_response(one, eos) for one in sample([start.ids for start in starts], seeds)]
    rewards = list(reward(starts, responses))
    assert len(starts) == len(responses) == len(rewards)
    return Rollouts(starts, responses, rewards)


def collect_differing(
    order: Order, first: int, prompts: int, most: int, samples: int, sample: Sample, reward: Rewards, eos: int
) -> tuple[Rollouts, Rollouts]:  # fmt: skip
    """All that was sampled, by whichever process, and this process's part of what is to be learnt from: at most `prompts` groups whose
    siblings do not fare alike. While these are fewer, as many further start states are sampled as should yield the rest, `most` at most.
    Every process has a start state of each such round, so that many processes may sample more; where fewer groups are left than there are
    processes, none is learnt from."""
    sampled = kept = Rollouts([], [], [])
    while (lacking := prompts - len(kept.starts) // samples) > 0:
        tried = len(sampled.starts) // samples
        wanted = -(-lacking * samples * tried // len(kept.starts)) if kept.starts else prompts
        count = min(max(wanted, machine.world()), most - tried)
        if count < machine.world():
            break
        found = collect(order, first + tried, count, samples, sample, reward, eos).of_all_processes()
        sampled += found
        kept += found.select(row for row in range(len(found.starts)) if not found.alike(samples)[row // samples])
    groups = min(prompts, len(kept.starts) // samples)
    mine = machine.share(groups) if groups >= machine.world() else range(0)
    return sampled, kept.select(range(mine.start * samples, mine.stop * samples))


def _response(sampled: Sampled, eos: int) -> Response:
    ids = tuple(sampled.token_ids)
    actions = (*ids, eos) if sampled.finished else ids
    acted = getattr(sampled, "drawn_logprobs", None) or None
    assert acted is None or len(acted) == len(actions), f"{len(acted)} log-probabilities of {len(actions)} actions"
    return Response(ids, actions, sampled.finished, getattr(sampled, "action_logprobs", None), acted)
