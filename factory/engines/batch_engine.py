"""A provider's batch interface: the same requests for half the price, within a day. A mode of the engine openai.

    critic: {engine: openai, model: o3@2025-04, base_url: https://api.openai.com/v1, price: {input: 2.0, output: 8.0}, batch: {price: 0.5}}

Requests are gathered until none has come for `gather` seconds, or a batch is full; written to a file, uploaded, and begun as a batch, whose
name stands in the request store before it is waited for (batch_book.py). It is asked for its state every `poll` seconds; what it has
answered is read from its files, stored, and handed on. Keys are those of a server that is asked directly, so that each finds the other's
answers. Killed at any moment and run again, a stage waits for the batches that it has; none is submitted twice.

What comes back                                   what is done
------------------------------------------------  ----------------------------------------------------------------------------------------
an answer                                         stored
a line with an HTTP status, an error              as server.py does with the same of a request: failed at once, or in the next batch,
                                                  `requests.retries` times
a line that expired or was cancelled, or none in  in the next batch; no attempt is lost the first UNRUN times
a batch that did
no line for a request of a completed batch        in the next batch, as a failed attempt
a line of another request, a second line          passed over
a batch that fails its validation at some lines   those requests fail, the others go into the next batch
a batch beyond the provider's queue               half as many in the next ones, after another has ended or `poll` seconds
a batch that fails otherwise                      EngineError with the provider's words
429, 5xx, no connection                           asked again after a growing pause (batch_provider.py)
a lost answer to the submission itself            looked for in the list of batches before it is submitted again
404 for a batch or its files                      EngineError: another account's key? `factory requests batches --forget`
404, 405, 501 for the interface; a vLLM server    EngineError: leave `batch` out
"""

import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from factory.engines.batch_book import Batch, BatchBook, forget
from factory.engines.batch_jobs import Job, Jobs
from factory.engines.batch_lines import Line, chunked, lines, request_line
from factory.engines.batch_provider import Provider
from factory.engines.bodies import Failed, Refused, words
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Completion, Request
from factory.engines.server import SECRET
from factory.engines.store import Store
from factory.errors import EngineError
from factory.params import Requests, Role

EVERY = 60.0  # seconds between lines about a batch that is waited for
COMMIT = 512  # answers of one commit
BATCHES = 4  # that are full and under way while more is asked
ENDED = ("completed", "failed", "expired", "cancelled")
FULL_QUEUE = ("token_limit_exceeded", "request_limit_exceeded", "rate_limit_exceeded", "too_many_requests")

Waiting = dict[str, Job]  # for one batch, by key


class BatchEngine(OpenAIEngine):
    """`window`: flows that a loop lets run at once (flow.py), so that batches are full."""

    def __init__(self, role: Role, settings: Requests, store: Store, stage: str) -> None:
        """Raises EngineError for a role with several addresses."""
        super().__init__(role, settings)
        assert role.batch, "a role without batch has the engine of openai_engine.py"
        if len(self.servers) != 1:
            raise EngineError(f"{role.model}: a batch goes to one provider, and base_url names {len(self.servers)}: name one")
        self.batch, self.server, self.stage = role.batch, self.servers[0], stage
        self.provider = Provider(self.server, self.model, role.batch.window, settings.timeout)
        self.book = BatchBook(store, self.model, self.server.url)
        self.most, self.window = role.batch.requests, BATCHES * role.batch.requests
        self.jobs = Jobs(self.book)
        self.came, self.awake, self.ended = 0.0, asyncio.Event(), asyncio.Event()

    def close(self) -> None:
        super().close()
        if left := sum(map(len, self.jobs.under.values())):
            batches = f"{len(self.jobs.under)} batch{'es' if len(self.jobs.under) > 1 else ''}"
            self._say(f"{batches} with {left:,} requests may go on at {self.server.url}: the next run fetches the answers")

    # In the loop

    def _begin(self) -> None:
        self._spawn(self._drive())

    def _accept(self, jobs: Sequence[Any]) -> None:
        for given in jobs:
            self.jobs.add(given.key, given.item, given.landed)
        self._start()

    def _start(self) -> None:
        """Requests have come, or the server is there."""
        self.came = time.monotonic()
        self.awake.set()

    async def _drive(self) -> None:
        """Raises EngineError for a server that has no batches."""
        while not (self.server.live and self.jobs.queue):
            await self._woken()
        if self.server.vllm:
            raise EngineError(
                f"server {self.server.url} is vLLM, which has no batch interface: leave batch out of the role whose model is {self.model}"
            )
        known = {batch.tag: batch for batch in self.book.open()}
        self.jobs.held = self.book.held()
        while True:
            while not self.jobs.queue:
                await self._woken()
            for tag in self.jobs.attach():
                self._spawn(self._adopt(known[tag]))
            if len(self.jobs.queue) < self.most and (quiet := self.came + self.batch.gather - time.monotonic()) > 0:
                await asyncio.sleep(quiet)
            elif self.jobs.queue:
                await self._send()

    async def _woken(self) -> None:
        await self.awake.wait()
        self.awake.clear()

    async def _adopt(self, batch: Batch) -> None:
        if name := batch.name or await self.provider.find(batch.tag, batch.begun_at):
            self.book.submitted(batch.tag, name)
            return await self._follow(batch.tag, name, batch.begun_at)
        forget(self.book.store, batch.tag)  # a kill came before it was submitted
        self._next(batch.tag, self.jobs.lost(batch.tag))

    async def _send(self) -> None:
        """The next requests as one batch, which is then followed."""
        with tempfile.TemporaryDirectory() as folder:
            path, tag, begun = Path(folder) / "requests.jsonl", uuid.uuid4().hex, time.time()
            jobs, endpoint = await self._write(path)
            if not jobs:
                return
            self.book.begin(tag, self.stage, list(jobs))
            self.jobs.under[tag], size = jobs, path.stat().st_size
            try:
                name = await self.provider.create(tag, await self.provider.upload(path), endpoint, begun)
            except EngineError:
                if self.provider.refused:
                    forget(self.book.store, tag)
                    del self.jobs.under[tag]
                raise
        self.book.submitted(tag, name)
        self._say(f"batch {name} of {len(jobs):,} requests ({size / 1e6:.1f} MB) is submitted, to be answered within {self.batch.window}")
        self._spawn(self._follow(tag, name, begun))

    async def _write(self, path: Path) -> tuple[Waiting, str]:
        """The next requests of one endpoint that fit into a batch, and the endpoint. Those that cannot be asked fail at once."""
        jobs: Waiting = {}
        queue, later = self.jobs.queue, list[Job]()
        endpoint, size = "", 0
        with path.open("wb") as stream:
            while queue and len(jobs) < self.most:
                job = queue.popleft()
                try:
                    target, document = await self.put(job.item, self.server)
                except Refused as error:
                    self.jobs.hand([(job, self.failed(str(error)))])
                    continue
                line = request_line(job.key, target, document)
                if target != (endpoint or target):
                    later.append(job)
                    continue
                if jobs and size + len(line) > self.batch.megabytes * 1e6:
                    queue.appendleft(job)
                    break
                stream.write(line)
                jobs[job.key], endpoint, size = job, target, size + len(line)
                if len(jobs) % COMMIT == 0:
                    await asyncio.sleep(0)
        queue.extendleft(reversed(later))
        return jobs, endpoint

    async def _follow(self, tag: str, name: str, begun: float) -> None:
        """Wait for a batch, and hand over what it answered. Raises EngineError for a key or a field that is refused."""
        said, state = time.monotonic(), await self.provider.state(name)
        while state["status"] not in ENDED:
            if time.monotonic() - said >= EVERY:
                said, count = time.monotonic(), state.get("request_counts") or {}
                hours, minutes = divmod(int(time.time() - begun) // 60, 60)
                done = f"{count.get('completed') or 0:,} of {count.get('total') or len(self.jobs.under[tag]):,} answered"
                self._say(f"batch {name}: {done}, {state['status']} for {hours} h {minutes:02d} min")
            await asyncio.sleep(self.batch.poll)
            state = await self.provider.state(name)
        jobs, fault = self.jobs.under.pop(tag), None  # who comes now, comes too late for this reading of it
        with tempfile.TemporaryDirectory() as folder:
            for field in ("output_file_id", "error_file_id"):  # answers first: they prove that this server takes such requests
                if file := state.get(field):
                    await self.provider.download(file, Path(folder) / field)
                    for chunk in chunked(lines(Path(folder) / field), COMMIT):
                        fault = await self._read_lines(tag, jobs, chunk) or fault
                        await asyncio.sleep(0)
        if fault:
            raise fault
        if state["status"] == "failed" and jobs:
            await self._invalid(tag, jobs, state)
        self._rest(tag, jobs, state["status"])
        self.ended.set()

    async def _read_lines(self, tag: str, jobs: Waiting, found: Sequence[Line]) -> EngineError | None:
        """Store and hand over what has been answered or refused; what may yet be answered waits for the next batch."""
        answers: list[tuple[Job, Completion]] = []
        again: Waiting = {}
        fault = None
        for line in found:
            if (job := jobs.pop(line.key, None)) is None:
                continue
            try:
                answers.append((job, await self._answer(line, job.item)))
            except Refused as error:
                answers.append((job, self.failed(str(error))))
            except Failed as error:
                if job.failed(line.unrun, self.settings.retries):
                    again[job.key] = job
                else:
                    answers.append((job, self._given_up(job, str(error))))
            except EngineError as error:
                fault, again[job.key] = error, job
        self.jobs.hand(answers, tag)
        self._next(tag, again)
        return fault

    async def _answer(self, line: Line, item: Request) -> Completion:
        if line.status is None:
            raise Failed(f"{line.error}: {self.server.clean(words(orjson.loads(line.body)))}")
        key = self.server.key.encode()
        body = line.body.replace(key, b"[key]") if len(key) >= SECRET else line.body
        sent = {} if 200 <= line.status < 300 else (await self.put(item, self.server))[1]
        return self.read(self.server.judge(line.status, {}, body, sent), item, self.server)

    def _given_up(self, job: Job, reason: str) -> Completion:
        return self.failed(f"{reason}; given up after {job.batches} batches")

    def _rest(self, tag: str, jobs: Waiting, status: str) -> None:
        """Requests of which an ended batch says nothing."""
        gone: list[tuple[Job, Completion]] = []
        again: Waiting = {}
        for job in jobs.values():
            if status == "failed" or job.failed(status in ("expired", "cancelled"), self.settings.retries):
                again[job.key] = job
            else:
                gone.append((job, self._given_up(job, f"no line about it in a batch that is {status}")))
        self.jobs.hand(gone, tag)
        self._next(tag, again)

    async def _invalid(self, tag: str, jobs: Waiting, state: Mapping[str, Any]) -> None:
        """A batch that was not run at all. Raises EngineError where another one can be no better."""
        errors = [error for error in (state.get("errors") or {}).get("data") or () if isinstance(error, dict)]
        said = self.server.clean("; ".join(map(words, errors[:3]))) or "no reason given"
        if len(jobs) > 1 and any(error.get("code") in FULL_QUEUE for error in errors):
            self.most = max(1, len(jobs) // 2)
            self._say(f"the provider's queue is full ({said}): {self.most:,} requests a batch from here on")
            self.ended.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), self.batch.poll)
            return
        lines = self.book.lines(tag)
        wrong = {lines[error["line"]]: error for error in errors if error.get("line") in lines}
        if not wrong:
            forget(self.book.store, tag)
            raise EngineError(f"server {self.server.url} refuses a batch of {len(jobs):,} requests, none of which was run: {said}")
        self.jobs.hand([(jobs.pop(key), self.failed(self.server.clean(words(error)))) for key, error in wrong.items() if key in jobs], tag)

    def _next(self, tag: str, jobs: Waiting) -> None:
        """For the next batch."""
        if jobs:
            self.jobs.again(tag, jobs)
            self._start()

    def _say(self, line: str) -> None:
        print(f"{self.stage}: {self.model}: {line}", file=sys.stderr, flush=True)
