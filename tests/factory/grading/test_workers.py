"""The pool against real processes that hang, grow, die and lie."""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import factory
from factory.errors import EngineError
from factory.grading.workers import Pool

pytestmark = pytest.mark.slow

TARGET = "hostile_targets:act"
ROOT = Path(factory.__file__).parents[1]
LIMIT = 1.0  # seconds
LATE = ("timeout", f"no verdict within {LIMIT:g} s")


@pytest.fixture(scope="module", autouse=True)
def _targets() -> Iterator[None]:
    sys.path.insert(0, str(Path(__file__).parent))
    yield
    sys.path.remove(str(Path(__file__).parent))


@pytest.fixture(scope="module")
def pool(_targets: None) -> Iterator[Pool]:
    with Pool(workers=2, seconds=LIMIT, memory_mb=200, target=TARGET) as made:
        yield made


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _eventually(test: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not test() and time.monotonic() < deadline:
        time.sleep(0.02)
    return test()


def test_answers_come_in_the_order_of_the_tasks(pool: Pool) -> None:
    tasks = [("sleep", 0.05) if row % 50 == 0 else ("echo", str(row)) for row in range(300)]
    answers = pool.run(tasks)
    assert answers == [("correct", "slept") if row % 50 == 0 else ("correct", str(row)) for row in range(300)]
    assert pool.run([]) == []


def test_no_worker_before_the_first_task_and_no_more_than_tasks() -> None:
    with Pool(workers=2, target=TARGET) as pool:
        assert not pool.alive
        pool.run([("echo", "1")])
        assert len(pool.alive) == 1
        pids = {worker.process.pid for worker in pool.alive}
    assert not pool.alive
    assert all(_gone(pid) for pid in pids)


def test_a_task_that_never_ends_costs_its_own_row(pool: Pool) -> None:
    begin = time.monotonic()
    answers = pool.run([("echo", "a"), ("sleep", 1e6), ("spin",), ("echo", "b")])
    assert answers == [("correct", "a"), LATE, LATE, ("correct", "b")]
    assert time.monotonic() - begin < 3 * LIMIT + 60


@pytest.mark.parametrize("task", [("stop",), ("channel", b"\0\0")], ids=["stopped", "half a message"])
def test_so_does_a_worker_that_goes_silent(pool: Pool, task: tuple) -> None:
    assert pool.run([("echo", "a"), task, ("echo", "b")]) == [("correct", "a"), LATE, ("correct", "b")]


def test_a_task_that_eats_memory_is_stopped_by_it(tmp_path: Path) -> None:
    peaks = tmp_path / "peak"
    with Pool(workers=1, seconds=20, memory_mb=100, target=TARGET) as pool:
        assert pool.run([("echo", "a"), ("eat", str(peaks)), ("echo", "b")]) == [
            ("correct", "a"), ("timeout", "out of memory (100 MB)"), ("correct", "b"),
        ]  # fmt: skip
    assert 60 < int(peaks.read_text()) / 1024 < 260  # what the imports took, and at most 100 MB more


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (("die", signal.SIGSEGV), ("timeout", "the worker died (signal 11)")),
        (("recurse",), ("unparsable", "nested too deeply")),
        (("fail",), ("unparsable", "computer algebra failed: ArithmeticError")),
        (("nothing of that name",), ("unparsable", "computer algebra failed: KeyError")),
        (("badly",), ("timeout", "the worker sent garbage")),
        (("channel", b"no message at all"), ("timeout", "the worker sent garbage")),
        (("shout", "out loud"), ("correct", "shouted")),
        (("echo", "\0 \ud800 ∑"), ("correct", "\0 \ud800 ∑")),
    ],
)
def test_a_worker_that_dies_or_lies_costs_its_own_row(pool: Pool, task: tuple, answer: tuple[str, str]) -> None:
    assert pool.run([("echo", "a"), task, ("echo", "b")]) == [("correct", "a"), answer, ("correct", "b")]


def test_forged_verdicts_are_not_believed_and_deaths_are_told_apart(pool: Pool) -> None:
    for body in (["correct", ""], [7, "correct", ""], [1, "correct", ""] * 2, ["ready"], {"1": "correct"}):
        forged = json.dumps(body).encode()
        answers = pool.run([("echo", "a"), ("channel", struct.pack("!I", len(forged)) + forged)])
        assert answers == [("correct", "a"), ("timeout", "the worker sent garbage")]
    for message in (struct.pack("!I", 6) + b"[1, 2]", struct.pack("!I", 40_000) + b"[" * 40_000, struct.pack("!I", 1 << 31)):
        assert pool.run([("channel", message)]) == [("timeout", "the worker sent garbage")]
    assert pool.run([("leave", 3)]) == [("timeout", "the worker died (exit 3)")]
    assert pool.run([("die", signal.SIGKILL)]) == [("timeout", "the worker died (signal 9)")]


def test_a_large_task_and_a_worker_that_died_idle(pool: Pool) -> None:
    text = "x" * 1_000_000
    assert pool.run([("shout", text)] * 3) == [("correct", "shouted")] * 3
    for worker in list(pool.alive):
        os.kill(worker.process.pid, signal.SIGKILL)
        assert _eventually(lambda pid=worker.process.pid: _gone(pid))  # type: ignore[misc]
    assert pool.run([("echo", "a"), ("echo", "b")]) == [("correct", "a"), ("correct", "b")]


def test_threads_share_the_workers(pool: Pool) -> None:
    with ThreadPoolExecutor(4) as threads:
        runs = [
            threads.submit(pool.run, [("echo", f"{name}{row}") for row in range(200)] + [("sleep", 9) for _ in name[1:]])
            for name in ("a", "b", "c", "d", "ee")
        ]
        for name, run in zip(("a", "b", "c", "d", "ee"), runs, strict=True):
            assert run.result(120) == [("correct", f"{name}{row}") for row in range(200)] + [LATE for _ in name[1:]]
    assert len(pool.alive) <= 2


def test_one_short_call_does_not_wait_for_a_long_one(pool: Pool) -> None:
    done: list[str] = []
    long = threading.Thread(target=lambda: done.extend(["long" for _ in pool.run([("sleep", 0.05)] * 30)][:1]))
    long.start()
    time.sleep(0.2)
    pool.run([("echo", "a")])
    done.append("short")
    long.join()
    assert done == ["short", "long"]


def test_workers_outlive_the_thread_that_started_them() -> None:
    with Pool(workers=1, target=TARGET) as pool:
        pids: list[str] = []
        for _ in range(2):
            thread = threading.Thread(target=lambda: pids.append(pool.run([("pid",)])[0][1]))
            thread.start()
            thread.join()
            time.sleep(0.05)
    assert pids[0] == pids[1]


def test_close_ends_the_workers_and_run_starts_them_again() -> None:
    pool = Pool(workers=1, target=TARGET)
    first, second = (pool.run([("pid",)])[0][1] for _ in range(2))
    assert first == second
    pool.close()
    assert _gone(int(first))
    assert pool.run([("pid",)])[0][1] != first
    pool.close()


def test_workers_import_the_same_package_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "factory").mkdir()
    (tmp_path / "factory" / "__init__.py").write_text("raise SystemExit('another factory')")
    monkeypatch.chdir(tmp_path)
    with Pool(workers=1, target=TARGET) as pool:
        assert pool.run([("where",)]) == [("correct", str(factory.__file__))]


@pytest.mark.parametrize("target", ["hostile_targets:missing", "no.such.module:decide", "nonsense"])
def test_workers_that_do_not_start_are_an_error_that_says_why(target: str) -> None:
    with Pool(workers=1, target=target) as pool, pytest.raises(EngineError, match=f"2 times in a row.*{target}"):
        pool.run([("echo", "a")])


def test_a_fork_starts_workers_of_its_own(pool: Pool) -> None:
    before = pool.run([("pid",)])[0][1]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            os.write(writing, json.dumps(pool.run([("pid",), ("echo", "in the fork")])).encode())
            pool.close()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        (_, other), answer = json.loads(file.read())
    os.waitpid(child, 0)
    assert answer == ["correct", "in the fork"]
    assert other != before
    assert pool.run([("pid",), ("pid",)])[0][0] == "correct"
    assert not _gone(int(before))


PARENT = """
import sys
sys.path.insert(0, {folder!r})
from factory.grading.workers import Pool
import threading
pool = Pool(workers=2, seconds=60, target="hostile_targets:act")
pool.run([("sleep", 0.01)] * 2)
print(*[worker.process.pid for worker in pool.alive], flush=True)
{then}
"""


@pytest.mark.parametrize(
    "then",
    ["sys.stdin.read()", 'pool.run([("sleep", 1e6), ("sleep", 1e6)])'],
    ids=["idle", "busy"],
)
def test_no_orphans_when_the_parent_is_killed(then: str) -> None:
    script = PARENT.format(folder=str(Path(__file__).parent), then=then)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert not any(_gone(pid) for pid in pids)
        parent.kill()
        parent.wait()
        assert _eventually(lambda: all(_gone(pid) for pid in pids))


def test_no_orphans_in_the_middle_of_a_call_into_c() -> None:
    script = PARENT.replace("seconds=60", "seconds=1").format(
        folder=str(Path(__file__).parent), then='import os, threading; threading.Timer(0.5, os._exit, (1,)).start(); pool.run([("spin",)])'
    )
    parent = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    pids = [int(pid) for pid in parent.stdout.split()]
    assert len(pids) == 2
    assert _eventually(lambda: all(_gone(pid) for pid in pids), 120)  # the limit of processor time


def test_the_exit_of_the_interpreter_ends_the_workers() -> None:
    script = PARENT.format(folder=str(Path(__file__).parent), then="")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stderr == ""
    assert all(_gone(int(pid)) for pid in done.stdout.split())


def test_the_parent_imports_no_computer_algebra() -> None:
    code = "import sys, factory.grading.workers; print([name for name in ('sympy', 'math_verify', 'torch') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout == "[]\n"


def test_the_overhead_of_a_task_is_small(pool: Pool) -> None:
    pool.run([("echo", "a")] * 2)
    begin = time.process_time()
    pool.run([("echo", "a")] * 5_000)
    assert (time.process_time() - begin) / 5_000 < 2e-4  # seconds of this process


def test_the_default_target_is_computer_algebra() -> None:
    with Pool(workers=1, seconds=5) as made:
        assert made.run([(r"\int_0^1 2x dx", "1"), ("1/3", "0.333")]) == [("correct", ""), ("wrong", "the values differ")]
