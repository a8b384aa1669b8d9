"""One worker process as its parent sees it, and the messages between the two.

A message is a length of 4 bytes and a body. Tasks go down pickled, `(row, arguments)`. Replies come up as JSON: first `["ready"]` or
`["failed", why]`, then `[row, verdict, reason]`; the parent checks them and unpickles nothing, for the worker reads what models wrote.
"""

import contextlib
import json
import os
import pickle
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import cast, get_args

import factory
from factory.schemas import Verdict

Answer = tuple[Verdict, str]
HEADER = struct.Struct("!I")
OUT_OF_MEMORY = 77  # exit status
READY = "ready"
START_SECONDS = 60.0
LONGEST_REPLY = 1 << 16  # bytes


class Lost(Exception):
    """A worker that is of no more use, and why."""


class Worker:
    """One process. `row` is the task it works on, -1 for none; `deadline` is when that one, or the start, takes too long."""

    def __init__(self, target: str, seconds: float, memory_mb: int, generation: int) -> None:
        settings = [target, str(seconds), str(memory_mb), str(os.getpid())]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "factory.grading.worker", *settings],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=_environment(), start_new_session=True,  # Ctrl-C is not for it
        )  # fmt: skip
        assert self.process.stdin
        assert self.process.stdout
        self.input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.input, False)
        os.set_blocking(self.output, False)
        self.generation, self.memory_mb, self.limit = generation, memory_mb, START_SECONDS
        self.ready, self.row, self.deadline = False, -1, time.monotonic() + START_SECONDS
        self.outbox, self.inbox = memoryview(b""), bytearray()

    def give(self, row: int, task: tuple, seconds: float) -> None:
        body = pickle.dumps((row, task))
        self.outbox = memoryview(HEADER.pack(len(body)) + body)
        self.row, self.limit, self.deadline = row, seconds, time.monotonic() + seconds

    def write(self) -> None:
        """As much of the task as the pipe takes now."""
        try:
            while self.outbox:
                self.outbox = self.outbox[os.write(self.input, self.outbox) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # `read` will say why
            self.outbox = memoryview(b"")

    def read(self) -> Answer | str | None:
        """An answer, READY, or None while the message is not complete. Raises Lost."""
        try:
            data = os.read(self.output, LONGEST_REPLY)
        except BlockingIOError:
            return None
        if not data:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may have closed its end and go on
                self.process.wait(1.0)
            raise Lost(self.kill())
        self.inbox += data
        if len(self.inbox) < HEADER.size:
            return None
        size = HEADER.size + HEADER.unpack_from(self.inbox)[0]
        if len(self.inbox) < size <= LONGEST_REPLY:
            return None
        if len(self.inbox) != size:  # never two messages: it answers what it is given
            raise Lost("the worker sent garbage")
        message, self.inbox = bytes(self.inbox[HEADER.size :]), bytearray()
        return self._checked(message)

    def _checked(self, message: bytes) -> Answer | str:
        try:
            said = json.loads(message)
        except (ValueError, RecursionError):
            said = None
        match said:
            case ["ready"] if not self.ready:
                self.ready = True
                return READY
            case ["failed", str(why)] if not self.ready:
                raise Lost(why)
            case [int(row), str(verdict), str(reason)] if self.ready and row == self.row and verdict in get_args(Verdict):
                self.row = -1
                return cast(Verdict, verdict), reason
        raise Lost("the worker sent garbage")

    def kill(self) -> str:
        """Ends and reaps it; says how it ended."""
        self.process.kill()
        code = self.process.wait()
        self.close()
        if code == OUT_OF_MEMORY:
            return f"out of memory ({self.memory_mb} MB)"
        return f"the worker died ({f'signal {-code}' if code < 0 else f'exit {code}'})"

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()

    def abandon(self) -> None:
        """In a fork: it is the parent's; only the copies of its pipes are ours to close."""
        self.process.returncode = 0  # Popen must not wait for it
        self.close()


def _environment() -> dict[str, str]:
    """The parent's, with what it would import; the order of hashes is fixed, for sympy's results can depend on it; one arena of memory."""
    path = [os.path.abspath(entry) for entry in sys.path if entry]
    root = str(Path(factory.__file__).resolve().parents[1])
    path = path if root in path else [root, *path]
    fixed = {"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **fixed, "PYTHONPATH": os.pathsep.join(path)}
