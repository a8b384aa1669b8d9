"""Flows: each goes on as soon as its own answers have landed; services in this process get turns, others are waited for."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from factory.engines.flow import Ask, Deliver, Flow, run, streamed
from factory.errors import EngineError


class Doubler:
    """Answers `most` items a turn, the last asked first."""

    def __init__(self, most: int = 1) -> None:
        self.most, self.pending, self.turns = most, [], []

    def submit(self, items: Sequence[int], deliver: Deliver) -> None:
        self.pending += [(item, deliver, place) for place, item in enumerate(items)]

    def work(self) -> bool:
        batch, self.pending = self.pending[-self.most :], self.pending[: -self.most]
        self.turns.append([item for item, _, _ in batch])
        for item, deliver, place in batch:
            deliver(place, 2 * item)
        return bool(batch)


class Elsewhere:
    """Answers from a thread of its own, `delay` seconds after it was asked."""

    def __init__(self, delay: float) -> None:
        self.delay, self.asked, self.answered = delay, [], []

    def submit(self, items: Sequence[str], deliver: Deliver) -> None:
        self.asked += [(time.monotonic(), item) for item in items]
        threading.Timer(self.delay, self._answer, (items, deliver)).start()

    def _answer(self, items: Sequence[str], deliver: Deliver) -> None:
        for place, item in enumerate(items):
            self.answered.append((time.monotonic(), item))
            deliver(place, item.upper())

    def work(self) -> bool:
        return False


def adding(service: Doubler, numbers: list[int], rounds: int) -> Flow[int]:
    total = 0
    for _ in range(rounds):
        total += sum((yield Ask(service, numbers)))
    return total


@pytest.mark.parametrize(("window", "wanted", "most"), [(3, 0, 3), (7, 0, 6), (1, 0, 3), (3, 12, 12)])
def test_flows_are_told_of_as_they_end_and_few_are_open(window: int, wanted: int, most: int) -> None:
    """`window` counts what they ask at once; a service may want more (`wanted`)."""
    service, begun, ended = Doubler(99), [], []
    service.window = wanted

    def one(number: int) -> Flow[int]:
        begun.append(number)
        assert 3 * (len(begun) - len(ended)) <= most
        return sum((yield Ask(service, [number] * 3)))

    for place, total in streamed((one(number) for number in range(20)), "sums", window, items=3, total=60):
        assert total == 6 * place
        ended.append(place)
    assert sorted(ended) == begun == list(range(20))
    assert max(map(len, service.turns)) == most


def test_results_in_order_whatever_lands_first() -> None:
    service = Doubler()
    assert run([adding(service, [1, 2], 1), adding(service, [10], 2), adding(service, [], 3)], "sums") == [6, 40, 0]
    assert run([], "nothing") == []


def test_questions_of_many_flows_are_one_submission() -> None:
    service = Doubler(most=100)
    assert run((adding(service, [number], 2) for number in range(50)), "sums") == [4 * number for number in range(50)]
    assert [len(turn) for turn in service.turns] == [50, 50]


def test_no_more_flows_are_under_way_than_the_window_holds() -> None:
    started = []

    def flow(number: int) -> Flow[int]:
        started.append(number)
        (answer,) = yield Ask(service, [number])
        return answer

    class Counting(Doubler):
        def work(self) -> bool:
            assert len(started) - len([item for turn in self.turns for item in turn]) <= 3
            return super().work()

    service = Counting()
    assert run((flow(number) for number in range(20)), "numbers", window=3) == [2 * number for number in range(20)]


def test_a_full_window_that_ends_at_once_is_not_the_end() -> None:
    service = Doubler(most=4)
    assert run((adding(service, [number], 1) for number in range(10)), "sums", window=4) == [2 * number for number in range(10)]


@pytest.mark.slow
def test_a_critic_starts_while_the_generator_is_still_busy() -> None:
    generator, critic = Elsewhere(0.05), Elsewhere(0.01)
    slow = Elsewhere(0.4)

    def flow(first: Elsewhere, name: str) -> Flow[str]:
        (draft,) = yield Ask(first, [name])
        (remark,) = yield Ask(critic, [draft])
        return remark

    assert run([flow(generator, "quick"), flow(slow, "slow")], "remarks") == ["QUICK", "SLOW"]
    asked = {item: moment for moment, item in critic.asked}
    assert asked["QUICK"] < slow.answered[0][0] < asked["SLOW"]


@pytest.mark.slow
def test_work_here_goes_on_while_others_are_waited_for() -> None:
    here, there = Doubler(), Elsewhere(0.2)

    def remote() -> Flow[str]:
        (answer,) = yield Ask(there, ["a"])
        return answer

    started = time.monotonic()
    assert run([remote(), adding(here, [1] * 30, 1)], "both") == ["A", 60]
    assert len(here.turns) >= 30
    assert time.monotonic() - started < 5, "thirty turns of 0.2 s are 6 s"


@pytest.mark.slow
def test_a_service_that_cannot_go_on_ends_the_run() -> None:
    class Dead(Elsewhere):
        def work(self) -> bool:
            if time.monotonic() - started > 0.1:
                raise EngineError("the server is gone")
            return False

    started, dead = time.monotonic(), Dead(60)

    def flow() -> Flow[str]:
        (answer,) = yield Ask(dead, ["a"])
        return answer

    dead._answer = lambda items, deliver: None
    with pytest.raises(EngineError, match="the server is gone"):
        run([flow()], "flows")
    assert time.monotonic() - started < 30


def test_an_exception_of_a_flow_ends_the_run() -> None:
    def flow() -> Iterator[Ask]:
        yield Ask(Doubler(), [1])
        raise ValueError("no such answer")

    with pytest.raises(ValueError, match="no such answer"):
        run([flow()], "flows")
