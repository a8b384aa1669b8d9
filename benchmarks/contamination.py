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
from dataclasses import replace
from pathlib import Path
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
    "gsm8k/train.jsonl": ("question", "answer"), "strategyqa/train.json": ("question", "answer"), "bgqa/depth1_train.json": ("example", "label"),
    "train_sources/openmathinstruct2_slice.jsonl": ("problem", "expected_answer"),
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


def labelled(tests: Sequence[Benchmark], each: int | None, around: Sequence[str]) -> Iterator[tuple[str, str, str, str, str | None]]:
    """(kind, benchmark, its question, text, answer) of up to `each` questions a benchmark."""
    for test in tests:
        name = str(Path(test.name).relative_to(DATA))
        asked = list(zip(test.asked, test.answers, strict=True))
        for question, answer in random.Random(1).sample(asked, min(each or len(asked), len(asked))):
            for kind, copy in copies(question, final(answer), 1, around).items():
                if name in KINDS.get(kind, (name,)):
                    yield kind, test.name, question, copy.text, copy.answer


def shown(hits: int, count: int) -> str:
    low, high = wilson(hits, count)
    return "–" if not count else f"{hits / count:.4f} [{low:.4f}, {high:.4f}]"


def quality(each: int | None) -> None:
    n = load(Path(__file__).resolve().parents[1] / "params.yaml").problems.contamination_ngram
    tests = [Benchmark.read(str(DATA / name), n) for name in TESTS]
    unrelated = [row for name, columns in UNRELATED.items() for row in rows(name, columns)]
    around = [text for text, _ in rows("gsm8k/train.jsonl", ("question", "answer"))]
    made = [*labelled(tests, each, around), *(("unrelated", "", "", text, answer) for text, answer in unrelated)]
    counts, flagged, named, reworded = Counter(), Counter(), Counter(), Counter()
    per_test: dict[str, Counter[str]] = defaultdict(Counter)
    for (kind, test, question, text, _), match in zip(made, matches([(row[3], row[4] or "") for row in made], tests), strict=True):
        counts[kind] += 1
        per_test[test][kind] += 1
        if match is not None:
            flagged[kind] += 1
            per_test[test][f"{kind} found"] += 1
            reworded[kind] += match.evidence == "reworded"
            named[kind] += tests[match.benchmark].asked[match.at] == question
    false, negatives = sum(flagged[kind] for kind in NEGATIVE), sum(counts[kind] for kind in NEGATIVE)
    print(f"decontamination: {sum(len(test.questions) for test in tests):,} questions of {len(tests)} benchmarks\n")
    print("| kind | n | found: recall | precision beside as many others | names the very question |\n|---|---|---|---|---|")
    for kind in POSITIVE:
        beside = round(false * counts[kind] / negatives)
        print(
            f"| {kind} | {counts[kind]:,} | {shown(flagged[kind], counts[kind])} | {shown(flagged[kind], flagged[kind] + beside)} | "
            f"{named[kind]:,} of {flagged[kind]:,} |"
        )
    print("\n| kind that is another problem | n | kept | taken for verbatim, for reworded |\n|---|---|---|---|")
    for kind in NEGATIVE:
        print(
            f"| {kind} | {counts[kind]:,} | {shown(counts[kind] - flagged[kind], counts[kind])} | "
            f"{flagged[kind] - reworded[kind]}, {reworded[kind]} |"
        )
    print("\n| benchmark | " + " | ".join((*POSITIVE, *NEGATIVE[:2])) + " |\n|---|" + "---|" * (len(POSITIVE) + 2))
    for test in tests:
        cells = (f"{per_test[test.name][f'{kind} found']} of {per_test[test.name][kind]}" for kind in (*POSITIVE, *NEGATIVE[:2]))
        print(f"| {Path(test.name).parent.name} | " + " | ".join(cells) + " |")
    duplicates(made)


def duplicates(made: Sequence[tuple[str, str, str, str, str | None]]) -> None:
    """Each kind's copies beside all originals: is a copy in the cluster of its original, and on its side of a split?"""
    print("\n| duplicates: kind | n | one problem with its original | or on one side with it |\n|---|---|---|---|")
    first = {question: number for number, question in enumerate(dict.fromkeys(row[2] for row in made if row[0] == "verbatim"))}
    answers = {question: answer or "" for kind, _, question, _, answer in made if kind == "verbatim"}
    originals = [problem(question, answers[question], number) for question, number in first.items()]
    for kind in (*POSITIVE, *NEGATIVE[:2]):
        group = [(question, text, answer) for name, _, question, text, answer in made if name == kind and question]
        offset = len(originals)
        given = [
            problem(text, answer if answer is not None else f"another {at}", offset + at) for at, (_, text, answer) in enumerate(group)
        ]
        kept, rejects = deduplicate([*originals, *given], 0.9)
        known = {row.id for row in kept}
        gone = {json.loads(row.row)["id"]: row.parent_id for row in rejects}
        cluster = clusters([*originals, *given], 0.9)
        same = side = 0
        for at, (question, _, _) in enumerate(group):
            own, other = f"{first[question]:020x}", f"{offset + at:020x}"
            merged = gone.get(other, other) == gone.get(own, own) and not {own, other} <= known
            same += merged
            side += merged or cluster[own] == cluster[other]
        print(f"| {kind} | {len(group):,} | {shown(same, len(group))} | {shown(side, len(group))} |")


# -- size

_WORD = re.compile(r"\b[A-Z][a-z]{2,}\b")
_DIGITS = re.compile(r"\d+")


def synthetic(count: int) -> Iterator[Problem]:
    """Variants of the train files' problems, other numbers and names in each; a hundredth are exact doubles, a hundredth wrapped ones, and a
    hundredth are questions of the tests behind an instruction."""
    pool = [row for name, columns in UNRELATED.items() if "bgqa" not in name for row in rows(name, columns)]
    tests = rows("gsm8k/test.jsonl", ("question", "answer"))
    rng = random.Random(1)
    last = pool[0]
    for number in range(count):
        text, _ = pool[number % len(pool)]
        names = {word: rng.choice(NAMES) for word in set(_WORD.findall(text)) if text.count(word) > 1}
        text = _WORD.sub(lambda found: names.get(found[0], found[0]), text)
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
    print(
        f"{what}: {time.perf_counter() - started:.1f} s; {own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime:.0f} cpu-s so far, "
        f"peak {own.ru_maxrss / 2**20:.2f} GiB, of a further process {others.ru_maxrss / 2**20:.2f}",
        flush=True,
    )


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
