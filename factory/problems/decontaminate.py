"""Overlap with benchmarks, by containment of word n-grams: robust to an instruction before or after the question.

    index = Benchmark.read("gsm8k_test.jsonl", 8)
    index.holds("Solve step by step. Janet's ducks lay 16 eggs per day. … Answer with a number.")    → True

A problem overlaps when most of a benchmark question's n-grams stand in it, or most of its own in one question.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import DataError
from factory.problems.dedup import words_of
from factory.problems.sources import STAGE, read_file
from factory.schemas import Problem, Reject
from factory.storage import reject

CONTAINED = 0.7  # share of n-grams: one changed word spoils n of them, a changed question all
COLUMNS = ("problem", "question", "prompt")  # where benchmarks keep the question


def ngrams(text: str, n: int) -> frozenset[tuple[str, ...]]:
    """Word n-grams, punctuation and case aside; the whole text when it is shorter."""
    words = words_of(text)
    return frozenset(tuple(words[at : at + n]) for at in range(max(1, len(words) - n + 1)))


@dataclass(frozen=True)
class Benchmark:
    name: str
    n: int
    sizes: tuple[int, ...]  # n-grams a question
    postings: dict[tuple[str, ...], tuple[int, ...]]  # n-gram → questions
    short: tuple[tuple[str, ...], ...]  # questions shorter than n words, as words

    @classmethod
    def of(cls, name: str, questions: Sequence[str], n: int) -> "Benchmark":
        postings: dict[tuple[str, ...], list[int]] = defaultdict(list)
        grams = [ngrams(question, n) for question in questions]
        for number, found in enumerate(grams):
            for gram in found:
                postings[gram].append(number)
        short = tuple(gram for found in grams for gram in found if 0 < len(gram) < n)
        return cls(name, n, tuple(map(len, grams)), {gram: tuple(numbers) for gram, numbers in postings.items()}, short)

    @classmethod
    def read(cls, path: str, n: int) -> "Benchmark":
        """A JSONL or Parquet file with a column problem, question or prompt. Raises DataError when there is none."""
        kind = Path(path).suffix.removeprefix(".")
        if kind not in ("jsonl", "parquet"):
            raise DataError(f"the benchmark {path} is neither .jsonl nor .parquet")
        rows = read_file(Path(path), kind)
        columns = {name for row in rows for name in row.record}
        column = next((name for name in COLUMNS if name in columns), None)
        if column is None:
            raise DataError(f"the benchmark {path} has none of the columns {', '.join(COLUMNS)}; it has {', '.join(sorted(columns))}")
        return cls.of(path, [str(row.record[column]) for row in rows if row.record.get(column)], n)

    def holds(self, text: str) -> bool:
        grams = ngrams(text, self.n)
        shared = Counter(number for gram in grams for number in self.postings.get(gram, ()))
        if any(count >= CONTAINED * min(self.sizes[number], len(grams)) for number, count in shared.items()):
            return True
        words = f" {' '.join(words_of(text))} "
        return any(f" {' '.join(question)} " in words for question in self.short)


def decontaminate(problems: Sequence[Problem], benchmarks: Sequence[Benchmark]) -> tuple[list[Problem], list[Reject]]:
    """The problems that overlap no benchmark, and those that do."""
    keep, rejects = [], []
    for problem in problems:
        held_by = next((benchmark.name for benchmark in benchmarks if benchmark.holds(problem.problem)), None)
        if held_by is None:
            keep.append(problem)
        else:
            rejects.append(reject(STAGE, problem, f"contaminated: {held_by}"))
    return keep, rejects
