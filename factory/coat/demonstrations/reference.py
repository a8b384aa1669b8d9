"""The reference critic: finds the first wrong step by comparing equations with the gold solution's. Exact, free, no model.

    first_wrong(problem, ("12 + 7 = 19", "19 - 4 = 14", "\\\\boxed{14}"))
    → Divergence(step=2, statement="19 - 4 is not 14.", hint="take away 4.", resume=1)

How equations are compared is divergence.py's, unless the kind of problems has a way of its own (factory/problems/manners.py).
"""

from collections.abc import Sequence

from factory.coat.demonstrations.critics import CriticName, CritiqueAsk, Remark, VerifyAsk
from factory.coat.demonstrations.equations import judged
from factory.coat.demonstrations.exact import NOT_FIRST, RIGHT_STEP, comparable, first_wrong
from factory.engines.flow import Flow
from factory.problems.manners import manners_of
from factory.schemas import Problem


class ReferenceCritic:
    name: CriticName = "reference"

    def verify(self, ask: VerifyAsk) -> Flow[Remark]:
        yield from ()  # it asks nobody
        text = verify_last(ask.problem, ask.steps)
        return Remark(text) if text else Remark(failure="no equation to verify")

    def critique(self, ask: CritiqueAsk) -> Flow[Remark]:
        yield from ()
        found = first_wrong(ask.problem, ask.steps, ask.before)
        if not found:
            return Remark(failure="no step differs from the gold solution")
        shift = 0 if ask.earlier else len(ask.before)
        return Remark(f"In Step {found.step + shift}: {found.statement}\nAlternatively: {found.hint}")


def verify_last(problem: Problem, steps: Sequence[str]) -> str | None:
    """`12 + 7 is 19. That is right.` of the last equation; None without one."""
    equations = judged(steps)
    if not equations:
        return None
    last = equations[-1]
    if not last.holds:
        return f"{last.left} is not {last.right}."
    return f"{last.left} is {last.right}. {manners_of(problem).approval}"


def step_fault(ask: CritiqueAsk, step: int) -> str | None:
    """Why `step` is not the first wrong one of the ask's steps; None when it is, or when there are no equations to tell by."""
    if not comparable(ask.problem, (*ask.before, *ask.steps)):
        return None
    found = first_wrong(ask.problem, ask.steps, ask.before)
    if found is None:
        return RIGHT_STEP
    return None if (found.since or found.step) <= step <= found.step else NOT_FIRST
