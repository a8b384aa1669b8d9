"""Labels of steps, and which step is the first wrong one by its equations.

exact_step(problem, ("12 + 7 = 19", "19 - 4 = 14", "\\\\boxed{14}"))   → Told(step=2)
labels_of(3, 2)                                                     → (True, False, False)
label_noise([(3, 2, 3)])   → Noise(solutions=1, same=0, steps=3, right=1, refused=0, wrong=2, accepted=1)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from factory.coat.demonstrations.exact import comparable, first_wrong
from factory.problems.manners import manners_of
from factory.schemas import Problem


class Told(NamedTuple):
    """The first wrong step by one source, from 1; None: no step is wrong."""

    step: int | None


def exact_step(problem: Problem, steps: Sequence[str]) -> Told | None:
    """None where there are no two sets of equations to compare."""
    if not comparable(problem, steps):
        return None
    found = first_wrong(problem, steps)
    return Told(wrong_line(problem, steps, found.step) if found else None)


def wrong_line(problem: Problem, steps: Sequence[str], step: int) -> int:
    """The criticised step, or the one behind it where the criticised one only owns up to a miss (`Wrong.`) and the solution goes on."""
    return step + (step < len(steps) and manners_of(problem).owns_up(problem, steps[step - 1]))


def labels_of(count: int, first: int | None) -> tuple[bool, ...]:
    """One a step: true before the first wrong one."""
    return tuple(first is None or place < first for place in range(1, count + 1))


@dataclass(frozen=True)
class Noise:
    """A critic's labels beside the exact check's, of `solutions` on which both have a say: in `same` of them the first wrong step is the
    same. Of their `steps` the exact check calls `right` ones right, of which the critic refuses `refused`, and `wrong` ones wrong, of which
    it accepts `accepted`."""

    solutions: int = 0
    same: int = 0
    steps: int = 0
    right: int = 0
    refused: int = 0
    wrong: int = 0
    accepted: int = 0


def label_noise(found: Iterable[tuple[int, int | None, int | None]]) -> Noise:
    """Of (steps, first wrong step by the exact check, by the critic) a solution, where both told."""
    totals = [0] * 7
    for count, exact, critic in found:
        end = count + 1
        first, said = exact or end, critic or end
        for place, value in enumerate((1, first == said, count, first - 1, max(0, first - said), end - first, max(0, said - first))):
            totals[place] += value
    return Noise(*totals)
