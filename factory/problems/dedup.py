"""Duplicates and contradictions: numbers, signs and gold answers decide first, words second.

    keep, rejects = deduplicate(problems, 0.9)
    → Reject(reason="near-duplicate", parent_id=<the survivor's id>, …), Reject(reason="one problem text, several answers", …)

"Tom has 3 apples …" and "Tom has 5 apples …" are two problems, however alike. Two problems are one when the tokens that decide are the same
in the same order (`lexer.signature`), their shingles overlap by the threshold without being the same words elsewhere, and their gold
answers are equal for the grader. So are two of which one stands word for word in the other, as in an instruction, with the same answer.
One text with answers that differ is no problem at all: every row of it is a reject. In the world one canonical instance is one problem.

Doubles are clusters: what is one problem with a member is one with all. The survivor has a solution if one of them has, then it stands
around none of the others, then it has the lowest id; which file or line a row came from decides nothing.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from factory.grading import Grader, Task
from factory.problems.keys import Keys, chosen, inside, keys, number
from factory.problems.lexer import tokens
from factory.problems.records import DUPLICATE, STAGE
from factory.problems.similar import Index, Union, held_pairs, shingles
from factory.rejects import reject
from factory.schemas import Problem, Reject

MOST_ASKED = 8  # look-alikes whose answers the grader compares with a row's
LONGER, FURTHER = 3, 60
CONTRADICTION = "one problem text, several answers"


@dataclass
class _Rows:
    """The rows in the order in which they are preferred, and the fate of those that go: (position of its survivor or None, reason)."""

    rows: list[Problem]
    fates: dict[int, tuple[int | None, str]] = field(default_factory=dict)

    def groups(self, key: Callable[[int], Hashable], wanted: Callable[[int], bool]) -> list[list[int]]:
        """Positions of the living with equal keys, two at least."""
        found: dict[Hashable, list[int]] = defaultdict(list)
        for at in range(len(self.rows)):
            if at not in self.fates and wanted(at):
                found[key(at)].append(at)
        return [group for group in found.values() if len(group) > 1]

    def double(self, group: Iterable[int], survivor: int, reason: str) -> None:
        self.fates.update({at: (survivor, reason) for at in group if at != survivor})

    def fate(self, at: int) -> tuple[int | None, str]:
        """Its survivor lives: a double of a double has the last one, a double of a contradiction is one."""
        survivor, reason = self.fates[at]
        while survivor in self.fates:
            survivor, further = self.fates[survivor]
            reason = reason if survivor is not None else further
        return survivor, reason


def deduplicate(problems: Sequence[Problem], threshold: float, known: Keys | None = None) -> tuple[list[Problem], list[Reject]]:
    """The survivors sorted by id, and the doubles and contradictions. `threshold`: Jaccard similarity of shingles, in (0, 1]. `known`: keys
    of the problems' texts, where there are some already."""
    found = _Rows(sorted(problems, key=_preference))
    for group in found.groups(lambda at: found.rows[at].id, lambda _: True):
        found.double(group, group[0], DUPLICATE)
    for group in found.groups(lambda at: found.rows[at].instance, lambda at: found.rows[at].instance != found.rows[at].id):
        found.double(group, min(group, key=lambda at: found.rows[at].id), "duplicate instance")
    texts = [at for at, row in enumerate(found.rows) if at not in found.fates and row.instance == row.id]
    known = known or keys(found.rows[at].problem for at in texts)
    place = dict(zip(texts, known.at(found.rows[at].problem for at in texts).tolist(), strict=True))
    exact = dict(zip(texts, known.exact[list(place.values())].tolist(), strict=True))
    with Grader() as grader:
        _same_text(found, exact, grader)
        _near(found, known, place, threshold, grader)
    keep = [row for at, row in enumerate(found.rows) if at not in found.fates]
    rejects = []
    for at in sorted(found.fates, key=lambda at: found.rows[at].id):
        survivor, reason = found.fate(at)
        rejects.append(reject(STAGE, found.rows[at], reason, None if survivor is None else found.rows[survivor].id))
    return sorted(keep, key=lambda row: row.id), rejects


def _preference(row: Problem) -> tuple[Hashable, ...]:
    return row.solution is None, row.id, row.source, row.split, row.family, row.solution or "", row.problem, row.answer


def _same_text(found: _Rows, exact: Mapping[int, int], grader: Grader) -> None:
    groups = found.groups(exact.__getitem__, exact.__contains__)
    pairs = [(found.rows[group[0]], found.rows[at]) for group in groups for at in group[1:]]
    equal = iter(agreements(pairs, grader))
    for group in groups:
        answers = [next(equal) for _ in group[1:]]
        if all(answers):
            found.double(group, group[0], DUPLICATE)
        else:
            found.fates.update(dict.fromkeys(group, (None, CONTRADICTION)))


def _near(found: _Rows, known: Keys, place: Mapping[int, int], threshold: float, grader: Grader) -> None:
    """Clusters of near-duplicates and of problems that stand whole in others; the survivor of each stands around none of the others."""
    union, outer = Union(len(found.rows)), set[int]()
    living = [at for at in place if at not in found.fates]
    for at, other in _alike(found, living, known, place, threshold, grader):
        union.join(at, other)
    for inner, around in _held(found, living, known, place):
        union.join(inner, around)
        outer.add(around)
    members: dict[int, list[int]] = defaultdict(list)
    for at in living:
        members[union.find(at)].append(at)
    for group in members.values():
        if len(group) > 1:
            found.double(group, min(group, key=lambda at: (found.rows[at].solution is None, at in outer, at)), "near-duplicate")


def _alike(
    found: _Rows, living: Sequence[int], known: Keys, place: Mapping[int, int], threshold: float, grader: Grader
) -> Iterator[tuple[int, int]]:  # fmt: skip
    """Pairs whose deciding tokens are the same, whose shingles overlap, and whose answers are equal."""
    buckets: dict[int, list[int]] = defaultdict(list)
    signatures = known.signature.tolist()
    for at in living:
        buckets[signatures[place[at]]].append(at)
    for bucket in buckets.values():
        if len(bucket) == 1:
            continue
        words = [tokens(found.rows[at].problem) for at in bucket]
        index = Index([shingles(text) for text in words], threshold)
        for own, at in enumerate(bucket):
            alike = [other for other in index.similar(own) if not _permuted(words[other], words[own])]
            equal = _of_equal_answer(found.rows, at, [bucket[other] for other in alike], grader)
            yield from ((other, at) for other in equal)
            if not any(index.sets[own] == index.sets[other] for other in alike if bucket[other] in equal):
                index.add(own)


def _of_equal_answer(rows: Sequence[Problem], at: int, alike: Sequence[int], grader: Grader) -> set[int]:
    """Those with the same answer; of those with another spelling no more than `MOST_ASKED` are compared, where none has the same."""
    if same := {other for other in alike if rows[other].answer == rows[at].answer}:
        return same
    asked = alike[:MOST_ASKED]
    equal = agreements([(rows[other], rows[at]) for other in asked], grader)
    return {other for other, agrees in zip(asked, equal, strict=True) if agrees}


def _held(found: _Rows, living: Sequence[int], known: Keys, place: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """(inner, outer): problems of `keys.GRAM` tokens at least that stand word for word in a longer one with the same answer, which puts an
    instruction around them. An answer without a digit proves little: then the other has at most `LONGER` times as many tokens and
    `FURTHER`."""
    rows = [found.rows[at] for at in living]
    grams, ends = chosen(known.grams, known.gram_ends, np.array([place[at] for at in living], np.int64))
    answers = np.array([number(row.answer) for row in rows], np.uint64)
    for inner, outer in held_pairs(grams, ends, answers).tolist():
        held, around = (inside(tokens(rows[at].problem)) for at in (inner, outer))
        most = math.inf if any(map(str.isdigit, rows[inner].answer)) else LONGER * len(held) + FURTHER
        if len(held) < len(around) <= most and f" {' '.join(held)} " in f" {' '.join(around)} ":
            yield living[inner], living[outer]


def _permuted(first: list[str], second: list[str]) -> bool:
    """The same words elsewhere: Bob in the place of Alice, who has his, the options of a choice in another order."""
    return first != second and set(first) == set(second)


def agreements(pairs: Sequence[tuple[Problem, Problem]], grader: Grader) -> list[bool]:
    """Whether the gold answers of each pair are equal: as text, or each one right where the other is gold."""
    asked = [(first, second) for first, second in pairs if first.answer != second.answer]
    tasks = [Task.of(gold, other.answer) for pair in asked for gold, other in (pair, pair[::-1])]
    right = [grade.verdict == "correct" for grade in grader.grade_answers(tasks)] if tasks else []
    judged = iter(zip(right[::2], right[1::2], strict=True))
    return [first.answer == second.answer or all(next(judged)) for first, second in pairs]
