"""ORM pairs: one problem, both signs, distinct texts, and a reject for every problem that has not both."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from factory.coat.preferences import orm_pairs
from factory.identity import row_id
from factory.language.conversation import said
from factory.schemas import Rollout

BASE = Rollout(
    id="", problem_id="p", prompt=said("user", "Tom has 12 and gets 7.\nSolve:\n"), completion="", steps=(), answer=None, verdict="correct",
    finish_reason="stop", tokens=4, model="base@1", prompt_version="solve@1", seed=1, round="r1",
)  # fmt: skip


def rows(problem: str, right: list[str], wrong: list[str], **values: object) -> list[Rollout]:
    graded = [(text, "correct") for text in right] + [(text, "wrong") for text in wrong]
    return [
        replace(BASE, id=row_id(problem, place), problem_id=problem, completion=text, verdict=verdict, **values)
        for place, (text, verdict) in enumerate(graded)
    ]


def pairs_of(rollouts: list[Rollout], per_problem: int = 2) -> tuple[list, list]:
    return orm_pairs(rollouts, per_problem=per_problem, margin=2.0, seed=1, round="r1")


def test_a_pair_holds_a_right_and_a_wrong_solution_of_one_problem() -> None:
    rollouts = rows("p", ["a", "b"], ["x"]) + rows("q", ["c"], ["y", "z"])
    pairs, rejects = pairs_of(rollouts)
    by_id = {row.id: row for row in rollouts}
    assert rejects == []
    assert len(pairs) == 4
    for pair in pairs:
        chosen, rejected = by_id[pair.chosen_id], by_id[pair.rejected_id]
        assert (chosen.verdict, rejected.verdict) == ("correct", "wrong")
        assert chosen.problem_id == rejected.problem_id == pair.problem_id
        assert (pair.chosen, pair.rejected, pair.prompt, pair.margin) == (chosen.completion, rejected.completion, chosen.prompt, 2.0)


def test_problems_without_both_signs_are_rejects() -> None:
    pairs, rejects = pairs_of(rows("p", ["a"], []) + rows("q", [], ["x"]) + rows("r", ["a"], ["x"]))
    assert [pair.problem_id for pair in pairs] == ["r"]
    assert {(reject.parent_id, reject.reason) for reject in rejects} == {("p", "no wrong sample"), ("q", "no right sample")}


def test_truncated_and_unparsable_solutions_are_in_no_pair() -> None:
    truncated = rows("p", ["a"], ["x"], finish_reason="length")
    unparsable = [replace(row, verdict="unparsable") for row in rows("q", [], ["x"])]
    _, rejects = pairs_of(truncated + unparsable)
    assert {reject.reason for reject in rejects} == {"no right sample"}


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 30))
def test_pairs_are_distinct_and_texts_return_only_when_they_must(right: int, wrong: int, per_problem: int) -> None:
    rollouts = rows("p", [f"r{n}" for n in range(right)] * 2, [f"w{n}" for n in range(wrong)])  # each right text twice
    pairs, _ = pairs_of(rollouts, per_problem)
    texts = [(pair.chosen, pair.rejected) for pair in pairs]
    assert len(set(texts)) == len(texts) == min(per_problem, right * wrong)
    assert len({chosen for chosen, _ in texts}) == min(len(texts), right)
    assert len({rejected for _, rejected in texts}) == min(len(texts), wrong)


def test_the_seed_decides_and_the_order_of_rows_does_not() -> None:
    rollouts = rows("p", list("abcdef"), list("uvwxyz"))
    assert pairs_of(rollouts) == pairs_of(rollouts[::-1])
    assert pairs_of(rollouts)[0] != orm_pairs(rollouts, per_problem=2, margin=2.0, seed=2, round="r1")[0]
