"""From text to token ids, labels and the order in which rows are trained on.

A sequence is always ids(prompt) + ids(completion) + [eos], as engines and scorers make it (`language.tokens`): it begins as the tokenizer
begins a text, and the boundary between the two is a token boundary, as it is when a model continues the prompt. The order is written out
beforehand (epochs shuffled, rows of about the same length in one batch, batches shuffled), so that a budget in tokens is met exactly and
every step is known before the first one.

    Tokens(ids=[41, 7, 12, 1], labels=[-100, -100, 12, 1])      # two prompt tokens, one of the completion, eos
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from factory.errors import DataError
from factory.language.tokens import offsets, prompt_ids, sequence_ids, text_ids, unknown_word

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
    _assert_known(tokenizer, texts, rows)
    return rows


def sequences(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], completions: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """(ids of the prompt, ids of the completion and eos) of each row. Raises DataError as `encode`."""
    rows = sequence_ids(tokenizer, prompts, completions)
    _assert_known(tokenizer, prompts, [head for head, _ in rows])
    _assert_known(tokenizer, completions, [tail for _, tail in rows])
    return rows


def start_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], prefixes: Sequence[str]) -> list[tuple[int, ...]]:
    """What a policy continues: each prompt with its prefix. Raises DataError as `encode`."""
    heads = prompt_ids(tokenizer, prompts)
    _assert_known(tokenizer, prompts, heads)
    return [(*head, *tail) for head, tail in zip(heads, encode(tokenizer, prefixes), strict=True)]


def _assert_known(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
    for text, ids in zip(texts, rows, strict=True):
        if tokenizer.unk_token_id in ids and (word := unknown_word(tokenizer, text)):
            raise DataError(f"the tokenizer has no token for {word!r} in {text[:80]!r}: the corpus must show every word of the line")


def completion_only(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    completions: Sequence[str],
    wrong_spans: Sequence[tuple[int, ...]] | None = None,
) -> list[Tokens]:
    """Loss on the completion and its eos. `wrong_spans` are character offsets (start, end, start, end, …) into each completion; a
    token that touches one gets no loss."""
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
