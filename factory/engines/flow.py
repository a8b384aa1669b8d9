"""Many small pieces of work at once, each written as if it were alone.

    def opinion(problem: Problem) -> Flow[str]:
        (draft,) = yield Ask(generator, [Request(…)])
        (remark,) = yield Ask(critic, [Request(… draft.text …)])
        return remark.text

    run([opinion(problem) for problem in problems], "opinions")    → ["…", …], in order

A flow goes on as soon as its own answers have landed, so that critics work while the generator is still busy and no step waits for a
batch. What services run in this process gets its turns here; what runs elsewhere is waited for.

    for place, remark in streamed(flows, "opinions"): …             # as they end: neither flows nor what they return are all in memory
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from factory.engines.progress import Meter

Answer = TypeVar("Answer")
Deliver = Callable[[int, Any], None]  # (place in the submitted items, answer); from any thread

WINDOW = 8192  # flows under way at once: bounds the memory of a long line of them
PATIENCE = 1.0  # seconds without an answer after which services are asked whether they still live


class Service(Protocol):
    """What a flow may ask: an engine or a scorer behind the store."""

    def submit(self, items: Sequence[Any], deliver: Deliver) -> None: ...

    def work(self) -> bool:
        """A part of what is under way, in this thread. False: nothing to do here."""
        ...


@dataclass(frozen=True)
class Ask:
    """What a flow yields; it is sent one answer an item, in order."""

    service: Service
    items: Sequence[Any]


Flow = Generator[Ask, list[Any], Answer]


@dataclass(eq=False)
class _Task:
    place: int
    flow: Flow[Any]
    answers: list[Any] = field(default_factory=list)
    missing: int = 0


def run(flows: Iterable[Flow[Answer]], title: str, window: int = WINDOW) -> list[Answer]:
    """What each flow returns, in order. An exception of a flow or a service ends all of them; what had landed is stored."""
    results = dict(streamed(flows, title, window))
    return [results[place] for place in range(len(results))]


def streamed(
    flows: Iterable[Flow[Answer]], title: str, window: int = WINDOW, *, items: int = 1, total: int | None = None
) -> Iterator[tuple[int, Answer]]:
    """(place of a flow, what it returns), in the order in which they end. `items`: how many a flow asks at once, where that is known: then
    `window` counts items. `total`: items of all flows, for the meter."""
    with Meter(title, total) as meter:
        yield from _Loop(enumerate(flows), meter, window, items).run()


class _Loop:
    def __init__(self, flows: Iterator[tuple[int, Flow[Any]]], meter: Meter, window: int, items: int) -> None:
        self.coming, self.meter, self.items = flows, meter, items
        self.window = max(1, window // items)  # flows
        self.inbox: SimpleQueue[tuple[_Task, int, Any]] = SimpleQueue()
        self.services: dict[int, Service] = {}
        self.ended: list[tuple[int, Any]] = []
        self.open, self.ending = 0, False  # flows under way; whether no other is to come

    def run(self) -> Iterator[tuple[int, Any]]:
        ready: list[tuple[_Task, list[Any]]] = []
        while True:
            fresh = [_Task(place, flow) for place, flow in islice(self.coming, self.window - self.open)]
            self.open += len(fresh)
            self.ending = self.ending or self.open < self.window
            moving = [*ready, *((task, []) for task in fresh)]
            self._advance(moving)
            ended, self.ended = self.ended, []
            yield from ended
            if not moving and not self.open:
                return
            ready = self._wait() if self.open and not self._widened() else []

    def _widened(self) -> bool:
        """Whether a service that flows have just asked wants more of them at once."""
        wanted = max((getattr(one, "window", 0) for one in self.services.values()), default=0)
        before, self.window = self.window, max(self.window, wanted // self.items)
        return self.window > before

    def _advance(self, ready: list[tuple[_Task, list[Any]]]) -> None:
        """Let every ready flow run to its next question; ask each service once for all of them."""
        asked: dict[int, list[tuple[_Task, int, Any]]] = {}
        for task, answers in ready:
            try:
                ask = task.flow.send(answers) if answers else next(task.flow)
                while not ask.items:
                    ask = task.flow.send([])
            except StopIteration as end:
                self.ended.append((task.place, end.value))
                self.open -= 1
                continue
            self.services[id(ask.service)] = ask.service
            task.answers, task.missing = [None] * len(ask.items), len(ask.items)
            asked.setdefault(id(ask.service), []).extend((task, slot, item) for slot, item in enumerate(ask.items))
        for known in self.services.values():
            if hasattr(known, "ending"):
                known.ending = self.ending
        for service, tickets in asked.items():
            self.meter.expect(len(tickets))
            self.services[service].submit([item for _, _, item in tickets], self._deliver_to(tickets))

    def _deliver_to(self, tickets: list[tuple[_Task, int, Any]]) -> Deliver:
        def deliver(place: int, answer: Any) -> None:
            task, slot, _ = tickets[place]
            self.inbox.put((task, slot, answer))

        return deliver

    def _wait(self) -> list[tuple[_Task, list[Any]]]:
        """Work here, or wait for what works elsewhere, until something has landed; the tasks that have all their answers."""
        while self.inbox.empty():
            worked = [service.work() for service in self.services.values()]  # each gets its turn
            if not any(worked):
                with suppress(Empty):
                    return self._land(self.inbox.get(timeout=PATIENCE))
        return self._land(self.inbox.get())

    def _land(self, first: tuple[_Task, int, Any]) -> list[tuple[_Task, list[Any]]]:
        done = []
        for task, slot, answer in chain([first], self._landed()):
            task.answers[slot] = answer
            task.missing -= 1
            self.meter.advance(1, getattr(answer, "tokens", 0))
            if not task.missing:
                done.append((task, task.answers))
        return done

    def _landed(self) -> Iterator[tuple[_Task, int, Any]]:
        while not self.inbox.empty():
            yield self.inbox.get()
