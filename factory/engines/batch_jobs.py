"""Requests to a provider's batch interface, from when they are asked to when they are answered: which wait for the next batch, which for
one that is under way.

    jobs = Jobs(book)
    jobs.add(given)                             # one that is there already gets a second who waits for it
    jobs.attach()                               → ["5b1c…"], batches of an earlier run that have some of them
    jobs.under["5b1c…"]["9f0c…"]                → Job("9f0c…", Request(…), attempts=0)
    jobs.hand([(job, completion)], "5b1c…")     # to who asked, into the store, out of the book: they are no jobs any more
    jobs.again("5b1c…", {"77ab…": job})         # for the next batch
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from factory.engines.batch_book import BatchBook
from factory.engines.protocol import Completion, Landed, Request, hand_over

UNRUN = 5  # times that a request loses no attempt to a batch that did not run it


@dataclass(eq=False, slots=True)
class Job:
    """`sinks`: several where two roles of one model ask the same at once."""

    key: str
    item: Request
    sinks: list[Landed]
    attempts: int = 0
    unrun: int = 0

    @property
    def batches(self) -> int:
        """That it was in, of those that have ended."""
        return self.attempts + self.unrun

    def failed(self, unrun: bool, retries: int) -> bool:
        """Count a batch that gave no answer; whether the next one may. `unrun`: that one expired or was cancelled before this request."""
        if unrun and self.unrun < UNRUN:
            self.unrun += 1
            return True
        self.attempts += 1
        return self.attempts <= retries


class Jobs:
    """`queue`: for the next batch. `held`: request → tag of a batch of an earlier run; `under`: tag → requests of this run that wait for
    it, by key."""

    def __init__(self, book: BatchBook) -> None:
        self.book = book
        self.queue: deque[Job] = deque()
        self.held: dict[str, str] = {}
        self.under: dict[str, dict[str, Job]] = {}
        self._all: dict[str, Job] = {}  # that have no answer yet

    def add(self, key: str, item: Request, landed: Landed) -> None:
        if key in self._all:
            self._all[key].sinks.append(landed)
        else:
            self._all[key] = job = Job(key, item, [landed])
            self.queue.append(job)

    def attach(self) -> list[str]:
        """Requests that are in a batch of an earlier run wait for it. Returns the batches of which this is new."""
        jobs, self.queue = self.queue, deque()
        found = []
        for job in jobs:
            if (tag := self.held.get(job.key)) is None:
                self.queue.append(job)
            else:
                if tag not in self.under:
                    found.append(tag)
                self.under.setdefault(tag, {})[job.key] = job
        return found

    def lost(self, tag: str) -> dict[str, Job]:
        """A batch of an earlier run that the provider never got: its requests here."""
        self.held = {key: held for key, held in self.held.items() if held != tag}
        return self.under.pop(tag)

    def hand(self, answers: Sequence[tuple[Job, Completion]], tag: str | None = None) -> None:
        """Into the store, out of the book, on to who asked: in this order."""
        hand_over((sink, job.key, answer) for job, answer in answers for sink in job.sinks)
        for job, _ in answers:
            del self._all[job.key]
            self.held.pop(job.key, None)
        if tag and answers:
            self.book.done(tag, [job.key for job, _ in answers])

    def again(self, tag: str, jobs: Mapping[str, Job]) -> None:
        """They go into the next batch."""
        self.book.done(tag, jobs)
        for key in jobs:
            self.held.pop(key, None)
        self.queue.extend(jobs.values())
