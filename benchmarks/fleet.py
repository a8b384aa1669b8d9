"""How many servers one coordinator feeds: the engine openai, store and flows against eight local servers of which some misbehave.

    python benchmarks/fleet.py                      # 200,000 requests, 2,000 under way: five minutes
    python benchmarks/fleet.py --n 20000 --profile  # where the client's time goes

The servers are processes of their own (fleet_server.py) that sleep instead of computing: answers of 8 to 2,048 tokens with their ids, 4 ms
a token, one in a hundred four times as long; 1 % of requests end in 429, 500, 503 or a dropped connection; one server takes three times as
long, one is killed at a third of the work and started again 20 s later. Every answer is in a store on disk before it counts. Prints answers
a second, latencies, how long the last 5 % took, gaps without any answer, the client's memory, and what it could feed if it were never
waiting: answers a CPU second, and with the mean length tokens a second.
"""

import argparse
import cProfile
import os
import pstats
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from factory.engines.flow import Ask, Flow, run
from factory.engines.ledger import Ledger
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.server import Server
from factory.params import Requests, Role
from factory.schemas import Message

SERVER = Path(__file__).with_name("fleet_server.py")
WORDS = 60  # of a question
AWAY = 20.0  # seconds that the killed server is away
STALL = 2.0  # seconds without any answer


class Timed(OpenAIEngine):
    """Notes how long each request was at a server."""

    seconds: "array[float]"

    async def ask(self, item: Request, server: Server) -> Completion:
        began = time.monotonic()
        answer = await super().ask(item, server)
        self.seconds.append(time.monotonic() - began)
        return answer


class Fleet:
    def __init__(self, count: int, slow: float) -> None:
        self.options = [["--seed", str(number), "--slow", str(slow if number == count - 2 else 1.0)] for number in range(count)]
        self.processes = [self._start(options) for options in self.options]
        self.ports = [self._port(process) for process in self.processes]

    def _start(self, options: list[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, str(SERVER), *options], stdout=subprocess.PIPE, text=True)

    def _port(self, process: "subprocess.Popen[str]") -> int:
        assert process.stdout
        return int(process.stdout.readline())

    def kill_last(self) -> None:
        self.processes[-1].kill()
        self.processes[-1].wait()

    def restart_last(self) -> None:
        self.processes[-1] = self._start([*self.options[-1], "--port", str(self.ports[-1])])
        self._port(self.processes[-1])

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def memory() -> float:
    """MB of this process now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Queue(threading.Thread):
    """How long the client's threads and the servers could have run and got no core: this machine is not theirs alone."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(daemon=True)
        self.fleet, self.seen = fleet, [(0.0, 0.0)]  # when, seconds until then

    def run(self) -> None:
        while True:
            pids = [os.getpid(), *(process.pid for process in self.fleet.processes)]
            with suppress(OSError):  # a thread or a server that has just ended
                stats = [path.read_text(encoding="ascii") for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
                self.seen.append((time.monotonic(), sum(int(one.split()[1]) for one in stats) / 1e9))
            time.sleep(0.2)

    def between(self, begin: float, end: float) -> float:
        inside = [seconds for when, seconds in self.seen if begin - 0.2 <= when <= end + 0.2]
        return max(0.0, max(inside, default=0.0) - min(inside, default=0.0))


def questions(count: int) -> Iterator[Request]:
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghij", k=5)) for _ in range(1000)]
    for number in range(count):
        text = f"Problem {number}: " + " ".join(draw.choices(words, k=WORDS))
        yield Request((Message("user", text),), SamplingParams(4096, 1.0), seed=number)


def measure(options: argparse.Namespace, fleet: Fleet, folder: Path) -> None:
    urls = tuple(f"http://127.0.0.1:{port}/v1" for port in fleet.ports)
    role = Role(engine="openai", model="m@1", base_url=urls, concurrency=options.under_way // len(urls))
    backend = Timed(role, Requests(timeout=120, retries=6, max_failed_share=0.01))
    backend.seconds = array("d")
    store = Ledger(folder / "store.sqlite")
    engine = StoredEngine(backend, store, "rollouts")
    landed = array("d")
    megabytes: dict[int, float] = {}
    tokens = failed = 0
    third = threading.Event()

    def one(request: Request) -> Flow[None]:
        nonlocal tokens, failed
        (answer,) = yield Ask(engine, [request])
        tokens, failed = tokens + answer.tokens, failed + (answer.finish_reason == "error")
        landed.append(time.monotonic())
        if (share := 100 * len(landed) // options.n) in (10, 50, 100) and share not in megabytes:
            megabytes[share] = memory()
        if 3 * len(landed) >= options.n:
            third.set()

    def misfortune() -> None:
        third.wait()
        fleet.kill_last()
        time.sleep(AWAY)
        fleet.restart_last()

    threading.Thread(target=misfortune, daemon=True).start()
    queue = Queue(fleet)
    queue.start()
    began, cpu = time.monotonic(), time.process_time()
    run((one(request) for request in questions(options.n)), "fleet")
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    engine.close()
    assert store.usage()[0].requests == options.n - failed
    store.close()
    gaps = sorted(((after - before, before) for before, after in pairwise(landed[: int(0.99 * len(landed))])), reverse=True)
    stalls = [(gap, queue.between(begin, begin + gap)) for gap, begin in gaps if gap > STALL]
    cuts = statistics.quantiles(backend.seconds, n=100)
    tail = landed[-1] - landed[int(0.95 * len(landed))]
    answers, stored = options.n / seconds, (folder / "store.sqlite").stat().st_size / 1e6
    print(f"{options.n:,} requests, {len(urls)} servers, {options.under_way:,} under way: {seconds:.0f} s, {answers:,.0f} answers/s")
    print(f"failed after all attempts: {failed}; tokens an answer: {tokens / options.n:.0f}; {tokens / seconds:,.0f} tokens/s")
    print(f"latency: p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s, p99 {cuts[98]:.2f} s, longest {max(backend.seconds):.1f} s")
    print(f"tail: the last 5 % took {tail:.1f} s, {100 * tail / seconds:.1f} % of the time")
    print(f"longest gap without an answer, until 99 %: {gaps[0][0]:.2f} s, in which client and servers waited", end=" ")
    print(f"{queue.between(gaps[0][1], sum(gaps[0])):.1f} s for a core; gaps of more than {STALL:g} s: {len(stalls)},", end=" ")
    print(f"without such a wait: {sum(starved < gap / 2 for gap, starved in stalls)}")
    print("memory: " + ", ".join(f"{size:.0f} MB at {share} %" for share, size in megabytes.items()) + f"; store {stored:.0f} MB")
    print(f"one coordinator: {1e6 * cpu / options.n:.0f} µs of CPU an answer; a core feeds", end=" ")
    print(f"{options.n / cpu:,.0f} answers/s, {tokens / cpu:,.0f} tokens/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--servers", type=int, default=8)
    parser.add_argument("--under-way", type=int, default=2_000)
    parser.add_argument("--slow", type=float, default=3.0, help="times the latency, of one server")
    parser.add_argument("--profile", action="store_true", help="the engine's thread, by function")
    options = parser.parse_args()
    fleet = Fleet(options.servers, options.slow)
    profiler = cProfile.Profile()
    if options.profile:
        inner = OpenAIEngine._run

        def profiled(self: OpenAIEngine, loop: object) -> None:
            profiler.runcall(inner, self, loop)

        OpenAIEngine._run = profiled  # type: ignore[method-assign, assignment]
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(options, fleet, Path(folder))
    finally:
        fleet.close()
    if options.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
