"""A question's words as decontamination compares them, and whether a text says the same question.

    words_of("**Solve:** Janet's ducks lay sixteen eggs.")    → ["solve", "janet's", "ducks", "lay", "sixteen", "eggs"]
    changed(Text.of("… lay 16 eggs …", 8), Text.of("… lay 17 eggs …", 8))    → True

Brackets, punctuation, emphasis, dollar signs and the way in which a quotient is written are formatting here; plus, minus, powers, roots,
relations and LaTeX's other commands are not.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from factory.problems.lexer import is_number, prose_tokens

CONTAINED = 0.7  # share of n-grams: one changed word spoils n of them, a changed question all
FEWEST = 3  # tokens of a question that is looked for inside other texts: a shorter one only as a whole
LONG = 20  # characters from which it is looked for however few tokens it has
_EMPHASIS = re.compile(r"\*\*|__+|^\s*[-*•]\s|(?<!\S)\*(?=\w[^*\n]{0,200}\w\*)|(?<=\w)\*(?![^\s.,;:!?])", re.MULTILINE)
_FORMATTING = frozenset(
    ["(", ")", "[", "]", "{", "}", "|", "#", "~", "&", ",", ";", ":", "\n", '"', "'", "␣", "\\\\", "...", "?", "$", "/", "÷", "\\frac"]
)
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ONE_SPELLING = {"×": "*", "·": "*", "%": "percent"} | {word: str(value) for value, word in enumerate(_SMALL)}


def words_of(text: str) -> list[str]:
    """Tokens without formatting, capitals aside, numbers up to twelve as digits."""
    found = (token.lower() for token in prose_tokens(_EMPHASIS.sub(" ", text)) if token not in _FORMATTING and token.strip("_"))
    return [_ONE_SPELLING.get(token, token) for token in found]


@dataclass(frozen=True)
class Text:
    """A text as it is compared, made once for all benchmarks. `grams`: of n tokens, or the whole text when it is shorter."""

    words: tuple[str, ...]
    n: int
    _pieces: dict[int, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, n: int) -> "Text":
        return cls(tuple(words_of(text)), n)

    @property
    def grams(self) -> frozenset[str]:
        return self.pieces(min(self.n, len(self.words)))

    def pieces(self, size: int) -> frozenset[str]:
        if size not in self._pieces:
            self._pieces[size] = frozenset(" ".join(self.words[at : at + size]) for at in range(len(self.words) - size + 1))
        return self._pieces[size]

    def within(self, other: "Text") -> bool:
        return f" {' '.join(self.words)} " in f" {' '.join(other.words)} "

    @cached_property
    def bag(self) -> Counter[str]:
        return Counter(self.words)

    @cached_property
    def numbers(self) -> Counter[str]:
        return Counter(word for word in self.words if is_number(word))

    @cached_property
    def signs(self) -> Counter[str]:
        return Counter(word for word in self.words if not is_number(word) and not word[0].isalnum())

    @cached_property
    def runs(self) -> tuple[list[str], list[str]]:
        """Words, with what stands between them as one item: masked as `0`, and as it is."""
        blind: list[str] = []
        full: list[str] = []
        for word in self.words:
            if word[0].isalpha() and not is_number(word):
                blind.append(word)
                full.append(word)
            elif blind and blind[-1] == "0":
                full[-1] += f" {word}"
            else:
                blind.append("0")
                full.append(word)
        return blind, full


def changed(question: Text, text: Text) -> bool:
    """Whether the same n words stand around other numbers or signs."""
    (asked_blind, asked), (blind, full) = question.runs, text.runs
    size = min(question.n, len(asked), len(blind))
    where: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at in range(len(blind) - size + 1):
        where[tuple(blind[at : at + size])].append(at)
    for at in range(len(asked) - size + 1):
        places = where.get(tuple(asked_blind[at : at + size]), [])
        wanted, first, last = asked[at : at + size], at == 0, at + size == len(asked)
        if places and not any(_equal(wanted, full[place : place + size], first, last) for place in places):
            return True
    return False


def _equal(wanted: list[str], found: list[str], first: bool, last: bool) -> bool:
    """Where a question begins or ends with a number, an instruction's number (`Question 5:`) may stand beside it."""
    if first and f" {found[0]}".endswith(f" {wanted[0]}"):
        wanted, found = wanted[1:], found[1:]
    if last and wanted and f"{found[-1]} ".startswith(f"{wanted[-1]} "):
        wanted, found = wanted[:-1], found[:-1]
    return wanted == found


def answers_agree(first: str, second: str) -> bool | None:
    """Whether two gold answers say the same number, or the same text of `TELLING` words at least. None: they say nothing of their questions
    (a letter, yes or no, the name of a class), or cannot be compared by looking at them."""
    if not first or not second:
        return None
    one, other = _number(first), _number(second)
    if one is not None and other is not None:
        return one == other
    words = first.lower().split()
    return True if words == second.lower().split() and len(words) >= TELLING else None


TELLING = 3
_FINAL = re.compile(r"(?:.*####|.*\\boxed\{)?\s*\\?\$?\s*(-?\d[\d,]*(?:\.\d+)?(?:/[1-9]\d*)?)\s*\\?%?\}?\.?\s*", re.DOTALL)


def _number(answer: str) -> Fraction | None:
    found = _FINAL.fullmatch(answer)
    if not found:
        return None
    above, _, below = found[1].replace(",", "").partition("/")
    return Fraction(above) / Fraction(below or 1)


def reworded(question: Text, text: Text, trigrams: float, agree: bool | None) -> float:
    """How surely `text` asks `question` with other names, words or order of sentences, in [0, 1]; 0: it does not.

    All numbers and signs of the question stand in the text, which has no other sign but what an instruction may bring (`OF_TAGS`). Then
    as many of its words and trigrams as the rest of the evidence leaves open: fewer
    where the answers are one number and the question has several, more where nothing is known of the answers, and never where they differ.
    `trigrams`: share of the question's trigrams, rare ones counting more, that stand in the text.
    """
    if agree is False or len(question.words) < LEAST_WORDS or question.numbers - text.numbers:
        return 0.0
    if question.signs - text.signs or not (text.signs - question.signs).keys() <= OF_TAGS:
        return 0.0
    shared = (question.bag & text.bag).total() / len(question.words)
    if len(text.words) > LONGER * len(question.words):  # a long text has most words of any question
        needed = (0.8, 0.6)
    elif agree and question.numbers.total() >= 2:
        needed = (0.55, 0.1)
    elif question.numbers.total() >= 3:
        needed = (0.65, 0.25)
    else:
        needed = (0.75, 0.5)
    enough = shared >= needed[0] and trigrams >= needed[1]
    return shared if enough and (agree or not changed(question, text)) else 0.0


LEAST_WORDS = 10  # of a question that is looked for in other words
LONGER = 1.6  # times as many words as the question: a text around it
OF_TAGS = frozenset("<>=@#\\_")
