"""Wrong attempts of the sort a small model makes, what a critic says of them, and what a verifier says of a step.

    mistaken(task, rng)
    → Mistake(lines=("12 + 7 = 19", "19 + 4 = 23", "\\boxed{23}"), step=2, finding="do not add 4.", hint="take away 4.",
              resume=("19 - 4 = 15", "\\boxed{15}"))

Kinds: a wrong operation, an arithmetic slip carried on honestly, stopping early; in search families a wrong guess checked honestly, or
one whose check is bent until it gives the wanted number (the usual lie of a model that only ever saw right solutions).
"""

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass

from factory.problems.world.arithmetic import Equation, Slip, execute, slipped
from factory.problems.world.model import FIRST, RIGHT, WAYS, Check, Task, attempt, boxed
from factory.problems.world.strategies import RIVALS, operations

NOT_AGAIN = "not {tried}."  # what a critic advises after a wrong guess
_DO = {"+": "add {n}", "-": "take away {n}", "*": "multiply by {n}", "/": "divide by {n}"}
_HINTS = {
    "add": "add {n}.", "subtract": "take away {n}.", "multiply": "multiply by {n}.", "divide": "divide by {n}.",
    "more": "add {n} and add both.", "fewer": "take away {n} and add both.",
}  # fmt: skip
_TWO_EQUATIONS = {"more", "fewer"}


@dataclass(frozen=True)
class Mistake:
    """`step` is the first wrong line, from 1; `resume` is how the gold solution goes on from there (a search tries the next way)."""

    lines: tuple[str, ...]
    step: int
    finding: str
    hint: str
    resume: tuple[str, ...]
    tried: int | None = None  # the way of an honest miss in a search

    @property
    def critique(self) -> str:
        """The critic's first line: `In Step 2: do not add 4.`"""
        return f"In Step {self.step}: {self.finding}"


def owners(task: Task) -> tuple[int, ...]:
    """For each equation of a procedure's solution, the number of the strategy that made it; all 0 in a search."""
    if task.family.checks:
        return (0,) * len(task.equations)
    return tuple(place for place, name in enumerate(operations(task.facts.strategy)) for _ in range(2 if name in _TWO_EQUATIONS else 1))


def hint_for(task: Task, place: int) -> str:
    """What to do at strategy `place`, never citing a value that the gold solution computes."""
    number = str(task.facts.numbers[place + 1])
    computed = {str(equation.value) for equation in task.equations} | {task.answer}
    return _HINTS[operations(task.facts.strategy)[place]].format(n="the next number" if number in computed else number)


def mistaken(task: Task, rng: random.Random) -> Mistake:
    if task.family.checks:
        return _wrong_search(task, rng)
    while True:
        kind = rng.random()
        found = _early(task) if kind < 0.12 else _slip(task, rng) if kind < 0.5 else _wrong_operation(task, rng)
        if found is not None:
            return found


def _resume(task: Task, line: int) -> tuple[str, ...]:
    return task.solution[line:]


def _early(task: Task) -> Mistake | None:
    last = owners(task)[-1]
    kept = [equation for equation, owner in zip(task.equations, owners(task), strict=True) if owner < last]
    if not kept:
        return None
    value = kept[-1].value
    lines = (*map(str, kept), boxed(value))
    return Mistake(lines, len(lines), f"{value} is not the end.", hint_for(task, last), _resume(task, len(kept)))


def _slip(task: Task, rng: random.Random) -> Mistake | None:
    at = rng.randrange(len(task.equations))
    equation = task.equations[at]
    slip = Slip(at, slipped(equation, rng))
    wrong = execute(task.facts.numbers, operations(task.facts.strategy), slip)
    if wrong is None:
        return None
    lines = (*map(str, wrong), boxed(wrong[-1].value))
    return Mistake(lines, at + 1, f"{equation.term} is not {slip.value}.", hint_for(task, owners(task)[at]), _resume(task, at))


def _wrong_operation(task: Task, rng: random.Random) -> Mistake | None:
    place = rng.randrange(len(task.facts.strategy))
    rival = rng.choice(RIVALS[task.facts.strategy[place]])
    wrong = execute(task.facts.numbers, operations((*task.facts.strategy[:place], rival, *task.facts.strategy[place + 1 :])))
    if wrong is None:
        return None
    at = owners(task).index(place)
    if wrong[at] == task.equations[at]:  # the rival begins alike: nothing is wrong in this line
        return None
    lines = (*map(str, wrong), boxed(wrong[-1].value))
    return Mistake(lines, at + 1, f"do not {redo(wrong[at])}", hint_for(task, place), _resume(task, at))


def _wrong_search(task: Task, rng: random.Random) -> Mistake:
    kind, right = rng.random(), task.facts.guess
    if kind < 0.1:  # a right guess, wrongly checked
        checks = task.checks(right)
        return _bent(right, checks, slipped(checks[-1].equation, rng), "check it again.", task.solution)
    guess = wrong_guess(task, rng)
    if kind < 0.2:  # the check is bent until it gives the wanted number
        checks = task.checks(guess)
        return _bent(guess, checks, checks[-1].target or 0, not_again(guess), task.attempt(guess + 1))
    return missed(task, guess)


def missed(task: Task, guess: int) -> Mistake:
    """A wrong guess, honestly checked."""
    lines, check = task.attempt(guess), task.checks(guess)[-1]
    finding = f"{check.equation.value} is not {check.target}."
    return Mistake(lines, len(lines) - 1, finding, not_again(guess), task.attempt(guess + 1), guess)


def not_again(guess: int) -> str:
    """What a critic advises after a wrong guess: `not second.`"""
    return NOT_AGAIN.format(tried=WAYS[guess % len(WAYS)])


def _bent(guess: int, checks: Sequence[Check], value: int, hint: str, resume: tuple[str, ...]) -> Mistake:
    """An attempt whose last check claims a false value."""
    *before, last = checks
    false = dataclasses.replace(last.equation, value=value)
    return Mistake(attempt(guess, [*before, Check(false, last.target)]), FIRST + len(checks), f"{false.term} is not {value}.", hint, resume)


def wrong_guess(task: Task, rng: random.Random) -> int:
    """The number of another way than the right one."""
    return rng.choice([way for way in range(len(WAYS)) if way != task.facts.guess])


def redo(equation: Equation) -> str:
    """`take away 4.`"""
    return f"{_DO[equation.sign].format(n=equation.right)}."


def verdict(equation: Equation, target: int | None = None) -> str:
    """`12 + 7 is 19. Right.` · `19 - 4 is not 14.` · `30 is not 36.`"""
    if not equation.holds:
        return f"{equation.term} is not {equation.value}."
    if target is not None and equation.value != target:
        return f"{equation.value} is not {target}."
    return f"{equation.term} is {equation.value}. {RIGHT}"


def verify_last(task: Task, lines: Sequence[str], equations: Sequence[Equation]) -> str:
    """What an honest verifier says of the last of `lines`, which begin an attempt whose equations are `equations`.

    A guess is judged by its first check, a box by the first check that fails, else by the last equation.
    """
    targets: list[int | None] = [None] * len(equations)
    first = 0
    if task.family.checks:
        first = FIRST
        targets = [check.target for check in task.checks(task.facts.guess)]
    at = len(lines) - 1 - first
    if at < len(equations):
        return verdict(equations[max(at, 0)], targets[max(at, 0)])
    verdicts = [verdict(equation, target) for equation, target in zip(equations, targets, strict=True)]
    return next((text for text in verdicts if not text.endswith(RIGHT)), verdicts[-1])
