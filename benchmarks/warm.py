"""How fast a stage runs again when every answer stands in the store: from rendered prompts to parsed rows.

    python benchmarks/warm.py --rows 50000

Target: 20,000 rows/s. A prompt has 112 words, an answer 128 token ids and 19 lines of which the last is boxed; a row is graded, split into
steps and given its id. Five warm runs behind one cold one (whose engine answers at once); one thread.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from factory.coat import rollouts
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.identity import row_id
from factory.language.prompting import Prompts
from factory.params import Sampling
from factory.schemas import Problem
from pipelines.stage import expect_many_rows

SAMPLES = 4


def problem(number: int, rng: random.Random) -> Problem:
    text = " ".join(rng.choices(WORDS, k=110)) + f" {number} ?"
    return Problem(
        id=row_id(text), source="b", family="f", group="procedures", split="train", instance=text, problem=text, answer="15",
        answer_kind="number", solution="",
    )  # fmt: skip


class Instant:
    family, model = "instant", "instant@1"

    def __init__(self) -> None:
        self.rng = random.Random(2)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return [Completion(TEXT, tuple(self.rng.choices(range(32_000), k=128)), "stop", 113) for _ in requests]


WORDS = [f"w{number}" for number in range(3_000)]
TEXT = "\n".join(f"{number} + {number + 1} = {2 * number + 1}" for number in range(18)) + "\n\\boxed{15}"


def run(path: Path, problems: list[Problem]) -> float:
    """Rows a second."""
    store = Store(path)
    started = time.perf_counter()
    rows, rejects = rollouts.sample(
        StoredEngine(Instant(), store, "rollouts"), problems, Sampling(temperature=1.0, top_p=1.0, max_tokens=128), SAMPLES,
        prompts=Prompts.of("laptop"), seed=1, stage="rollouts", round="base",
    )  # fmt: skip
    seconds = time.perf_counter() - started
    store.close()
    assert len(rows) == SAMPLES * len(problems)
    assert not rejects
    return len(rows) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    options = parser.parse_args()
    expect_many_rows()  # as every stage does
    rng = random.Random(1)
    problems = [problem(number, rng) for number in range(options.rows // SAMPLES)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.sqlite"
        print(f"cold: {run(path, problems):,.0f} rows/s")
        warm = [run(path, problems) for _ in range(5)]
        print(f"warm: {statistics.median(warm):,.0f} rows/s (median of {', '.join(f'{rate:,.0f}' for rate in warm)})")


if __name__ == "__main__":
    main()
