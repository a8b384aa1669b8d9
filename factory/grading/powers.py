"""Powers and roots of exact values: numbers in their primes, one term opened, a sum under a root left as an atom.

power(12, 1/2)          → 2·3^(1/2)
power(8 + 4·sqrt 3, 1/2) → 2·(2 + sqrt 3)^(1/2)
power(e, 2·ln 3)        → 9
"""

import itertools
import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

from factory.grading.polynomials import (
    IMAGINARY,
    MOST_BITS,
    ONE,
    UNIT,
    Atom,
    Monomial,
    Poly,
    Quotient,
    TooLarge,
    Undefined,
    constant,
    key,
    multiply,
    opaque,
    over,
    raised,
    rational,
    simplified,
)  # fmt: skip

LARGEST_PRIME = 30_000  # of trial division


def power(base: Quotient, exponent: Quotient) -> Quotient:
    """Raises TooLarge, Undefined."""
    value = rational(exponent)
    if value is None:
        return _symbolic_power(base, exponent)
    if value.denominator == 1:
        return _whole_power(base, int(value))
    return _root_power(base, value)


def _whole_power(base: Quotient, exponent: int) -> Quotient:
    if exponent < 0:
        if not base[0]:
            raise Undefined("a division by zero")
        base, exponent = simplified(base[1], base[0]), -exponent
    bits = max((c.numerator.bit_length() + c.denominator.bit_length() for part in base for c in part.values()), default=1)
    terms = max(len(base[0]), len(base[1]))
    if bits * exponent > MOST_BITS or (terms > 1 and exponent > 40):
        value = rational(base)
        if value in (0, 1):
            return base
        raise TooLarge
    return simplified(raised(base[0], exponent), raised(base[1], exponent))


def _root_power(base: Quotient, exponent: Fraction) -> Quotient:
    """`base` to a fraction. One term opens; a sum stays a root, its rational content taken out."""
    above, below = base
    if not above:
        if exponent < 0:
            raise Undefined("a division by zero")
        return {}, UNIT
    if below != UNIT:
        return over(_root_power((above, UNIT), exponent), _root_power((below, UNIT), exponent))
    if len(above) == 1:
        ((monomial, coefficient),) = above.items()
        return _monomial_power(monomial, coefficient, exponent)
    content = _content(above)
    inside = {monomial: coefficient / content for monomial, coefficient in above.items()}
    outside = _monomial_power((), content, exponent)
    whole = math.floor(exponent)
    root: Poly = {((("root", key(inside)), exponent - whole),): ONE}
    rest = _whole_power((inside, UNIT), whole)
    return simplified(multiply(multiply(outside[0], root), rest[0]), multiply(outside[1], rest[1]))


def _content(poly: Poly) -> Fraction:
    numerators = math.gcd(*(c.numerator for c in poly.values()))
    denominators = math.lcm(*(c.denominator for c in poly.values()))
    return Fraction(numerators, denominators)


def _monomial_power(monomial: Monomial, coefficient: Fraction, exponent: Fraction) -> Quotient:
    result: Poly = UNIT
    if coefficient < 0:
        if exponent.denominator == 2:  # the principal root
            turns = exponent.numerator % 4
            result = {((IMAGINARY, ONE),): ONE if turns == 1 else -ONE}
        elif exponent.denominator % 2:  # the real root, as schools write it
            result = constant(-1 if exponent.numerator % 2 else 1)
        else:
            raise TooLarge
        coefficient = -coefficient
    for prime, count in (*factors(coefficient.numerator), *((p, -n) for p, n in factors(coefficient.denominator))):
        result = multiply(result, _prime_power(prime, count * exponent))
    for atom, inner in monomial:
        total = inner * exponent
        if atom[0] == "prime" or (atom[0] in ("sym", "const") and atom != IMAGINARY and abs(inner.numerator) == 1):
            result = multiply(result, _prime_power(atom[1], total) if atom[0] == "prime" else {((atom, total),): ONE})
        elif atom[0] == "const" and atom[1] in ("pi", "e"):
            result = multiply(result, {((atom, total),): ONE})
        else:
            result = multiply(result, {((("root", key({((atom, inner),): ONE})), exponent),): ONE})
    return result, UNIT


def _prime_power(prime: int, exponent: Fraction) -> Poly:
    whole = math.floor(exponent)
    if abs(whole) * prime.bit_length() > MOST_BITS:
        raise TooLarge
    rest = exponent - whole
    return {(((("prime", prime), rest),) if rest else ()): Fraction(prime) ** whole}


@lru_cache(maxsize=4096)
def factors(number: int) -> tuple[tuple[int, int], ...]:
    """Prime factors of a number > 0. Raises TooLarge when trial division would take too long."""
    found, rest = [], number
    for prime in itertools.chain((2, 3), (n + d for n in range(6, LARGEST_PRIME, 6) for d in (-1, 1))):
        if prime * prime > rest:
            break
        count = 0
        while rest % prime == 0:
            rest //= prime
            count += 1
        if count:
            found.append((prime, count))
    if rest > LARGEST_PRIME**2:
        raise TooLarge
    return tuple(found + ([(rest, 1)] if rest > 1 else []))


def _symbolic_power(base: Quotient, exponent: Quotient) -> Quotient:
    """`b^(c + x)` = b^c · b^x: one atom a term of the exponent, whole numbers as bases in their primes, e^(k ln a) opened."""
    if exponent[1] != UNIT:
        return opaque("pow", key(base[0]), key(base[1]), key(exponent[0]), key(exponent[1]))
    result: Quotient = (UNIT, UNIT)
    value = rational(base)
    bases: list[tuple[Any, int]] = [(("base", key(base[0]), key(base[1])), 1)]
    if value is not None and value > 0:
        bases = [(p, n) for p, n in factors(value.numerator)] + [(p, -n) for p, n in factors(value.denominator)]
    natural = base == ({((("const", "e"), ONE),): ONE}, UNIT)
    for monomial, coefficient in exponent[0].items():
        if not monomial:
            result = _times(result, power(base, (constant(coefficient), UNIT)))
            continue
        if natural and len(monomial) == 1 and monomial[0][0][:2] == ("call", "ln") and monomial[0][1] == 1:
            inside = monomial[0][0]
            result = _times(result, power((dict(inside[2]), dict(inside[3])), (constant(coefficient), UNIT)))
            continue
        for one, count in bases:
            atom: Atom = ("exp", one if isinstance(one, tuple) else ("prime", one), monomial)
            result = _times(result, ({((atom, coefficient * count),): ONE}, UNIT))
    return result


def _times(left: Quotient, right: Quotient) -> Quotient:
    return simplified(multiply(left[0], right[0]), multiply(left[1], right[1]))
