"""Plain numbers, exactly: the fast path of grading, and how other modules read a number that stands in a text."""

import re
from fractions import Fraction
from functools import lru_cache

LONGEST = 300  # characters of a number: nobody computes with a longer one, and Python does not read 4,301 digits
_NUMBER = re.compile(r"[-+]?(?:[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?: \d{3})+|\d+)?(?:\.\d+)?", re.ASCII)
_MIXED = re.compile(r"([-+]?)(\d+) (\d+)/(\d+)", re.ASCII)
_DRESS = str.maketrans({"\\": "", "$": "", "€": "", "£": "", "\N{MINUS SIGN}": "-"})


@lru_cache(maxsize=1 << 16)
def parse_number(text: str) -> Fraction | None:
    """An exact number from `1,234`, `-$5.50`, `3/4`, `1 1/2` or `20%` (as 20); None otherwise: a unit (`16 eggs`) must be gone."""
    bare = text.translate(_DRESS).strip().rstrip("%.").strip()
    if len(bare) > LONGEST:
        return None
    if mixed := _MIXED.fullmatch(bare):
        sign, whole, above, below = mixed.groups()
        return None if int(below) == 0 else (-1 if sign == "-" else 1) * (int(whole) + Fraction(int(above), int(below)))
    parts = [part.strip() for part in bare.split("/")]
    if len(parts) > 2 or not all(_NUMBER.fullmatch(part) and part[-1:].isdigit() for part in parts):
        return None
    values = [Fraction(part.replace(",", "").replace(" ", "")) for part in parts]
    if len(values) == 1:
        return values[0]
    return values[0] / values[1] if values[1] else None


_PLAIN = re.compile(r"([-+]?)(?:(\d{1,300})|([1-9]\d{0,2}(?:,\d{3}){1,90}))(?:\.(\d{1,300}))?\.?", re.ASCII)


def plain_value(text: str) -> int | Fraction | None:
    """The value of a number without a sign of money, a unit or a fraction; None for everything else, the longest numbers too."""
    found = _PLAIN.fullmatch(text)
    if found is None:
        return None
    sign, digits, grouped, decimals = found.groups()
    digits = digits or grouped.replace(",", "")
    if not decimals or not decimals.strip("0"):
        return int(sign + digits)
    return Fraction(f"{sign}{digits}.{decimals}")
