"""A pool of servers that serve the same model: requests go to the server with the fewest under way, one thread runs them all.

    engine.submit({"9f0c…": Request(prompt="Tom has 3 apples. …", …)}, landed)     # returns at once
    landed({"9f0c…": Completion(text="3 + 4 = 7\\n", …), "77ab…": …})              # later, in the pool's thread

Servers are first contacted at the first `submit`. What lands in one turn of the loop is handed over in one call, so that the store commits
once; the places of these requests are free again when it has returned. What a failure means is the table in server.py.
"""

import asyncio
import contextlib
import os
import random
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from factory.engines.bodies import Failed, Refused
from factory.engines.dialect import lineage
from factory.engines.protocol import hand_over
from factory.engines.server import PROBE, Dropped, Server
from factory.errors import EngineError
from factory.params import Requests, Role

Item = TypeVar("Item")
Answer = TypeVar("Answer")

BACKOFF, BACKOFF_MOST = 0.5, 30.0  # seconds: the wait before the n-th retry is drawn from [0, min(most, first · 2^(n-1))]
FIRST_PATIENCE = 10.0  # seconds without any server before the first of them has answered
PATIENCE = 300.0  # seconds without any server after that: a large model takes minutes to start again
PAUSE, PAUSE_MOST = 1.0, 30.0  # seconds until a server that is down is asked again: first, and after doubling
STRIKES = 5
FREE = 5  # times that a request loses no attempt to a server that went down: a prompt that kills servers must not go round for ever
ROUNDS = 8  # of requests: with fewer than these to come, a slow server may get none
MANY, TOGETHER = 256, 0.02  # with more requests than that under way, answers of so many seconds share a commit
AHEAD = 2  # requests that it wants to know of, in multiples of those that its servers get at once
KEEP_ALIVE = 4.0  # seconds: less than uvicorn's 5, so that no request meets a connection that is just being closed


@dataclass(eq=False, slots=True)
class _Job(Generic[Item, Answer]):
    key: str
    item: Item
    landed: Callable[[Mapping[str, Answer]], None]
    attempts: int = 0  # that failed
    free: int = 0
    last: Server | None = None  # where it failed: others first


class Servers(ABC, Generic[Item, Answer]):
    """Requests of one role, of whatever kind: subclasses say how one is asked and read."""

    def __init__(self, role: Role, settings: Requests) -> None:
        """Raises EngineError when the role does not say which model, which version of it, or where."""
        self.name, _, version = role.model.rpartition("@")
        if not self.name or not version:
            raise EngineError(
                f"{role.model}: a server's model is written name@version, the version being yours to choose: it is part of every request's"
                " key, so that answers of another model are not taken for this one's; change it when the server's model changes"
            )
        self.role, self.model, self.settings, self.key_name = role, lineage(role), settings, role.api_key_env
        key = os.environ.get(role.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise EngineError(f"the environment variable {role.api_key_env} holds no key: expected printable ASCII on one line")
        self.servers = [Server(url, role.concurrency, key, role.api_key_env) for url in _urls(role)]
        self.waiting: deque[_Job[Item, Answer]] = deque()
        self.done: list[tuple[_Job[Item, Answer], Answer, Server]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.over, self.fresh = asyncio.Event(), asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.reached, self.silent_since = False, 0.0
        self.window = AHEAD * len(self.servers) * role.concurrency
        self.ending = True  # whether all that is to be asked has been submitted; a loop of flows says so (flow.py)
        self.closed = False

    @abstractmethod
    async def ask(self, item: Item, server: Server) -> Answer:
        """Raises Refused, Failed, Dropped or EngineError."""

    @abstractmethod
    def failed(self, reason: str) -> Answer:
        """What a request that cannot be answered gets."""

    def submit(self, items: Mapping[str, Item], landed: Callable[[Mapping[str, Answer]], None]) -> None:
        assert not self.closed, f"{self.model} is closed"
        if self.error:
            raise self.error
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            self.thread = threading.Thread(target=self._run, args=(self.loop,), name=f"servers of {self.name}", daemon=True)
            self.thread.start()
        with contextlib.suppress(RuntimeError):  # the loop has just ended with an error: `work` raises it
            self.loop.call_soon_threadsafe(self._accept, [_Job(key, item, landed) for key, item in items.items()])

    def work(self) -> bool:
        if self.error:
            raise self.error
        return False

    def close(self) -> None:
        self.closed = True
        if self.loop is not None and self.thread is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self.loop.call_soon_threadsafe(self.over.set)
            self.thread.join()

    # From here on everything runs in the thread.

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._watch())

    async def _watch(self) -> None:
        main = asyncio.create_task(self._main())
        await asyncio.wait([main])
        self._ended(main)

    async def _main(self) -> None:
        import aiohttp

        headers = {"Authorization": f"Bearer {self.servers[0].key}"} if self.servers[0].key else {}
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)
        async with aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
            self.silent_since = time.monotonic()
            self._spawn(self._land())
            for server in self.servers:
                server.session = session
                self._spawn(self._revive(server, 0.0))
            self._begin()
            await self.over.wait()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            if not self.error:
                self._hand_done()

    def _begin(self) -> None:
        """What else is to run in the loop."""

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Whatever a task raises ends the engine: nothing may wait for it for ever."""
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.error = self.error or error
            self.over.set()

    def _accept(self, jobs: list[_Job[Item, Answer]]) -> None:
        self.waiting.extend(jobs)
        self._start()

    def _start(self) -> None:
        while self.waiting and not self.over.is_set():
            open_ = [server for server in self.servers if server.has_room()]
            if self.ending and len(self.waiting) < ROUNDS * len(self.servers) * self.role.concurrency:
                open_ = [server for server in open_ if not self._too_slow(server)]
            if not open_:
                return
            job = self.waiting.popleft()
            server = min(open_, key=lambda one: (one is job.last, one.busy))
            server.busy += 1
            self._spawn(self._attempt(job, server))

    def _too_slow(self, server: Server) -> bool:
        """Whether faster servers will have answered all that waits before this one has answered what may be a long one: at the end of a
        stage a slow server would keep everybody waiting. (To ask two of them for one answer would be paid twice.)"""
        now, longest, rate = time.monotonic(), 0.0, 0.0
        for one in self.servers:
            if one.live and one.rests_until <= now and 0.0 < one.longest < server.longest:
                longest, rate = max(longest, one.longest), rate + one.room / one.seconds
        return bool(rate) and len(self.waiting) / rate + longest < server.longest

    async def _attempt(self, job: _Job[Item, Answer], server: Server) -> None:
        began = time.monotonic()
        try:
            answer = await self.ask(job.item, server)
        except Refused as error:
            answer = self.failed(str(error))
        except (Failed, Dropped) as error:
            await self._blame(server, error)
            if isinstance(error, Dropped) and not server.live and job.free < FREE:
                job.free += 1
                return self._again(job, server, 0.0)
            job.attempts += 1
            if job.attempts > self.settings.retries:
                plural = "s" if job.attempts > 1 else ""
                return self._put(job, self.failed(f"{error}; given up after {job.attempts} attempt{plural}"), server)
            backoff = random.uniform(0, min(BACKOFF_MOST, BACKOFF * 2 ** (job.attempts - 1)))
            return self._again(job, server, backoff)
        server.answered(time.monotonic() - began)
        self._put(job, answer, server)

    async def _blame(self, server: Server, error: Failed | Dropped) -> None:
        """What a failed attempt means for its server."""
        if isinstance(error, Dropped):
            self._strike(server, str(error), lives=error.reached and await self._alive(server))
            return
        if error.ill:
            self._strike(server, str(error), lives=True)
        if error.wait is not None:
            server.rests_until = max(server.rests_until, time.monotonic() + error.wait)
            asyncio.get_running_loop().call_later(error.wait + 0.001, self._start)

    def _again(self, job: _Job[Item, Answer], server: Server, delay: float) -> None:
        server.busy -= 1
        job.last = server
        asyncio.get_running_loop().call_later(delay, self._rejoin, job)
        self._start()

    def _rejoin(self, job: _Job[Item, Answer]) -> None:
        self.waiting.appendleft(job)
        self._start()

    def _put(self, job: _Job[Item, Answer], answer: Answer, server: Server) -> None:
        self.done.append((job, answer, server))
        self.fresh.set()

    async def _land(self) -> None:
        """Hand over what has been answered; then its places are free."""
        while True:
            await self.fresh.wait()
            if sum(server.busy for server in self.servers) > MANY:
                await asyncio.sleep(TOGETHER)
            self.fresh.clear()
            self._hand_done()
            self._start()

    def _hand_done(self) -> None:
        batch, self.done = self.done, []
        hand_over((job.landed, job.key, answer) for job, answer, _ in batch)
        for _, _, server in batch:
            server.busy -= 1

    async def _alive(self, server: Server) -> bool:
        """Whether a server that has just dropped a connection answers at all; asked once for all who want to know."""
        if not server.live:
            return False
        if server.probe is None or server.probe.done():
            server.probe = asyncio.create_task(self._contact(server, PROBE))
            self.tasks.add(server.probe)  # type: ignore[arg-type]
            server.probe.add_done_callback(self._ended)  # type: ignore[arg-type]
        return await server.probe

    async def _contact(self, server: Server, seconds: float) -> bool:
        """Raises EngineError when it refuses the key or serves another model."""
        try:
            await server.contact(self.role.listed_as or self.name, seconds)
        except (Failed, Dropped) as error:
            server.problem = str(error)
            return False
        return True

    def _strike(self, server: Server, reason: str, lives: bool) -> None:
        server.strikes += 1
        if server.live and (not lives or server.strikes >= STRIKES or server.probation):
            server.live, server.problem = False, reason
            if not any(one.live for one in self.servers):
                self.silent_since = time.monotonic()
                self._say(f"no server answers ({server.url}: {reason}); waiting for one, {PATIENCE:g} s at most")
            self._spawn(self._revive(server, min(PAUSE_MOST, PAUSE * 2**server.outages)))
            server.outages += 1

    def _say(self, what: str) -> None:
        """Nothing else tells a user why nothing moves."""
        print(f"{self.name}: {what}", file=sys.stderr, flush=True)

    async def _revive(self, server: Server, pause: float) -> None:
        """Ask a server that is down until it answers. Raises EngineError when all have been down for too long."""
        known = self.reached
        while True:
            patience = PATIENCE if self.reached else FIRST_PATIENCE
            left = self.silent_since + patience - time.monotonic()
            silent = not any(one.live for one in self.servers)
            await asyncio.sleep(min(pause, max(left, 0.0)) if silent else pause)
            if await self._contact(server, min(PROBE, max(left - pause, 0.5)) if silent else PROBE):
                break
            if not any(one.live for one in self.servers) and time.monotonic() >= self.silent_since + patience:
                raise EngineError(
                    "; ".join(f"server {one.url} unreachable: {one.problem}" for one in self.servers)
                    + f" (for {patience:g} s): start it, or correct base_url of the role whose model is {self.model} (roles in params.yaml)"
                )
            pause = min(PAUSE_MOST, max(pause * 2, PAUSE / 2)) if self.reached else PAUSE / 2
        if known and silent:
            self._say(f"{server.url} answers again")
        server.live, self.reached = True, True
        server.probation, server.strikes = known, 0
        self._start()


def _urls(role: Role) -> list[str]:
    """Raises EngineError for none, or for one that is no plain address. Such a one may hold a key: no message shows it."""
    if not role.urls and role.base_url_env:
        raise EngineError(
            f"{role.model}: the environment variable {role.base_url_env} holds no address of a server: set it, http://host:8000/v1 …"
        )
    if not role.urls:
        raise EngineError(f"{role.model}: the role has the engine openai and no base_url: write where its server is, http://host:8000/v1")
    for url in role.urls:
        try:
            parts = urlsplit(url)
            plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not (parts.query or parts.fragment)
        except ValueError:  # [ without ], or a port that is none
            raise _no_address(role) from None
        if parts.path.rstrip("/").endswith(("/completions", "/models")):
            raise EngineError(
                f"{role.model}: base_url ends in {parts.path.rstrip('/').rpartition('/')[2]}: write what stands before it, …/v1"
            )
        if parts.username is not None or parts.password is not None:
            raise EngineError(f"{role.model}: base_url holds a user or a password: put the key into the environment ({role.api_key_env})")
        if not plain:
            raise _no_address(role)
    return list(dict.fromkeys(url.rstrip("/") for url in role.urls))


def _no_address(role: Role) -> EngineError:
    return EngineError(f"{role.model}: a base_url of this role is malformed: expected an address such as http://host:8000/v1, no query")
