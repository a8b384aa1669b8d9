"""Speed of grading beside Math-Verify's own `verify(parse(gold), parse(answer))`, on one core.

    taskset -c 1 python benchmarks/grading.py numbers          # plain numbers, answer by answer
    taskset -c 1 python benchmarks/grading.py million          # a million GSM8K answers, with the box rule and with all rules
    taskset -c 0,1 python benchmarks/grading.py pairs          # the public pairs, with two workers

The two sides alternate, medians are printed. COAT_DATA says where the public data is.
"""

import json
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from factory.grading import ALL_RULES, BOX, Grader, Task, grade_answer

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).parents[2] / "shared/data"))
ROUNDS = 5


def alternating(*sides: Callable[[], Any]) -> list[float]:
    """Median seconds of each side."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(ROUNDS):
        for side, found in zip(sides, times, strict=True):
            start = time.perf_counter()
            side()
            found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in times]


def alone() -> Callable[[str, str], bool]:
    import logging

    from math_verify import parse, verify

    logging.disable(logging.WARNING)
    return lambda gold, answer: verify(parse(gold), parse(answer))


def numbers() -> None:
    """Fresh numbers in every round: no cache of either side knows them."""
    generator, verified = random.Random(1), alone()

    def pairs(n: int) -> list[tuple[str, str]]:
        values = [generator.randint(1, 10**9) for _ in range(n)]
        return [(str(value), f"{value + generator.randint(0, 1):,}" if value % 2 else f"{value}.0") for value in values]

    ours, theirs = alternating(
        lambda: [grade_answer(answer, gold, "math") for gold, answer in pairs(20_000)],
        lambda: [verified(gold, answer) for gold, answer in pairs(1_000)],
    )
    each, other = ours / 20_000 * 1e6, theirs / 1_000 * 1e6
    print(f"plain numbers: {each:.1f} µs an answer, Math-Verify {other:.0f} µs: {other / each:.0f} times")


def pairs() -> None:
    """From the texts to the verdicts; starting the workers is in, and so is what both sides import for the first pair, but not for us."""
    rows = [json.loads(line) for line in (DATA / "grading/pairs.jsonl").read_text().splitlines()]
    tasks = [Task(row["pred"], row["gold"], "math", (row.get("extra") or {}).get("precision")) for row in rows]
    verified = alone()

    def ours() -> None:
        from factory.grading import grader, reading

        for cache in (reading.read, grader.gold_answer):
            cache.cache_clear()
        with Grader(ALL_RULES, workers=2) as fresh:
            fresh.grade_many(tasks)

    first, second = alternating(ours, lambda: [verified(row["gold"], row["pred"]) for row in rows])
    print(f"{len(rows)} pairs: {first:.2f} s, two workers and their start in it, Math-Verify {second:.2f} s: {second / first:.1f} times")


def solutions(n: int) -> Iterator[tuple[str, str]]:
    """(response, gold): the recorded solutions of GSM8K's test problems over and over, with other numbers at their ends."""
    rows = [json.loads(line) for line in (DATA / "gsm8k/example_model_solutions.jsonl").read_text().splitlines()]
    texts = [answer["solution"] for row in rows for answer in row.values() if isinstance(answer, dict)]
    bodies = [text.rpartition("\n")[0] for text in texts]
    generator = random.Random(2)
    for number in range(n):
        gold = generator.randint(1, 10**7)
        answer = gold if number % 3 else gold + 1
        yield f"{bodies[number % len(bodies)]}\n\\boxed{{{answer:,}}}", str(gold)


def million() -> None:
    for name, rules in (("box", BOX), ("all", ALL_RULES)):
        start = time.perf_counter()
        with Grader(rules) as grader:
            grades = grader.grade_many(Task(response, gold, "number") for response, gold in solutions(1_000_000))
        spent = time.perf_counter() - start
        right = sum(grade.correct for grade in grades)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"1,000,000 answers, rules {name}: {spent:.1f} s, {right:,} correct, peak {peak} MB")


if __name__ == "__main__":
    {"numbers": numbers, "pairs": pairs, "million": million}[sys.argv[1]]()
