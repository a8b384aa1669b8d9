"""Worker processes for what can hang, eat memory or crash: computer algebra on answers that models wrote.

    with Pool(workers=2, seconds=5.0, memory_mb=1024) as pool:
        pool.run([(r"\\int_0^1 2x dx", "1"), ("9^{9^{9^9}}", "1")])   → [("correct", ""), ("timeout", "no verdict within 5 s")]

A worker that is late, too large or dead costs its own row: it is killed, and another is started when there is more to do. No signals and
no threads of its own: `run` may be called from any thread, from several at once, and in a fork of the process that made the pool.
"""

import os
import queue
import selectors
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from factory.errors import EngineError
from factory.grading.process import Answer, Lost, Worker

STARTS = 2  # failed starts in a row before the pool gives up
TARGET = "factory.grading.symbolic:decide"


class Pool:
    """`seconds` and `memory_mb` are for one task. `target`: the `module:function` that answers `function(*task)`."""

    def __init__(self, workers: int = 2, seconds: float = 5.0, memory_mb: int = 1024, target: str = TARGET) -> None:
        assert workers > 0
        assert seconds > 0
        assert memory_mb > 0
        self.size, self.seconds, self.memory_mb, self.target = workers, seconds, memory_mb, target
        self.alive: set[Worker] = set()
        self.idle: list[Worker | None]  # None: a place whose worker has not been started
        self.waiting: deque[queue.SimpleQueue[Worker | None]]
        self.generation: int  # raised by `close`
        self.failed: int
        self.forget()
        weakref.finalize(self, _kill_all, self.alive)  # also at the exit of the interpreter
        _POOLS.add(self)

    def run(self, tasks: Sequence[tuple]) -> list[Answer]:
        """One answer a task, in the order of the tasks. Raises EngineError when no worker can be started."""
        return _Batch(self, tasks).run()

    def close(self) -> None:
        """Ends the workers; those that another thread still uses end when it lets them go. A later `run` starts new ones."""
        with self.lock:
            self.generation += 1
            ended = [worker for worker in self.idle if worker]
            self.idle = [None] * len(self.idle)
        for worker in ended:
            self.end(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def forget(self) -> None:
        """No workers yet; in a fork, none any more."""
        for worker in self.alive:
            worker.abandon()
        self.alive.clear()
        self.lock = threading.Lock()
        self.idle = [None] * self.size
        self.waiting = deque()
        self.generation = self.failed = 0

    def acquire(self, wait: bool) -> Worker | None:
        """A worker for the caller alone, first come, first served. None: there is none, and the caller does not wait."""
        with self.lock:
            place: queue.SimpleQueue[Worker | None] = queue.SimpleQueue()
            if self.idle and not self.waiting:
                place.put(self.idle.pop())
            elif wait:
                self.waiting.append(place)
            else:
                return None
        try:
            worker = place.get()
        except BaseException:  # an interrupt: the place must not be lost
            with self.lock:
                given = place not in self.waiting
                if not given:
                    self.waiting.remove(place)
            if given:
                self.release(place.get())
            raise
        if worker and worker.process.poll() is not None:  # it died while nobody used it
            self.end(worker)
            worker = None
        return worker or self.start()

    def release(self, worker: Worker | None) -> None:
        if worker and worker.generation != self.generation:
            self.end(worker)
            worker = None
        with self.lock:
            if self.waiting:
                self.waiting.popleft().put(worker)
            else:
                self.idle.insert(len(self.idle) if worker else 0, worker)

    def start(self) -> Worker:
        try:
            worker = Worker(self.target, self.seconds, self.memory_mb, self.generation)
        except BaseException as error:
            self.release(None)
            if isinstance(error, OSError):
                raise EngineError(f"no worker for computer algebra can be started: {error}") from error
            raise
        self.alive.add(worker)
        return worker

    def end(self, worker: Worker) -> None:
        self.alive.discard(worker)
        worker.kill()

    def started(self, failure: str | None) -> None:
        """Counts failed starts. Raises EngineError at the second in a row."""
        self.failed = self.failed + 1 if failure else 0
        if self.failed >= STARTS:
            self.failed = 0
            raise EngineError(f"workers for computer algebra do not start, {STARTS} times in a row ({self.target}): {failure}")


class _Batch:
    """One call of `run`: its tasks, and the workers that it has checked out."""

    def __init__(self, pool: Pool, tasks: Sequence[tuple]) -> None:
        self.pool, self.tasks = pool, tasks
        self.answers: dict[int, Answer] = {}
        self.rows = deque(range(len(tasks)))  # not yet given to a worker
        self.again: set[int] = set()  # given twice: the first worker was killed, maybe before it saw the task
        self.held: set[Worker] = set()
        self.selector = selectors.PollSelector()  # keeps no descriptor that a fork would share

    def run(self) -> list[Answer]:
        try:
            while len(self.answers) < len(self.tasks):
                self._engage()
                now = time.monotonic()
                for key, mask in self.selector.select(max(0.0, min(worker.deadline for worker in self.held) - now)):
                    if key.data not in self.held:  # let go a moment ago, and maybe another's by now
                        continue
                    if mask & selectors.EVENT_WRITE:
                        self._write(key.data)
                    else:
                        self._read(key.data)
                for worker in [held for held in self.held if held.deadline <= now]:  # and said nothing since `now`
                    self._lost(worker, f"no verdict within {worker.limit:g} s")
        finally:
            for worker in list(self.held):
                self._let_go(worker, end=worker.row >= 0)
        return [self.answers[row] for row in range(len(self.tasks))]

    def _engage(self) -> None:
        """Checks out a worker for every task that has none, as far as there are any; waits only when it would have none at all."""
        while sum(worker.row < 0 for worker in self.held) < len(self.rows):
            worker = self.pool.acquire(wait=not self.held)
            if worker is None:
                return
            self.held.add(worker)
            self.selector.register(worker.output, selectors.EVENT_READ, worker)
            if worker.ready:
                self._give(worker)

    def _give(self, worker: Worker) -> None:
        if not self.rows:
            self._let_go(worker)
            return
        row = self.rows.popleft()
        worker.give(row, self.tasks[row], self.pool.seconds)
        self._write(worker)

    def _write(self, worker: Worker) -> None:
        worker.write()
        registered = worker.input in self.selector.get_map()
        if worker.outbox and not registered:
            self.selector.register(worker.input, selectors.EVENT_WRITE, worker)
        elif registered and not worker.outbox:
            self.selector.unregister(worker.input)

    def _read(self, worker: Worker) -> None:
        row = worker.row
        try:
            said = worker.read()
        except Lost as error:
            self._lost(worker, str(error))
            return
        if said is None:
            return
        if isinstance(said, tuple):
            self.answers[row] = said
        else:
            self.pool.started(None)
        if row >= 0 and self.pool.waiting:  # of several callers each gets its turn
            self._let_go(worker)
        else:
            self._give(worker)

    def _lost(self, worker: Worker, reason: str) -> None:
        row = worker.row
        self._let_go(worker, end=True)
        if row >= 0 and "signal" in reason and row not in self.again:
            self.again.add(row)
            self.rows.append(row)
        elif row >= 0:
            self.answers[row] = "timeout", reason
        else:
            self.pool.started(reason)

    def _let_go(self, worker: Worker, end: bool = False) -> None:
        self.held.discard(worker)
        for pipe in (worker.input, worker.output):
            if pipe in self.selector.get_map():
                self.selector.unregister(pipe)
        if end:
            self.pool.end(worker)
        self.pool.release(None if end else worker)


_POOLS: "weakref.WeakSet[Pool]" = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_POOLS):
        pool.forget()


os.register_at_fork(after_in_child=_forget_all)


def _kill_all(alive: set[Worker]) -> None:
    for worker in list(alive):
        worker.kill()
