"""Splits by cluster and hash: look-alikes on one side, shares kept, nothing depends on the other rows."""

import dataclasses
import random
import time
from collections import Counter

import pytest

from factory.errors import ParamsError
from factory.problems.split import FEW, assign, clusters, split_of
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
    rows = [problem(f"{n:03}", story.format(n, n + 1)) for n in range(FEW)]
    words = ["red", "green", "blue", "grey", "pink", "teal", "gold", "lime"]
    rows += [problem(f"x{n:03}", f"{word} " * 8) for n, word in enumerate(words)]
    assert set(clusters(rows, 0.9).values()) == {"000", *(f"x{n:03}" for n in range(8))}
    done, notes = assign(rows, SHARES, 0.9, seed=1)
    assert notes == []
    assert len({row.split for row in done if row.instance == "000"}) == 1
    assert all(row.split == split_of(row.instance, SHARES, 1) for row in done)


def test_signs_tell_look_alikes_apart() -> None:
    texts = [
        "What is {} + {}?",
        "What is {} - {}?",
        r"What is \\frac{{{}}}{{{}}}?",
        "Is {} < {}?",
        "Is {} > {}?",
        "{}和{}的和是多少？",
        "{}和{}的差是多少？",
    ]
    rows = [problem(f"{n}{m}", text.format(n + 3, m + 5)) for n, text in enumerate(texts) for m in range(3)]
    assert set(clusters(rows, 0.9).values()) == {f"{n}0" for n in range(len(texts))}


def test_clusters_are_transitive() -> None:
    words = [f"w{'abcdefghijklmnopqrst'[n]}" for n in range(20)]
    rows = []
    for n in range(15):  # each like the one before, the first and the last unlike
        words[n] = words[n] + "x"
        rows.append(problem(f"{n:02}", " ".join(words)))
    assert set(clusters(rows, 0.7).values()) == {"00"}
    assert len(set(clusters(rows, 0.95).values())) == 15


TEMPLATES = {
    "sums": ["What is {} + {}?"],
    "apples": ["Tom has {} apples and buys {} more. How many has he now?"],
    "areas": [r"Find the area of a rectangle of ${}$ by ${}$ \\text{{cm}}."],
    "ten": [
        f"{name} walks {{}} km and then {{}} km more." for name in ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jim")
    ],
    "chinese": ["小明有{}个苹果，又买了{}个。现在有几个？"],
}


@pytest.mark.parametrize("texts", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_400_problems_of_one_template_keep_the_shares(texts: list[str], seed: int) -> None:
    rows = [problem(f"{n:05}", texts[n % len(texts)].format(n, n + 7)) for n in range(400)]
    others = [problem(f"z{n:05}", " ".join(random.Random(n).choices("abcdefghijklmnop", k=12))) for n in range(100)]
    done, notes = assign(rows + others, SHARES, 0.9, seed)
    counts = Counter(row.split for row in done)
    for name, share in SHARES.items():
        assert counts[name] / 500 == pytest.approx(share, abs=0.05)
    assert len(notes) == 1
    assert notes[0].startswith(f"400 of 500 problems look alike but for their numbers, in {len(texts)} groups of more than {FEW}")
    alone, none = assign(others, SHARES, 0.9, seed)
    assert none == []
    assert done[400:] == alone  # the others keep their sides
    assert all(row.instance == row.id for row in done)


def test_one_side_holds_any_cluster() -> None:
    rows = [problem(f"{n:05}", f"What is {n} + {n}?") for n in range(400)]
    done, notes = assign(rows, {"train": 1.0, "dev": 0.0}, 0.9, seed=1)
    assert {(row.split, row.instance) for row in done} == {("train", "00000")}
    assert notes == []


def test_look_alikes_of_a_source_with_a_side_of_its_own_go_there() -> None:
    story = "{} has {} apples and buys {} more at the market near the old bridge. How many apples are there now?"
    names = [f"N{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(60)]
    rows = [problem(f"{n:03}", story.format(name * 3, n, n + 1) + f" {name} {name} {name} {name}") for n, name in enumerate(names)]
    fixed = [
        dataclasses.replace(problem(f"f{n:02}", story.format(names[n] * 3, 90, n) + f" {names[n]}" * 4), split=side)
        for n, side in ((0, "heldout"), (1, "dev"), (2, "train"), (3, "train"), (3, "dev"))
    ]
    fixed[-1] = dataclasses.replace(fixed[-1], id="f99", instance="f99")
    done, notes = assign(rows, SHARES, 0.9, 1, fixed)
    assert [row.split for row in done[:4]] == ["heldout", "dev", "train", "dev"]
    assert [row.split for row in done[4:]] == [row.split for row in assign(rows, SHARES, 0.9, 1)[0][4:]]
    assert len({row.split for row in done[4:]}) == 3
    assert [note[:70] for note in notes] == ["2 problems of sources with a split of their own look, but for their nu"]


def test_the_order_of_rows_decides_no_side() -> None:
    rng = random.Random(5)
    words = ["red", "blue", "cat", "dog", "has", "buys", "+", "-", "x"]
    rows = [problem(f"{n:03}", " ".join([*rng.choices(words, k=rng.choice([3, 9])), str(n)])) for n in range(300)]
    rows += [problem(f"y{n:03}", f"What is {n} + {n}?") for n in range(60)]
    wanted, notes = assign(rows, SHARES, 0.6, seed=1)
    for _ in range(5):
        shuffled = rng.sample(rows, len(rows))
        done, said = assign(shuffled, SHARES, 0.6, seed=1)
        assert [row.id for row in done] == [row.id for row in shuffled]
        assert sorted(done, key=lambda row: row.id) == sorted(wanted, key=lambda row: row.id)
        assert said == notes


@pytest.mark.slow
def test_20000_look_alikes_take_linear_time() -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(2000)]
    wordings = [" ".join(rng.choices(words, k=40)) for _ in range(100)]
    rows = [problem(f"{n:05}", f"{rng.choice(wordings)} {n}") for n in range(20_000)]
    start = time.process_time()
    done, notes = assign(rows, SHARES, 0.9, seed=1)
    assert time.process_time() - start < 6  # 0.9 s on a quiet core
    assert Counter(row.split for row in done)["dev"] / 20_000 == pytest.approx(0.1, abs=0.02)
    assert len(notes) == 1
