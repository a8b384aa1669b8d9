"""Splits by cluster and hash: look-alikes on one side, shares kept, nothing depends on the other rows."""

from collections import Counter

import pytest

from factory.errors import ParamsError
from factory.problems.split import assign, clusters, split_of
from factory.schemas import Problem

SHARES = {"train": 0.8, "dev": 0.1, "heldout": 0.1}


def problem(key: str, text: str) -> Problem:
    return Problem(
        id=key, source="s", family="s", group="none", split="train", instance=key, problem=text, answer="1", answer_kind="number",
    )  # fmt: skip


def test_shares() -> None:
    counts = Counter(split_of(str(n), SHARES, seed=1) for n in range(5000))
    assert counts["train"] / 5000 == pytest.approx(0.8, abs=0.02)
    assert counts["dev"] / 5000 == pytest.approx(0.1, abs=0.015)
    assert split_of("x", SHARES, seed=1) == split_of("x", SHARES, seed=1)


def test_bad_shares() -> None:
    with pytest.raises(ParamsError, match=r"sums to 0\.9"):
        split_of("x", {"train": 0.9}, seed=1)
    with pytest.raises(ParamsError, match="test: expected some of train, dev, heldout, unseen"):
        split_of("x", {"test": 1.0}, seed=1)


def test_look_alikes_stay_together() -> None:
    story = "Tom has {} apples and buys {} more at the market. How many apples does he have now?"
    rows = [problem(f"{n:03}", story.format(n, n + 1)) for n in range(40)]
    words = ["red", "green", "blue", "grey", "pink", "teal", "gold", "lime"]
    rows += [problem(f"x{n:03}", f"{word} " * 8) for n, word in enumerate(words)]
    assert set(clusters(rows, 0.9).values()) == {"000", *(f"x{n:03}" for n in range(8))}
    done = assign(rows, SHARES, 0.9, seed=1)
    assert len({row.split for row in done if row.instance == "000"}) == 1
    assert all(row.split == split_of(row.instance, SHARES, 1) for row in done)
