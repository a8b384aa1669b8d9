"""Duplicates and contradictions: numbers, signs and gold answers decide first, words second.

    keep, rejects = deduplicate(problems, 0.9)
    → Reject(reason="near-duplicate", parent_id=<the survivor's id>, …), Reject(reason="one problem text, several answers", …)

"Tom has 3 apples …" and "Tom has 5 apples …" are two problems, however alike. Two problems are one when the tokens that decide are the same
in the same order (`lexer.signature`), their shingles overlap by the threshold without being the same words elsewhere, and their gold
answers are equal for the grader. One text with answers that differ is no problem at all: every row of it is a reject. In the world one
canonical instance is one problem.

The survivor has a solution if one of them has, and the lowest id of these; which file or line a row came from decides nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from factory.grading import Grader, Task
from factory.problems.lexer import exact_key, signature, tokens
from factory.problems.records import DUPLICATE, STAGE
from factory.problems.similar import Index, shingles
from factory.schemas import Problem, Reject
from factory.storage import reject

MOST_ASKED = 8  # look-alikes whose answers the grader compares with a row's
CONTRADICTION = "one problem text, several answers"


@dataclass
class _Rows:
    """The rows in the order in which they are preferred, and the fate of those that go: (position of its survivor or None, reason)."""

    rows: list[Problem]
    fates: dict[int, tuple[int | None, str]] = field(default_factory=dict)

    def groups(self, key: Callable[[Problem], Hashable], wanted: Callable[[Problem], bool]) -> list[list[int]]:
        """Positions of the living with equal keys, two at least."""
        found: dict[Hashable, list[int]] = defaultdict(list)
        for at, row in enumerate(self.rows):
            if at not in self.fates and wanted(row):
                found[key(row)].append(at)
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


def deduplicate(problems: Sequence[Problem], threshold: float) -> tuple[list[Problem], list[Reject]]:
    """The survivors sorted by id, and the doubles and contradictions. `threshold`: Jaccard similarity of shingles, in (0, 1]."""
    found = _Rows(sorted(problems, key=_preference))
    for group in found.groups(lambda row: row.id, lambda _: True):
        found.double(group, group[0], DUPLICATE)
    for group in found.groups(lambda row: row.instance, _has_instance):
        found.double(group, min(group, key=lambda at: found.rows[at].id), "duplicate instance")
    with Grader() as grader:
        _same_text(found, grader)
        _near(found, threshold, grader)
    keep = [row for at, row in enumerate(found.rows) if at not in found.fates]
    rejects = []
    for at in sorted(found.fates, key=lambda at: found.rows[at].id):
        survivor, reason = found.fate(at)
        rejects.append(reject(STAGE, found.rows[at], reason, None if survivor is None else found.rows[survivor].id))
    return sorted(keep, key=lambda row: row.id), rejects


def _preference(row: Problem) -> tuple[Hashable, ...]:
    return row.solution is None, row.id, row.source, row.split, row.family, row.solution or "", row.problem, row.answer


def _has_instance(row: Problem) -> bool:
    return row.instance != row.id


def _is_text(row: Problem) -> bool:
    return row.instance == row.id


def _same_text(found: _Rows, grader: Grader) -> None:
    groups = found.groups(lambda row: exact_key(row.problem), _is_text)
    pairs = [(found.rows[group[0]], found.rows[at]) for group in groups for at in group[1:]]
    equal = iter(agreements(pairs, grader))
    for group in groups:
        answers = [next(equal) for _ in group[1:]]
        if all(answers):
            found.double(group, group[0], DUPLICATE)
        else:
            found.fates.update(dict.fromkeys(group, (None, CONTRADICTION)))


def _near(found: _Rows, threshold: float, grader: Grader) -> None:
    words = {at: tokens(row.problem) for at, row in enumerate(found.rows) if at not in found.fates and _is_text(row)}
    buckets: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at, text in words.items():
        buckets[signature(text)].append(at)
    for bucket in buckets.values():
        if len(bucket) == 1:
            continue
        index = Index([shingles(words[at]) for at in bucket], threshold)
        for number, at in enumerate(bucket):
            alike = [bucket[earlier] for earlier in index.similar(number)]
            survivor = _of_equal_answer(found.rows, at, alike, words, grader)
            if survivor is None:
                index.add(number)
            else:
                found.double([at], survivor, "near-duplicate")


def _of_equal_answer(
    rows: Sequence[Problem], at: int, alike: Sequence[int], words: Mapping[int, list[str]], grader: Grader
) -> int | None:  # fmt: skip
    """The first with the same answer; of those with another spelling no more than `MOST_ASKED` are compared."""
    for other in alike:
        if rows[other].answer == rows[at].answer and not _permuted(words[other], words[at]):
            return other
    asked = list(islice((other for other in alike if not _permuted(words[other], words[at])), MOST_ASKED))
    equal = agreements([(rows[other], rows[at]) for other in asked], grader)
    return next((other for other, agrees in zip(asked, equal, strict=True) if agrees), None)


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
