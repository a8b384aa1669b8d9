"""How well judges agree: our grader with published labels of recorded solutions, and a critic with the reference critic.

graded(recorded.solutions, recorded.labels, rollouts)
→ [Graded(model="6b_finetuning", problem_id="a07b…", label=True, verdict="wrong", gold="2,125", answer="2125.5", …), …]
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from factory.engines.recorded_engine import normalise
from factory.evaluation.statistics import wilson
from factory.schemas import CriticJudgement


@dataclass(frozen=True)
class Graded:
    """One recorded solution, graded by its authors (`label`: correct) and by us."""

    rollout_id: str
    model: str
    problem_id: str
    label: bool
    verdict: str
    gold: str
    answer: str | None

    @property
    def agrees(self) -> bool:
        return self.label == (self.verdict == "correct")


class Solved(NamedTuple):
    """What is read of a rollout and its problem."""

    id: str
    problem_id: str
    problem: str
    gold: str
    completion: str
    verdict: str
    answer: str | None


def graded(
    solutions: Mapping[str, Mapping[str, str]], labels: Mapping[str, Mapping[str, bool]], rollouts: Iterable[Solved]
) -> list[Graded]:
    """One entry a rollout whose text a recorded model wrote; twins (two models, one text) take the models in order of their names."""
    by_question = {_fold(question): question for question in solutions}
    authors: dict[tuple[str, str], list[str]] = {}
    for question, answers in solutions.items():
        for model in sorted(answers):
            authors.setdefault((question, normalise(answers[model])[0]), []).append(model)
    found = []
    for rollout in rollouts:
        question = by_question.get(_fold(rollout.problem), "")
        if models := authors.get((question, rollout.completion)):
            model = models.pop(0)
            ours = (rollout.verdict, rollout.gold, rollout.answer)
            found.append(Graded(rollout.id, model, rollout.problem_id, labels[question][model], *ours))
    return found


def _fold(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True)
class Share:
    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, Wilson."""
        return wilson(self.hits, self.of)

    @property
    def text(self) -> str:
        """`12 of 14 (85.7 %)`; "" of nothing."""
        return f"{self.hits:,} of {self.of:,} ({100 * self.hits / self.of:.1f} %)" if self.of else ""

    @property
    def percent(self) -> str:
        """`85.7 % (60.1 to 96.0)`: with its interval."""
        low, high = self.interval
        return f"{100 * self.hits / self.of:.1f} % ({100 * low:.1f} to {100 * high:.1f})" if self.of else ""


@dataclass(frozen=True)
class CriticRecord:
    """What one critic's remarks of one kind were worth. `grader`: finds no fault in a part of a right solution, one in a wrong attempt."""

    critic: str
    kind: str
    remarks: int
    unparsed: int
    leaks: int
    grader: Share  # of the parsed
    compared: int  # with the reference: parsed, and there are equations
    agree: Share  # of the compared: names the same first wrong step (or none) as the reference
    false_accepts: Share  # of the compared with a wrong step: the critic found none
    named: Share  # of the compared with a wrong step: the critic named this one
    accepted: int


COUNTED = ("critic", "kind", "parsed", "leaks", "said_step", "reference_step", "compared", "accepted")  # all that a record needs


class Remark(NamedTuple):
    critic: str
    kind: str
    parsed: bool
    leaks: bool
    said_step: int | None
    reference_step: int | None
    compared: bool
    accepted: bool


def critic_records(rows: Iterable[CriticJudgement]) -> list[CriticRecord]:
    """A critique is only asked about an attempt that was graded wrong, a verification about a part of a solution graded right."""
    return counted_records((tuple(getattr(row, name) for name in COUNTED), 1) for row in rows)


def counted_records(counts: Iterable[tuple[tuple, int]]) -> list[CriticRecord]:
    """The same of (values of the columns COUNTED, how many remarks have them)."""
    rows = [(Remark(*values), count) for values, count in counts]
    found = []
    for critic, kind in sorted({(row.critic, row.kind) for row, _ in rows}):
        own = [(row, count) for row, count in rows if (row.critic, row.kind) == (critic, kind)]
        parsed = [(row, count) for row, count in own if row.parsed]
        compared = [(row, count) for row, count in parsed if row.compared]
        wrong = [(row, count) for row, count in compared if row.reference_step is not None]
        found.append(
            CriticRecord(
                critic, kind, _sum(own), _sum(own) - _sum(parsed), _sum((row, count) for row, count in own if row.leaks),
                _share(((row.said_step is None) == (kind == "verify"), count) for row, count in parsed), _sum(compared),
                _share((row.said_step == row.reference_step, count) for row, count in compared),
                _share((row.said_step is None, count) for row, count in wrong),
                _share((row.said_step == row.reference_step, count) for row, count in wrong),
                _sum((row, count) for row, count in own if row.accepted),
            )
        )  # fmt: skip
    return found


def _sum(rows: Iterable[tuple[object, int]]) -> int:
    return sum(count for _, count in rows)


def _share(flags: Iterable[tuple[bool, int]]) -> Share:
    found = list(flags)
    return Share(sum(count for flag, count in found if flag), _sum(found))
