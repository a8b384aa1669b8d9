"""The boundary of every stage: one line for a user's mistake, one running copy at a time, seconds and memory written down.

    if __name__ == "__main__":
        stage.run("rollouts", main)        # main(params: Params, item: str) for a foreach stage, main(params) for the others

Seconds differ from run to run, so they go to `.factory/timings.jsonl`, which neither git nor DVC tracks.
"""

import fcntl
import gc
import inspect
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from factory.errors import FactoryError, explained
from factory.params import load

STATE = Path(".factory")


def run(name: str, main: Callable[..., None]) -> None:
    item = sys.argv[1:2]
    title = "@".join([name, *item])
    if len(inspect.signature(main).parameters) != 1 + len(item):
        sys.exit(f"error: usage: python -m pipelines.{name}{' ITEM' if not item else ''}")
    started = time.monotonic()
    show_any_text()
    expect_many_rows()
    try:
        with _only_copy(title):
            main(load(), *item)
        _write_timing(title, time.monotonic() - started)
    except FactoryError as error:
        sys.exit(f"error: {title}: {error}")
    except BrokenPipeError:
        silence_stdout()
        sys.exit(f"error: {title}: whatever read its output, or answered it, has closed the connection: run it again")
    except (OSError, MemoryError) as error:
        sys.exit(f"error: {title}: {explained(error)}")


def show_any_text() -> None:
    """A terminal or log in another encoding shows what it cannot write as its escape: printing must not end a stage."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_stdout() -> None:
    """Python writes what is left in its buffer when it ends: nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
        self.stream = self.path.open("a+", encoding="utf-8")
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
    """The peak is that of the largest process, this one or one of its children: several at once use more together."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    row = {"stage": title, "seconds": round(seconds, 1), "peak_mb": peak // 1024, "at": time.strftime("%Y-%m-%dT%H:%M:%S")}
    with (STATE / "timings.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
    try:
        print(f"{title}: {seconds:.1f} s, peak {peak // 1024} MB", flush=True)
    except BrokenPipeError:
        silence_stdout()  # everything is written: nothing is lost with this line
