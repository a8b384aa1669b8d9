"""What a worked text says of numbers and symbols that cannot be: false comparisons, rewritings that change a coefficient, solutions that do
not solve, one name with two values.

    false_numbers("Since log₅2 > log₅3, …")                        → ["log₅2 > log₅3"]
    false_rewritings("S = (a - b)² = a² + 2ab + b²")               → ["(a - b)² = a² + 2ab + b²"]
    false_solutions("From c/a = √3/2, we get a = 2c.")             → ["a = 2c against c/a = √3/2"]

Judged is what holds whatever the text is about. An equation may be a condition and no identity; so of two sides with letters only such are
judged as stand within a chain (`S = A = B`) and are sums of the same products of the same letters, which no condition between them would
leave. A solution is judged against the equation right before it, once it leaves no letter in it. Lines that suppose, discard or
tell cases apart are left alone.
"""

import cmath
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from factory.grading.algebra import equal, quotient
from factory.grading.floating import Unknown, value_at
from factory.grading.polynomials import UNIT, Poly, TooLarge, Undefined, start_work
from factory.grading.trees import Node, free_symbols, substituted
from factory.templates.statements import Statement, closed, statements, written

MOST = 200  # statements of one text
ROUNDED = 0.012  # relative difference up to which a rounded value may stand for another
SUPPOSED = re.compile(
    r"\b(?:not|contradict\w*|discard\w*|reject\w*|invalid|impossible|wrong|incorrect|false|assum\w*|suppos\w*|verif\w*|check\w*|if|whether|when|"
    r"case|cases|extraneous|unless|otherwise|exclud\w*|hypothe\w*|mod|remainder|quotient|left\sover)\b|[?≠✗]",
    re.IGNORECASE,
)
_DERIVED = re.compile(
    r"[⇒→⟹∴]|\\(?:Rightarrow|implies|to|rightarrow)|\b(?:gets?|gives?|giving|so|thus|hence|solv\w*|yields?|yielding|obtain\w*|therefore|find|deriv\w*|simplif\w*|i\.e|know\w*|"
    r"we have|calculat\w*)\b",
    re.IGNORECASE,
)
_OPERATION = re.compile(r"[\dπ)\]}!%²³°]\s?[-+*/×÷·^²³!]|[A-Za-z√\\]")
_DECIMAL = re.compile(r"-?\s?\d+\.(\d+)")
_COMPLEX = re.compile(r"\b(?:complex|imaginary|conjugate)\b", re.IGNORECASE)


@lru_cache(maxsize=1)  # one working is judged in several ways, one after the other
def read_text(text: str, problem: str) -> tuple[list[Statement], list[str]]:
    """The statements of a text, the first MOST of them, and its lines."""
    found = statements(text, bool(_COMPLEX.search(problem + text)))[:MOST]
    return found, written(text)


def false_numbers(text: str, problem: str = "") -> list[str]:
    """Comparisons of two numbers that do not hold: arithmetic, functions, choices, complex numbers; with = ≈ < and their kin."""
    wrong = []
    for statement, place, left, right in _neighbours(text, problem):
        if not closed(left) or not closed(right):
            continue
        sign, (one, other) = statement.signs[place], statement.sides[place : place + 2]
        part = place == 0 and one.startswith("-") and statement.lead[-1:].isalpha()  # of a sum with words in it
        if part or not _OPERATION.search(one + other):
            continue
        if _holds(left, right, sign, (one, other)) is False:
            wrong.append(says(one, sign, other))
    return list(dict.fromkeys(wrong))


def _neighbours(text: str, problem: str) -> Iterator[tuple[Statement, int, Node, Node]]:
    """Each sign between two sides that are read, by its place in its statement; of lines that neither suppose nor discard."""
    found, lines = read_text(text, problem)
    for statement in found:
        if SUPPOSED.search(lines[statement.line]):
            continue
        for place, (left, right) in enumerate(pairwise(statement.nodes)):
            if left is not None and right is not None:
                yield statement, place, left, right


def _holds(left: Node, right: Node, sign: str, sides: tuple[str, str]) -> bool | None:
    """Whether a comparison of two numbers holds; None: not known."""
    if sign == "≠":
        return None
    decimals = [match[1] for side in sides if (match := _DECIMAL.fullmatch(side))]
    if sign == "=" and not decimals:
        return equal(left, right)
    first, second = _number(left), _number(right)
    if first is None or second is None:
        return None
    if sign in "=≈":
        units = [10.0 ** -len(places) for places in decimals]
        units += [10.0 ** (len(side) - len(side.rstrip("0"))) for side in sides if sign == "≈" and re.fullmatch(r"\d+", side)]
        return abs(first - second) <= max([*units, ROUNDED * max(abs(first), abs(second))])
    if abs(first.imag) > 1e-9 or abs(second.imag) > 1e-9:
        return None
    apart = first.real - second.real
    near = 1e-9 * max(1.0, abs(first), abs(second))
    return {"<": apart < near, ">": apart > -near, "≤": apart <= near, "≥": apart >= -near}[sign]


def _number(node: Node) -> complex | None:
    try:
        value = value_at(node, 0)
    except (Unknown, ArithmeticError, ValueError, TypeError):
        return None
    return value if cmath.isfinite(value) else None


def false_rewritings(text: str, problem: str = "") -> list[str]:
    """Neighbours within a chain that are sums of the same products with other coefficients, or two products of the same letters in other
    powers."""
    wrong = []
    for statement, place, left, right in _neighbours(text, problem):
        if place and statement.signs[place - 1 : place + 1] == ("=", "=") and _rewritten_wrongly(left, right):
            wrong.append(says(statement.sides[place], "=", statement.sides[place + 1]))
    return list(dict.fromkeys(wrong))


def _rewritten_wrongly(left: Node, right: Node) -> bool:
    names = free_symbols(left)
    if not names or names != free_symbols(right) or _atom(left) or _atom(right) or "user:" in repr((left, right)):
        return False
    start_work()
    try:
        (one, below), (other, under) = quotient(left), quotient(right)
    except (TooLarge, Undefined):
        return False
    if below != UNIT or under != UNIT or not one or not other:
        return False
    products = {_letters(poly) for poly in (one, other)}
    same = len(products) == 1
    powers = len(one) == len(other) == 1 and len(names) > 1 and products != {((),)}
    return (same or powers) and equal(left, right) is False


def _letters(poly: Poly) -> tuple[object, ...]:
    """The products of letters in a sum, whatever numbers, roots and π stand before them."""
    kept = {tuple(part for part in monomial if part[0][0] not in ("prime", "const")) for monomial in poly}
    return tuple(sorted(kept, key=repr))


def _atom(node: Node) -> bool:
    return node[0] == "sym" or (node[0] == "call" and str(node[1]).startswith("user:"))


def false_solutions(text: str, problem: str = "") -> list[str]:
    """Values that the equation right before them contradicts: `c/a = √3/2, we get a = 2c`; of a system all its unknowns at once."""
    found, lines = read_text(text, problem)
    wrong = []
    for equations, values in _solved(found):
        shown = [lines[number] for number in {item.line for item in (*equations, *values)}]
        if any(SUPPOSED.search(line) or re.search(r"[±∓]|\bor\b|\\pm", line) for line in shown):
            continue
        given = {str(value.nodes[0][1]): value for value in values if value.nodes[0]}
        for equation in equations:
            for left, right, sign in zip(equation.nodes, equation.nodes[1:], equation.signs, strict=False):
                if sign != "=" or left is None or right is None or not _contradicts(left, right, given):
                    continue
                told = " and ".join(says(value.sides[0], "=", value.sides[-1]) for value in values)
                place = equation.nodes.index(left)
                wrong.append(f"{told} against {says(equation.sides[place], '=', equation.sides[place + 1])}")
    return list(dict.fromkeys(wrong))


def _solved(found: Sequence[Statement]) -> Iterator[tuple[list[Statement], list[Statement]]]:
    """(equations, the values that are derived from them): neighbours in the text, of one line or of two."""
    number = 0
    while number < len(found):
        values: list[Statement] = []
        while number + len(values) < len(found) and is_value(found[number + len(values)]):
            item = found[number + len(values)]
            if values and (item.line != values[0].line or _DERIVED.search(item.lead) or item.nodes[0] in [v.nodes[0] for v in values]):
                break
            values.append(item)
        if values and _DERIVED.search(values[0].lead):
            equations: list[Statement] = []
            for before in reversed(found[:number]):
                if len(equations) >= len(values) or is_value(before) or values[0].line - before.line > 1:
                    break
                equations.append(before)
            if equations:
                yield equations, values
        number += max(1, len(values))


def is_value(statement: Statement) -> bool:
    """`x = 3`, `a = 2c`: a letter, and what it is without that letter."""
    head, last = statement.nodes[0], statement.nodes[-1]
    if not head or head[0] != "sym" or not last or set(statement.signs) != {"="} or _atom(last):
        return False
    return head[1] not in free_symbols(last)


def _contradicts(left: Node, right: Node, given: dict[str, Statement]) -> bool:
    """Whether the values leave no letter in an equation that had theirs, and it does not hold."""
    names = free_symbols(left) | free_symbols(right)
    if not names & set(given) or (_atom(left) and _atom(right)):
        return False
    rounded = False
    for name, value in given.items():
        if name in names:
            last = value.nodes[-1]
            assert last is not None
            left, right = substituted(left, name, last), substituted(right, name, last)
            rounded |= bool(re.search(r"\d\.\d|≈", value.sides[-1]))
    start_work()
    try:
        one, other = quotient(left), quotient(right)
    except (TooLarge, Undefined):
        return False
    if not (_without_letters(one) and _without_letters(other)):
        return False
    if rounded:
        return _holds(left, right, "≈", ("", "")) is False
    return equal(left, right) is False


def _without_letters(value: tuple[Poly, Poly]) -> bool:
    """Whether no letter is left, in functions and roots neither."""
    return "'sym'" not in repr(value) and "user:" not in repr(value)


def says(one: str, sign: str, other: str) -> str:
    return f"{one.strip()} {sign} {other.strip()}"


def other_end(working: str, answer: str) -> bool:
    """Whether the last calculation of the answer's name (`a₇ = q⁵ = (-2)⁵ = -32`) ends in another number than the answer."""
    found = [item for item in statements(answer) if set(item.signs) == {"="}]
    if len(found) != 1 or re.search(r"\bor\b|[±;]|\\pm", answer):
        return False
    name, value, side = found[0].nodes[0], found[0].nodes[-1], found[0].sides[-1]
    if not name or name[0] != "sym" or value is None or not closed(value):
        return False
    ends = [item for item in statements(working) if item.nodes[0] == name and len(item.nodes) > 3]
    last = ends[-1].nodes[-1] if ends else None
    return last is not None and closed(last) and _holds(last, value, "=", (ends[-1].sides[-1], side)) is False
