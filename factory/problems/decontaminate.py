"""Overlap with benchmarks, by containment of n-grams of tokens: robust to an instruction before or after the question and to formatting.

    benchmark = Benchmark.read("gsm8k_test.jsonl", 8)
    benchmark.holds("**Solve step by step.** Janet's ducks lay 16 eggs per day. … Answer with a number.")    → True
    benchmark.holds("Janet's ducks lay 17 eggs per day. …")                                                  → False

    decontaminate(problems, [benchmark])    → (those that overlap none, Reject(reason="contaminated: gsm8k_test.jsonl", row=…))

A reject's row is the problem's, and `matched`: {"benchmark": …, "question": <text>, "answer": …, "evidence": "verbatim", "share": 1.0}.
A problem overlaps when most of a benchmark question's n-grams stand in it, or most of its own in one question, unless the same words stand
around other numbers or signs: that is another problem (`verbatim`). It also overlaps when it has all numbers of the question, its answer as
far as answers can be compared, and most of its words (`reworded`): names replaced, sentences in another order. How many words are needed
depends on what else is known (`wording.reworded`); measured in docs/contamination.md.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from factory.errors import DataError
from factory.problems.benchmarks import read_benchmark
from factory.problems.overlap import Match, Overlaps, Question
from factory.problems.records import STAGE
from factory.problems.wording import Text
from factory.processes import mapped
from factory.rejects import reject
from factory.schemas import Problem, Reject

BATCH = 1000
LONGEST_SHOWN = 2000  # characters of a benchmark's question or answer in a reject


@dataclass(frozen=True)
class Benchmark:
    """`asked`, `answers`: texts as they stand in its file; `questions`: the same as they are compared. `rows`: of its file, `unreadable`
    ones among them."""

    name: str
    n: int
    asked: tuple[str, ...]
    answers: tuple[str, ...]
    questions: tuple[Text, ...]
    rows: int
    unreadable: int = 0

    @classmethod
    def of(cls, name: str, questions: Sequence[str], n: int, unreadable: int = 0, answers: Sequence[str] = ()) -> "Benchmark":
        """Raises DataError when no question has a word, a number or a sign."""
        answers = answers or [""] * len(questions)
        usable = [(asked, answer, text) for asked, answer in zip(questions, answers, strict=True) if (text := Text.of(asked, n)).words]
        if not usable:
            raise DataError(f"the benchmark {name} has no usable question in its {len(questions) + unreadable:,} rows: see its file")
        asked, gold, texts = zip(*usable, strict=True)
        rows = len(questions) + unreadable
        return cls(name, n, asked, gold, texts, rows, rows - len(usable))

    @classmethod
    def read(cls, path: str, n: int) -> "Benchmark":
        """A benchmark's file. Raises DataError when it is missing or unreadable, or no row of it has a question."""
        found = read_benchmark(path)
        return cls.of(path, found.texts, n, found.unreadable, found.answers)

    def said(self) -> str:
        """A line for people."""
        return f"benchmark {self.name}: {self.rows:,} rows, {self.unreadable:,} without a question that can be read"

    def holds(self, text: str, answer: str = "") -> bool:
        return self.overlaps.find([(text, answer)]) != [None]

    @cached_property
    def overlaps(self) -> Overlaps:
        return overlaps([self])


def overlaps(benchmarks: Sequence[Benchmark]) -> Overlaps:
    return Overlaps([
        Question(number, at, text, answer)
        for number, benchmark in enumerate(benchmarks)
        for at, (text, answer) in enumerate(zip(benchmark.questions, benchmark.answers, strict=True))
    ])  # fmt: skip


def matches(texts: Sequence[tuple[str, str]], benchmarks: Sequence[Benchmark]) -> list[Match | None]:
    """What each (problem, answer) overlaps. The same for any number of processes."""
    if not benchmarks or not texts:
        return [None] * len(texts)
    batches = [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]
    return [match for found in mapped(overlaps(benchmarks).find, batches) for match in found]


def decontaminate(problems: Sequence[Problem], benchmarks: Sequence[Benchmark]) -> tuple[list[Problem], list[Reject]]:
    """The problems that overlap no benchmark, and those that do."""
    keep, rejects = [], []
    for problem, match in zip(problems, matches([(row.problem, row.answer) for row in problems], benchmarks), strict=True):
        if match is None:
            keep.append(problem)
            continue
        benchmark = benchmarks[match.benchmark]
        matched = {
            "benchmark": benchmark.name, "question": benchmark.asked[match.at][:LONGEST_SHOWN],
            "answer": benchmark.answers[match.at][:LONGEST_SHOWN], "evidence": match.evidence, "share": round(match.share, 3),
        }  # fmt: skip
        rejects.append(reject(STAGE, {**dataclasses.asdict(problem), "matched": matched}, f"contaminated: {benchmark.name}"))
    return keep, rejects
