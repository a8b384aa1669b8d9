"""The boundary of every stage: one line for a user's mistake, one running copy at a time, seconds and memory written down.

    if __name__ == "__main__":
        stage.run("rollouts", main)        # main(params: Params, item: str) for a foreach stage, main(params) for the others

Seconds differ from run to run, so they go to `.factory/timings.jsonl`, which neither git nor DVC tracks.
"""

import fcntl
import gc
import inspect
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from factory.errors import FactoryError
from factory.params import load

STATE = Path(".factory")


def run(name: str, main: Callable[..., None]) -> None:
    item = sys.argv[1:2]
    title = "@".join([name, *item])
    if len(inspect.signature(main).parameters) != 1 + len(item):
        sys.exit(f"error: usage: python -m pipelines.{name}{' ITEM' if not item else ''}")
    started = time.monotonic()
    expect_many_rows()
    try:
        with _only_copy(title):
            main(load(), *item)
    except FactoryError as error:
        sys.exit(f"error: {title}: {error}")
    except OSError as error:
        sys.exit(f"error: {title}: {error.strerror or error}: {error.filename or ''} (is it writable, is the disk full?)")
    _write_timing(title, time.monotonic() - started)


def expect_many_rows() -> None:
    """Rows hold no cycles: with the usual thresholds Python would walk through all of them again and again, a quarter of a warm stage."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


class _only_copy:
    """A killed `dvc` leaves its stage running: a second copy must not write beside the first."""

    def __init__(self, title: str) -> None:
        self.path = STATE / "locks" / f"{title}.lock"

    def __enter__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = self.path.open("a+")
        try:
            fcntl.flock(self.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.stream.seek(0)
            raise FactoryError(f"already running as process {self.stream.read().strip() or '?'}: wait for it or kill it") from None
        self.stream.truncate(0)
        self.stream.write(str(os.getpid()))
        self.stream.flush()

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def _write_timing(title: str, seconds: float) -> None:
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    row = {"stage": title, "seconds": round(seconds, 1), "peak_mb": peak // 1024, "at": time.strftime("%Y-%m-%dT%H:%M:%S")}
    with (STATE / "timings.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    print(f"{title}: {seconds:.1f} s, peak {peak // 1024} MB")
