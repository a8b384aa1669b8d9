"""Equations that a worked text calls the one before, simplified, and that are another.

    false_simplifications("25[(x+8)²+y²] = 9[(x-8)²+y²]. Simplifying gives x²-34x+y²+64 = 0.")
    → ["x²-34x+y²+64 = 0 for 25[(x+8)²+y²] = 9[(x-8)²+y²]"]

Left minus right is a sum of products on both; a common product of letters may go. The same are multiples of each other, in one letter also
where one divides the other. Judged are neighbours of the same letters, when the second comes by `⇒` or by a word such as "expanding".
"""

import re
from fractions import Fraction
from itertools import pairwise

from factory.grading.algebra import quotient
from factory.grading.polynomials import UNIT, Atom, Poly, TooLarge, Undefined, add, is_opaque, multiply, start_work
from factory.templates.contradictions import SUPPOSED, is_value, read_text, says
from factory.templates.statements import Statement

_SIMPLIFIED = re.compile(
    r"\b(?:simplif\w*|rearrang\w*|organi[sz]\w*|expand\w*|expansion|factor\w*|tidy\w*|that\sis|i\.e|namely|reduc\w*|becom\w*)\b|(?P<arrow>^\s*(?:[⇒→⟹⟺⇔]|\\(?:Rightarrow|implies))\s*$)",
    re.IGNORECASE,
)


def false_simplifications(text: str, problem: str = "") -> list[str]:
    """Equations that are said to be the one before them, simplified, expanded or factored, and are another."""
    found, lines = read_text(text, problem)
    wrong = []
    for before, after in pairwise(found):
        how = _SIMPLIFIED.search(after.lead) if after.line - before.line <= 1 else None
        if not how or SUPPOSED.search(lines[before.line]) or SUPPOSED.search(lines[after.line]) or is_value(after):
            continue
        one, other = _difference(before), _difference(after)
        if one and other and how["arrow"] and len(_letters_of(one)) > 1 and one.keys() != other.keys():
            continue  # something known may have come in
        if one and other and _letters_of(one) == _letters_of(other) != set() and not _same_curve(one, other):
            wrong.append(f"{says(after.sides[-2], '=', after.sides[-1])} for {says(before.sides[-2], '=', before.sides[-1])}")
    return list(dict.fromkeys(wrong))


def _difference(statement: Statement) -> Poly | None:
    """Left minus right of an equation of sums of products, without the product that all its terms share."""
    left, right = statement.nodes[-2:]
    if statement.signs != ("=",) or left is None or right is None or "user:" in repr((left, right)):
        return None
    start_work()
    try:
        (one, below), (other, under) = quotient(left), quotient(right)
        if below == under == UNIT:
            whole = add(one, other, -1)
        else:
            whole = add(multiply(one, under), multiply(other, below), -1)
    except (TooLarge, Undefined):
        return None
    if len(whole) < 2 or is_opaque(whole) or any(atom[0] not in ("sym", "prime") for monomial in whole for atom, _ in monomial):
        return None
    least: dict[Atom, Fraction] = {}
    for atom in {atom for monomial in whole for atom, _ in monomial if atom[0] == "sym"}:
        least[atom] = min(dict(monomial).get(atom, Fraction(0)) for monomial in whole)
    shift: Poly = {tuple(sorted(((atom, -power) for atom, power in least.items() if power), key=repr)): Fraction(1)}
    return multiply(whole, shift)


def _letters_of(poly: Poly) -> set[Atom]:
    return {atom for monomial in poly for atom, _ in monomial if atom[0] == "sym"}


def _same_curve(one: Poly, other: Poly) -> bool:
    """Whether one is a multiple of the other, by a number or, of one letter, by a sum of its powers."""
    try:
        (first, a), second = next(iter(one.items())), other
        for monomial, b in second.items():
            if multiply(one, {monomial: b}) == multiply(other, {first: a}):
                return True
    except TooLarge:
        return True
    if len(_letters_of(one)) > 1:
        return False
    dense = [_dense(poly) for poly in (one, other)]
    if None in dense:
        return True  # roots among the coefficients: not judged
    long, short = sorted((poly for poly in dense if poly), key=len, reverse=True)
    return not any(_remainder(long, short))


def _dense(poly: Poly) -> list[Fraction] | None:
    """Coefficients of a sum of whole powers of one letter, the highest first."""
    powers: dict[int, Fraction] = {}
    for monomial, coefficient in poly.items():
        if any(atom[0] != "sym" or power.denominator != 1 or not 0 <= power <= 12 for atom, power in monomial):
            return None
        powers[int(sum(power for _, power in monomial))] = coefficient
    return [powers.get(power, Fraction(0)) for power in range(max(powers), -1, -1)]


def _remainder(long: list[Fraction], short: list[Fraction]) -> list[Fraction]:
    rest = list(long)
    while len(rest) >= len(short):
        factor = rest[0] / short[0]
        rest = [value - factor * (short[place] if place < len(short) else 0) for place, value in enumerate(rest)][1:]
    return rest
