"""Equations in the text of a solution, exactly: `16 - 3 - 4 = 9`, `$5 x 2 = $10`, `40% * 200 = 80`, `<<9*2=18>>`.

    >>> [(str(eq), eq.holds) for eq in equations_of(("12 + 7 = 19", "19 - 4 = 14"))]
    [('12 + 7 = 19', True), ('19 - 4 = 14', False)]

What cannot be read as arithmetic is no equation, nor is what is longer than a person would write; nothing is guessed. GSM8K's calculator
notes `<<…>>` are preferred where they stand.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, pairwise

from factory.grading import LONGEST

_NOTE = re.compile(r"<<([^<>]*)>>")
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
NUMBER = re.compile(rf"(?<![\w.])(?:{_NUMBER})", re.ASCII)
_TOKEN = re.compile(rf"({_NUMBER})|([-+*/()])", re.ASCII)
_ENDLESS = re.compile(rf"[\d,.]{{{LONGEST + 1},}}", re.ASCII)
_MOST_TOKENS = 200  # of an expression: `_factor` recurses
_TIMES = re.compile(r"(?<=[\d)%])\s*[x×·]\s*(?=[$(\d.])")
_WORD = r"\s+(?!(?:and|or|so|then|where|if)\b)[A-Za-z]"  # in `x = 2 + 3 and y = 7` no unit stands before `y =`
_UNIT = re.compile(rf"(?<=[\d)]){_WORD}[A-Za-z']+(?:{_WORD}[A-Za-z']*){{0,2}}\s*(?=[-+*/=]|[x×]\s)")  # never 2x or 2 x
_MIXED = re.compile(r"(?<![\d./])(\d+) (\d+)/(\d+)(?![\d.])", re.ASCII)
_SIGNS = (("$", ""), ("÷", "/"), ("\N{MINUS SIGN}", "-"), ("\N{EN DASH}", "-"), (r"\times", "*"), ("**", "^"))
_RUN = re.compile(r"[\d.,()+\-*/\s]+")
_SAID = re.compile(rf"\bis (not )?\$?(-?(?:{_NUMBER}))", re.ASCII)
_BLANKS = " \t\n\r\f\v"
_DIGITS = "0123456789"


@dataclass(frozen=True)
class Equation:
    """`left` holds an operator; `value` is what the text claims, `true_value` what the left side is."""

    step: int  # from 1
    left: str
    right: str
    value: Fraction
    true_value: Fraction
    holds: bool

    def __str__(self) -> str:
        return f"{self.left} = {self.right}"


def plain(text: str) -> str:
    """The text without calculator notes."""
    return _NOTE.sub("", text)


def numbers_in(text: str) -> set[Fraction]:
    return numbers_written(plain(text))


def numbers_written(text: str) -> set[Fraction]:
    """Those in calculator notes too."""
    return {Fraction(match.replace(",", "")) for match in NUMBER.findall(_readable(text))}


def _readable(text: str) -> str:
    """The text without numbers of more than `LONGEST` characters."""
    return _ENDLESS.sub("…", text)


_BULLET = re.compile(r"\A\s*[-*•]\s+")
_DISPLAY = re.compile(r"\$\$[^$]{0,2000}\$\$|\\\[(?:[^\\]|\\[^\]]){0,2000}\\\]")


def equations_of(steps: Sequence[str]) -> list[Equation]:
    """All equations, in reading order."""
    return [replace(equation, step=number) for number, step in enumerate(steps, start=1) for equation in _of_step(step)]


@lru_cache(maxsize=1 << 14)  # a gold solution is read once for every attempt at its problem
def _of_step(step: str) -> tuple[Equation, ...]:
    notes = [note for note in _NOTE.findall(step) if "=" in note]
    return tuple(equation for text in notes or _lines(step) for equation in _in_line(_bare(text)))


def _lines(step: str) -> list[str]:
    """Those of a paragraph, display maths in one, without the dashes of a list, which are no minus."""
    if "\n" not in step:
        return [step]
    lines = _DISPLAY.sub(lambda maths: maths.group().replace("\n", " "), step).split("\n")
    return [_BULLET.sub("", line) for line in lines]


def judged(steps: Sequence[str]) -> list[Equation]:
    """What there is to verify in the last step: its equations, or those before it when it only boxes the answer."""
    own = equations_of(steps[-1:])
    return own or (equations_of(steps[:-1]) if steps and "\\boxed{" in steps[-1] else [])


def _bare(text: str) -> str:
    text = _readable(text)
    for mark, sign in _SIGNS:
        text = text.replace(mark, sign)
    text = _MIXED.sub(r"(\1+\2/\3)", re.sub(rf"({_NUMBER})\s*%", r"(\1/100)", text))
    return _TIMES.sub(" * ", _UNIT.sub(" ", re.sub(r"(\d)\(", r"\1*(", text)))


def _in_line(text: str) -> list[Equation]:
    found = []
    for left, right in pairwise(text.split("=")):
        left, right = _suffix(left), _prefix(right)
        true_value, value = evaluate(left), evaluate(right)
        if true_value is None or value is None or not re.search(r"[\d)]\s*[-+*/]", left):
            continue
        first = NUMBER.match(right)
        if first and first.group() != right and evaluate(first.group()) == true_value:  # 5 * 60 = 300 + 58 = 358: a chain
            right, value = first.group(), true_value
        found.append(Equation(0, left, right, value, true_value, _equal(true_value, value, right)))
    return found


def _suffix(text: str) -> str:
    """The arithmetic at the end of `text`, from the last place on where two numbers stand side by side; "" when it hangs on a word."""
    runs = list(_RUN.finditer(text))
    if not runs or runs[-1].end() != len(text):
        return ""
    run, before = runs[-1].group(), text[: runs[-1].start()]
    tokens = list(_TOKEN.finditer(run))
    start = tokens[0].start() if tokens else 0
    hangs = bool(tokens) and (run[start] in "+*/" or (run[start] == "-" and (bool(before.strip()) or run[start + 1 : start + 2] == " ")))
    for left, right in pairwise(tokens):
        if (left[1] or left.group() == ")") and (right[1] or right.group() == "("):
            start, hangs = right.start(), not (left[1] and right[1])
    first = bool(tokens) and start == tokens[0].start()
    hangs = hangs or (start == 0 and before[-1:].isalpha()) or (first and before.rstrip()[-2:] in (" x", " ×"))
    hangs = hangs or (first and before.rstrip().endswith("^"))  # of 4a^2 + 5 nothing can be worked out
    return "" if hangs else run[start:].strip().rstrip(",.")


def _prefix(text: str) -> str:
    """The arithmetic that `text` begins with; "" when a letter or a power is glued to it."""
    run = _RUN.match(text)
    kept, last = "", 0
    for token in _TOKEN.finditer(run.group() if run else ""):
        if kept and token[1] and kept[-1].isdigit():
            break
        kept, last = kept + token.group(), token.end()
    if text[last : last + 1].isalpha() or text[last:].lstrip().startswith("^"):
        return ""
    return text[:last].strip().rstrip("-+*/( ")


def evaluate(text: str) -> Fraction | None:
    """The value of an arithmetic expression; None when it is not one, is too long, or divides by zero."""
    tokens = [match.group() for match in _TOKEN.finditer(text)]
    if not 0 < len(tokens) <= _MOST_TOKENS or "".join(tokens) != re.sub(r"\s", "", text):
        return None
    try:
        value, rest = _sum(tokens)
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return None if rest else value


def _sum(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _product(tokens)
    while tokens and tokens[0] in "+-":
        sign, (term, tokens) = tokens[0], _product(tokens[1:])
        value = value + term if sign == "+" else value - term
    return value, tokens


def _product(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _factor(tokens)
    while tokens and tokens[0] in "*/":
        sign, (factor, tokens) = tokens[0], _factor(tokens[1:])
        value = value * factor if sign == "*" else value / factor
    return value, tokens


def _factor(tokens: list[str]) -> tuple[Fraction, list[str]]:
    if tokens[0] == "-":
        value, rest = _factor(tokens[1:])
        return -value, rest
    if tokens[0] == "(":
        value, rest = _sum(tokens[1:])
        if rest[0] != ")":
            raise ValueError("unbalanced")
        return value, rest[1:]
    return Fraction(tokens[0].replace(",", "")), tokens[1:]


def _equal(true_value: Fraction, value: Fraction, written: str) -> bool:
    """Equal, or rounded to the decimals that are written: 2 / 3 = 0.67 holds, 60 / 7 = 8 does not. 100 - 60 = 40% holds."""
    if true_value == value or (written.endswith("/100)") and true_value == value * 100):
        return True
    decimals = len(written.rsplit(".", 1)[1]) if re.fullmatch(r"-?[\d,]*\.\d+", written) else 0
    return decimals > 0 and abs(true_value - value) < Fraction(1, 10 ** min(decimals, 9))


def partial_values(equation: Equation) -> set[Fraction]:
    """What parts of the left side come to: 16 - 3 - 4 may be done as 16 - 3 = 13 first, or as 3 + 4 = 7."""
    tokens = [match.group() for match in _TOKEN.finditer(equation.left)]
    signs, terms = tokens[1::2], tokens[::2]
    if not 1 < len(terms) <= 6 or any(not re.match(r"[\d.]", term) for term in terms):
        return set()
    numbers = [Fraction(term.replace(",", "")) for term in terms]
    parts = [part for size in range(2, len(terms) + 1) for part in combinations(range(len(terms)), size)]
    found: set[Fraction] = set()
    for part in parts:
        if set(signs) <= {"+", "-"}:
            found.add(abs(sum((numbers[i] if not i or signs[i - 1] == "+" else -numbers[i] for i in part), Fraction(0))))
        elif set(signs) <= {"*", "/"}:
            found |= _products([(numbers[i], not i or signs[i - 1] == "*") for i in part])
    return found


def _products(factors: list[tuple[Fraction, bool]]) -> set[Fraction]:
    value = Fraction(1)
    for number, above in factors:
        if not above and not number:
            return set()
        value = value * number if above else value / number
    return {value, 1 / value} if value else {value}


@dataclass(frozen=True)
class Claim:
    """`12 + 7 is 19`, `30 is not 36`."""

    left: str
    said: Fraction
    equal: bool  # whether the left side is what is said of it
    negated: bool

    @property
    def true(self) -> bool:
        return self.equal != self.negated


def claims_of(text: str) -> list[Claim]:
    """Statements about numbers in a critic's sentence: `is 19` or `is not 14` behind arithmetic."""
    text, found, end = _readable(text), [], 0
    for match in _SAID.finditer(text):
        left = _left(text[end : match.start()])
        if not left:
            continue
        end = match.end()
        expression = _suffix(left.replace("$", ""))
        value = evaluate(expression)
        if value is not None:
            number = Fraction(match[2].replace(",", ""))
            found.append(Claim(expression, number, _equal(value, number, match[2]), bool(match[1])))
    return found


def _left(before: str) -> str:
    """What may be arithmetic at the end of `before`, up to its last number; "" without one."""
    left = before[len(before.rstrip(f"{_DIGITS}.,()+-*/${_BLANKS}")) :].rstrip(_BLANKS)
    return left if left.rstrip(f".,(){_BLANKS}")[-1:].isdigit() else ""
