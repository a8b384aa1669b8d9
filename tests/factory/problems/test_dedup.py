"""Duplicates: numbers decide first, words second; the lowest id survives."""

import random

from factory.params import World
from factory.problems.dedup import deduplicate, jaccard, shingles, similar_pairs
from factory.problems.world import draw_problems
from factory.schemas import Problem

STORY = (
    "Tom has {a} apples in his basket and buys {b} more apples at the market near the old bridge in the morning. "
    "How many apples does he have now?"
)


def problem(key: str, text: str, instance: str | None = None) -> Problem:
    return Problem(
        id=key, source="s", family="s", group="none", split="train", instance=instance or key, problem=text, answer="1",
        answer_kind="number",
    )  # fmt: skip


def test_other_numbers_are_another_problem() -> None:
    keep, rejects = deduplicate([problem("a", STORY.format(a=3, b=4)), problem("b", STORY.format(a=3, b=5))], 0.5)
    assert len(keep) == 2
    assert rejects == []


def test_exact_and_near_duplicates() -> None:
    text = STORY.format(a=3, b=4)
    other = "Zoe has 3 cats and 4 dogs. How many?"
    rows = [problem("c", text.upper()), problem("a", text), problem("b", text.replace("old ", "")), problem("d", other)]
    keep, rejects = deduplicate(rows, 0.7)
    assert [row.id for row in keep] == ["a", "d"]
    assert {(row.reason, row.parent_id) for row in rejects} == {("near-duplicate", "a"), ("exact duplicate", "a")}
    assert len(deduplicate(rows, 0.95)[0]) == 3  # one word less is another problem for a stricter threshold


def test_minhash_finds_what_all_pairs_find() -> None:
    """Above 16 rows candidates come from MinHash: planted doubles are found, and nothing else."""
    rng = random.Random(1)
    words = [f"w{n}" for n in ("abcdefghij"[n % 10] * (n // 10 + 1) for n in range(60))]
    texts = [" ".join(rng.choice(words) for _ in range(40)) for _ in range(200)]
    texts += [text.replace(text.split()[20], "other", 1) for text in texts[:100]]
    sets = [shingles(text) for text in texts]
    wanted = {(i, j) for j in range(len(sets)) for i in range(j) if jaccard(sets[i], sets[j]) >= 0.8}
    assert len(wanted) >= 90
    assert set(similar_pairs(sets, 0.8)) == wanted


def test_a_double_of_a_double_is_counted_once() -> None:
    text = STORY.format(a=3, b=4)
    keep, rejects = deduplicate([problem(f"{n:02}", text) for n in range(40)], 0.9)
    assert [row.id for row in keep] == ["00"]
    assert {row.parent_id for row in rejects} == {"00"}


def test_world_duplicates_are_instances() -> None:
    rows = draw_problems(World(train=120, dev=12, heldout=12, unseen=10, max_steps=4, max_number=99), seed=1)
    assert deduplicate(rows, 0.9) == (rows, [])
    twin = problem("0" * 20, "Another wording.", rows[0].instance)
    keep, rejects = deduplicate([*rows, twin], 0.9)
    assert len(keep) == len(rows)
    assert [(row.reason, row.parent_id) for row in rejects] == [("duplicate instance", twin.id)]
