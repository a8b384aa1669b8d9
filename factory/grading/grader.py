"""The grader: extract, compare here, and ask worker processes only where computer algebra has to say.

    with Grader(rules=("box",)) as grader:                              # the workers live as long as the stage
        grades = grader.grade_many([Task(completion, "\\\\frac{1}{2}", "math"), …])

One rule for every kind: a verdict and a reason, never an exception, in bounded time and memory. `grade` and `grade_answer` of this module
use one grader for the whole process, with the box rule.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from factory.grading import kinds, maths
from factory.grading.extraction import extract
from factory.grading.numbers import plain_value
from factory.grading.protocol import BOX, Extraction, Grade, Outcome, Rule
from factory.grading.tables import compare_table
from factory.grading.workers import Pool
from factory.params import Grading
from factory.schemas import AnswerKind, Problem

SECONDS, MEMORY_MB, WORKERS = 5.0, 1024, 2
GOLD_RULES: tuple[Rule, ...] = ("box", "hash", "tag", "final_answer")
NO_ANSWER = "no answer was found"
CORRECT: Outcome = ("correct", "")
DIFFERENT: Outcome = ("wrong", "different values")


class Task(NamedTuple):
    """`response`: what a model wrote, without the prompt. `decimals`: the tolerance that the problem states, None for exact answers."""

    response: str
    gold: str
    kind: AnswerKind
    decimals: int | None = None

    @classmethod
    def of(cls, problem: Problem, response: str) -> "Task":
        return cls(response, problem.answer, problem.answer_kind, problem.decimals)


class Grader:
    """Thread-safe. `seconds` and `memory_mb` bound one answer in one worker; no worker starts before one is needed."""

    def __init__(
        self, rules: Sequence[Rule] = BOX, *, seconds: float = SECONDS, memory_mb: int = MEMORY_MB, workers: int = WORKERS
    ) -> None:
        self.rules = tuple(rules)
        self.pool = Pool(workers, seconds, memory_mb, "factory.grading.computed:decide")

    @classmethod
    def of(cls, params: Grading) -> "Grader":
        return cls(params.rules, seconds=params.seconds, memory_mb=params.memory_mb, workers=params.workers)

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.pool.close()

    def grade(self, response: str, gold: str, kind: AnswerKind, decimals: int | None = None) -> Grade:
        """Grade a response. Pass the *response* only: a prompt or a restart prefix that holds the answer must earn nothing."""
        return self.grade_many([Task(response, gold, kind, decimals)])[0]

    def grade_many(self, tasks: Iterable[Task]) -> list[Grade]:
        """Grades in the order of the tasks; equal questions to the workers are asked once."""
        return self._graded((task, extract(task.response, self.rules, task.kind)) for task in tasks)

    def grade_answers(self, tasks: Iterable[Task]) -> list[Grade]:
        """The same for answers that are extracted already: each task's `response` is nothing but its answer."""
        return self._graded((task, Extraction(task.response, None) if task.response.strip() else None) for task in tasks)

    def grade_answer(self, answer: str | None, gold: str, kind: AnswerKind, decimals: int | None = None) -> Grade:
        """Grade an answer that is extracted already; None is unparsable."""
        return self.grade_answers([Task(answer or "", gold, kind, decimals)])[0]

    def _graded(self, found: Iterable[tuple[Task, Extraction | None]]) -> list[Grade]:
        grades: list[Grade] = []
        waiting: dict[tuple[str, str, int | None], list[int]] = {}
        for index, (task, extraction) in enumerate(found):
            if extraction is None:
                grades.append(Grade("unparsable", NO_ANSWER))
                continue
            outcome = decide(extraction.text, task.gold, task.kind, task.decimals)
            grades.append(Grade(*(outcome or ("timeout", "")), *extraction))
            if outcome is None:
                waiting.setdefault((gold_answer(task.gold, task.kind), extraction.text, task.decimals), []).append(index)
        for outcome, indices in zip(self.pool.run(list(waiting)), waiting.values(), strict=True) if waiting else ():
            for index in indices:
                grades[index] = grades[index]._replace(verdict=outcome[0], reason=outcome[1], by="worker")
        return grades


_COMPARE: dict[AnswerKind, Callable[[str, str], Outcome]] = {
    "choice": kinds.compare_choice, "label": kinds.compare_label, "literal": kinds.compare_literal, "text": kinds.compare_text,
    "table": compare_table,
}  # fmt: skip


def decide(answer: str, gold: str, kind: AnswerKind, decimals: int | None = None) -> Outcome | None:
    """The verdict on an extracted answer; None where a worker has to say."""
    if not answer.strip():
        return "unparsable", "an empty answer"
    gold = gold_answer(gold, kind)
    if kind in _COMPARE:
        return _COMPARE[kind](answer, gold)
    if decimals is None and (first := plain_value(answer)) is not None and (second := plain_value(gold)) is not None:
        return CORRECT if first == second else DIFFERENT
    if kind == "number":
        if maths.rational_value(gold) is None:
            return "unparsable", f"the gold answer {gold[:40]!r} is no number"
        if maths.rational_value(answer) is None:
            return "unparsable", "no number"
    return maths.judge(gold, answer, decimals)


@lru_cache(maxsize=1 << 16)
def gold_answer(gold: str, kind: AnswerKind) -> str:
    """The answer in a gold text: golds are found by the same rules as answers, a text without a mark is the answer itself."""
    if "boxed" not in gold and "fbox" not in gold and "####" not in gold and "nswer" not in gold and "NSWER" not in gold:
        return gold
    found = extract(gold, GOLD_RULES, kind)
    return found.text if found else gold


def clean_gold(gold: str, kind: AnswerKind) -> tuple[str, str]:
    """(the gold answer itself, why it can never be graded or ""): what cannot be graded against itself is no gold answer."""
    answer = gold_answer(gold, kind).strip()
    if not answer:
        return answer, "the answer is empty"
    if kind in ("number", "math"):
        if kind == "number" and maths.rational_value(answer) is None:
            return answer, "the answer is no number"
        reason = maths.unreadable(answer)
        return answer, f"the answer cannot be read: {reason}" if reason else ""
    reason = kinds.readable(kind, answer)
    return answer, f"the answer cannot be read: {reason}" if reason else ""


SHARED = Grader()  # the box rule and the usual limits
grade = SHARED.grade
grade_answer = SHARED.grade_answer
grade_many = SHARED.grade_many
