"""Where an attempt leaves its gold solution, told by equations alone.

    compare(problem, ("12 + 7 = 19", "19 - 4 = 14", "\\\\boxed{14}"), before=())
    → Divergence(step=2, statement="19 - 4 is not 14.", hint="take away 4.", resume=1)

A step is wrong when its arithmetic is, when its result is no value of the gold solution (nor of a part of one of its equations), or when
it boxes another answer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from factory import grading
from factory.coat.demonstrations.equations import Equation, equations_of, numbers_in, partial_values
from factory.schemas import Problem

AT_END = 8  # words from the box on in which a solution still ends with it
_VERBS = {"+": "add", "-": "take away", "*": "multiply by", "/": "divide by"}


@dataclass(frozen=True)
class Divergence:
    """`step` counts from 1 in the attempt; the gold solution goes on from its step `resume`, from 0. `since`: where a miss shows first,
    when `step` is the later line that owns up to it."""

    step: int
    statement: str
    hint: str
    resume: int
    since: int | None = None


def gold_text(problem: Problem) -> str:
    """The gold solution, its answer boxed at its end."""
    text = (problem.solution or "").strip("\n")
    end = text[text.rfind("\\boxed") :] if "\\boxed" in text else ""
    if grading.boxed_answers(end) and len(end.split()) <= AT_END:
        return text
    return f"{text}\n\\boxed{{{problem.answer}}}".lstrip("\n")


def gold_steps(problem: Problem) -> tuple[str, ...]:
    """Its lines."""
    return tuple(line for line in gold_text(problem).split("\n") if line.strip())


def compare(problem: Problem, steps: Sequence[str], before: Sequence[str]) -> Divergence | None:
    """The first of `steps` that is no step of the gold solution; `before` stands before them and is taken as right."""
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
    return wrong_box(problem, steps, found, known)


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


def wrong_box(problem: Problem, steps: Sequence[str], found: Counter[Fraction], known: set[Fraction]) -> Divergence | None:
    """The last box, where it holds another answer. `found`: values of the gold solution that stand there already."""
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
