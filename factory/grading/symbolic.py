"""Whether two answers are equal by computer algebra: in worker processes only, for nothing here is bounded in time or memory.

    decide(r"\\sum_{k=1}^{n} k", r"\\frac{n(n+1)}{2}")   → ("correct", "")
    decide(r"\\int_0^1 x dx", "0.333")                   → ("wrong", "the values differ")

What Math-Verify does and this does not: look for a formula within the text and grade a fragment of it; round to 6 or 15 digits; call an
answer wrong because sympy failed. A text is read whole or not at all (strict.py), decimals are fractions, and a verdict needs a proof: of
equality by simplification, of a difference by 60 digits at some point. Without one it is `unparsable`.
"""

from typing import Any, Literal

import sympy
from math_verify import parse, verify
from sympy import And, Basic, Eq, Expr, Interval, MatrixBase, Ne, Set
from sympy.core.relational import Relational

from factory.grading.strict import Group, Unreadable, as_set, read
from factory.schemas import Verdict

DIGITS = 60
CLEAR = sympy.Float(10) ** -40  # a relative difference that 60 digits show beyond doubt
LARGEST_LIST = 30
SIGNS = ((1, 1, 1, 1), (-1, -1, -1, -1), (-1, 1, -1, 1), (1, -1, 1, -1))


def decide(gold: str, answer: str) -> tuple[Verdict, str]:
    """Two extracted answers, LaTeX or plain. Exchanging them changes nothing."""
    try:
        first, second = read(gold), read(answer)
    except Unreadable as error:
        return "unparsable", f"cannot be read: {error}"
    same = _same(first, second)
    if same is None:
        return "unparsable", "neither equal nor different by computer algebra"
    return ("correct", "") if same else ("wrong", "the values differ")


def mathverify_alone(gold: str, answer: str) -> tuple[Verdict, str]:
    """What Math-Verify says by itself, with its default settings (and without its signals)."""
    sides = [parse(text if "$" in text or "boxed" in text else f"${text}$", parsing_timeout=None) for text in (gold, answer)]
    if not all(sides):
        return "unparsable", ""
    return ("correct" if verify(*sides, timeout_seconds=None) else "wrong"), ""


def _same(first: Any, second: Any) -> bool | None:
    first, second = _listed(first, second), _listed(second, first)
    if isinstance(first, Group) and isinstance(second, Group):
        return _same_groups(first, second)
    if isinstance(first, MatrixBase) or isinstance(second, MatrixBase):
        if not (isinstance(first, MatrixBase) and isinstance(second, MatrixBase)) or first.shape != second.shape:
            return False
        return _all(_equal(one, other) for one, other in zip(first, second, strict=True))
    first, second = _unnamed(first, second), _unnamed(second, first)
    if isinstance(first, Expr) and isinstance(second, Expr):
        return _equal(first, second)
    if isinstance(first, Relational | And) and isinstance(second, Relational | And):
        return _same_relations(first, second)
    if isinstance(first, Expr) or isinstance(second, Expr):
        return False  # one value against several, or against a relation
    try:
        return _same_sets(as_set(first), as_set(second))
    except (Unreadable, NotImplementedError):
        return None


def _listed(side: Any, other: Any) -> Any:
    """One value beside a list or a set is a list of one."""
    return Group("", "", (side,)) if isinstance(side, Expr) and isinstance(other, Group) and other.opens in ("", r"\{") else side


def _unnamed(side: Any, other: Any) -> Any:
    """`x = 3` beside a value is its name and the value."""
    named = isinstance(side, Eq) and side.lhs.is_Symbol and not side.rhs.has(side.lhs)
    return side.rhs if named and isinstance(other, Expr) else side


def _same_groups(first: Group, second: Group) -> bool | None:
    ordered = "(" in first.opens + second.opens or "[" in first.opens + second.opens
    if ordered:
        if first.opens and second.opens and first[:2] != second[:2]:
            return False
        if len(first.parts) != len(second.parts) or r"\{" in (first.opens, second.opens):
            return False
        return _all(_same(one, other) for one, other in zip(first.parts, second.parts, strict=True))
    if max(len(first.parts), len(second.parts)) > LARGEST_LIST:
        return None
    table = [[_same(one, other) for other in second.parts] for one in first.parts]
    return _all(_any(line) for line in [*table, *map(list, zip(*table, strict=True))])


def _all(results: Any) -> bool | None:
    found = list(results)
    return False if False in found else None if None in found else True


def _any(results: list[bool | None]) -> bool | None:
    return True if True in results else None if None in results else False


def _same_sets(first: Set, second: Set) -> bool | None:
    if isinstance(first, Interval) and isinstance(second, Interval):
        if (first.left_open, first.right_open) != (second.left_open, second.right_open):
            return False
        return _all((_equal(first.start, second.start), _equal(first.end, second.end)))
    return True if first == second else sympy.SymmetricDifference(first, second).is_empty


def _same_relations(first: Any, second: Any) -> bool | None:
    if isinstance(first, Relational) and isinstance(second, Relational) and isinstance(first, Eq | Ne) == isinstance(second, Eq | Ne):
        signs = [-1 if isinstance(side, sympy.Gt | sympy.Ge) else 1 for side in (first, second)]
        kinds = {type(side if sign == 1 else side.reversed) for side, sign in zip((first, second), signs, strict=True)}
        one, other = (sign * (side.lhs - side.rhs).doit() for side, sign in zip((first, second), signs, strict=True))
        ratio = sympy.simplify(one / other)
        if len(kinds) == 1 and ratio.is_number and ratio.is_finite and (ratio.is_positive or (isinstance(first, Eq | Ne) and ratio != 0)):
            return True
        if isinstance(first, Eq) and isinstance(second, Eq):
            return False if _apart(one, other) or _apart(other, one) else None
    if first.free_symbols != second.free_symbols or len(first.free_symbols) > 1:
        return None
    try:
        return _same_sets(as_set(first), as_set(second))
    except NotImplementedError:
        return None


def _apart(one: Expr, other: Expr) -> bool:
    """Some solution of one equation does not solve the other."""
    for symbol in sorted(one.free_symbols, key=str)[:2]:
        try:
            solutions = sympy.solve(one, symbol)
        except NotImplementedError:
            continue
        if any(_equal(other.subs(symbol, solution), sympy.S.Zero) is False for solution in solutions):
            return True
    return False


def _equal(first: Basic, second: Basic) -> bool | None:
    """Two values or formulas: proved equal, shown to differ, or neither."""
    first, second = first.doit(), second.doit()
    if first == second:
        return True
    infinite = (first.is_infinite, second.is_infinite)
    if True in infinite:
        return None if None in infinite else False
    imaginary = first.has(sympy.I) and second.has(sympy.I)
    seen = {_look(first.subs(point), second.subs(point), imaginary) for point in _points(first, second)}
    if "apart" in seen:
        return False
    if "half" in seen:
        return None
    difference = first - second
    positive = {symbol: sympy.Symbol(symbol.name, positive=True) for symbol in difference.free_symbols}
    for form in (difference, difference.subs(positive)):  # as sqrt(1/n) and 1/sqrt(n): equal wherever both are real
        if sympy.simplify(form) == 0 or form.equals(0) is True:
            return True
    return None


def _points(first: Basic, second: Basic) -> list[dict[Basic, Basic]]:
    """Numbers to put in: of both signs, but only counts where something is counted."""
    symbols = sorted(first.free_symbols | second.free_symbols, key=str)
    if not symbols:
        return [{}]
    counted = any(side.has(sympy.Sum, sympy.Product, sympy.factorial, sympy.binomial, sympy.Mod) for side in (first, second))
    points = [[sympy.Integer(prime) for prime in (3, 5, 2, 7)], [sympy.Integer(prime) for prime in (4, 9, 11, 6)]]
    if not counted:
        points += [[sympy.Rational(sign * over, 101) for sign, over in zip(signs, (37, 173, 59, 311), strict=True)] for signs in SIGNS]
    return [{symbol: point[place % 4] + place // 4 for place, symbol in enumerate(symbols)} for point in points]


def _look(first: Basic, second: Basic, imaginary: bool) -> Literal["apart", "agree", "half", "nothing"]:
    """At one point. `half`: one side is real there and the other is not; where neither is, formulas in real numbers say nothing."""
    try:
        one, other = (sympy.N(side, DIGITS, maxn=10 * DIGITS) for side in (first, second))
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        return "nothing"
    if not (one.is_number and other.is_number and one.is_finite and other.is_finite) or one.has(sympy.zoo, sympy.nan):
        return "nothing"
    if not imaginary and not (one.is_real and other.is_real):
        return "half" if one.is_real or other.is_real else "nothing"
    if any(part.is_Float and part._prec < 2 * DIGITS and part != 0 for side in (one, other) for part in side.as_real_imag()):
        return "nothing"  # the digits cancelled: sympy cannot tell it from 0
    return "apart" if abs(one - other) > CLEAR * max(abs(one), abs(other)) else "agree"
