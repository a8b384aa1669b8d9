"""The order of drawing: by id where weights are equal, in proportion to weight and size where they are not; caps by content alone."""

import random
from collections import Counter

import pytest

from factory.identity import row_id, seed_for
from factory.problems.draw import BEYOND, capped, in_order
from factory.schemas import Problem

KEYS: list[tuple[object, ...]] = [(), (1, "plans")]


def problems(source: str, count: int, weight: float = 1.0) -> list[Problem]:
    return [
        Problem(
            id=row_id("problem", source, n), source=source, family=source, group="none", split="train", instance=f"{source} {n}",
            problem=f"{source} {n}", answer=str(n), answer_kind="number", weight=weight,
        )
        for n in range(count)
    ]  # fmt: skip


def shuffled(rows: list[Problem]) -> list[Problem]:
    return random.Random(5).sample(rows, len(rows))


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_equal_weights_leave_the_order_of_the_hashes(weight: float) -> None:
    rows = shuffled(problems("a", 300, weight) + problems("b", 200, weight))
    assert [row.id for row in in_order(rows)] == sorted(row.id for row in rows)
    keyed = sorted(rows, key=lambda row: seed_for(1, "plans", row.id))
    assert in_order(rows, 1, "plans") == keyed != in_order(rows, 2, "plans")


@pytest.mark.parametrize("key", KEYS)
def test_a_prefix_holds_sources_by_weight_and_size(key: tuple[object, ...]) -> None:
    """6,000 of weight 1, 3,000 of weight 4 and 1,000 of weight 0.5: shares 6 : 12 : 0.5, of which few are used up in 400 draws."""
    rows = shuffled(problems("plain", 6000) + problems("heavy", 3000, 4.0) + problems("light", 1000, 0.5))
    drawn = Counter(row.source for row in in_order(rows, *key)[:400])
    for source, share in (("plain", 6 / 18.5), ("heavy", 12 / 18.5), ("light", 0.5 / 18.5)):
        deviation = (share * (1 - share) / 400) ** 0.5
        assert abs(drawn[source] / 400 - share) < 3.5 * deviation, (source, drawn)


@pytest.mark.parametrize("key", KEYS)
def test_it_is_a_permutation_that_rows_order_does_not_touch(key: tuple[object, ...]) -> None:
    rows = problems("a", 50) + problems("b", 50, 3.0)
    assert in_order(rows, *key) == in_order(shuffled(rows), *key)
    assert sorted(row.id for row in in_order(rows, *key)) == sorted(row.id for row in rows)


@pytest.mark.parametrize("key", KEYS)
def test_within_a_source_the_order_is_that_of_the_hashes(key: tuple[object, ...]) -> None:
    light, heavy = problems("a", 80), problems("b", 80, 1e6)
    mixed = in_order(light + heavy, *key)
    for rows in (light, heavy):
        assert [row for row in mixed if row.source == rows[0].source] == in_order(rows, *key)
    assert {row.source for row in mixed[:80]} == {"b"}, "a million to one"


def test_the_largest_and_smallest_hash_have_a_place() -> None:
    first, last, other = problems("a", 3)
    ends = [Problem(**{**vars(first), "id": "0" * 20}), Problem(**{**vars(last), "id": "f" * 20, "weight": 1e-300}), other]
    assert [row.id for row in in_order(ends)] == ["0" * 20, other.id, "f" * 20]


def test_a_cap_keeps_the_same_problems_whatever_their_order_and_grows_by_adding() -> None:
    rows = problems("a", 100) + problems("b", 30)
    kept, rejects = capped(rows, {"a": 40}, 1)
    again, others = capped(shuffled(rows), {"a": 40}, 1)
    assert kept == again
    assert {row.id for row in rejects} == {row.id for row in others}
    assert Counter(row.source for row in kept) == {"a": 40, "b": 30}
    assert len(kept) + len(rejects) == len(rows)
    assert {(row.reason, row.stage) for row in rejects} == {(BEYOND, "problems")}
    assert {row.id for row in capped(rows, {"a": 20}, 1)[0]} < {row.id for row in kept}
    assert {row.id for row in capped(rows, {"a": 40}, 2)[0]} != {row.id for row in kept}


def test_a_cap_above_the_size_and_no_cap_keep_all() -> None:
    rows = problems("a", 10)
    for caps in ({}, {"a": 10}, {"a": 99}, {"b": 1}):
        kept, rejects = capped(rows, caps, 1)
        assert (sorted(row.id for row in kept), rejects) == (sorted(row.id for row in rows), [])
