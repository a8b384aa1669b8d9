"""How well generate → critique → score keeps a server busy whose every answer takes 50 ms, and the same work by distilabel beside it.

    python benchmarks/pipeline.py
    python benchmarks/pipeline.py --distilabel PYTHON      # an interpreter with distilabel[openai]==1.5.3 and requests

Ceiling: concurrency ÷ (3 calls a row × 50 ms). Target: 90 % of it. The server is tests/factory/engines/fault_server.py, a process of its
own; a third of the places belongs to each role. Every measurement starts with an empty store; distilabel's cache is off, its seconds are
those between the server's first and last answer, so that its start does not count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.engines.flow import Ask, Flow, run
from factory.engines.protocol import Request, SamplingParams
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.select import Engines
from factory.params import Requests, Role
from factory.schemas import Message

SERVER = Path(__file__).parents[1] / "tests/factory/engines/fault_server.py"
DELAY, CALLS = 0.05, 3
PROBLEM = "Tom has {number} apples. " + "He gives some away and finds others. " * 8 + "How many are left?"


@contextmanager
def served() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(SERVER), "--delay", str(DELAY)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    process.kill()
    process.wait()


def row(generator: StoredEngine, critic: StoredEngine, scorer: StoredScorer, number: int) -> Flow[float]:
    prompt = (Message("user", PROBLEM.format(number=number)),)
    (draft,) = yield Ask(generator, [Request(prompt, SamplingParams(64, 1.0), seed=number)])
    words = f"{prompt[0].content}\n{draft.text}\nFind the first wrong step."
    asked = (Message("system", "You are a critic."), Message("user", words))
    (remark,) = yield Ask(critic, [Request(asked, SamplingParams(64, 0.2), seed=number)])
    assert draft.finish_reason != "error" != remark.finish_reason
    (score,) = yield Ask(scorer, [(prompt, draft.text)])
    return score


def ours(url: str, rows: int, concurrency: int) -> float:
    """Rows a second, from the first question to the last row."""
    role = Role(engine="openai", model="m@1", base_url=url, concurrency=concurrency // CALLS)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FACTORY_STORE"] = f"{folder}/requests.sqlite"
        with Engines(Requests(timeout=60, retries=2, max_failed_share=0), "bench") as engines:
            services = engines.engine(role, "generator"), engines.engine(role.model_copy(update={"max_length": 1}), "critic")
            scorer = engines.scorer(role, "reward_model")
            started = time.perf_counter()
            scores = run((row(*services, scorer, number) for number in range(rows)), "rows")
            seconds = time.perf_counter() - started
        assert len(scores) == rows
        return rows / seconds


def theirs(python: str, url: str, rows: int, concurrency: int) -> float:
    script = Path(__file__).with_name("distilabel_pipeline.py")
    command = [python, str(script), url, str(rows), str(concurrency // CALLS)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    first = last = None
    while process.poll() is None:
        with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:
            answered = json.load(reply)["answered"]
        now = time.perf_counter()
        first = first or (now if answered else None)
        last = last or (now if answered >= rows * CALLS else None)
        time.sleep(0.02)
    if process.returncode or not first or not last:
        sys.exit(f"distilabel failed: {(process.stderr.read() if process.stderr else '')[-2000:]}")
    return rows / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--their-rows", type=int, default=300, help="of distilabel, which takes longer for each")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[24, 48])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--distilabel", metavar="PYTHON", help="an interpreter with distilabel[openai]==1.5.3 and requests")
    options = parser.parse_args()
    for concurrency in options.concurrency:
        ceiling = concurrency / (CALLS * DELAY)
        found: dict[str, list[float]] = {"ours": [], "distilabel": []}
        for _ in range(options.rounds):
            with served() as url:
                found["ours"].append(ours(url, options.rows, concurrency))
            if options.distilabel:
                with served() as url:
                    found["distilabel"].append(theirs(options.distilabel, url, options.their_rows, concurrency))
        for name, rates in found.items():
            if rates:
                rate = statistics.median(rates)
                print(f"concurrency {concurrency}: {name} {rate:.1f} rows/s, {100 * rate / ceiling:.1f} % of {ceiling:.0f}", flush=True)


if __name__ == "__main__":
    main()
