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

from factory.demonstrations.lead_ins import TRY_AGAIN
from factory.problems.world.arithmetic import Equation, Slip, execute, slipped
from factory.problems.world.model import FIRST, Check, Guessing, Task, attempt, boxed
from factory.problems.world.strategies import RIVALS, operations

_DO = {"+": "add {n}", "-": "take away {n}", "*": "multiply by {n}", "/": "divide by {n}"}
_HINTS = {
    "add": "add {n}.", "subtract": "take away {n}.", "multiply": "multiply by {n}.", "divide": "divide by {n}.",
    "more": "add {n} and add both.", "fewer": "take away {n} and add both.",
}  # fmt: skip
_TWO_EQUATIONS = {"more", "fewer"}


@dataclass(frozen=True)
class Mistake:
    """`step` is the first wrong line, from 1; `resume` is how the gold solution goes on from there (a search starts anew)."""

    lines: tuple[str, ...]
    step: int
    finding: str
    hint: str
    resume: tuple[str, ...]

    @property
    def critique(self) -> str:
        """The critic's first line: `In Step 2: do not add 4.`"""
        return f"In Step {self.step}: {self.finding}"


def owners(task: Task) -> tuple[int, ...]:
    """For each equation of a procedure's solution, the number of the strategy that made it; all 0 in a search."""
    if task.family.guessing:
        return (0,) * len(task.equations)
    return tuple(place for place, name in enumerate(operations(task.facts.strategy)) for _ in range(2 if name in _TWO_EQUATIONS else 1))


def hint_for(task: Task, place: int) -> str:
    """What to do at strategy `place`, never citing a value that the gold solution computes."""
    number = str(task.facts.numbers[place + 1])
    computed = {str(equation.value) for equation in task.equations} | {task.answer}
    return _HINTS[operations(task.facts.strategy)[place]].format(n="the next number" if number in computed else number)


def mistaken(task: Task, rng: random.Random) -> Mistake:
    if task.family.guessing:
        return _wrong_search(task, task.family.guessing, rng)
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


def _wrong_search(task: Task, guessing: Guessing, rng: random.Random) -> Mistake:
    kind = rng.random()
    if kind < 0.12:  # a right guess, wrongly checked
        checks = guessing.checks(task.facts, task.facts.guess) or ()
        return _bent(task, task.facts.guess, checks, len(checks) - 1, slipped(checks[-1].equation, rng), "check it again.")
    guess, checks = wrong_guess(task, rng)
    at = next(place for place, check in enumerate(checks) if missed(check))
    if kind < 0.4:  # the check is bent until it gives the wanted number
        return _bent(task, guess, checks, at, checks[at].target or 0, TRY_AGAIN)
    finding = f"{checks[at].equation.value} is not {checks[at].target}."
    lines = attempt(task, guess, checks)
    return Mistake(lines, len(lines) - 1, finding, TRY_AGAIN, task.solution)


def _bent(task: Task, guess: tuple[int, ...], checks: Sequence[Check], at: int, value: int, hint: str) -> Mistake:
    """An attempt whose check number `at` claims a false value."""
    false = dataclasses.replace(checks[at].equation, value=value)
    lines = attempt(task, guess, [*checks[:at], Check(false, checks[at].target), *checks[at + 1 :]])
    return Mistake(lines, FIRST + at + 1, f"{false.term} is not {value}.", hint, task.solution)


def wrong_guess(task: Task, rng: random.Random) -> tuple[tuple[int, ...], tuple[Check, ...]]:
    """A plausible wrong guess of a search problem, and its honest checks."""
    guessing = task.family.guessing
    assert guessing is not None, task.family.name
    while True:
        guess = guessing.wrong(task.facts, rng)
        checks = guessing.checks(task.facts, guess)
        if checks and any(map(missed, checks)):
            return guess, checks


def redo(equation: Equation) -> str:
    """`take away 4.`"""
    return f"{_DO[equation.sign].format(n=equation.right)}."


def missed(check: Check) -> bool:
    return check.target is not None and check.equation.value != check.target


def verdict(equation: Equation, target: int | None = None) -> str:
    """`12 + 7 is 19. Right.` · `19 - 4 is not 14.` · `30 is not 36.`"""
    if not equation.holds:
        return f"{equation.term} is not {equation.value}."
    if target is not None and equation.value != target:
        return f"{equation.value} is not {target}."
    return f"{equation.term} is {equation.value}. Right."


def verify_last(task: Task, lines: Sequence[str], equations: Sequence[Equation]) -> str:
    """What an honest verifier says of the last of `lines`, which begin an attempt whose equations are `equations`.

    A guess is judged by its first check, a box by the first check that fails, else by the last equation.
    """
    targets: list[int | None] = [None] * len(equations)
    first = 0
    if guessing := task.family.guessing:
        first = FIRST
        targets = [check.target for check in guessing.checks(task.facts, task.facts.guess) or ()]
    at = len(lines) - 1 - first
    if at < len(equations):
        return verdict(equations[max(at, 0)], targets[max(at, 0)])
    verdicts = [verdict(equation, target) for equation, target in zip(equations, targets, strict=True)]
    return next((text for text in verdicts if not text.endswith("Right.")), verdicts[-1])
