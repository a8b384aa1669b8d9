"""Functions over batches in several processes: results in the order of the batches, none for little work, a killed one is said."""

import os
import signal
import time

import pytest

from factory.errors import DataError
from factory.processes import FEWEST_GROUPS, mapped, workers


def squared(number: int) -> int:
    time.sleep(0.02 / (number + 1))  # later batches are done sooner
    return number * number


def in_process(number: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def failing(number: int) -> int:
    raise DataError(f"batch {number} is bad")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.slow
def test_results_come_in_the_order_of_the_batches(processes: int) -> None:
    with workers(processes) as each:
        assert list(each(squared, range(9))) == [number * number for number in range(9)]
        assert list(each(squared, [3])) == [9]


@pytest.mark.slow
def test_the_same_processes_serve_several_functions_and_few_batches_start_none() -> None:
    with workers() as each:
        assert set(each(in_process, range(FEWEST_GROUPS - 1))) == {os.getpid()}
        first = set(each(in_process, range(20)))
        assert set(each(in_process, range(2))) <= first
        assert (os.getpid() in first) == (len(os.sched_getaffinity(0)) == 1)


ENDED = "a process of this stage was ended from outside"


@pytest.mark.slow
def test_a_killed_process_is_an_error_of_one_line() -> None:
    with pytest.raises(DataError, match=ENDED):
        list(mapped(killed, range(3), 2))
    with pytest.raises(DataError, match=ENDED), workers(2) as each:
        list(each(killed, range(3)))


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_batch_is_the_stages_own(processes: int) -> None:
    with pytest.raises(DataError, match="batch 0 is bad"), workers(processes) as each:
        list(each(failing, range(5)))
