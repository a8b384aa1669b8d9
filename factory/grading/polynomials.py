"""Polynomials with exact coefficients, and quotients of them: equal values have the same form wherever that can be had by hand.

    sqrt(12)   → {((("prime", 3), 1/2),): 2}
    2x^2 - 1/y → {((("sym", "x"), 2),): 2, ((("sym", "y"), -1),): -1}

A polynomial is {monomial: coefficient}, a monomial a sorted tuple of (atom, exponent). Atoms: symbols, pi, e, i, primes with an exponent
between 0 and 1, and functions and roots that no rule opens (`is_opaque`).
"""

import itertools
import math
from contextvars import ContextVar
from fractions import Fraction
from typing import Any

Atom = tuple[Any, ...]
Monomial = tuple[tuple[Atom, Fraction], ...]
Poly = dict[Monomial, Fraction]
Quotient = tuple[Poly, Poly]

MOST_TERMS = 400
MOST_WEIGHT = 150  # atoms within atoms within a root or a function
MOST_WORK = 6_000  # products of terms for one comparison, long numbers count more
MOST_BITS = 60_000  # of a number: 2024^4046 has 44,494
HALF, ONE = Fraction(1, 2), Fraction(1)
UNIT: Poly = {(): ONE}
IMAGINARY: Atom = ("i",)


_work: ContextVar[list[int]] = ContextVar("work")


class TooLarge(Exception):
    """The value is beyond what is computed in this process."""


class Undefined(Exception):
    """A division by zero, the logarithm of 0."""


def constant(value: Fraction | int) -> Poly:
    return {(): Fraction(value)} if value else {}


def add(left: Poly, right: Poly, factor: int = 1) -> Poly:
    total = dict(left)
    for monomial, coefficient in right.items():
        value = total.get(monomial, Fraction(0)) + factor * coefficient
        if value:
            total[monomial] = value
        else:
            total.pop(monomial, None)
    return total


def multiply(left: Poly, right: Poly) -> Poly:
    """Raises TooLarge."""
    if len(left) * len(right) > MOST_TERMS * 10:
        raise TooLarge
    total: Poly = {}
    for (first, a), (second, b) in itertools.product(left.items(), right.items()):
        total = add(total, _joined(first, second, a * b))
        if len(total) > MOST_TERMS:
            raise TooLarge
    return total


def _joined(first: Monomial, second: Monomial, coefficient: Fraction) -> Poly:
    """The product of two monomials; primes, i and roots are reduced, so that a sum may come out."""
    bits = coefficient.numerator.bit_length() + coefficient.denominator.bit_length()
    if bits > MOST_BITS:
        raise TooLarge
    spend(1 + bits // 500)
    if not first or not second:
        return {first or second: coefficient}
    exponents = dict(first)
    for atom, exponent in second:
        exponents[atom] = exponents.get(atom, Fraction(0)) + exponent
    expanded: list[tuple[Poly, int]] = []
    for atom, exponent in list(exponents.items()):
        if not exponent:
            del exponents[atom]
        elif atom[0] == "prime":
            whole = math.floor(exponent)
            coefficient *= Fraction(atom[1]) ** whole
            exponents[atom] = exponent - whole
            if exponent == whole:
                del exponents[atom]
        elif atom == IMAGINARY:
            turns = int(exponent) % 4
            coefficient *= -1 if turns >= 2 else 1
            exponents[atom] = ONE
            if turns % 2 == 0:
                del exponents[atom]
        elif atom[0] == "root" and exponent >= 1:
            whole = math.floor(exponent)
            expanded.append((dict(atom[1]), whole))
            exponents[atom] = exponent - whole
            if exponent == whole:
                del exponents[atom]
    product: Poly = {tuple(sorted(exponents.items(), key=repr)): coefficient}
    for poly, whole in expanded:
        product = multiply(product, raised(poly, whole))
    return product


def raised(poly: Poly, exponent: int) -> Poly:
    """A whole power ≥ 0 by squaring."""
    result, base = UNIT, poly
    while exponent:
        if exponent & 1:
            result = multiply(result, base)
        exponent >>= 1
        base = multiply(base, base) if exponent else base
    return result


def start_work() -> None:
    """Begins to count the work of one comparison anew."""
    _work.set([MOST_WORK])


def spend(amount: int) -> None:
    """Raises TooLarge when the comparison has had its share."""
    left = _work.get(None)
    if left is not None:
        left[0] -= amount
        if left[0] < 0:
            raise TooLarge


def weight(poly: Poly) -> int:
    """How many atoms a polynomial holds, those within roots and functions too."""
    return sum(1 + sum(_atom_weight(atom) for atom, _ in monomial) for monomial in poly)


def _atom_weight(part: object) -> int:
    return 1 + sum(_atom_weight(item) for item in part if isinstance(item, tuple)) if isinstance(part, tuple) else 0


def key(poly: Poly) -> tuple[tuple[Monomial, Fraction], ...]:
    """A hashable form, for a root or a function to hold. Raises TooLarge: forms within forms grow fast."""
    if weight(poly) > MOST_WEIGHT:
        raise TooLarge
    return tuple(sorted(poly.items(), key=repr))


def rational(quotient: Quotient) -> Fraction | None:
    """The value of a quotient that is a plain rational number."""
    above, below = quotient
    if not above:
        return Fraction(0)
    if set(above) == {()} and set(below) == {()}:
        return above[()] / below[()]
    return None


# -- quotients
def over(above: Quotient, below: Quotient) -> Quotient:
    """Raises Undefined for a division by zero."""
    if not below[0]:
        raise Undefined("a division by zero")
    return simplified(multiply(above[0], below[1]), multiply(above[1], below[0]))


def simplified(above: Poly, below: Poly) -> Quotient:
    """A denominator of one term moves into the numerator."""
    if not above:
        return {}, UNIT
    if len(below) == 1:
        ((monomial, coefficient),) = below.items()
        inverse: Poly = {tuple((atom, -exponent) for atom, exponent in monomial): ONE}
        return multiply({m: c / coefficient for m, c in above.items()}, multiply(UNIT, _reduced(inverse))), UNIT
    if above == below:
        return UNIT, UNIT
    lead = below[min(below, key=repr)]
    return {m: c / lead for m, c in above.items()}, {m: c / lead for m, c in below.items()}


def _reduced(poly: Poly) -> Poly:
    """Negative exponents of primes and of i brought back between 0 and 1."""
    ((monomial, coefficient),) = poly.items()
    product: Poly = {(): coefficient}
    for atom, exponent in monomial:
        product = multiply(
            product, _joined(((atom, exponent / 2),), ((atom, exponent / 2),), ONE) if atom[0] == "prime" else _single(atom, exponent)
        )
    return product


def _single(atom: Atom, exponent: Fraction) -> Poly:
    if atom == IMAGINARY:
        turns = int(exponent) % 4
        return {((IMAGINARY, ONE),) if turns % 2 else (): Fraction(-1 if turns >= 2 else 1)}
    return {((atom, exponent),): ONE}


def opaque(name: str, *arguments: Any) -> Quotient:
    return {((("call", name, *arguments), ONE),): ONE}, UNIT


def is_opaque(poly: Poly) -> bool:
    """Whether an atom hides a value that no rule here opens."""
    return any(atom[0] in ("call", "root", "exp", "base") for monomial in poly for atom, _ in monomial)
