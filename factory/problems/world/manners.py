"""What the world knows of its own solutions: which families search, how a search compares with its gold solution, the words of its critic.

    MANNERS.compare(problem, ("Make 17.", "Try second.", "20 + 7 = 27", "27 - 4 = 23", "23 - 17 = 6", "Wrong.", …), before=())
    → Divergence(step=6, statement="23 is not 17.", hint="not second.", resume=0, since=4)

A family searches when it has checks; no decision is by its group, which is a label for reports.
"""

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from factory.coat.demonstrations import divergence
from factory.coat.demonstrations.divergence import Divergence, gold_steps
from factory.coat.demonstrations.equations import Equation, equations_of, numbers_in, numbers_written
from factory.problems.world.families import FAMILIES
from factory.problems.world.mistakes import NOT_AGAIN
from factory.problems.world.model import RIGHT
from factory.schemas import Problem

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TRY = re.compile(r"Try (.+)\.")


class WorldManners:
    approval = RIGHT

    def starts_anew(self, problem: Problem) -> bool:
        return searches(problem)

    def owns_up(self, problem: Problem, step: str) -> bool:
        """`Wrong.` does, which has no number of its own."""
        return searches(problem) and not numbers_in(step)

    def compare(self, problem: Problem, steps: Sequence[str], before: Sequence[str]) -> Divergence | None:
        return _in_search(problem, steps) if searches(problem) else divergence.compare(problem, steps, before)

    def tried(self, problem: Problem) -> set[Fraction]:
        return numbers_written("\n".join(gold_steps(problem))) if searches(problem) else set()

    def of_another_step(self, step: str, statement: str) -> bool:
        """A critic of the world names the numbers of the step that it means: `do not add 4.`"""
        there, spoken = numbers_in(step), numbers_in(statement)
        return bool(there and spoken) and not spoken & there

    def analysed_steps(self, problem: Problem, solution: str) -> list[int]:
        """The first equation, and every later one that takes a number of the problem not taken before; the problem's first number is the
        start of the running result. One that only combines what is there continues the strategy before it (`12 + 7 = 19`, then
        `12 + 19 = 31`: "7 more, both" is one). A search is one strategy, analysed at its first equation."""
        lines = solution.split("\n")
        numbers = _NUMBER.findall(problem.problem)
        previous, untaken = (numbers or [None])[0], Counter(numbers[1:])
        found: list[int] = []
        for number, line in enumerate(lines, start=1):
            if "=" not in line or r"\boxed" in line:
                continue
            operands, _, result = line.rpartition("=")
            taken = not found
            for operand in _NUMBER.findall(operands):
                if operand == previous:
                    previous = None  # the running result, and only once: `17 + 17` may take a 17 of the problem
                elif untaken[operand]:
                    untaken[operand] -= 1
                    taken = True
            if taken:
                found.append(number)
            previous = next(iter(_NUMBER.findall(result)), None)
        if any(line.startswith("Try ") for line in lines):
            return found[:1] or [1]
        return found or [number for number, line in enumerate(lines, start=1) if line.strip() and r"\boxed" not in line]


MANNERS = WorldManners()


def searches(problem: Problem) -> bool:
    family = FAMILIES.get(problem.family)
    return family is not None and family.checks is not None


def _in_search(problem: Problem, steps: Sequence[str]) -> Divergence | None:
    """Each try makes the gold solution's checks with other numbers: a result that the problem gives must come out again."""
    given, gold = numbers_in(problem.problem), equations_of(gold_steps(problem))
    for place, equation in enumerate(equations_of(steps)):
        expected = gold[place % len(gold)]
        if not equation.holds:
            hint = "check it again." if equation.left == expected.left else _not_again(steps, equation)
            return Divergence(equation.step, f"{equation.left} is not {equation.right}.", hint, 0)
        target = expected.value in given - numbers_in(expected.left)  # in 1 * 8 = 8 the 8 is a number given, not one to reach
        if target and equation.value != expected.value:
            owns_up = _outcome(steps, equation)
            return Divergence(owns_up, f"{equation.right} is not {expected.right}.", _not_again(steps, equation), 0, since=equation.step)
    return divergence.wrong_box(problem, steps, Counter(equation.value for equation in gold), given)


def _not_again(steps: Sequence[str], equation: Equation) -> str:
    """`not second.`, what the last `Try …` before the equation tried."""
    tried = [match[1] for step in steps[: equation.step] if (match := _TRY.match(step))]
    return NOT_AGAIN.format(tried=tried[-1] if tried else "that")


def _outcome(steps: Sequence[str], equation: Equation) -> int:
    """The step that owns up to a miss: the first one behind the equation without a number of its own (`Wrong.`), before another try."""
    for number in range(equation.step, min(equation.step + 2, len(steps))):
        if not numbers_in(steps[number]):
            return number + 1
    return equation.step
