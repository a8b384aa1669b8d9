"""A worker of `factory.grading.workers.Pool`: answers tasks with computer algebra until its stdin ends.

    python -m factory.grading.worker <module:function> <seconds> <memory in MB> <pid of the parent>

The messages are those of `factory.grading.process`. What becomes of a task that takes too long is the parent's business; this side bounds
the memory of a task, and sees to its own end when the parent dies, also in the middle of a computation.
"""

import importlib
import json
import logging
import os
import pickle
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from factory.grading.process import HEADER, OUT_OF_MEMORY, READY

DEPTH = 3_000  # frames of Python; sympy is recursive, and 8 MB of C stack hold about ten times as many
POLL = 0.5  # seconds between two looks at the parent

Decide = Callable[..., tuple[str, str]]


def main(target: str, seconds: float, memory_mb: int, parent: int) -> int:
    tasks, replies = _channel()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    try:
        module, function = target.split(":")
        decide: Decide = getattr(importlib.import_module(module), function)
    except Exception as error:  # noqa: BLE001 (the parent has to know why, whatever it is)
        _send(replies, ["failed", f"{type(error).__name__}: {error}"])
        return 1
    _quiet()
    _limit_memory(memory_mb)
    _send(replies, [READY])
    while header := tasks.read(HEADER.size):
        try:
            number, task = pickle.loads(tasks.read(HEADER.unpack(header)[0]))
            _limit_cpu(seconds)
            reply = [number, *_answer(decide, task)]
        except MemoryError:
            os._exit(OUT_OF_MEMORY)  # nothing in this process is to be trusted now: the parent starts another
        _limit_cpu(None)
        _send(replies, reply)
    return 0


def _answer(decide: Decide, task: tuple) -> tuple[str, str]:
    try:
        return decide(*task)
    except MemoryError:
        raise
    except RecursionError:
        return "unparsable", "nested too deeply"
    except Exception as error:  # noqa: BLE001 (sympy and the parsers raise anything on hostile input; here it becomes a verdict with a reason)
        return "unparsable", f"computer algebra failed: {type(error).__name__}"


def _channel() -> tuple[BinaryIO, BinaryIO]:
    """stdin and stdout under other numbers, so that a library that prints or reads cannot disturb the messages."""
    tasks, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return tasks, replies


def _send(replies: BinaryIO, message: list[object]) -> None:
    body = json.dumps(message).encode()
    replies.write(HEADER.pack(len(body)) + body)
    replies.flush()


def _quiet() -> None:
    """Math-Verify warns that its own time limit is off, and libraries print: from here on nobody reads it."""
    logging.disable(logging.CRITICAL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def _watch(parent: int) -> None:
    """Ends this process when it was orphaned.

    The end of stdin is seen only between two tasks, and not at all while a fork of the parent holds the pipe. PR_SET_PDEATHSIG would not
    do: it fires when the *thread* that started the worker ends.
    """
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(1)


def _limit_cpu(seconds: float | None) -> None:
    """One long call into C (a huge power) never lets `_watch` run: then the kernel ends an orphan, soon after the parent would have."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = hard if seconds is None else int(time.process_time() + seconds) + 3
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _limit_memory(memory_mb: int) -> None:
    """Address space: what the imports have taken, and `memory_mb` more."""
    sys.setrecursionlimit(DEPTH)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except FileNotFoundError:  # not Linux: no limit of memory, the time limit remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (taken + (memory_mb << 20),) * 2)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
