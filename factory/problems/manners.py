"""What is known of a kind of problems beyond their text: how their solutions search, own up and are put into words.

    >>> manners_of(problem).starts_anew(problem)
    False

Of most problems nothing is known (`PLAIN`). A kind that knows more, as the laptop's world does, says it here and nowhere else: add its
manners behind a door of its own and name it in `manners_of`.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

from factory.coat.demonstrations import divergence
from factory.coat.demonstrations.divergence import Divergence
from factory.schemas import Problem


class Manners(Protocol):
    approval: str  # what a verification says of a step that is right

    def starts_anew(self, problem: Problem) -> bool:
        """Whether an attempt after a wrong one begins from the start; else it goes on from what was right."""

    def owns_up(self, problem: Problem, step: str) -> bool:
        """Whether a criticised step only says that what stands before it missed: then the step itself is right."""

    def compare(self, problem: Problem, steps: Sequence[str], before: Sequence[str]) -> Divergence | None:
        """The first of `steps` that differs from the gold solution, told by their equations. `before` is taken as right."""

    def tried(self, problem: Problem) -> set[Fraction]:
        """Numbers that the gold solution does not compute and that no hint may give away either: what it tries."""

    def of_another_step(self, step: str, statement: str) -> bool:
        """Whether a critic's statement that claims no equation is about another step than its own."""

    def analysed_steps(self, problem: Problem, solution: str) -> list[int]:
        """The lines of a solution, from 1, whose strategies are asked for one by one; [0]: that of the whole solution is."""


class Plain:
    approval = "That is right."

    def starts_anew(self, problem: Problem) -> bool:
        return False

    def owns_up(self, problem: Problem, step: str) -> bool:
        return False

    def compare(self, problem: Problem, steps: Sequence[str], before: Sequence[str]) -> Divergence | None:
        return divergence.compare(problem, steps, before)

    def tried(self, problem: Problem) -> set[Fraction]:
        return set()

    def of_another_step(self, step: str, statement: str) -> bool:
        return False

    def analysed_steps(self, problem: Problem, solution: str) -> list[int]:
        return [0]


PLAIN = Plain()


def manners_of(problem: Problem) -> Manners:
    """Those of the world for its own problems (no other source may have its name), else `PLAIN`."""
    if problem.source == "world":
        from factory.problems.world import MANNERS  # only lines with a world import it

        return MANNERS
    return PLAIN
