"""Whether two expression trees are equal, by sympy: only in worker processes, where time and memory have a limit.

First a look for a difference with many digits, then the exact answer. Constants that no rule brings together are equal when 1,000 digits
more than they are long agree; formulas, when they agree with 60 digits at random points of both signs.
"""

import random
from typing import Any

import sympy

from factory.grading.functions import LARGEST_FACTORIAL
from factory.grading.polynomials import MOST_BITS
from factory.grading.trees import Node

POINTS = 6
DIGITS = 60
CONSTANT_DIGITS = 1_000
LARGEST_EXPONENT = 10_000


class Unprovable(Exception):
    """An expression that sympy is not asked about."""


def prove(left: Node, right: Node) -> bool | None:
    """None where neither equality nor a difference can be shown."""
    try:
        first, second = expression(left), expression(right)
    except Unprovable:
        return None
    matrices = [isinstance(side, sympy.MatrixBase) for side in (first, second)]
    if any(matrices):
        if not all(matrices) or first.shape != second.shape:
            return False
        return _all(_zero(entry, 0) for entry in first - second)
    size = len(repr(left)) + len(repr(right))
    return _zero(first - second, size)


def _all(results: Any) -> bool | None:
    found = list(results)
    return False if False in found else None if None in found else True


def _zero(difference: Any, size: int) -> bool | None:
    if difference == 0:
        return True
    if difference.has(sympy.zoo, sympy.nan):
        return None
    symbols = sorted(difference.free_symbols, key=str)
    if not symbols:
        return _small(difference, CONSTANT_DIGITS + size)
    generator, agreed = random.Random(str(symbols)), 0
    for point in range(POINTS):
        sign = -1 if point % 2 else 1
        values = {symbol: sympy.Rational(sign * generator.randint(1, 997), generator.randint(101, 499)) for symbol in symbols}
        small = _small(difference.subs(values), DIGITS)
        if small is False:
            return False
        agreed += small is True
    if agreed < 2:
        return None
    return True if agreed > 2 or sympy.simplify(difference) == 0 else None


def _small(constant: Any, digits: int) -> bool | None:
    """Whether a number is 0 to `digits` digits beside its largest part; None where it has no value."""
    try:
        value = sympy.N(constant, digits, maxn=4 * digits + 200)
        parts = [abs(sympy.N(part, 15)) for part in sympy.Add.make_args(constant)]
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        return None
    if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo):
        return None
    scale = max((part for part in parts if part.is_number and part.is_finite), default=1) or 1
    return bool(abs(value) < scale * sympy.Float(10) ** (-digits * 9 // 10))


# -- trees → sympy
_FUNCTIONS: dict[str, Any] = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh,
    "ln": sympy.log, "abs": sympy.Abs, "floor": sympy.floor, "ceil": sympy.ceiling, "binom": sympy.binomial, "max": sympy.Max,
    "min": sympy.Min, "gcd": sympy.gcd, "lcm": sympy.lcm, "log": lambda value: sympy.log(value) / sympy.log(10),
}  # fmt: skip
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "oo": sympy.oo}


def expression(node: Node) -> Any:
    """Raises Unprovable."""
    kind = node[0]
    if kind == "num":
        return sympy.Rational(node[1].numerator, node[1].denominator)
    if kind == "sym":
        return sympy.Symbol(node[1], real=True)
    if kind == "const":
        return _CONSTANTS[node[1]]
    if kind == "mat":
        return sympy.Matrix([[expression(entry) for entry in row] for row in node[1]])
    if kind == "call":
        return _call(node)
    parts = [expression(part) for part in node[1:]]
    if kind == "pow":
        return _power(*parts)
    try:
        return _OPERATIONS[kind](*parts)
    except (TypeError, ValueError, sympy.matrices.exceptions.MatrixError):
        raise Unprovable from None


_OPERATIONS: dict[str, Any] = {
    "add": lambda a, b: a + b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b, "neg": lambda a: -a, "pct": lambda a: a / 100,
    "deg": lambda a: a * sympy.pi / 180,
}  # fmt: skip


def _power(base: Any, exponent: Any) -> Any:
    """A number that would be written out is kept small."""
    if exponent.is_number and base.is_number and exponent.is_real:
        size = float(abs(sympy.N(exponent, 15))) if exponent.is_finite else float("inf")
        bits = max(1.0, float(abs(sympy.N(sympy.log(abs(base) + 2, 2), 15)))) if base.is_finite else 1.0
        if size > LARGEST_EXPONENT or size * bits > 4 * MOST_BITS:
            raise Unprovable
    return base**exponent


def _call(node: Node) -> Any:
    name, arguments = str(node[1]), [expression(argument) for argument in node[2:]]
    if name == "root":
        base, index = arguments
        return sympy.real_root(base, index) if index.is_odd and base.is_real else base ** (1 / index)
    if name == "factorial":
        if arguments[0].is_number and arguments[0] > LARGEST_FACTORIAL:
            raise Unprovable
        return sympy.factorial(arguments[0])
    if name == "binom" and all(argument.is_number for argument in arguments) and arguments[0] > LARGEST_FACTORIAL:
        raise Unprovable
    if name.startswith(("sum:", "prod:")):
        return _series(name, *arguments)
    if name == "det":
        return arguments[0].det()
    if name.startswith("user:"):
        return sympy.Function(name.removeprefix("user:"))(*arguments)
    if name not in _FUNCTIONS:
        raise Unprovable
    return _FUNCTIONS[name](*arguments)


def _series(name: str, first: Any, last: Any, member: Any) -> Any:
    kind, index = name.split(":")
    symbol = sympy.Symbol(index, real=True)
    if first.is_number and last.is_number and last.is_finite and last - first > LARGEST_EXPONENT:
        raise Unprovable
    made = (sympy.Sum if kind == "sum" else sympy.Product)(member, (symbol, first, last)).doit()
    if made.has(sympy.Sum, sympy.Product):
        raise Unprovable
    return made
