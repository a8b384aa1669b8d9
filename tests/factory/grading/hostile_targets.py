"""What a worker is asked to do in test_workers.py: computer algebra at its worst."""

import os
import signal
import sys
import time
from pathlib import Path


def act(what: str, *arguments: object) -> tuple[str, str]:
    return globals()[what](*arguments)


def echo(text: str) -> tuple[str, str]:
    return "correct", text


def pid() -> tuple[str, str]:
    return "correct", str(os.getpid())


def sleep(seconds: float) -> tuple[str, str]:
    time.sleep(seconds)
    return "correct", "slept"


def spin() -> tuple[str, str]:
    """One call into C that holds the interpreter's lock: no thread of the worker runs any more."""
    return "correct", str((9**9**9) % 10)


def eat(peaks: str) -> tuple[str, str]:
    """Allocates without end, and writes down the largest resident size so far (kB)."""
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(1 << 20) * 8))
        status = Path("/proc/self/status").read_text(encoding="ascii")
        Path(peaks).write_text(status.split("VmHWM:")[1].split()[0], encoding="ascii")


def die(number: int) -> tuple[str, str]:
    os.kill(os.getpid(), number)
    time.sleep(60)
    return "correct", "still here"


def leave(code: int) -> tuple[str, str]:
    os._exit(code)


def recurse(depth: int = 0) -> tuple[str, str]:
    return recurse(depth + 1)


def fail() -> tuple[str, str]:
    raise ArithmeticError("the secret of the library")


def shout(text: str) -> tuple[str, str]:
    """Prints as libraries do, also past Python."""
    print(text)
    print(text, file=sys.stderr)
    os.write(1, text.encode())
    return "correct", "shouted"


def channel(body: bytes) -> tuple[str, str]:
    """Writes to the pipe that only the worker's main loop should know."""
    for descriptor in range(3, 20):
        try:
            if Path(f"/proc/self/fd/{descriptor}").readlink().name.startswith("pipe:") and os.get_blocking(descriptor):
                os.write(descriptor, body)
        except OSError:
            continue
    time.sleep(60)
    return "correct", "nobody noticed"


def badly() -> tuple[object, object]:
    return "perfect", 1


def where() -> tuple[str, str]:
    import factory

    return "correct", str(factory.__file__)


def stop() -> tuple[str, str]:
    """Neither dead nor working."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return "correct", "went on"
