"""From conversations to token ids, labels and the order in which rows are trained on.

    Tokens(ids=[41, 7, 12, 1], labels=[-100, -100, 12, 1])      # two prompt tokens, one of the completion, the end of turn

A sequence is always ids(prompt) + ids(completion) + [end of turn], as engines make it with the start model's own chat template
(`language.tokens`): the prompt up to where the model answers, and the boundary between the two is a token boundary, as it is when a model
goes on. The order is written out beforehand (epochs shuffled, rows of about the same length in one batch, batches shuffled), so that a
budget in tokens is met exactly and every step is known before the first one.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from factory.errors import DataError
from factory.language.tokens import offsets, pair_ids, plain_sequence_ids, prompt_ids, sequence_ids, text_ids, unknown_word
from factory.schemas import Conversation

IGNORED = -100  # the label of a token without loss
POOL = 50  # batches among which rows are grouped by length


@dataclass(frozen=True)
class Tokens:
    """One training sequence; `labels` are the ids themselves, or IGNORED where there is no loss."""

    ids: list[int]
    labels: list[int]


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Ids without any added token. Raises DataError when a word is missing from the vocabulary: it would be trained on as `<unk>`. (A
    control token that data spells may become that.)"""
    rows = text_ids(tokenizer, texts)
    _assert_known(tokenizer, [(text,) for text in texts], rows)
    return rows


def sequences(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Conversation], completions: Sequence[str]
) -> list[tuple[list[int], list[int]]]:
    """(ids of the prompt, ids of the completion and the end of turn) of each row. Raises DataError as `encode`, and for a conversation
    that the chat template refuses."""
    rows = sequence_ids(tokenizer, prompts, completions)
    _assert_known(tokenizer, [_contents(prompt) for prompt in prompts], [head for head, _ in rows])
    _assert_known(tokenizer, [(completion,) for completion in completions], [tail for _, tail in rows])
    return rows


def wholes(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[list[int]]:
    """What a reward model reads: each conversation as the chat template writes it, its end too. Raises DataError as `sequences`."""
    found = pair_ids(tokenizer, list(zip(prompts, completions, strict=True)), "the start model")
    if reason := next((reason for _, reason in found if reason), None):
        raise DataError(reason)
    rows = [ids for ids, _ in found]
    _assert_known(tokenizer, [(*_contents(prompt), words) for prompt, words in zip(prompts, completions, strict=True)], rows)
    return rows


def start_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Conversation], prefixes: Sequence[str]) -> list[tuple[int, ...]]:
    """What a policy continues: each prompt with its prefix. Raises DataError as `sequences`."""
    heads = prompt_ids(tokenizer, prompts)
    _assert_known(tokenizer, [_contents(prompt) for prompt in prompts], heads)
    return [(*head, *tail) for head, tail in zip(heads, encode(tokenizer, prefixes), strict=True)]


def _contents(prompt: Conversation) -> tuple[str, ...]:
    return tuple(message.content for message in prompt)


def _assert_known(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Sequence[str]], ids: Sequence[Sequence[int]]) -> None:
    """`rows`: the texts of data in each of `ids`."""
    for texts, found in zip(rows, ids, strict=True):
        for text in texts if tokenizer.unk_token_id in found else ():
            if word := unknown_word(tokenizer, text):
                raise DataError(f"the tokenizer has no token for {word!r} in {text[:80]!r}: the corpus must show every word of the line")


def plain(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], completions: Sequence[str]) -> list[Tokens]:
    """Pretraining's: loss on the completion and the end of sequence, no turns. Raises DataError as `encode`."""
    rows = plain_sequence_ids(tokenizer, prompts, completions)
    _assert_known(tokenizer, list(zip(prompts, completions, strict=True)), [head + tail for head, tail in rows])
    return [Tokens(head + tail, [IGNORED] * len(head) + tail) for head, tail in rows]


def completion_only(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Conversation],
    completions: Sequence[str],
    wrong_spans: Sequence[tuple[int, ...]] | None = None,
) -> list[Tokens]:
    """Loss on the completion and the end of turn; none on the prompt, nor on words with which its answer begins. `wrong_spans` are
    character offsets (start, end, start, end, …) into each completion; a token that touches one gets no loss."""
    rows = []
    for number, (head, tail) in enumerate(sequences(tokenizer, prompts, completions)):
        labels = list(tail)
        if wrong_spans and wrong_spans[number]:
            edges = wrong_spans[number]
            spans = list(zip(edges[::2], edges[1::2], strict=True))
            for i, (a, b) in enumerate(offsets(tokenizer, completions[number])):
                if any(a < end and b > start for start, end in spans):
                    labels[i] = IGNORED
        rows.append(Tokens(head + tail, [IGNORED] * len(head) + labels))
    return rows


def order(lengths: Sequence[int], batch: int, seed: int, *, tokens: int | None = None, epochs: int | None = None) -> list[int]:
    """Row numbers in training order: each `batch` consecutive ones are a step (the last may be smaller). Shuffled epochs repeat until
    `tokens` sequence tokens are used (the last row crosses the line), or exactly `epochs` times."""
    if not lengths:
        raise DataError("the dataset holds no rows to train on")
    rng = random.Random(seed)
    budget = tokens if tokens is not None else (epochs or 1) * sum(lengths)
    taken: list[int] = []
    used = 0
    while used < budget:
        for row in rng.sample(range(len(lengths)), len(lengths)):
            if used >= budget:
                break
            taken.append(row)
            used += lengths[row]
    groups = []
    for start in range(0, len(taken), batch * POOL):
        pool = sorted(taken[start : start + batch * POOL], key=lambda row: lengths[row])
        short = len(pool) % batch  # only the last pool's: its shortest rows make the last, smaller step
        batches = [pool[i : i + batch] for i in range(short, len(pool), batch)]
        rng.shuffle(batches)
        groups += [*batches, pool[:short]]
    return [row for group in groups for row in group]


def tokens_by_step(lengths: Sequence[int], rows: Sequence[int], batch: int) -> list[int]:
    """Sequence tokens seen after each step of an `order`."""
    seen, total = [], 0
    for start in range(0, len(rows), batch):
        total += sum(lengths[row] for row in rows[start : start + batch])
        seen.append(total)
    return seen


def collate(pad: int) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Pads on the right; a causal model needs no attention mask there, since no real token looks to its right."""

    def padded(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        fill = [longest - len(row["input_ids"]) for row in rows]
        return {
            "input_ids": torch.tensor([row["input_ids"] + [pad] * n for row, n in zip(rows, fill, strict=True)]),  # (B, T)
            "labels": torch.tensor([row["labels"] + [IGNORED] * n for row, n in zip(rows, fill, strict=True)]),
        }

    return padded
