"""The reward of a start state and a response (Satori, "Reward"): rule + orm_weight · σ(ORM) + restart bonus.

    reward(restart, "Try 4 and 9.\\n\\\\boxed{4}", 1.3, Weights(beta=0.5, orm_weight=1.0, mean=0.2, std=1.1))
    → Reward(verdict="correct", rule=0.0, orm=0.731…, bonus=0.5)        # a D- state, answered right

| start | right | wrong |
|---|---|---|
| problem | (0, 1) | (-1, 0) |
| D- | (0.5, 1.5) | (-1, 0) |
| D+ | (0, 1) | (-1.5, -0.5) |

Only the response is graded: a restart prefix may already hold a boxed answer, which earns nothing. The ORM reads prompt, prefix and
response; its logit is standardised by the mean and standard deviation that are stored with it, as in the critic that starts from it.
"""

import math
from dataclasses import dataclass

from factory.coat.grammar import REFLECT, before_reflection
from factory.grading import boxed_answers, grade
from factory.schemas import Buffer, Restart, Verdict


@dataclass(frozen=True)
class Weights:
    """`mean` and `std` standardise the ORM's logit."""

    beta: float
    orm_weight: float
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True)
class Reward:
    verdict: Verdict
    rule: float  # -1 or 0
    orm: float  # 0 to orm_weight
    bonus: float  # -beta, 0 or beta
    first: bool | None = None  # whether the answer boxed before the response's first `<|reflect|>` was right; None without one

    @property
    def correct(self) -> bool:
        return self.verdict == "correct"

    @property
    def total(self) -> float:
        return self.rule + self.orm + self.bonus


def reward(start: Restart, response: str, orm_logit: float, weights: Weights) -> Reward:
    """An unparsable answer or a grader's timeout is not right: rule -1, and the verdict says why."""
    verdict = grade(response, start.answer, start.answer_kind, start.decimals).verdict
    correct = verdict == "correct"
    orm = weights.orm_weight * _sigmoid((orm_logit - weights.mean) / weights.std)
    return Reward(verdict, float(correct) - 1.0, orm, restart_bonus(start.buffer, correct, weights.beta), _first(start, response))


def _first(start: Restart, response: str) -> bool | None:
    attempt = before_reflection(response)
    if REFLECT not in response or not boxed_answers(attempt):
        return None
    return grade(attempt, start.answer, start.answer_kind, start.decimals).verdict == "correct"


def restart_bonus(buffer: Buffer, correct: bool, beta: float) -> float:
    """+β for repairing a wrong attempt, -β for spoiling a right one; a teacher's beginning is as good as a problem: 0."""
    if buffer == "-" and correct:
        return beta
    if buffer == "+" and not correct:
        return -beta
    return 0.0


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
