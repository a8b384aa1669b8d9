"""Floating-point values of expression trees: a quick look at whether two of them can be equal."""

import cmath
import math
import zlib
from typing import Any

from factory.grading.trees import Node


class Unknown(Exception):
    """No floating-point value."""


def value_at(node: Node, point: int) -> complex:
    """The value of a tree with pseudo-random positive values for its symbols. Raises Unknown, ArithmeticError, ValueError."""
    kind = node[0]
    if kind == "num":
        return complex(node[1])
    if kind == "sym":
        return complex(_random(node[1], point))
    if kind == "const":
        if node[1] == "oo":
            raise Unknown
        return {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}[node[1]]
    parts = [value_at(part, point) for part in node[1:] if isinstance(part, tuple)]
    if kind == "call":
        return _called(node[1], parts, point)
    if kind not in _FLOATING:
        raise Unknown
    return _FLOATING[kind](*parts)


def _random(name: str, point: int) -> float:
    """Between 0.3 and 1.7, the same for a name at a point."""
    return 0.3 + 1.4 * (zlib.crc32(f"{name}:{point}".encode()) % 10_007) / 10_007


def _power(base: complex, exponent: complex) -> complex:
    if abs(exponent) > 1e4 or (abs(base) > 1e6 and abs(exponent) > 40):
        raise Unknown
    return base**exponent


_FLOATING: dict[str, Any] = {
    "add": lambda a, b: a + b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b, "neg": lambda a: -a, "pct": lambda a: a / 100,
    "deg": lambda a: a * math.pi / 180, "pow": _power,
}  # fmt: skip
_REAL: dict[str, Any] = {
    "floor": math.floor, "ceil": math.ceil, "max": max, "min": min, "log": math.log10, "factorial": lambda v: math.gamma(v + 1),
}  # fmt: skip
_COMPLEX: dict[str, Any] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "ln": cmath.log, "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan,
    "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh, "abs": abs, "cot": lambda v: 1 / cmath.tan(v),
    "sec": lambda v: 1 / cmath.cos(v), "csc": lambda v: 1 / cmath.sin(v),
}  # fmt: skip


def _called(name: str, values: list[complex], point: int) -> complex:
    if name == "root":
        base, index = values
        odd = index.imag == 0 and index.real % 2 == 1
        return -((-base) ** (1 / index)) if odd and base.imag == 0 and base.real < 0 else base ** (1 / index)
    if name in _COMPLEX and len(values) == 1:
        return complex(_COMPLEX[name](values[0]))
    if name in _REAL and all(abs(value.imag) < 1e-12 for value in values):
        return complex(_REAL[name](*(value.real for value in values)))
    if name.startswith("user:"):  # some smooth function of its own: other arguments, other values
        return sum(cmath.sin((n + 1.3) * value + _random(name, point)) for n, value in enumerate(values))
    raise Unknown
