"""What more samples buy: majority@k and best-of-k, both from one set of n samples a problem.

    samples = sampled(problems, draw(engine, problems, range(16), sampling, prompts, seed=1), grader)
    samples[0][3]                → Sample(completion=Completion("12 + 7 = 19\\n\\\\boxed{19}", …), answer=0, right=True, score=nan)
    majority(samples[0], 4)      → 0.8126…  the chance that the vote of 4 of the 16 samples is right
    best_of(samples[0], 4)       → 0.75     the chance that the best scored of 4 of them is right

Both are the mean over all subsets of k of the n samples, counted and not drawn: unbiased for a fresh set of k, and plain majority@n and
best-of-n at k = n. Ties are shared equally, which is what the earliest sample decides in a random order. Answers are equal where the
grader says so. A sample without an answer that can be graded has no vote, and is chosen only where no other is there; an unscored
one is chosen before it and behind every scored one. A subset in which nobody votes is not right.

Source: Wang et al. 2022 (self-consistency), Cobbe et al. 2021 (best of n by a verifier), Chen et al. 2021 (mean over subsets).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from factory.engines.protocol import Completion, Engine, Request, SamplingParams, Scorer
from factory.grading import Grade, Grader, Task
from factory.identity import seed_for
from factory.language.prompting import Prompts
from factory.schemas import Problem


@dataclass(frozen=True)
class Sample:
    """`answer`: equal numbers are equal answers of one problem, None: no answer that can be graded. `score`: a reward model's logit, NaN
    where there is none."""

    completion: Completion
    answer: int | None
    right: bool
    score: float = math.nan


# -- the samples


def draw(
    engine: Engine, problems: Sequence[Problem], ordinals: Sequence[int], sampling: SamplingParams, prompts: Prompts, seed: int
) -> list[list[Completion]]:
    """A completion for each of the ordinals of each problem, all asked for at once; the same whatever else is drawn."""
    requests = [
        Request(prompts.render("solve", problem=problem.problem), sampling, seed_for(seed, "scaling", problem.id, ordinal), ordinal)
        for problem in problems
        for ordinal in ordinals
    ]
    found = iter(engine.generate(requests))
    return [[next(found) for _ in ordinals] for _ in problems]


def sampled(problems: Sequence[Problem], completions: Sequence[Sequence[Completion]], grader: Grader) -> list[list[Sample]]:
    """Graded, with equal answers of a problem numbered alike, in order."""
    tasks = [Task.of(problem, done.text) for problem, row in zip(problems, completions, strict=True) for done in row]
    grades = iter(grader.grade_many(tasks))
    graded = [[next(grades) for _ in row] for row in completions]
    numbers = _numbered(problems, graded, grader)
    return [
        [Sample(done, of.get(_answer(grade) or ""), grade.correct) for done, grade in zip(row, found, strict=True)]
        for row, found, of in zip(completions, graded, numbers, strict=True)
    ]


def scored(scorer: Scorer, problems: Sequence[Problem], samples: Sequence[Sequence[Sample]], prompts: Prompts) -> list[list[Sample]]:
    """With the scorer's logits of the whole solutions. Samples that have a score keep it."""
    asked = {problem.id: prompts.render("solve", problem=problem.problem) for problem in problems}
    places = [(row, place) for row, found in enumerate(samples) for place, sample in enumerate(found) if math.isnan(sample.score)]
    logits = scorer.score([(asked[problems[row].id], samples[row][place].completion.text) for row, place in places])
    scores = dict(zip(places, logits, strict=True))
    return [
        [replace(sample, score=scores.get((row, place), sample.score)) for place, sample in enumerate(found)]
        for row, found in enumerate(samples)
    ]


def _answer(grade: Grade) -> str | None:
    return grade.extracted if grade.verdict in ("correct", "wrong") else None


def _numbered(problems: Sequence[Problem], graded: Sequence[Sequence[Grade]], grader: Grader) -> list[dict[str, int]]:
    """Each problem's answers with numbers: an answer has that of the first one that it equals, by the rules that it is graded by."""
    texts = [list(dict.fromkeys(text for grade in row if (text := _answer(grade)) is not None)) for row in graded]
    pairs = [(row, late, early) for row, found in enumerate(texts) for late in range(len(found)) for early in range(late)]
    tasks = [Task(texts[row][late], texts[row][early], problems[row].answer_kind, problems[row].decimals) for row, late, early in pairs]
    equal = {pair for pair, grade in zip(pairs, grader.grade_answers(tasks), strict=True) if grade.correct}
    numbers: list[dict[str, int]] = []
    for row, found in enumerate(texts):
        of: dict[str, int] = {}
        for late, text in enumerate(found):
            of[text] = next((of[found[early]] for early in range(late) if (row, late, early) in equal), late)
        numbers.append(of)
    return numbers


# -- what k of them decide


def majority(samples: Sequence[Sample], k: int) -> float:
    """The chance that the most frequent answer of k of the samples is right. An answer whose samples were graded differently is as often
    right as they are. Raises ValueError for k < 1 or more than there are."""
    _check(samples, k)
    votes = Counter(sample.answer for sample in samples if sample.answer is not None)
    right = Counter(sample.answer for sample in samples if sample.answer is not None and sample.right)
    silent = len(samples) - votes.total()
    won = 0.0
    for answer, of_right in right.items():
        others = [count for other, count in votes.items() if other != answer]
        chance = sum(
            math.comb(votes[answer], picked) * _ways(others, silent, k - picked, picked) for picked in range(1, min(votes[answer], k) + 1)
        )
        won += of_right / votes[answer] * chance
    return won / math.comb(len(samples), k)


def _ways(others: Sequence[int], silent: int, rest: int, most: int) -> float:
    """In how many ways `rest` samples come from the other answers, none of them picked more than `most` times, and from those without a
    vote; a way in which t answers have `most` counts as 1 / (t + 1)."""
    ways: dict[tuple[int, int], int] = {(0, 0): 1}  # (picked, tied) → ways
    for count in others:
        grown: Counter[tuple[int, int]] = Counter()
        for (picked, tied), number in ways.items():
            for more in range(min(count, most, rest - picked) + 1):
                grown[picked + more, tied + (more == most)] += number * math.comb(count, more)
        ways = grown
    return sum(number * math.comb(silent, rest - picked) / (tied + 1) for (picked, tied), number in ways.items())


def best_of(samples: Sequence[Sample], k: int) -> float:
    """The chance that the best scored of k of the samples is right. Raises ValueError for k < 1 or more than there are."""
    _check(samples, k)
    won, lower = 0.0, 0
    for _, group in groupby(sorted(samples, key=_rank), key=_rank):
        tied = list(group)
        chosen = math.comb(lower + len(tied), k) - math.comb(lower, k)  # subsets whose best is one of these
        won += chosen * sum(sample.right for sample in tied) / len(tied)
        lower += len(tied)
    return won / math.comb(len(samples), k)


def _rank(sample: Sample) -> tuple[bool, bool, float]:
    unscored = math.isnan(sample.score)
    return sample.answer is not None, not unscored, 0.0 if unscored else sample.score


def _check(samples: Sequence[Sample], k: int) -> None:
    if not 1 <= k <= len(samples):
        raise ValueError(f"k is {k}: expected 1 to {len(samples)}, the number of samples")
