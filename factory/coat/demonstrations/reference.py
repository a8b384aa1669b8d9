"""The reference critic: finds the first wrong step by comparing equations with the gold solution's. Exact, free, no model.

    first_wrong(problem, ("12 + 7 = 19", "19 - 4 = 14", "\\\\boxed{14}"))
    → Divergence(step=2, statement="19 - 4 is not 14.", hint="take away 4.", resume=1)

A step is wrong when its arithmetic is, when its result is no value of the gold solution (nor of a part of one of its equations), or when
it boxes another answer. In a search family each check is compared with the gold check in its place: `30 is not 36.`
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from factory import grading
from factory.coat.demonstrations.critics import CriticName, CritiqueAsk, Remark, VerifyAsk, gold_steps
from factory.coat.demonstrations.equations import Equation, equations_of, judged, numbers_in, partial_values
from factory.coat.demonstrations.lead_ins import NOT_AGAIN
from factory.engines.flow import Flow
from factory.schemas import Problem

_TRY = re.compile(r"Try (.+)\.")
_VERBS = {"+": "add", "-": "take away", "*": "multiply by", "/": "divide by"}


@dataclass(frozen=True)
class Divergence:
    """`step` counts from 1 in the attempt; the gold solution goes on from its step `resume`, from 0. `since`: where a search's miss shows
    first, when `step` is the later line that owns up to it."""

    step: int
    statement: str
    hint: str
    resume: int
    since: int | None = None


class ReferenceCritic:
    name: CriticName = "reference"

    def verify(self, ask: VerifyAsk) -> Flow[Remark]:
        yield from ()  # it asks nobody
        text = verify_last(ask.steps)
        return Remark(text) if text else Remark(failure="no equation to verify")

    def critique(self, ask: CritiqueAsk) -> Flow[Remark]:
        yield from ()
        found = first_wrong(ask.problem, ask.steps, ask.before)
        if not found:
            return Remark(failure="no step differs from the gold solution")
        shift = 0 if ask.earlier else len(ask.before)
        return Remark(f"In Step {found.step + shift}: {found.statement}\nAlternatively: {found.hint}")


def verify_last(steps: Sequence[str]) -> str | None:
    """`12 + 7 is 19. Right.` of the last equation; None without one."""
    equations = judged(steps)
    if not equations:
        return None
    last = equations[-1]
    return f"{last.left} is {last.right}. Right." if last.holds else f"{last.left} is not {last.right}."


def comparable(problem: Problem, steps: Sequence[str]) -> bool:
    """Whether there is anything to compare: equations in the gold solution and in the attempt."""
    return bool(equations_of(gold_steps(problem)) and equations_of(steps))


def first_wrong(problem: Problem, steps: Sequence[str], before: Sequence[str] = ()) -> Divergence | None:
    """The first wrong step of an attempt, None when it does not differ from the gold solution or nothing can be compared."""
    if not comparable(problem, (*before, *steps)):
        return None
    return _in_search(problem, steps) if problem.group == "search" else _in_procedure(problem, steps, before)


def step_fault(ask: CritiqueAsk, step: int) -> str | None:
    """Why `step` is not the first wrong one of the ask's steps; None when it is, or when there are no equations to tell by."""
    if not comparable(ask.problem, (*ask.before, *ask.steps)):
        return None
    found = first_wrong(ask.problem, ask.steps, ask.before)
    if found is None:
        return "the criticised step is right by its equations"
    return None if (found.since or found.step) <= step <= found.step else "the criticised step is not the first wrong one"


def _in_procedure(problem: Problem, steps: Sequence[str], before: Sequence[str]) -> Divergence | None:
    gold = _stated(gold_steps(problem))
    expected = {value for equation in gold for value in ({equation.value} | partial_values(equation))}
    values = Counter(equation.value for equation in gold)
    found = Counter(equation.value for equation in equations_of(before) if equation.value in expected)
    known = numbers_in(problem.problem) | set(found)
    for equation in _stated(steps):
        if not equation.holds:
            return _diverge(problem, equation.step, f"{equation.left} is not {equation.right}.", found, known)
        if equation.value in expected and found[equation.value] < max(1, values[equation.value]):
            found[equation.value] += 1
        elif equation.value not in numbers_in(equation.left):  # 5 * 1 = 5 only writes a number again
            return _diverge(problem, equation.step, _not_that(equation), found, known)
        known.add(equation.value)
    return _wrong_box(problem, steps, found, known)


def _stated(steps: Sequence[str]) -> list[Equation]:
    """Equations, a chain's value once: the second link of `2 * 3 + 1 = 6 + 1 = 7` says nothing new, unless it is false."""
    found: list[Equation] = []
    last: Equation | None = None
    for equation in equations_of(steps):
        chained = (
            last and (last.step, last.value) == (equation.step, equation.value) and last.right.strip("() ") == equation.left.strip("() ")
        )
        if not (chained and equation.holds):
            found.append(equation)
        last = equation
    return found


def _wrong_box(problem: Problem, steps: Sequence[str], found: Counter[Fraction], known: set[Fraction]) -> Divergence | None:
    for number in range(len(steps), 0, -1):
        if boxes := grading.boxed_answers(steps[number - 1]):
            if grading.grade_answer(boxes[-1], problem.answer, problem.answer_kind, problem.decimals).correct:
                return None
            return _diverge(problem, number, f"{boxes[-1]} is not the end.", found, known)
    return None


def _diverge(problem: Problem, step: int, statement: str, found: Counter[Fraction], known: set[Fraction]) -> Divergence:
    """The gold solution goes on with its first step that has an equation whose value the attempt has not found."""
    steps, resume, left = gold_steps(problem), 0, Counter(found)
    for number, text in enumerate(steps):
        equations = _stated([text])
        missing = [equation for equation in equations if not left[equation.value]]
        left -= Counter(equation.value for equation in equations)
        if missing:
            return Divergence(step, statement, _hint(missing[0], known), resume)
        if equations:
            resume = number + 1
    return Divergence(step, statement, "check it again.", resume)


def _terms(equation: Equation) -> tuple[list[str], list[str]]:
    """Numbers and signs of a left side without brackets, ([], []) for another one."""
    left = equation.left
    for sign in _VERBS:
        left = left.replace(sign, f" {sign} ")
    parts = left.split()
    flat = len(parts) % 2 == 1 and all((part in _VERBS) == bool(place % 2) and part not in "()" for place, part in enumerate(parts))
    return (parts[::2], parts[1::2]) if flat and "(" not in left else ([], [])


def _not_that(equation: Equation) -> str:
    """`do not add 4.`"""
    numbers, signs = _terms(equation)
    return f"do not {_VERBS[signs[0]]} {numbers[1]}." if len(signs) == 1 else f"do not work out {equation.left}."


def _hint(equation: Equation, known: set[Fraction]) -> str:
    """What the gold solution does next, without a value that is not known yet: `take away 4.`"""
    numbers, signs = _terms(equation)
    if not 1 <= len(signs) <= 3:
        return "work out the next part."
    parts = []
    for sign, number in zip(signs, numbers[1:], strict=True):
        value = grading.parse_number(number)
        parts.append(f"{_VERBS[sign]} {number if value in known else 'the next number'}")
    return " and ".join(parts) + "."


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
    return _wrong_box(problem, steps, Counter(equation.value for equation in gold), given)


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
