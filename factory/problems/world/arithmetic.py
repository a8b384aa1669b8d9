"""Equations of whole numbers, and what a sequence of operations makes of a problem's numbers.

    execute((15, 7, 4), ("subtract", "add"))         → 15 - 7 = 8 · 8 + 4 = 12
    execute((15, 7, 4), ("subtract", "add"), Slip(0, 9))   → 15 - 7 = 9 · 9 + 4 = 13: one slip, honestly carried on

The running result starts as the first number; each operation consumes the next one. A false equation is only ever made on request.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

LARGEST = 199  # results stay in 0 … LARGEST
EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


def compute(left: int, sign: str, right: int) -> int | None:
    """The result, None when it is no whole number in 0 … LARGEST."""
    if sign == "/":
        return left // right if right and left % right == 0 else None
    value = left + right if sign == "+" else left - right if sign == "-" else left * right
    return value if 0 <= value <= LARGEST else None


@dataclass(frozen=True)
class Equation:
    left: int
    sign: str
    right: int
    value: int  # as claimed, which may be false

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right} = {self.value}"

    @property
    def term(self) -> str:
        return f"{self.left} {self.sign} {self.right}"

    @property
    def true_value(self) -> int | None:
        return compute(self.left, self.sign, self.right)

    @property
    def holds(self) -> bool:
        return self.true_value == self.value


def parse_equation(line: str) -> Equation | None:
    """The equation that is the whole line, None for any other line."""
    match = EQUATION.fullmatch(line)
    return Equation(int(match[1]), match[2], int(match[3]), int(match[4])) if match else None


@dataclass(frozen=True)
class Slip:
    """An arithmetic slip: equation number `at` (from 0) claims `value`."""

    at: int
    value: int


class _Worksheet:
    """Equations written one after the other; None from `write` says that the sum cannot be done."""

    def __init__(self, slip: Slip | None) -> None:
        self.equations: list[Equation] = []
        self.slip = slip

    def write(self, left: int, sign: str, right: int) -> int | None:
        value = compute(left, sign, right)
        if value is None:
            return None
        if self.slip is not None and self.slip.at == len(self.equations):
            value = self.slip.value
        self.equations.append(Equation(left, sign, right, value))
        return value

    def apply(self, operation: str, result: int, number: int) -> int | None:
        if operation in SIGNS:
            return self.write(result, SIGNS[operation], number)
        other = self.write(result, "+" if operation == "more" else "-", number)
        return None if other is None else self.write(result, "+", other)


SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


def execute(numbers: Sequence[int], operations: Sequence[str], slip: Slip | None = None) -> tuple[Equation, ...] | None:
    """The equations of the operations in order; None when one cannot be done in whole numbers or finds no number to consume."""
    if len(operations) >= len(numbers):
        return None
    sheet, result = _Worksheet(slip), numbers[0]
    for operation, number in zip(operations, numbers[1:], strict=False):
        after = sheet.apply(operation, result, number)
        if after is None:
            return None
        result = after
    return tuple(sheet.equations)


def slipped(equation: Equation, rng: random.Random) -> int:
    """A false value of the sort that a small model writes: one or ten off, two digits exchanged, a neighbour in the table."""
    value = equation.value
    near = [value + 1, value - 1, value + 10, value - 10, value + 2, value - 2]
    if equation.sign in "*/":
        near += [value + equation.right, value - equation.right, value + equation.left]
    if 10 <= value <= 99:
        near.append(int(str(value)[::-1]))
    return rng.choice([other for other in near if 0 <= other <= LARGEST and other != value])
