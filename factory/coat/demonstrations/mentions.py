"""What a text mentions that could be an answer: numbers, fractions, formulas, intervals, and numbers in words. Nothing is evaluated.

    [m.text for m in mentions("take $2\\\\sqrt{2}$ off, or 50% = 1/2")]   → ["2\\\\sqrt{2}", "50%", "50", "1/2", "1", "2", …]
    [str(m.value) for m in number_words("twenty-five and two thirds")]  → ["25", "2/3"]

Each number, each fraction and root, each formula between dollar signs or brackets, each run of arithmetic in plain text, and the sides of
its equations and the members of its lists. Time is linear in the text, and at most MOST mentions are given.
"""

import itertools
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from factory.grading.numbers import plain_value
from factory.grading.spellings import TO_ASCII

MOST = 400
LONGEST = 200  # characters of one expression
_WIDE = {0xFF01 + place: 0x21 + place for place in range(94)} | {ord("⁄"): "/"}
_STEP = re.compile(r"\bsteps?\s#?\d{1,2}\b(?![.,]?\d|\s?[-+*/=^])", re.IGNORECASE)
_NUM = r"(?:\d{1,3}(?:(?:,|\{,\}|\\,|\\!|,\\!)\d{3})+(?!\d)|\d+)(?:[.,]\d+)?|\.\d+"
_ATOM = re.compile(
    rf"(?<![\w.])(?P<sign>-\s?)?(?P<bare>(?:\d+\s(?=\d+\s?/\s?\d))?(?:{_NUM})(?:\s?/\s?\d+)?(?:\s?:\s?\d+){{0,3}}(?:[eE]-?\d{{1,3}}(?!\w))?)"
    r"(?P<unit>\s?\\?%|\spercent\b|\s(?:hundred|thousand|million|billion|dozen)\b)?"
)
_NUMBER = re.compile(_NUM)
_BRACES = r"\{(?:[^{}]|\{[^{}]{0,60}\}){1,80}\}"
_COMMAND = re.compile(
    rf"-?\s?\d{{0,9}}\s?(?:\\[dt]?frac\s?(?:{_BRACES}|\d)\s?(?:{_BRACES}|\d)|\\sqrt\s?(?:\[\d\])?\s?(?:{_BRACES}|\d+)|(?<![a-z])sqrt\([^()]{{1,60}}\))"
    r"(?:\s?\\pi)?"
)
_SPAN = re.compile(
    rf"\$\$?([^$\n]{{1,{LONGEST}}})\$|\\\(((?:(?!\\\)).){{1,{LONGEST}}})\\\)|\\\[((?:(?!\\\]).){{1,{LONGEST}}})\\\]", re.DOTALL
)
_BRACKETS = re.compile(r"(?:\\left\s?)?[(\[][^()\[\]\n]{1,100}(?:\\right\s?)?[)\]]|\\?\{[^{}\n]{1,100}\\?\}")
_RUN = re.compile(
    r"(?:\\[a-zA-Z]+\s?|\\[,;!{}%$ ]|[\d.,+*/^_=<>()\[\]{}|!:%$-]|(?<![A-Za-z])(?:[A-Za-z](?![A-Za-z])"
    r"|(?:sqrt|pi|sin|cos|tan|log|ln)(?![a-z]))|[ \t])+"
)
_SIDES = re.compile(r"(?:<=|>=|!=|==|=>|->|[<>=~]|\\(?:le|leq|ge|geq|lt|gt|ne|neq|approx|equiv|to|in|implies)(?![a-zA-Z]))")
_MEMBERS = re.compile(r"[,;]\s|\s(?:and|or)\s|\\text\{ ?(?:and|or) ?\}")
_LETTERS_AROUND = re.compile(r"^(?:[A-Za-z]\s+)+(?=[-\d\\(.])|(?<=[\d})\]%])(?:\s+[A-Za-z])+$")
_EDGES = " \t\n.,;:!?=+*"


class Mention(NamedTuple):
    """`start`: where it stands. `key`: what it is written as (the value of a plain number)."""

    text: str
    start: int
    key: str | Fraction


def ascii_of(text: str) -> str:
    """Unicode signs in one form, full-width digits too; the numbers of steps (`in step 3`) taken out."""
    return _STEP.sub("step", text.translate(_WIDE).translate(TO_ASCII))


def mentions(text: str) -> Iterator[Mention]:
    """At most MOST different ones and one more; `text` comes from `ascii_of`."""
    seen: set[str | Fraction] = set()
    for written, start in itertools.chain(_numbers(text), _formulas(text)):
        written = written.strip(_EDGES)
        if not 0 < len(written) <= LONGEST:
            continue
        if (key := _key(written)) not in seen:
            seen.add(key)
            yield Mention(written, start, key)
            if len(seen) > MOST:
                return


def _key(written: str) -> str | Fraction:
    if (value := plain_value(written.removeprefix("$").removeprefix("\\$"))) is not None:
        return Fraction(value)
    bare = re.sub(r"\s|\\(?:left|right)(?![a-z])|\\[,;! ]|\$", "", written)
    for name, sign in (("dfrac", "frac"), ("tfrac", "frac"), ("\\times", "*"), ("\\cdot", "*"), ("\\%", "%"), ("percent", "%")):
        bare = bare.replace(name, sign)
    return bare


def _numbers(text: str) -> Iterator[tuple[str, int]]:
    for atom in _ATOM.finditer(text):
        sign, bare, unit = "-" if atom["sign"] else "", atom["bare"], (atom["unit"] or "").replace("percent", "%")
        yield sign + bare + unit, atom.start()
        yield bare, atom.start("bare")
        if unit:
            yield sign + bare, atom.start()
    for number in _NUMBER.finditer(text):
        yield number.group(), number.start()
        if "," in number.group():
            yield from ((part, number.start()) for part in number.group().split(","))
    for thousands in _THOUSANDS.finditer(text):
        yield f"{thousands['count']} thousand", thousands.start()
    for word in number_words(text):
        yield word.text, word.start
    for said in _SAID.finditer(text):
        if written := _arithmetic(said):
            yield written, said.start()


def _arithmetic(said: re.Match[str]) -> str:
    """`twice 12` → `2*12`, `two more than 22` → `22+2`; "" where a number cannot be read."""
    if times := said["times"]:
        of = _in_digits(said["of"])
        return f"{_TIMES[times.lower()]}*{of}" if of else ""
    left, right = _in_digits(said["more"]), _in_digits(said["than"])
    if not left or not right:
        return ""
    return f"{right}{'-' if said['by'].lower() in ('less', 'fewer') else '+'}{left}"


def _in_digits(said: str) -> str:
    if said[0].isalpha():
        return next((word.text for word in number_words(said)), "")
    return said.replace(",", "")


def _formulas(text: str) -> Iterator[tuple[str, int]]:
    for command in _COMMAND.finditer(text):
        yield command.group(), command.start()
    for span in _SPAN.finditer(text):
        yield from _parts(next(filter(None, span.groups())), span.start())
    for bracket in _BRACKETS.finditer(text):
        yield bracket.group(), bracket.start()
        yield bracket.group()[1:-1], bracket.start()
    for run in _RUN.finditer(text):
        if len(run.group()) > 2 and any(sign in run.group() for sign in "0123456789\\([{^=<>"):
            yield from _parts(run.group(), run.start())


def _parts(formula: str, start: int) -> Iterator[tuple[str, int]]:
    """A formula, the sides of its equations, and the members of its lists."""
    yield formula, start
    for piece in {formula, *_SIDES.split(formula)[:20]}:
        for part in (piece, *_MEMBERS.split(piece)[:20]):
            yield part, start
            if bare := _LETTERS_AROUND.sub("", part.strip(_EDGES)):
                yield bare, start


# -- numbers in words

_UNITS = "zero one two three four five six seven eight nine ten"
_TEENS = "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_ONES = {word: n for n, word in enumerate(f"{_UNITS} {_TEENS}".split())}
_TENS = {word: 10 * n for n, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2)}
_SCALES = {"hundred": 100, "dozen": 12, "thousand": 1000, "million": 10**6, "billion": 10**9}
_FRACTIONS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4} | {
    word + plural: n
    for n, word in enumerate(["third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], start=3)
    for plural in ("", "s")
}
_PRONOUN_BEFORE = {
    "the", "this", "that", "each", "every", "any", "no", "which", "another", "wrong", "right", "correct", "first", "last", "other", "next",
    "same", "some", "only", "second", "third", "previous", "new",
}  # fmt: skip
_PRONOUN_BEHIND = {"of", "by", "another", "should", "can", "must", "could", "may", "would", "or", "has", "needs"}
_WORD = re.compile(r"[A-Za-z]+")
_THOUSANDS = re.compile(r"(?<![\w.])(?P<count>\d{1,6}(?:\.\d{1,3})?)[kK]\b(?!\s?[-+*/=^])")
_TIMES = {"twice": 2, "double": 2, "thrice": 3, "triple": 3}
_SOME_NUMBER = (
    rf"(?:\d{{1,9}}(?:,\d{{3}}){{0,3}}(?:\.\d{{1,9}})?(?![\w%])|(?:{'|'.join((*_ONES, *_TENS))})(?:[ -](?:{'|'.join(_ONES)}))?\b)"
)
_SAID = re.compile(
    rf"(?<![\w.])(?:(?P<times>{'|'.join(_TIMES)}) (?:of )?(?P<of>{_SOME_NUMBER})"
    rf"|(?P<more>{_SOME_NUMBER}) (?P<by>more|greater|larger|less|fewer) than (?P<than>{_SOME_NUMBER}))",
    re.IGNORECASE,
)


class _Count:
    """A number that is read word by word."""

    def __init__(self) -> None:
        self.total, self.current, self.words = 0, 0, 0

    def takes(self, word: str) -> bool:
        """Whether the word goes on with the number; it is then part of it."""
        if (number := _ONES.get(word)) is not None:
            tens = self.current % 100
            fits = self.current and number and (tens == 0 or (tens >= 20 and tens % 10 == 0 and number < 10))
            if self.words and not fits and not (self.total and not self.current):
                return False
            self.current += number
        elif word in _TENS:
            if self.words and (self.current % 100 or not (self.current or self.total)):
                return False
            self.current += _TENS[word]
        elif word in ("hundred", "dozen"):
            self.current = max(self.current, 1) * _SCALES[word]
        elif word in _SCALES:
            self.total, self.current = self.total + max(self.current, 1) * _SCALES[word], 0
        else:
            return False
        self.words += 1
        return self.words <= 12


def number_words(text: str) -> Iterator[Mention]:
    """Numbers, fractions and percentages in words: `twelve`, `two hundred and five`, `minus three`, `one and a half`, `fifty percent`."""
    words = [(match.group().lower(), match.start()) for match in _WORD.finditer(text)]
    place = 0
    while place < len(words):
        value, end = _number_at(words, place)
        if value is None:
            place += 1
            continue
        start = words[place][1]
        behind = words[end][0] if end < len(words) else ""
        before = words[place - 1][0] if place else ""
        pronoun = value == 1 and end == place + 1 and (before in _PRONOUN_BEFORE or behind in _PRONOUN_BEHIND)
        if not pronoun:
            if before in ("minus", "negative"):
                yield Mention(f"-{value}", start, -value)
            if behind == "percent":
                yield Mention(f"{value}%", start, f"{value}%")
            yield Mention(str(value), start, value)
        place = end


def _number_at(words: list[tuple[str, int]], place: int) -> tuple[Fraction | None, int]:
    """The number that begins at a word and the place behind it; (None, place) for none."""

    def word(at: int) -> str:
        return words[at][0] if at < len(words) else ""

    count, at = _Count(), place
    if word(at) in ("a", "an") and (word(at + 1) in _SCALES or word(at + 1) in _FRACTIONS):
        at += 1
    elif word(at) not in _ONES and word(at) not in _TENS and word(at) not in ("half", "dozen", "halves"):
        return None, place
    while count.takes(word(at)) or (count.words and word(at) == "and" and word(at - 1) in _SCALES and word(at + 1) in _ONES | _TENS):
        at += 1
    value = Fraction(count.total + count.current)
    if word(at) in _FRACTIONS and (count.words or at > place or word(at) == "half"):
        return (value if count.words else Fraction(1)) / _FRACTIONS[word(at)], at + 1
    if not count.words:
        return None, place
    if word(at) == "and" and word(at + 1) in ("a", "one") and word(at + 2) in ("half", "quarter", "third"):
        return value + Fraction(1, _FRACTIONS[word(at + 2)]), at + 3
    if word(at) == "point" and word(at + 1) in _ONES:
        digits = list(itertools.takewhile(lambda one: _ONES.get(one, 10) < 10, (word(at + 1 + more) for more in range(9))))
        return value + Fraction(int("".join(str(_ONES[one]) for one in digits) or "0"), 10 ** len(digits)), at + 1 + len(digits)
    return value, at
