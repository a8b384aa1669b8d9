"""Exact values of expression trees, and whether two of them are equal.

    1/(sqrt(3) - 1)     → 1 / (3^(1/2) - 1)        equal to (sqrt(3) + 1)/2, since the cross products are the same polynomial
    (x + 1)^2 / x       → (x^2 + 2x + 1)·x^(-1)

Without opaque atoms two values are equal exactly when their cross products are; with them a difference proves nothing, and `equal` asks
floating point for a clear difference, else says None.
"""

import cmath
from fractions import Fraction
from functools import lru_cache

from factory.grading.floating import Unknown, value_at
from factory.grading.functions import call
from factory.grading.polynomials import (
    IMAGINARY,
    ONE,
    UNIT,
    Quotient,
    TooLarge,
    Undefined,
    add,
    constant,
    is_opaque,
    multiply,
    over,
    simplified,
    start_work,
)  # fmt: skip
from factory.grading.powers import power
from factory.grading.trees import Node


@lru_cache(maxsize=1 << 12)
def quotient(node: Node) -> Quotient:
    """The exact form of a tree. Raises TooLarge, Undefined."""
    kind = node[0]
    if kind == "num":
        return constant(node[1]), UNIT
    if kind == "sym":
        return {((("sym", node[1]), ONE),): ONE}, UNIT
    if kind == "const":
        atom = IMAGINARY if node[1] == "i" else ("const", node[1])
        return {((atom, ONE),): ONE}, UNIT
    if kind in ("add", "mul", "div"):
        left, right = _finite(quotient(node[1])), _finite(quotient(node[2]))
        if kind == "div":
            return over(left, right)
        if kind == "mul":
            return simplified(multiply(left[0], right[0]), multiply(left[1], right[1]))
        if left[1] == right[1]:
            return simplified(add(left[0], right[0]), left[1])
        return simplified(add(multiply(left[0], right[1]), multiply(right[0], left[1])), multiply(left[1], right[1]))
    if kind == "neg":
        above, below = quotient(node[1])
        return {monomial: -coefficient for monomial, coefficient in above.items()}, below
    if kind == "pct":
        return over(quotient(node[1]), (constant(100), UNIT))
    if kind == "deg":
        return quotient(("mul", node[1], ("div", ("const", "pi"), ("num", Fraction(180)))))
    if kind == "pow":
        return power(_finite(quotient(node[1])), _finite(quotient(node[2])))
    if kind == "call":
        return call(node[1], [_finite(quotient(argument)) for argument in node[2:]])
    raise TooLarge


def _finite(value: Quotient) -> Quotient:
    """Infinity is an end of an interval and no number: nothing is computed with it. Raises Undefined."""
    if any(atom == ("const", "oo") for monomial in value[0] for atom, _ in monomial):
        raise Undefined("arithmetic with infinity")
    return value


@lru_cache(maxsize=1 << 14)
def equal(left: Node, right: Node) -> bool | None:
    """Whether two values are the same; None: not decided here."""
    if left == right:
        return True
    start_work()
    try:
        first, second = quotient(left), quotient(right)
        cross = add(multiply(first[0], second[1]), multiply(second[0], first[1]), -1)
    except Undefined:
        return False
    except TooLarge:
        return _apart(left, right)
    if not cross:
        return True
    if not is_opaque(cross):
        return False
    return _apart(left, right)


def _apart(left: Node, right: Node) -> bool | None:
    """False where floating point shows a clear difference at one of three points, None otherwise."""
    for point in range(3):
        try:
            first, second = value_at(left, point), value_at(right, point)
        except (Unknown, OverflowError, ZeroDivisionError, ValueError, TypeError):
            continue
        scale = max(abs(first), abs(second))
        if cmath.isfinite(first) and cmath.isfinite(second) and abs(first - second) > 1e-6 * scale and scale > 1e-9:
            return False
    return None
