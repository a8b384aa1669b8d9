"""What do decontamination and the search for duplicates find? Precision and recall per kind of copy, with 95 % intervals, and time at size.

    python -m benchmarks.contamination                     → the tables of docs/contamination.md
    python -m benchmarks.contamination --each 50           → the same with 50 questions a benchmark, in seconds
    python -m benchmarks.contamination --size 550000       → seconds and peak memory of a synthetic set of so many problems

Copies are made by rule (`benchmarks/copies.py`) of the test questions of the shared data sets; unrelated ones are other sets' problems and
train rows. The public files are found by COAT_DATA, or at ../shared/data.
"""

import argparse
import json
import os
import random
import re
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from benchmarks.copies import NAMES, NEGATIVE, POSITIVE, copies
from factory.evaluation.statistics import wilson
from factory.files import row_reader
from factory.params import load
from factory.problems.decontaminate import Benchmark, decontaminate, matches
from factory.problems.dedup import deduplicate
from factory.problems.keys import keys
from factory.problems.split import assign, clusters
from factory.schemas import Problem

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TESTS = (
    "gsm8k/test.jsonl", "mmlu_pro/test_stem.jsonl", "cruxeval/cruxeval.jsonl", "strategyqa/dev.json", "tablebench/TableBench.jsonl",
    "bgqa/depth1_test.json",
)  # fmt: skip
NAMES_SAY_NOTHING = ("gsm8k/test.jsonl",)  # elsewhere another name makes another question
PROSE = tuple(name for name in TESTS if not name.startswith("cruxeval"))  # words of a program are not paraphrased
UNRELATED = {
    "gsm8k/train.jsonl": ("question", "answer"), "strategyqa/train.json": ("question", "answer"),
    "bgqa/depth1_train.json": ("example", "label"), "train_sources/openmathinstruct2_slice.jsonl": ("problem", "expected_answer"),
}  # fmt: skip
KINDS = {"renamed": NAMES_SAY_NOTHING, "paraphrased": PROSE, "reordered": PROSE}
SPLITS = {"train": 0.8, "dev": 0.1, "heldout": 0.1}


def rows(name: str, columns: tuple[str, str]) -> list[tuple[str, str]]:
    """(question, answer) of a train file."""
    found = [record.values for batch in row_reader(DATA / name, strict=True).batches() for record in batch.records]
    return [(str(row[columns[0]]), final(str(row[columns[1]]))) for row in found]


def final(answer: str) -> str:
    return answer.rpartition("####")[2].strip()


def problem(text: str, answer: str, number: int, kind: str = "copy") -> Problem:
    key = f"{number:020x}"
    return Problem(
        id=key, source=kind, family=kind, group="none", split="train", instance=key, problem=text, answer=answer, answer_kind="text"
    )  # fmt: skip


class Made(NamedTuple):
    """`text`: a copy of this kind of the benchmark `test`'s `question`."""

    kind: str
    test: str
    question: str
    text: str
    answer: str | None


def labelled(tests: Sequence[Benchmark], each: int | None, around: Sequence[str]) -> Iterator[Made]:
    """Copies of up to `each` questions a benchmark."""
    for test in tests:
        name = str(Path(test.name).relative_to(DATA))
        asked = list(zip(test.asked, test.answers, strict=True))
        for question, answer in random.Random(1).sample(asked, min(each or len(asked), len(asked))):
            for kind, copy in copies(question, final(answer), 1, around).items():
                if name in KINDS.get(kind, (name,)):
                    yield Made(kind, test.name, question, *copy)


def shown(hits: int, count: int) -> str:
    low, high = wilson(hits, count)
    return "–" if not count else f"{hits / count:.4f} [{low:.4f}, {high:.4f}]"


@dataclass
class Tally:
    """By kind: texts, those that overlap a benchmark, those taken for reworded ones, those whose own question is named. `found`: [those
    that overlap, texts] by (benchmark, kind)."""

    texts: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    reworded: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    found: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))


def judged(made: Sequence[Made], tests: Sequence[Benchmark]) -> Tally:
    tally = Tally()
    for row, match in zip(made, matches([(row.text, row.answer or "") for row in made], tests), strict=True):
        tally.texts[row.kind] += 1
        tally.found[row.test, row.kind][1] += 1
        if match is not None:
            tally.flagged[row.kind] += 1
            tally.found[row.test, row.kind][0] += 1
            tally.reworded[row.kind] += match.evidence == "reworded"
            tally.named[row.kind] += tests[match.benchmark].asked[match.at] == row.question
    return tally


def labelled_set(each: int | None) -> tuple[list[Made], list[Benchmark]]:
    n = load(Path(__file__).resolve().parents[1] / "params.yaml").problems.contamination_ngram
    tests = [Benchmark.read(str(DATA / name), n) for name in TESTS]
    around = [text for text, _ in rows("gsm8k/train.jsonl", ("question", "answer"))]
    unrelated = [Made("unrelated", "", "", *row) for name, columns in UNRELATED.items() for row in rows(name, columns)]
    return [*labelled(tests, each, around), *unrelated], tests


def quality(each: int | None) -> None:
    made, tests = labelled_set(each)
    tally = judged(made, tests)
    false, others = sum(tally.flagged[kind] for kind in NEGATIVE), sum(tally.texts[kind] for kind in NEGATIVE)
    print(f"{sum(len(test.questions) for test in tests):,} questions of {len(tests)} benchmarks\n")
    print("| kind of copy | n | found: recall | precision beside as many others | names its very question |\n|---|---|---|---|---|")
    for kind in POSITIVE:
        count, hits = tally.texts[kind], tally.flagged[kind]
        beside = round(false * count / others)
        print(f"| {kind} | {count:,} | {shown(hits, count)} | {shown(hits, hits + beside)} | {tally.named[kind]:,} of {hits:,} |")
    print("\n| another problem | n | kept | taken for verbatim, for reworded |\n|---|---|---|---|")
    for kind in NEGATIVE:
        count, hits, anew = tally.texts[kind], tally.flagged[kind], tally.reworded[kind]
        print(f"| {kind} | {count:,} | {shown(count - hits, count)} | {hits - anew}, {anew} |")
    print("\n| found in | " + " | ".join((*POSITIVE, *NEGATIVE[:2])) + " |\n|---|" + "---|" * (len(POSITIVE) + 2))
    for test in tests:
        pairs = [tally.found[test.name, kind] for kind in (*POSITIVE, *NEGATIVE[:2])]
        print(
            f"| {Path(test.name).parent.name} | " + " | ".join(f"{hits:,} of {count:,}" if count else "–" for hits, count in pairs) + " |"
        )
    duplicates(made)


def duplicates(made: Sequence[Made]) -> None:
    """Each kind's copies beside all originals: is a copy one problem with its original, or at least on its side of a split? Originals of
    one text and several answers are no problems, and not counted."""
    print("\n| kind of copy | n | one problem with its original | or on one side of each split with it |\n|---|---|---|---|")
    answers = {row.question: row.answer or "" for row in made if row.kind == "verbatim"}
    originals = [problem(question, answer, at) for at, (question, answer) in enumerate(answers.items())]
    own = {row.problem: row.id for row in originals}
    for kind in (*POSITIVE, *NEGATIVE[:2]):
        group = [row for row in made if row.kind == kind]
        given = [problem(row.text, row.answer or f"another {at}", len(originals) + at) for at, row in enumerate(group)]
        known = keys(row.problem for row in [*originals, *given])
        survivor = {row.id: row.id for row in [*originals, *given]}
        survivor |= {json.loads(row.row)["id"]: row.parent_id or "" for row in deduplicate([*originals, *given], 0.9, known)[1]}
        cluster = clusters([*originals, *given], 0.9, known)
        pairs = [(own[row.question], copy.id) for row, copy in zip(group, given, strict=True) if survivor[own[row.question]]]
        same = sum(survivor[first] == survivor[second] for first, second in pairs)
        side = sum(survivor[first] == survivor[second] or cluster[first] == cluster[second] for first, second in pairs)
        print(f"| {kind} | {len(pairs):,} | {shown(same, len(pairs))} | {shown(side, len(pairs))} |")


# -- size

_WORD = re.compile(r"\b[A-Z][a-z]{2,}\b")
_DIGITS = re.compile(r"\d+")


def synthetic(count: int) -> Iterator[Problem]:
    """Variants of the train files' problems, other numbers and names in each; a hundredth are exact doubles, a hundredth wrapped ones, and
    a hundredth are questions of the tests behind an instruction."""
    pool = [row for name, columns in UNRELATED.items() if "bgqa" not in name for row in rows(name, columns)]
    tests = rows("gsm8k/test.jsonl", ("question", "answer"))
    rng = random.Random(1)
    last = pool[0]
    for number in range(count):
        text, _ = pool[number % len(pool)]
        names = {word: rng.choice(NAMES) for word in set(_WORD.findall(text)) if text.count(word) > 1}
        text = _WORD.sub(lambda found, names=names: names.get(found[0], found[0]), text)
        text = _DIGITS.sub(lambda found: str(rng.randint(10 ** (len(found[0]) - 1), 10 ** len(found[0]) - 1)), text)
        answer = str(crc32(text.encode()) % 2000)
        if number % 100 == 1:
            text, answer = last
        elif number % 100 == 2:
            text, answer = f"Solve the following problem step by step.\n\n{last[0]}\n\nAnswer:", last[1]
        elif number % 100 == 3:
            text, answer = f"Please answer.\n\nQuestion: {tests[number % len(tests)][0]}", tests[number % len(tests)][1]
        last = text, answer
        yield replace(problem(text, answer, number, "synthetic"), answer_kind="number")


def size(count: int) -> None:
    n = 8
    started = time.perf_counter()
    problems = list(synthetic(count))
    said(f"{count:,} problems made, {sum(len(row.problem) for row in problems) / count:.0f} characters each", started)
    begun = started = time.perf_counter()
    tests = [Benchmark.read(str(DATA / name), n) for name in TESTS]
    said(f"{len(tests)} benchmarks read", started)
    started = time.perf_counter()
    clean, contaminated = decontaminate(problems, tests)
    del problems
    said(f"decontaminated, {len(contaminated):,} rejects", started)
    started = time.perf_counter()
    known = keys(row.problem for row in clean)
    said("keys of the texts", started)
    started = time.perf_counter()
    kept, doubles = deduplicate(clean, 0.9, known)
    said(f"deduplicated, {len(doubles):,} rejects ({Counter(row.reason for row in doubles).most_common()})", started)
    started = time.perf_counter()
    done, notes = assign(kept, SPLITS, 0.9, 1, known=known)
    said(f"split {dict(Counter(row.split for row in done))}, {len({row.instance for row in done}):,} clusters, {len(notes)} notes", started)
    said("all", begun)


def said(what: str, started: float) -> None:
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    used = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    peaks = f"peak {own.ru_maxrss / 2**20:.2f} GiB, of a further process {others.ru_maxrss / 2**20:.2f}"
    print(f"{what}: {time.perf_counter() - started:.1f} s; {used:.0f} cpu-s so far, {peaks}", flush=True)


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, help="questions a benchmark; all without it")
    parser.add_argument("--size", type=int, help="problems of a synthetic set to time")
    asked = parser.parse_args(arguments)
    if asked.size:
        size(asked.size)
    else:
        quality(asked.each)


if __name__ == "__main__":
    main()
