"""The boundary of every stage: one line for a user's mistake, one running copy at a time, seconds and memory written down.

    if __name__ == "__main__":
        stage.run("rollouts", main)        # main(params: Params, item: str) for a foreach stage, main(params) for the others

A trainer's stage (`trains=True`) starts itself as often as `training.processes` says, as `torchrun -m pipelines.NAME` does by
hand; the first of these copies writes what there is to write. Seconds differ from run to run, so they go to `.factory/timings.jsonl`,
which neither git nor DVC tracks.
"""

import atexit
import fcntl
import gc
import inspect
import io
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from factory.errors import FactoryError, explained
from factory.params import load

STATE = Path(".factory")
PARENT = "FACTORY_STAGE"  # the process that started this copy of a trainer's stage
PATIENCE = 3  # seconds in which the stage ends its copies when one has failed


def run(name: str, main: Callable[..., None], *, trains: bool = False) -> None:
    item = sys.argv[1:2]
    title = "@".join([name, *item])
    if len(inspect.signature(main).parameters) != 1 + len(item):
        sys.exit(f"error: usage: python -m pipelines.{name}{' ITEM' if not item else ''}")
    started = time.monotonic()
    show_any_text()
    expect_many_rows()
    try:
        if trains and "RANK" in os.environ:
            return _one_of_several(title, lambda: main(load(), *item))
        with _only_copy(title) as lock:
            params = load()
            if trains and (count := params.training.processes) > 1:
                _launch(item, count, lock)
            else:
                main(params, *item)
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
    atexit.register(gc.unfreeze)  # what is frozen at the end, nanobind's modules (Triton, DuckDB) call leaked in thirty lines
    gc.set_threshold(100_000, 50, 100)


def _launch(item: list[str], count: int, lock: int) -> None:
    """Run the stage `count` times over, as processes that train together and hold its lock. When one fails, all end."""
    module = sys.modules["__main__"].__spec__
    command = [sys.executable, "-m", module.name, *item] if module else [sys.executable, *sys.argv]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {PARENT: os.getpid(), "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    threads = {"OMP_NUM_THREADS": max(1, (os.cpu_count() or 1) // count)} | os.environ
    copies = []
    try:
        for rank in range(count):
            own = {name: str(value) for name, value in {**threads, **known, "RANK": rank, "LOCAL_RANK": rank}.items()}
            copies.append(subprocess.Popen(command, env=own, pass_fds=[lock], process_group=0))  # an interrupt is for this one
        while any(copy.poll() is None for copy in copies) and not any(copy.poll() for copy in copies):
            time.sleep(0.1)
    finally:
        for copy in copies:
            copy.kill()
            copy.wait()
    if failed := [(rank, copy.returncode) for rank, copy in enumerate(copies) if copy.returncode > 0]:
        raise FactoryError(f"process {failed[0][0]} of {count} ended with an error: it stands above")
    if killed := [(rank, copy.returncode) for rank, copy in enumerate(copies) if copy.returncode]:
        raise FactoryError(f"process {killed[0][0]} of {count} was killed by signal {-killed[0][1]}: 9 mostly says that memory was short")


def _one_of_several(title: str, main: Callable[[], None]) -> None:
    """One copy's run. It ends with the process that started it, however that ends."""
    parent = int(os.environ.get(PARENT, os.getppid()))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    first = os.environ["RANK"] == "0"
    if not first:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    try:
        with _only_copy(title) if first and PARENT not in os.environ else nullcontext():
            main()
    except (FactoryError, OSError, MemoryError) as error:
        said = str(error) if isinstance(error, FactoryError) else explained(error)
        if not first:
            time.sleep(PATIENCE)  # all find the same fault mostly: the first tells it
        print(f"error: {title}: {said}", file=sys.stderr, flush=True)
        os._exit(1)  # the others wait for this one: no farewells
    except RuntimeError:
        time.sleep(PATIENCE)  # of a process group when another one has ended, whose message counts
        raise


def _end_with(parent: int) -> None:
    while True:
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os._exit(1)
        time.sleep(0.5)


class _only_copy:
    """A killed `dvc` leaves its stage running: a second copy must not write beside the first."""

    def __init__(self, title: str) -> None:
        self.path = STATE / "locks" / f"{title}.lock"

    def __enter__(self) -> int:
        """The lock's file descriptor."""
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
        return self.stream.fileno()

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
