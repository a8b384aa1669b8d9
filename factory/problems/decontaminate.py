"""Overlap with benchmarks, by containment of n-grams of tokens: robust to an instruction before or after the question and to formatting.

    benchmark = Benchmark.read("gsm8k_test.jsonl", 8)
    benchmark.holds("**Solve step by step.** Janet's ducks lay 16 eggs per day. … Answer with a number.")    → True
    benchmark.holds("Janet's ducks lay 17 eggs per day. …")                                                  → False

A problem overlaps when most of a benchmark question's n-grams stand in it, or most of its own in one question, unless the same words stand
around other numbers or signs: that is another problem. Brackets, punctuation, emphasis, dollar signs and the way in which a quotient is
written are formatting here; plus, minus, powers, roots, relations and LaTeX's other commands are not.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from factory.errors import DataError
from factory.problems.benchmarks import read_benchmark
from factory.problems.lexer import is_number, prose_tokens
from factory.problems.records import STAGE
from factory.schemas import Problem, Reject
from factory.storage import reject

CONTAINED = 0.7  # share of n-grams: one changed word spoils n of them, a changed question all
FEWEST = 3  # tokens of a question that is looked for inside other texts: a shorter one only as a whole
_EMPHASIS = re.compile(r"\*\*|__+|^\s*[-*•]\s|(?<!\S)\*(?=\w[^*\n]{0,200}\w\*)|(?<=\w)\*(?![^\s.,;:!?])", re.MULTILINE)
_FORMATTING = frozenset(
    ["(", ")", "[", "]", "{", "}", "|", "#", "~", "&", ",", ";", ":", "\n", '"', "'", "␣", "\\\\", "...", "?", "$", "/", "÷", "\\frac"]
)
_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ONE_SPELLING = {"×": "*", "·": "*", "%": "percent"} | {word: str(value) for value, word in enumerate(_SMALL)}


def words_of(text: str) -> list[str]:
    """Tokens without formatting, capitals aside, numbers up to twelve as digits."""
    found = (token.lower() for token in prose_tokens(_EMPHASIS.sub(" ", text)) if token not in _FORMATTING and set(token) != {"_"})
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


@dataclass(frozen=True)
class Benchmark:
    """`rows`: of its file, `unreadable` ones among them."""

    name: str
    n: int
    questions: tuple[Text, ...]
    postings: dict[str, tuple[int, ...]]  # n-gram → questions
    short: dict[int, frozenset[str]]  # questions shorter than n tokens, by their length
    rows: int
    unreadable: int = 0

    @classmethod
    def of(cls, name: str, questions: Sequence[str], n: int, unreadable: int = 0) -> "Benchmark":
        """Raises DataError when no question has a word, a number or a sign."""
        texts = tuple(text for question in questions if (text := Text.of(question, n)).words)
        if not texts:
            raise DataError(f"the benchmark {name} has no usable question in its {len(questions) + unreadable:,} rows: see its file")
        postings: dict[str, list[int]] = defaultdict(list)
        short: dict[int, set[str]] = defaultdict(set)
        for number, text in enumerate(texts):
            for gram in text.grams:
                postings[gram].append(number)
            if len(text.words) < n:
                short[len(text.words)] |= text.grams
        return cls(
            name, n, texts, {gram: tuple(numbers) for gram, numbers in postings.items()},
            {size: frozenset(grams) for size, grams in short.items()}, len(questions) + unreadable,
            len(questions) + unreadable - len(texts),
        )  # fmt: skip

    @classmethod
    def read(cls, path: str, n: int) -> "Benchmark":
        """A benchmark's file. Raises DataError when it is missing or unreadable, or no row of it has a question."""
        found = read_benchmark(path)
        return cls.of(path, found.texts, n, found.unreadable)

    def said(self) -> str:
        """A line for people."""
        return f"benchmark {self.name}: {self.rows:,} rows, {self.unreadable:,} without a question that can be read"

    def holds(self, text: str) -> bool:
        return self.holds_text(Text.of(text, self.n))

    def holds_text(self, text: Text) -> bool:
        """`text`: made with the benchmark's own n."""
        for size, questions in self.short.items():
            if (size >= FEWEST or size == len(text.words)) and not questions.isdisjoint(text.pieces(size)):
                return True
        shared = Counter(number for gram in self.postings.keys() & text.grams for number in self.postings[gram])
        for number, count in shared.items():
            question = self.questions[number]
            if count < CONTAINED * min(len(question.grams), len(text.grams)):
                continue
            if question.within(text) or text.within(question) or not changed(question, text):
                return True
        return False


def decontaminate(problems: Sequence[Problem], benchmarks: Sequence[Benchmark]) -> tuple[list[Problem], list[Reject]]:
    """The problems that overlap no benchmark, and those that do."""
    keep, rejects = [], []
    sizes = {benchmark.n for benchmark in benchmarks}
    for problem in problems:
        texts = {n: Text.of(problem.problem, n) for n in sizes}
        held_by = next((benchmark.name for benchmark in benchmarks if benchmark.holds_text(texts[benchmark.n])), None)
        if held_by is None:
            keep.append(problem)
        else:
            rejects.append(reject(STAGE, problem, f"contaminated: {held_by}"))
    return keep, rejects
