"""Runs in processes of their own, which are killed -9, and what they leave behind. A run is called `trained`.

    killed(work, folder, 5, later(0.02))          # when its live log shows step 5, 0.02 seconds later
    undisturbed(work, folder)                     # to the end
    assert differences(results(straight), results(folder)) == []
    codes = together(work_of_rank, folder)        # two processes that train together

A process is forked from this one, which has loaded the libraries already.
"""

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from accelerate.state import AcceleratorState

from factory.errors import FactoryError
from trainers import live, run
from trainers.checkpoints import WHOLE

NAME, MODEL, LOG = "trained", Path("trained"), Path("trained.csv")
PATIENCE = 120  # seconds in which a process sees that another one has ended


def begun(work: Callable[[], None], folder: Path) -> int:
    """A process that does `work` in a folder; what it says is appended to `said` there."""
    folder.mkdir(exist_ok=True)
    if child := os.fork():
        return child
    code = 1
    try:
        os.chdir(folder)
        said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", encoding="utf-8", closefd=False) for stream in (1, 2))
        work()
        code = 0
    except FactoryError as error:
        print("error:", error)
    except Exception:  # noqa: BLE001 (whatever it is, this process is not pytest's)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def undisturbed(work: Callable[[], None], folder: Path) -> None:
    _, status = os.waitpid(begun(work, folder), 0)
    assert status == 0, (folder / "said").read_text()


def together(work: Callable[[int], None], folder: Path, count: int = 2) -> list[int]:
    """Exit codes of `count` processes that train together by gloo, each of which does `work` of its number; minus the signal of one that
    killed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def meet(rank: int) -> None:
        if count > 1:
            known = {"WORLD_SIZE": count, "RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in known.items()}, MASTER_ADDR="127.0.0.1")
        AcceleratorState._reset_state(reset_partial_state=True)  # this one's parent trained alone
        work(rank)

    left = {begun(partial(meet, rank), folder): rank for rank in range(count)}
    codes, end = [0] * count, float("inf")
    while left:
        for child in list(left):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes[left.pop(child)] = os.waitstatus_to_exitcode(status)
                end = min(end, time.monotonic() + PATIENCE)
        if time.monotonic() > end:
            for child in left:
                os.kill(child, signal.SIGKILL)
            raise AssertionError(f"processes {list(left.values())} wait for ever: " + (folder / "said").read_text())
        time.sleep(0.002)
    return codes


def shown(folder: Path) -> list[int]:
    """Steps of the live log."""
    path = folder / live.LIVE / f"{NAME}.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line)["step"] for line in lines]


def torn(folder: Path) -> list[Path]:
    return [path for path in (folder / run.WORK / NAME).glob("checkpoint-*") if not (path / WHOLE).exists()]


def whole(folder: Path) -> list[int]:
    found = (folder / run.WORK / NAME).glob("checkpoint-*")
    return sorted(int(path.name.rpartition("-")[2]) for path in found if (path / WHOLE).exists())


def resumed_after(folder: Path) -> list[int]:
    return [int(line.rpartition(" ")[2]) for line in (folder / "said").read_text().splitlines() if "goes on after" in line]


def killed(work: Callable[[], None], folder: Path, step: int, moment: Callable[[], bool]) -> None:
    """Run until the live log shows `step` and `moment` has come, then kill -9."""
    child = begun(work, folder)
    while not (step in shown(folder) and moment()):
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it has ended before: " + (folder / "said").read_text()
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def later(seconds: float) -> Callable[[], bool]:
    """True from that many seconds after the first question on."""
    asked: list[float] = []

    def moment() -> bool:
        asked.append(time.monotonic())
        return asked[-1] - asked[0] >= seconds

    return moment


def writing(folder: Path, last: int) -> Callable[[], bool]:
    """True while a checkpoint is being written, and from step `last` on."""
    return lambda: bool(torn(folder)) or last in shown(folder)


def results(folder: Path) -> dict[str, bytes]:
    """What a training leaves behind, but for what it said; of the live log all but seconds."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "said"]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    lines = found.pop(str(live.LIVE / f"{NAME}.jsonl")).splitlines()
    found["live"] = json.dumps([{**json.loads(line), "seconds": None} for line in lines]).encode()
    return found


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
