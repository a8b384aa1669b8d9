"""One function over many batches, in as many processes as there are cores. Results come in the order of the batches, so that nothing
depends on how many processes there are.

    [row for rows in mapped(index.find, batches) for row in rows]
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from factory.errors import DataError

B = TypeVar("B")
R = TypeVar("R")

FEWEST = 20  # batches for which further processes are started: they take a second
_held: Callable[[Any], Any] | None = None


def mapped(function: Callable[[B], R], batches: Sequence[B], processes: int | None = None) -> Iterator[R]:
    """`function` and its results travel between processes by pickle. `processes`: None for one a core, and for one where there is little to
    do. Raises DataError when one of them is killed."""
    if processes is None:
        processes = len(os.sched_getaffinity(0)) if len(batches) >= FEWEST else 1
    if processes == 1:
        yield from map(function, batches)
        return
    context = multiprocessing.get_context("spawn")  # this process may have threads, which a fork would copy half
    with ProcessPoolExecutor(processes, context, _hold, (function,)) as pool:
        try:
            yield from pool.map(_call, batches)
        except BrokenProcessPool as error:
            raise DataError("a process of this stage was ended from outside, most often for want of memory: run it again") from error


def _hold(function: Callable[[Any], Any]) -> None:
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
