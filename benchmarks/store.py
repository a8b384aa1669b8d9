"""How fast answers go into the request store and come back, at a million rows, and how much memory that takes.

    python benchmarks/store.py --rows 1000000

Target: 5,000 answers/s written, sustained, with flat memory. An answer is 128 token ids and their text; commits are of 1, 16 and 256
answers, in turn, so that the figures of one run compare.
"""

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

from factory.engines.keys import request_fields, request_key
from factory.engines.protocol import Request, SamplingParams
from factory.engines.store import Answered, Store
from factory.schemas import Message

COMMITS = (1, 16, 256)
PART = 25_000  # rows of one measurement
LOOKUPS = 20_000


def answered(number: int, rng: random.Random) -> Answered:
    asked = (Message("user", f"{rng.choices(PROMPTS)[0]} {number}\nSolve:\n"),)
    request = Request(prompt=asked, sampling=SamplingParams(128, 1.0), seed=number)
    document = {"text": rng.choices(TEXTS)[0], "token_ids": rng.choices(range(32_000), k=128), "finish_reason": "stop"}
    return Answered(request_key("vllm", "m@1", request), request_fields("vllm", "m@1", request), document, 110, 128)


WORDS = [f"w{number}" for number in range(5_000)]
PROMPTS = [" ".join(random.Random(number).choices(WORDS, k=100)) for number in range(200)]
TEXTS = [" ".join(random.Random(-number).choices(WORDS, k=110)) for number in range(1, 200)]


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the store is made (default: a temporary folder, removed)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store, rng = Store(Path(folder) / "requests.sqlite"), random.Random(1)
        keys: list[str] = []
        print(f"{'rows':>10} {'a commit':>8} {'written/s':>10} {'found/s':>10} {'peak MB':>8} {'MB on disk':>10}")
        for number, begin in enumerate(range(0, options.rows, PART)):
            size = COMMITS[number % len(COMMITS)]
            part = [answered(begin + offset, rng) for offset in range(PART)]
            started = time.perf_counter()
            for first in range(0, PART, size):
                store.add("rollouts", "m@1", part[first : first + size])
            written = PART / (time.perf_counter() - started)
            keys += [item.key for item in part[:: PART // 500]]
            asked = [rng.choice(keys) for _ in range(LOOKUPS)]
            started = time.perf_counter()
            distinct = len(store.find(list(set(asked))))
            found = distinct / (time.perf_counter() - started)
            if number % max(1, options.rows // PART // 12) == 0 or begin + PART >= options.rows:
                size_mb = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
                print(f"{begin + PART:>10,} {size:>8} {written:>10,.0f} {found:>10,.0f} {peak_mb():>8,} {size_mb:>10,.0f}", flush=True)
        store.close()


if __name__ == "__main__":
    main()
