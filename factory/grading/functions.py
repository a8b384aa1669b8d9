"""Functions of exact values: logarithms in those of primes, angles that are multiples of 15 degrees, whole numbers; else opaque."""

import math
from fractions import Fraction
from typing import Any

from factory.grading.polynomials import (
    HALF,
    ONE,
    UNIT,
    Poly,
    Quotient,
    TooLarge,
    Undefined,
    add,
    constant,
    key,
    multiply,
    opaque,
    over,
    rational,
    simplified,
)
from factory.grading.powers import factors, power

LARGEST_FACTORIAL = 3_000
PI = ((("const", "pi"), ONE),)
E = ({((("const", "e"), ONE),): ONE}, UNIT)
ROOT2, ROOT3 = ((("prime", 2), HALF),), ((("prime", 3), HALF),)
# sin of k·15 degrees, k = 0 … 6, as polynomials in sqrt 2, sqrt 3, sqrt 6
_SINES: dict[int, dict[Any, Fraction]] = {
    0: {}, 2: {(): HALF}, 3: {ROOT2: HALF}, 4: {ROOT3: HALF}, 6: {(): ONE},
    1: {((("prime", 2), HALF), (("prime", 3), HALF)): Fraction(1, 4), ROOT2: Fraction(-1, 4)},
    5: {((("prime", 2), HALF), (("prime", 3), HALF)): Fraction(1, 4), ROOT2: Fraction(1, 4)},
}  # fmt: skip


def call(name: str, arguments: list[Quotient]) -> Quotient:
    """The exact value of a function, opaque where no rule opens it. Raises TooLarge, Undefined."""
    if name == "root":
        return power(arguments[0], over((UNIT, UNIT), arguments[1]))
    values = [rational(argument) for argument in arguments]
    if name in _EXACT and all(value is not None for value in values):
        found = _EXACT[name](*values)
        if found is not None:
            return constant(found), UNIT
    if name in ("ln", "log"):
        return _logarithm(name, arguments[0], values[0])
    if name in ("sin", "cos", "tan", "cot", "sec", "csc"):
        return _trigonometric(name, arguments[0])
    if name == "abs":
        above, below = arguments[0]
        first = above[min(above, key=repr)] if above else ONE
        arguments[0] = ({m: c if first > 0 else -c for m, c in above.items()}, below)
    return opaque(name, *(key(part) for argument in arguments for part in argument))


def _factorial(value: Fraction) -> Fraction | None:
    if value.denominator != 1 or value < 0:
        return None
    if value > LARGEST_FACTORIAL:
        raise TooLarge
    return Fraction(math.factorial(int(value)))


def _binomial(above: Fraction, below: Fraction) -> Fraction | None:
    if above.denominator * below.denominator != 1 or not 0 <= below <= above:
        return None
    if above > LARGEST_FACTORIAL:
        raise TooLarge
    return Fraction(math.comb(int(above), int(below)))


def _whole(function: Any) -> Any:
    return lambda *values: Fraction(function(*(int(value) for value in values))) if all(v.denominator == 1 for v in values) else None


_EXACT: dict[str, Any] = {
    "factorial": _factorial, "binom": _binomial, "abs": abs, "floor": lambda v: Fraction(math.floor(v)),
    "ceil": lambda v: Fraction(math.ceil(v)), "max": lambda *v: max(v), "min": lambda *v: min(v), "gcd": _whole(math.gcd), 
    "lcm": _whole(math.lcm),
}  # fmt: skip


def _logarithm(name: str, argument: Quotient, value: Fraction | None) -> Quotient:
    """ln of a rational number in the logarithms of its primes; ln e^k = k. `log` without a base stays a function of its own."""
    if value is not None:
        if value <= 0:
            raise Undefined("the logarithm of a number that is not positive")
        total: dict[Any, Fraction] = {}
        for prime, count in (*factors(value.numerator), *((p, -n) for p, n in factors(value.denominator))):
            atom = ("call", name, key(constant(prime)), key(UNIT))
            total = add(total, {((atom, ONE),): Fraction(count)})
        return total, UNIT
    above, below = argument
    if name == "ln" and below == UNIT and len(above) == 1:
        ((monomial, coefficient),) = above.items()
        if coefficient == 1 and len(monomial) == 1:
            ((atom, exponent),) = monomial
            if atom == ("const", "e"):
                return constant(exponent), UNIT
            if atom[0] in ("prime", "const") or (atom[0] == "sym" and exponent.numerator % 2):  # ln x^2 is 2 ln |x|
                inner: Poly = {((atom, ONE),): ONE} if atom[0] != "prime" else constant(int(atom[1]))
                return {((("call", name, key(inner), key(UNIT)), ONE),): exponent}, UNIT
    return opaque(name, key(above), key(below))


def _trigonometric(name: str, argument: Quotient) -> Quotient:
    """Exact at multiples of 15 degrees; the sign of the argument taken out elsewhere."""
    if name == "tan":
        return over(_trigonometric("sin", argument), _trigonometric("cos", argument))
    if name == "cot":
        return over(_trigonometric("cos", argument), _trigonometric("sin", argument))
    if name in ("sec", "csc"):
        return over((UNIT, UNIT), _trigonometric("cos" if name == "sec" else "sin", argument))
    above, below = argument
    if below == UNIT and set(above) <= {PI}:
        turns = above.get(PI, Fraction(0)) * 12
        if turns.denominator == 1:
            return dict(_sine(int(turns) + (6 if name == "cos" else 0))), UNIT
    first = above[min(above, key=repr)] if above else ONE
    sign = 1 if first > 0 else -1
    inside = {monomial: sign * coefficient for monomial, coefficient in above.items()}
    value = opaque(name, key(inside), key(below))
    return simplified(multiply(value[0], constant(sign if name == "sin" else 1)), UNIT)


def _sine(steps: int) -> dict[Any, Fraction]:
    """sin of `steps` times 15 degrees."""
    steps %= 24
    sign = -1 if steps > 12 else 1
    steps = steps - 12 if steps > 12 else steps
    return {monomial: sign * coefficient for monomial, coefficient in _SINES[min(steps, 12 - steps)].items()}
