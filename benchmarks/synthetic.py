"""Problems and rollouts of any number, each row from its number alone: what `benchmarks.at_size` runs the stages on.

    Line(1_000_000).write()      → data/tables/problems.parquet, data/tables/rollouts_r1.parquet: 125,000 problems, 3 KB a rollout

A rollout has 12 to 28 lines of 150 characters, mostly with a box at the end. A fifth reflects, 3 % are truncated, 3 % have no box, 1.4 % a
token where none may stand. The samples of a problem lie all over the table, as they do where ids are hashes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.coat.rollouts import Samples
from factory.engines.asking import sampling_params
from factory.engines.keys import request_fields, request_key
from factory.engines.protocol import Request
from factory.engines.store import Answered, Store
from factory.evaluation.statistics import wilson
from factory.identity import seed_for
from factory.language.prompting import Prompts
from factory.schemas import Conversation, Message, Problem, Rollout, arrow_schema, arrow_type
from factory.storage import TABLES, write_groups

SAMPLES = 8
GROUP = 16_000  # rows written at once
RIGHT = (0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 7, 8, 8, 8, 8)  # of eight samples, of problems alike: many are never or always solved
SPOKEN = "the a number of apples pencils price total each more than left over days share half twice sum then so we get need with for and"
WORDS = SPOKEN.split()
CALLED = "Tom Ann Mulan Ingrid Kofi Lena Omar Priya Juan Mei"
NAMES = CALLED.split()
LINES, LENGTH = 20, 150


def mixed(numbers: np.ndarray, salt: int = 0) -> np.ndarray:
    """Hashes of whole numbers, 64 bits (splitmix64, Steele et al. 2014)."""
    value = (numbers.astype(np.uint64) + np.uint64(salt * 1_000_003 + 1)) * np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def ids(numbers: np.ndarray, salt: int) -> list[str]:
    """20 hex digits that rise with the numbers and look like hashes behind the first eight."""
    return [f"{number:08x}{noise:012x}" for number, noise in zip(numbers.tolist(), (mixed(numbers, salt) >> np.uint64(16)).tolist())]


class Texts:
    """Lines of working, of which solutions are put together."""

    def __init__(self) -> None:
        dice = np.random.default_rng(0)
        self.lines = pa.array([self._line(dice) for _ in range(20_000)])
        self.coat = pa.array(["<|reflect|>But wait. " + self._line(dice) for _ in range(500)])
        self.stray = pa.array(["so <|reflect|>" + self._line(dice) for _ in range(50)])

    @staticmethod
    def _line(dice: np.random.Generator) -> str:
        a, b = dice.integers(2, 999, 2).tolist()
        words = " ".join(dice.choice(WORDS, 22))
        return f"{dice.choice(NAMES)} has {a} + {b} = {a + b}, {words}."[:LENGTH]


@dataclass(frozen=True)
class Line:
    """Problems and rollouts, each from its number alone."""

    rollouts: int

    @property
    def problems(self) -> int:
        return self.rollouts // SAMPLES

    @cached_property
    def texts(self) -> Texts:
        return Texts()

    @cached_property
    def phrases(self) -> list[str]:
        return self.texts.lines.to_pylist()

    def question(self, number: int) -> str:
        words = self.phrases[number * 7919 % len(self.phrases)]
        return f"{NAMES[number % 10]} has {number} coins and {number % 97} stamps. {words} How many coins and stamps are there?"

    def problem_table(self, start: int, end: int) -> pa.Table:
        numbers = np.arange(start, end)
        texts = [self.question(number) for number in numbers.tolist()]
        answers = [str(number + number % 97) for number in numbers.tolist()]
        work = self.texts.lines.take(pa.array(mixed(numbers, 5) % np.uint64(len(self.texts.lines)))).to_pylist()
        return pa.table({
            "id": ids(numbers, 1), "source": ["synthetic"] * len(numbers), "family": [f"family {n % 20}" for n in numbers.tolist()],
            "group": ["procedures"] * len(numbers), "split": ["train"] * len(numbers),
            "instance": [f"instance {n}" for n in numbers.tolist()],
            "problem": texts, "answer": answers, "answer_kind": ["number"] * len(numbers), "decimals": [None] * len(numbers),
            "solution": [f"{line}\nSo there are as many.\n\\boxed{{{answer}}}" for line, answer in zip(work, answers)],
            "strategy": [[]] * len(numbers), "weight": [1.0] * len(numbers),
        }, schema=arrow_schema(Problem))  # fmt: skip

    def rollout_table(self, start: int, end: int) -> pa.Table:
        """Rows `start` to `end` of the table: the samples of a problem lie all over it, as hashes do."""
        numbers = np.arange(start, end)
        sample = (numbers * 2_654_435_761) % self.rollouts
        problem, ordinal = sample // SAMPLES, sample % SAMPLES
        right = np.array(RIGHT)[mixed(problem, 2) % np.uint64(len(RIGHT))]
        luck = mixed(sample, 3) % np.uint64(1000)
        correct, truncated = ordinal < right, luck < 60
        truncated &= ~correct
        unboxed = ~correct & ~truncated & (luck < 120)
        stray = luck > 985
        lost = truncated | unboxed
        answers = problem + problem % 97 + np.where(correct, 0, 1 + luck % np.uint64(9)).astype(np.int64)
        verdict = np.where(correct, "correct", np.where(lost, "unparsable", "wrong"))
        steps = self._steps(sample, answers, lost, luck, stray)
        rates = np.array([right_of / SAMPLES for right_of in range(SAMPLES + 1)])
        lows, highs = np.array([wilson(right_of, SAMPLES) for right_of in range(SAMPLES + 1)]).T
        asked = Prompts.of("laptop").render("solve", problem="\0")
        questions = {number: self.question(number) for number in np.unique(problem).tolist()}
        prompts = [
            [{"role": turn.role, "content": turn.content.replace("\0", questions[number])} for turn in asked] for number in problem.tolist()
        ]
        problem_ids, count = ids(problem, 1), len(numbers)
        return pa.table({
            "id": ids(numbers, 4), "model": ["large@3fa9"] * count, "request_ids": [[name] for name in ids(sample, 6)],
            "prompt_version": ["laptop/solve@1f0c9a27"] * count, "seed": sample, "round": ["r1"] * count,
            "parents": [[name] for name in problem_ids], "problem_id": problem_ids, "prompt": pa.array(prompts, arrow_type(Conversation)),
            "completion": pc.binary_join(steps, "\n"), "reasoning": pa.nulls(count, pa.string()), "steps": steps,
            "answer": pc.if_else(pa.array(lost), None, pa.array(answers).cast(pa.string())),
            "verdict": verdict.tolist(), "reason": [""] * count, "finish_reason": np.where(truncated, "length", "stop").tolist(),
            "tokens": pc.binary_length(pc.binary_join(steps, "\n")).cast(pa.int64()), "logprob": pa.nulls(count, pa.float64()),
            "right": right, "samples": np.full(count, SAMPLES), "pass_rate": rates[right],
            "pass_low": np.minimum(lows, rates)[right], "pass_high": np.maximum(highs, rates)[right],
        }, schema=arrow_schema(Rollout))  # fmt: skip

    def _steps(self, sample: np.ndarray, answers: np.ndarray, unboxed: np.ndarray, luck: np.ndarray, stray: np.ndarray) -> pa.Array:
        """12 to 28 lines: work, in a fifth a reflection among it, in some a token where none may stand, and mostly a box at the end."""
        texts, count = self.texts, len(sample)
        lengths = LINES - 8 + (mixed(sample, 7) % np.uint64(17)).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(np.arange(count), lengths)
        chosen = (mixed(np.arange(offsets[-1]) + sample[rows] * 64, 8) % np.uint64(len(texts.lines))).astype(np.int64)
        middle = offsets[:-1] + lengths // 2
        first = len(texts.lines)
        reflects = luck % np.uint64(5) == 0
        chosen[middle[reflects]] = first + (luck[reflects] % np.uint64(len(texts.coat))).astype(np.int64)
        first += len(texts.coat)
        chosen[middle[stray]] = first + (luck[stray] % np.uint64(len(texts.stray))).astype(np.int64)
        first += len(texts.stray)
        boxes = pa.array([f"So the answer is \\boxed{{{answer}}}" for answer in answers.tolist()])
        chosen[(offsets[1:] - 1)[~unboxed]] = first + np.flatnonzero(~unboxed)
        pool = pa.concat_arrays([texts.lines, texts.coat, texts.stray, boxes])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pool.take(pa.array(chosen)))

    def answer(self, path: Path, wanted: Samples, family: str, model: str) -> None:
        """A request store that holds an answer to each request for these rollouts: `model` is asked for nothing."""
        store = Store(path)
        for start, end in _parts(self.rollouts, GROUP):
            table = self.rollout_table(start, end).select(["problem_id", "prompt", "seed", "completion", "tokens", "finish_reason"])
            rows = []
            for problem_id, prompt, sample, text, tokens, finish in zip(*(column.to_pylist() for column in table.columns)):
                asked, ordinal = tuple(Message(**turn) for turn in prompt), sample % SAMPLES
                seed = seed_for(wanted.seed, wanted.stage, wanted.round, problem_id, ordinal)
                request = Request(asked, sampling_params(wanted.sampling), seed, ordinal)
                document = {
                    "text": text, "token_ids": [], "finish_reason": finish, "prompt_tokens": 60, "logprobs": None, "counted": tokens,
                }  # fmt: skip
                fields = request_fields(family, model, request)
                rows.append(Answered(request_key(family, model, request), fields, document, 60, tokens))
            store.add(f"{wanted.stage}_{wanted.round}", model, rows)
        store.close()

    def write(self) -> None:
        write_groups(TABLES / "problems.parquet", Problem, (self.problem_table(*part) for part in _parts(self.problems, 50_000)))
        write_groups(TABLES / "rollouts_r1.parquet", Rollout, (self.rollout_table(*part) for part in _parts(self.rollouts, GROUP)))


def _parts(count: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, count)) for start in range(0, count, size))
