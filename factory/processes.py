"""One function over many batches, in as many processes as there are cores. Results come in the order of the batches, so that nothing
depends on how many processes there are.

    [row for rows in mapped(index.find, batches) for row in rows]

    with workers() as each:                                          # several small functions, one after the other
        tables = list(each(partial(judge, draw), groups(path)))
"""

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from factory.errors import DataError

B = TypeVar("B")
R = TypeVar("R")

FEWEST = 20  # batches for which further processes are started: they take a second
FEWEST_GROUPS = 4  # batches that are a row group of a table each, which takes a second as well
_held: Callable[[Any], Any] | None = None


def mapped(function: Callable[[B], R], batches: Sequence[B], processes: int | None = None) -> Iterator[R]:
    """`function` and its results travel between processes by pickle. `processes`: None for one a core, and for one where there is little to
    do. Raises DataError when one of them is killed."""
    if processes is None:
        processes = cores() if len(batches) >= FEWEST else 1
    if processes == 1:
        yield from map(function, batches)
        return
    with _started(processes, function) as pool:
        yield from pool.map(_call, batches)


class Each(Protocol):
    """A function of each batch, as `map` has it."""

    def __call__(self, function: Callable[[B], R], batches: Sequence[B], /) -> Iterator[R]: ...


@contextlib.contextmanager
def workers(processes: int | None = None) -> Iterator[Each]:
    """`mapped` for several functions, which travel with each batch and so must be small. The processes are started for the first that has
    enough batches, and end with the block."""
    with contextlib.ExitStack() as stack:
        started: list[ProcessPoolExecutor] = []

        def each(function: Callable[[B], R], batches: Sequence[B], /) -> Iterator[R]:
            count = processes or (cores() if started or len(batches) >= FEWEST_GROUPS else 1)
            if count == 1:
                return map(function, batches)
            if not started:
                started.append(stack.enter_context(_started(count, None)))
            return started[0].map(function, batches)

        yield each


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _started(processes: int, function: Callable[[Any], Any] | None) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")  # this process may have threads, which a fork would copy half
    with ProcessPoolExecutor(processes, context, _hold, (function,)) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise DataError("a process of this stage was ended from outside, most often for want of memory: run it again") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _hold(function: Callable[[Any], Any] | None) -> None:
    global _held
    _held = function
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A stage that is killed leaves nobody behind that waits for its next batch."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _call(batch: Any) -> Any:
    assert _held is not None
    return _held(batch)
