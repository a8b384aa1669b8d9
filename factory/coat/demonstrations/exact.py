"""The exact check: the first wrong step of an attempt, by its equations beside the gold solution's. Free, no model.

    first_wrong(problem, ("12 + 7 = 19", "19 - 4 = 14", "\\\\boxed{14}"))
    → Divergence(step=2, statement="19 - 4 is not 14.", hint="take away 4.", resume=1)

How equations are compared is divergence.py's, unless the kind of problems has a way of its own (factory/problems/manners.py). The reference
critic speaks by it, the critiques of others are checked by it, and process rewards are labelled with it.
"""

from collections.abc import Sequence

from factory.coat.demonstrations.divergence import Divergence, gold_steps
from factory.coat.demonstrations.equations import equations_of
from factory.problems.manners import manners_of
from factory.schemas import Problem

# why it refuses what a critic says
RIGHT_STEP, NOT_FIRST = "the criticised step is right by its equations", "the criticised step is not the first wrong one"
WRONG_STEP = "the verified step is wrong"


def comparable(problem: Problem, steps: Sequence[str]) -> bool:
    """Whether there is anything to compare: equations in the gold solution and in the attempt."""
    return bool(equations_of(gold_steps(problem)) and equations_of(steps))


def first_wrong(problem: Problem, steps: Sequence[str], before: Sequence[str] = ()) -> Divergence | None:
    """The first wrong step of an attempt, None when it does not differ from the gold solution or nothing can be compared."""
    if not comparable(problem, (*before, *steps)):
        return None
    return manners_of(problem).compare(problem, steps, before)
