"""Expectations over subsets against plain enumeration, and samples of a tiny model."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.engines.protocol import Completion, SamplingParams
from factory.evaluation.scaling import Sample, best_of, draw, majority, sampled, scored
from factory.grading import Grader
from factory.language.prompting import Prompts
from factory.schemas import Problem

SAID = Completion("", (), "stop", 0)
HOT = SamplingParams(max_tokens=12, temperature=1.0)
PROMPTS = Prompts.of("laptop")


def sample(answer: int | None, right: bool = False, score: float = math.nan) -> Sample:
    return Sample(SAID, answer, right and answer is not None, score)


samples = st.lists(
    st.builds(sample, st.sampled_from([None, 0, 1, 2]), st.booleans(), st.sampled_from([math.nan, -1.0, 0.0, 2.5])), min_size=1, max_size=6
)


def first_of_the_most_frequent(drawn: Sequence[Sample]) -> bool:
    """The vote, decided by the earliest sample where answers are level."""
    votes = Counter(one.answer for one in drawn if one.answer is not None)
    return bool(votes) and next(one.right for one in drawn if one.answer is not None and votes[one.answer] == max(votes.values()))


def first_of_the_best(drawn: Sequence[Sample]) -> bool:
    def rank(one: Sample) -> float:
        return -math.inf if one.answer is None else -1e9 if math.isnan(one.score) else one.score

    return next(one.right for one in drawn if rank(one) == max(map(rank, drawn)))


@settings(max_examples=60)
@given(samples, st.data())
@pytest.mark.slow
def test_both_are_the_mean_over_every_ordered_draw_of_k(drawn: list[Sample], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(drawn)))
    orders = [order[:k] for order in permutations(drawn)]
    assert majority(drawn, k) == pytest.approx(sum(map(first_of_the_most_frequent, orders)) / len(orders))
    assert best_of(drawn, k) == pytest.approx(sum(map(first_of_the_best, orders)) / len(orders))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-9, 9)), min_size=8, max_size=12, unique_by=lambda pair: pair[1]), st.integers(1, 8))
@pytest.mark.slow
def test_without_ties_it_is_what_the_subsets_say(pairs: list[tuple[int, float]], k: int) -> None:
    """Answer 0 is right; three wrong ones."""
    drawn = [sample(answer, answer == 0, score) for answer, score in pairs]
    subsets = list(combinations(drawn, k))
    best = [max(subset, key=lambda one: one.score).right for subset in subsets]
    votes = [Counter(one.answer for one in subset) for subset in subsets]
    shares = [(vote[0] == max(vote.values())) / sum(count == max(vote.values()) for count in vote.values()) for vote in votes]
    assert best_of(drawn, k) == pytest.approx(sum(best) / len(best))
    assert majority(drawn, k) == pytest.approx(sum(shares) / len(shares))


def test_one_sample_is_the_mean_and_all_of_them_are_the_vote() -> None:
    drawn = [sample(0, True, 1.0), sample(0, True, 0.0), sample(1, False, 3.0), sample(2, False, 2.0)]
    assert majority(drawn, 1) == best_of(drawn, 1) == 0.5
    assert (majority(drawn, 4), best_of(drawn, 4)) == (1.0, 0.0)
    # two of four: {0, 0} right; {0, 1} and {0, 2} level, half of them right, four of them; {1, 2} wrong: (1 + 4 / 2) / 6
    assert majority(drawn, 2) == pytest.approx(0.5)


def test_answers_that_cannot_be_graded_never_win() -> None:
    drawn = [sample(None), sample(None), sample(None), sample(0, True)]
    assert majority(drawn, 4) == best_of(drawn, 4) == 1.0
    assert majority(drawn, 2) == best_of(drawn, 2) == 0.5  # half of the pairs hold the one answer
    assert majority(drawn[:3], 2) == best_of(drawn[:3], 2) == 0.0


def test_sixty_four_samples_are_counted_in_no_time() -> None:
    drawn = [sample(number % 9, number % 9 == 0, number / 7) for number in range(64)]
    assert majority(drawn, 32) == pytest.approx(majority([*reversed(drawn)], 32))
    assert 0.1 < majority(drawn, 32) < 0.4


@pytest.mark.parametrize("k", [0, 3])
def test_more_than_was_drawn_is_refused(k: int) -> None:
    for of in (majority, best_of):
        with pytest.raises(ValueError, match=f"k is {k}: expected 1 to 2"):
            of([sample(0), sample(1)], k)


@pytest.mark.slow
def test_samples_drawn_in_parts_are_those_drawn_at_once(tiny: Callable, problems: list[Problem]) -> None:
    engine, _ = tiny("parts")
    first, rest = (draw(engine, problems, part, HOT, PROMPTS, seed=1) for part in (range(2), range(2, 5)))
    other, _ = tiny("once")
    once = draw(other, problems, range(5), HOT, PROMPTS, seed=1)
    assert [[*a, *b] for a, b in zip(first, rest, strict=True)] == once
    assert len({done.text for row in once for done in row}) > 20


def test_samples_of_a_model_are_graded_and_scored_once(tiny: Callable, problems: list[Problem]) -> None:
    engine, scorer = tiny()
    with Grader() as grader:
        found = sampled(problems, draw(engine, problems, range(8), HOT, PROMPTS, seed=1), grader)
    rows = [one for row in found for one in row]
    assert {one.right for one in rows} == {True, False}
    assert all(one.answer is not None for one in rows if one.right)
    assert any(one.answer is None for one in rows)
    judged = scored(scorer, problems, found, PROMPTS)
    assert all(math.isfinite(one.score) for row in judged for one in row)
    asked = scorer.usage.requests
    assert scored(scorer, problems, judged, PROMPTS) == judged
    assert scorer.usage.requests == asked == 64


def test_equal_answers_are_one_whatever_their_spelling() -> None:
    problem = Problem(
        id="p", source="s", family="f", group="g", split="dev", instance="i", problem="Half of one?", answer="1/2", answer_kind="math"
    )
    texts = [r"\boxed{\frac{1}{2}}", r"\boxed{0.5}", r"\boxed{2}", "none", r"\boxed{2.0}", r"\boxed{\dfrac12}"]
    with Grader() as grader:
        (found,) = sampled([problem], [[Completion(text, (), "stop", 0) for text in texts]], grader)
    answers = [one.answer for one in found]
    assert answers[0] == answers[1] == answers[5]
    assert answers[2] == answers[4] != answers[0]
    assert answers[3] is None
    assert [one.right for one in found] == [True, True, False, False, False, True]
