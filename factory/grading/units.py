"""What may stand behind a number: units, money, percent, and words that are only a caption.

    parse_unit(tokens of "cm^2")           → Unit(known={"cm": 2})
    parse_unit(tokens of "miles per hour") → Unit(known={"mile": 1, "h": -1})
    parse_unit(tokens of "duck eggs")      → Unit(words={"duck", "egg"})

Nothing is converted: 500 cm is not 5 m. Two units that are given must be the same; one may be left out.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from factory.grading.latex import Token, Unreadable
from factory.grading.spellings import word_set

_NAMES = {
    "m": "m meter meters metre metres", "cm": "cm centimeter centimeters centimetre centimetres",
    "mm": "mm millimeter millimeters millimetre millimetres", "km": "km kilometer kilometers kilometre kilometres kms",
    "in": "inch inches", "ft": "ft foot feet", "yd": "yd yard yards", "mile": "mile miles mi", "g": "g gram grams",
    "kg": "kg kilogram kilograms kgs", "mg": "mg milligram milligrams", "lb": "lb lbs pound pounds", "oz": "oz ounce ounces",
    "ton": "ton tons tonne tonnes", "s": "s sec secs second seconds", "min": "min mins minute minutes", "h": "h hr hrs hour hours",
    "day": "day days", "week": "week weeks", "month": "month months", "year": "year years yr yrs", "L": "L l liter liters litre litres",
    "mL": "mL ml milliliter milliliters millilitre millilitres", "gal": "gallon gallons gal", "Hz": "Hz hertz", "kHz": "kHz",
    "MHz": "MHz", "GHz": "GHz", "N": "N newton newtons", "J": "J joule joules", "kJ": "kJ", "W": "W watt watts", "kW": "kW",
    "V": "V volt volts", "A": "A amp amps ampere amperes", "K": "K kelvin", "Pa": "Pa pascal pascals", "kPa": "kPa",
    "mol": "mol mole moles", "cal": "cal calorie calories", "rad": "rad radian radians", "degree": "deg degree degrees",
    "nm": "nm nanometer nanometers", "um": "um micrometer micrometers micron microns", "eV": "eV", "acre": "acre acres",
    "dollar": "dollar dollars usd USD bucks", "cent": "cent cents ¢", "euro": "euro euros eur EUR", "yuan": "yuan rmb", "yen": "yen",
    "rupee": "rupee rupees", "peso": "peso pesos", "%": "percent pct percentage",
}  # fmt: skip
UNITS = {spelling: unit for unit, spellings in _NAMES.items() for spelling in spellings.split()}
SIGNS = {"$": "dollar", "€": "euro", "£": "gbp", "¢": "cent", "%": "%", "deg": "degree"}
STOP = word_set("of the a an is are be total in all there approximately about roughly exactly each altogether")
NO_CAPTION = word_set(
    "not no never nor neither isn wrong incorrect false most least less than fewer greater over under above below between beyond "
    "before maximum minimum max min squared cubed factorial pi half halves third thirds quarter quarters fourth fifth tenth "
    "hundredth tens hundreds thousands millions dozens hundred thousand million billion dozen times divided plus minus answer if "
    "but maybe perhaps probably unless except either root zero one two three four five six seven eight nine ten eleven twelve "
    "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety tenths "
    "hundredths thousandths thousandth cannot none off can excluded ruled impossible disproved isnt dont incorrectly negative "
    "reciprocal inverse triple double doubled twice permille lakh crore bn mln kilo reject rejected extraneous"
)  # they change what a number says
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "squared": 2, "cubed": 3}


_FRACTION = re.compile(r"(?:th|fold)s?\Z|\Adoubl|\Ahalv", re.IGNORECASE)  # sixths, tenfold


class Unit(NamedTuple):
    """`known`: (unit, exponent) pairs, sorted; `words`: the other words, singular."""

    known: tuple[tuple[str, int], ...] = ()
    words: frozenset[str] = frozenset()

    @property
    def percent(self) -> bool:
        return self.known == (("%", 1),)

    def __str__(self) -> str:
        known = [name if exponent == 1 else f"{name}^{exponent}" for name, exponent in self.known]
        return " ".join([*known, *sorted(self.words)]) or "none"


NONE = Unit()


def parse_unit(tokens: Sequence[Token]) -> Unit:
    """Raises Unreadable when something else than units and words stands there."""
    known: dict[str, int] = {}
    words: set[str] = set()
    sign, raised, index = 1, 0, 0
    while index < len(tokens):
        token = tokens[index]
        index += 1
        if token.kind in ("name", "word", "func"):
            text = token.text
            if text == "mph":
                known.update({"mile": known.get("mile", 0) + sign, "h": known.get("h", 0) - sign})
            elif text.lower() == "per":
                sign = -1
            elif text.lower() in _POWERS:
                power = _POWERS[text.lower()]
                if text.lower().endswith("d") and known:  # meters squared
                    last = next(reversed(known))
                    known[last] += sign * (power - 1)
                else:
                    raised = power
            elif unit := _unit(text, last=index == len(tokens) or tokens[index].text == "^"):
                known[unit] = known.get(unit, 0) + sign * (raised or 1)
                raised = 0
            elif (token.kind != "word" and text not in ("C", "F")) or text.lower() in NO_CAPTION or _FRACTION.search(text):
                raise Unreadable(f"{text} behind a value")
            elif text.lower() not in STOP:
                word = singular(text.lower() if len(text) > 3 or text in ("AM", "PM") else text)
                words.add(("per " if sign < 0 else "") + word + (f"^{raised}" if raised else ""))
                raised = 0
        elif token.kind in ("open", "close") and token.text in "()" and not any(other.kind == "num" for other in tokens):
            continue  # 16 (boys)
        elif token.kind == "sep" and token.text in ("and", "or") and (words or known):
            raise Unreadable("two values in one")
        elif token.kind == "op" and token.text == "/":
            sign = -1
        elif token.kind == "op" and token.text == "^" and known:
            exponent, index = _exponent(tokens, index)
            last = next(reversed(known))
            known[last] += exponent - 1 if known[last] > 0 else 1 - exponent
        elif token.kind == "op" and token.text in SIGNS:
            known[SIGNS[token.text]] = known.get(SIGNS[token.text], 0) + sign
        elif not (token.kind == "op" and (token.text == "*" or (token.text in ".-" and index > 1 and tokens[index - 2].kind == "word"))):
            raise Unreadable(f"{token.text!r} behind a value")
    if known.get("degree") == 1 and words & {"C", "F"}:
        (scale,) = words & {"C", "F"} if len(words & {"C", "F"}) == 1 else ("?",)
        known, words = {f"degree{scale}": 1}, words - {"C", "F"}
    if raised:
        raise Unreadable("a power of no unit")
    return Unit(tuple(sorted((name, exponent) for name, exponent in known.items() if exponent)), frozenset(words))


def _unit(text: str, last: bool) -> str | None:
    """The unit that a word names; short ones in their own case (mW is not MW), `in` only where nothing follows."""
    if text == "in":
        return "in" if last else None
    return UNITS.get(text) or (UNITS.get(text.lower()) if len(text) > 3 else None)


def _exponent(tokens: Sequence[Token], index: int) -> tuple[int, int]:
    """The whole number behind ^, braces or not, and where it ends."""
    inside = tokens[index : index + 4]
    braced = bool(inside) and inside[0].text == "{"
    numbers = list(inside[1:] if braced else inside)
    negative = bool(numbers) and numbers[0].text == "-"
    value = numbers[negative].value if len(numbers) > negative else None
    if not isinstance(value, Fraction) or value.denominator != 1 or value > 9:
        raise Unreadable("an exponent of a unit that is no small whole number")
    return (-int(value) if negative else int(value)), index + 1 + negative + 2 * braced


def singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def differs(gold: Unit, answer: Unit) -> str:
    """Why two units cannot belong to the same answer, "" when they can: symmetric."""
    alike = gold.known == answer.known and (gold.words <= answer.words or answer.words <= gold.words)
    return "" if alike or NONE in (gold, answer) else f"unit differs: {answer} against {gold}"
