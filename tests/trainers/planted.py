"""A mistake that raises nothing is planted, and a check must see it; shared by `test_silent_losses`, `test_silent_sampling` and
`test_silent_rewards`. docs/silent-failures.md tells their stories."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from factory.language.conversation import said
from factory.schemas import Example
from trainers import batches, run, sft

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
ROWS = [("Tom has 3.\nSolve:\n", "3 + 4 = 7"), ("Solve:\n", "7"), ("Tom has 9 apples now?\nSolve:\n", "9 + 9 = 18\n\\boxed{18}")]
Plant = Callable[[pytest.MonkeyPatch], None]
trains = pytest.mark.slow  # whole trainings, a few seconds each


def caught(check: Callable[[], None], plant: Plant) -> None:
    """The check passes, and fails where the mistake is planted."""
    check()
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        with pytest.raises(AssertionError):
            check()


def replaced(owner: Any, name: str, value: Any) -> Plant:
    return lambda patch: patch.setattr(owner, name, value)


def examples(rows: Sequence[tuple[str, str]] = ROWS) -> list[Example]:
    return [
        Example(
            id=str(n), problem_id=str(n), prompt=said("user", asked), completion=told, model="m", prompt_version="p", seed=1, round="base"
        )
        for n, (asked, told) in enumerate(rows)
    ]


def tune(
    start: Path, rows: Sequence[tuple[str, str]], target: str = "tuned", *, steps: int = 1, batch: int | None = None, **more: Any
) -> Path:
    """Supervised fine-tuning, as its stage calls it."""
    words = run.load_tokenizer(start)
    once = sum(
        len(head + tail) for head, tail in batches.sequences(words, [said("user", asked) for asked, _ in rows], [told for _, told in rows])
    )
    settings = sft.Settings(tokens=once * steps, batch=batch or len(rows), lr=1e-2)
    sft.tune(examples(rows), settings, seed=1, start=start, target=Path(target), log=Path(f"{target}.csv"), **more)
    return Path(target)


def shape(vocabulary: int, pad: int, end: int, **more: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, tie_word_embeddings=True,
        max_position_embeddings=128, pad_token_id=pad, eos_token_id=end, bos_token_id=None, **more,
    )  # fmt: skip
