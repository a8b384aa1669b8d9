"""How well judges agree: our grader with published labels of recorded solutions, and a critic with the reference critic.

graded(recorded.solutions, recorded.labels, problems, rollouts)
→ [Graded(model="6b_finetuning", problem_id="a07b…", label=True, verdict="wrong", gold="2,125", answer="2125.5", …), …]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.engines.recorded_engine import normalise
from factory.evaluation.statistics import wilson
from factory.schemas import CriticJudgement, Problem, Rollout


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


def graded(
    solutions: Mapping[str, Mapping[str, str]],
    labels: Mapping[str, Mapping[str, bool]],
    problems: Sequence[Problem],
    rollouts: Sequence[Rollout],
) -> list[Graded]:
    """One entry a rollout whose text a recorded model wrote; twins (two models, one text) take the models in order of their names."""
    by_question = {_fold(question): question for question in solutions}
    known = {problem.id: problem for problem in problems}
    authors: dict[tuple[str, str], list[str]] = {}
    for question, answers in solutions.items():
        for model in sorted(answers):
            authors.setdefault((question, normalise(answers[model])[0]), []).append(model)
    found = []
    for rollout in rollouts:
        problem = known[rollout.problem_id]
        question = by_question.get(_fold(problem.problem), "")
        if models := authors.get((question, rollout.completion)):
            model = models.pop(0)
            ours = (rollout.verdict, problem.answer, rollout.answer)
            found.append(Graded(rollout.id, model, problem.id, labels[question][model], *ours))
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


def critic_records(rows: Sequence[CriticJudgement]) -> list[CriticRecord]:
    """A critique is only asked about an attempt that was graded wrong, a verification about a part of a solution graded right."""
    found = []
    for critic, kind in sorted({(row.critic, row.kind) for row in rows}):
        own = [row for row in rows if (row.critic, row.kind) == (critic, kind)]
        parsed = [row for row in own if row.parsed]
        compared = [row for row in parsed if row.compared]
        wrong = [row for row in compared if row.reference_step is not None]
        found.append(
            CriticRecord(
                critic, kind, len(own), len(own) - len(parsed), sum(row.leaks for row in own),
                _share([(row.said_step is None) == (kind == "verify") for row in parsed]), len(compared),
                _share([row.said_step == row.reference_step for row in compared]), _share([row.said_step is None for row in wrong]),
                _share([row.said_step == row.reference_step for row in wrong]), sum(row.accepted for row in own),
            )
        )  # fmt: skip
    return found


def _share(flags: Sequence[bool]) -> Share:
    return Share(sum(flags), len(flags))
