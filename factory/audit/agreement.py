"""How well judges agree: our grader with published labels of recorded solutions, and a critic with the reference critic.

graded(recorded.solutions, recorded.labels, problems, rollouts)
→ [Graded(model="6b_finetuning", problem_id="a07b…", label=True, verdict="wrong", gold="2,125", answer="2125.5", …), …]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.engines.recorded_engine import normalise
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
class CriticRecord:
    """What one critic's remarks of one kind were worth. Shares are None where nothing was counted."""

    critic: str
    kind: str
    remarks: int
    unparsed: int
    leaks: int
    compared: int
    agree: float | None  # of the compared: names the same first wrong step (or none) as the reference
    false_accepts: float | None  # of the compared with a wrong step: the critic found none
    accepted: int


def critic_records(rows: Sequence[CriticJudgement]) -> list[CriticRecord]:
    found = []
    for critic, kind in sorted({(row.critic, row.kind) for row in rows}):
        own = [row for row in rows if (row.critic, row.kind) == (critic, kind)]
        compared = [row for row in own if row.compared and row.parsed]
        wrong = [row for row in compared if row.reference_step is not None]
        found.append(
            CriticRecord(
                critic, kind, len(own), sum(not row.parsed for row in own), sum(row.leaks for row in own), len(compared),
                _share([row.said_step == row.reference_step for row in compared]), _share([row.said_step is None for row in wrong]),
                sum(row.accepted for row in own),
            )
        )  # fmt: skip
    return found


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
