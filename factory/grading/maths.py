"""Two mathematical answers → a verdict, or None where computer algebra has to say (symbolic.py, in a process of its own).

judge(r"\\frac{1}{2}", "0.5")            → ("correct", "")
judge(r"\\tan^2 y + 1", r"\\sec^2 y")     → None
"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from factory.grading import comparison
from factory.grading.algebra import equal, quotient
from factory.grading.answers import Answer, Named, Value
from factory.grading.latex import Unreadable, clean
from factory.grading.polynomials import TooLarge, Undefined, rational, start_work
from factory.grading.protocol import Outcome
from factory.grading.reading import read
from factory.grading.trees import Node

_UNEVALUATED = re.compile(r"\\(?:int|sum|prod|lim)(?![a-zA-Z])")
Prove = Callable[[Node, Node], bool | None]


def judge(gold: str, answer: str, decimals: int | None = None, prove: Prove | None = None) -> Outcome | None:
    """`decimals`: the tolerance that the problem states, in decimals of the answer. Never raises."""
    try:
        return _judge(gold, answer, decimals, prove)
    except RecursionError:
        return "unparsable", "nested too deeply"


def _judge(gold: str, answer: str, decimals: int | None, prove: Prove | None) -> Outcome | None:
    try:
        same = clean(gold) == clean(answer) != ""
    except Unreadable as error:
        return "unparsable", error.reason
    if same:
        return "correct", ""
    if bool(_UNEVALUATED.search(gold)) != bool(_UNEVALUATED.search(answer)):
        return "unparsable", "a sum, a product, an integral or a limit that is not evaluated"
    sides: list[tuple[Answer, ...]] = []
    for text, whose in ((gold, "the gold answer: "), (answer, "")):
        try:
            sides.append(read(text))
        except Unreadable as error:
            if not error.algebra:
                return "unparsable", whose + error.reason
    if len(sides) < 2:
        return None
    test = _proved(prove) if prove else equal
    if decimals is not None:
        test = comparison.Rounded(test, decimals)
    results = [comparison.compare(first, second, test) for first in sides[0] for second in sides[1]]
    if any(result[0] for result in results):
        return "correct", ""
    if any(result[0] is None for result in results):
        return None
    return "wrong", results[0][1]


def _proved(prove: Prove) -> comparison.Equal:
    @lru_cache(maxsize=256)
    def test(left: Node, right: Node) -> bool | None:
        same = equal(left, right)
        return prove(left, right) if same is None else same

    return test


def unreadable(text: str) -> str:
    """Why a text is no mathematical answer, "" when it is one. What only computer algebra reads counts as readable."""
    start_work()
    try:
        for answer in read(text):
            value = answer.value if isinstance(answer, Named) else answer
            if isinstance(value, Value):
                quotient(value.node)
    except Unreadable as error:
        return "" if error.algebra else error.reason
    except Undefined as error:
        return str(error)
    except RecursionError:
        return "nested too deeply"
    except TooLarge:
        pass  # computer algebra may have a way to compare it
    return ""


def rational_value(text: str) -> Fraction | None:
    """The rational number that a text states, a unit and a name aside; None for everything else."""
    start_work()
    try:
        answer = read(text)[0]
        if isinstance(answer, Named):
            answer = answer.value
        return rational(quotient(answer.node)) if isinstance(answer, Value) and answer.base == 10 else None
    except (Unreadable, TooLarge, Undefined, RecursionError):
        return None
