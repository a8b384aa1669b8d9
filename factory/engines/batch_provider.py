"""What a provider of batches is asked: an upload, a batch, its state, its files. OpenAI's /files and /batches, which others took over.

    file = await provider.upload(Path("requests.jsonl"))                                → "file-9a3"
    name = await provider.create("5b1c…", file, "/chat/completions", time.time())        → "batch_68a1"
    (await provider.state(name))["status"]                                              → "in_progress"

Every call goes on until it is answered: 429, 5xx and lost connections are asked again after a growing pause, for PATIENCE seconds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson

from factory.engines.bodies import Failed, Refused
from factory.engines.server import Dropped, Server
from factory.errors import EngineError

PAUSE, PAUSE_MOST = 1.0, 60.0  # seconds until the provider is asked again after a failure: first, and after doubling
PATIENCE = 3600.0  # seconds without any answer of it
TRANSFER = 1800.0  # seconds of an upload or a download
DAY = 86400.0

Said = TypeVar("Said")


class Provider:
    """Every method raises EngineError: where the provider has no batches, does not know what it is asked for, or answers nothing."""

    def __init__(self, server: Server, model: str, window: str, seconds: float) -> None:
        self.server, self.model, self.window, self.seconds = server, model, window, seconds
        self.refused = False  # the last request: nothing of it is at the provider

    async def upload(self, path: Path) -> str:
        """The provider's name of a file."""

        async def ask() -> str:
            import aiohttp

            with path.open("rb") as stream:
                form = aiohttp.FormData()
                form.add_field("purpose", "batch")
                form.add_field("file", stream, filename=path.name, content_type="application/jsonl")
                return _name(await self.server.call("POST", "/files", form, TRANSFER))

        return await self._patiently(ask, self._refused)

    async def create(self, tag: str, file: str, endpoint: str, begun: float) -> str:
        """The provider's name of a new batch. Where an answer was lost, the batch is looked for before it is begun again."""
        asked = {"input_file_id": file, "endpoint": f"/v1{endpoint}", "completion_window": self.window, "metadata": {"factory": tag}}
        tried = False

        async def ask() -> str:
            nonlocal tried
            if tried and (name := await self._search(tag, begun)):
                return name
            tried = True
            return _name(await self.server.call("POST", "/batches", orjson.dumps(asked), self.seconds))

        return await self._patiently(ask, self._refused)

    async def find(self, tag: str, begun: float) -> str | None:
        """The provider's name of the batch with a tag; None where it has none."""

        async def ask() -> str | None:
            return await self._search(tag, begun)

        return await self._patiently(ask, self._refused)

    async def state(self, name: str) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            state = await self.server.call("GET", f"/batches/{name}", None, self.seconds)
            if not isinstance(state, dict) or not isinstance(state.get("status"), str):
                raise Failed(f"malformed answer: no status of batch {name}")
            return state

        return await self._patiently(ask, lambda error: self._lost(f"batch {name}", error))

    async def download(self, file: str, path: Path) -> None:
        async def ask() -> None:
            with path.open("wb") as stream:
                await self.server.call("GET", f"/files/{file}/content", None, TRANSFER, stream)

        await self._patiently(ask, lambda error: self._lost(f"file {file} of a batch", error))

    async def _search(self, tag: str, begun: float) -> str | None:
        """Newest first; batches of a day before it end the search."""
        after = ""
        while True:
            page = await self.server.call("GET", f"/batches?limit=100{after}", None, self.seconds)
            found = [entry for entry in page.get("data") or () if isinstance(entry, dict)] if isinstance(page, dict) else []
            for entry in found:
                if (entry.get("metadata") or {}).get("factory") == tag:
                    return _name(entry)
            if not found or not page.get("has_more") or (found[-1].get("created_at") or 0) < begun - DAY:
                return None
            after = f"&after={_name(found[-1])}"

    async def _patiently(self, ask: Callable[[], Awaitable[Said]], refused: Callable[[Refused], EngineError]) -> Said:
        began, pause = time.monotonic(), PAUSE
        while True:
            try:
                return await ask()
            except Refused as error:
                self.refused = True
                raise refused(error) from None
            except (Failed, Dropped) as error:
                if time.monotonic() - began > PATIENCE:
                    raise EngineError(
                        f"server {self.server.url}: {error} (for {PATIENCE:g} s): its batches go on there, run again to fetch their answers"
                    ) from None
                wait = error.wait if isinstance(error, Failed) and error.wait is not None else pause
            await asyncio.sleep(wait)
            pause = min(PAUSE_MOST, 2 * pause)

    def _refused(self, error: Refused) -> EngineError:
        if error.status in (404, 405, 501):
            return EngineError(
                f"server {self.server.url} has no batch interface ({error}): leave batch out of the role whose model is {self.model}"
            )
        return EngineError(f"server {self.server.url} takes no batch: {error}: correct the role whose model is {self.model}")

    def _lost(self, what: str, error: Refused) -> EngineError:
        return EngineError(
            f"server {self.server.url} does not give {what} ({error}): was it another account's key ({self.server.key_name})? To ask for"
            " its requests, and pay, again: `factory requests batches` names it, `--forget` takes it out of the store"
        )


def _name(said: Any) -> str:
    """Raises Failed."""
    if not isinstance(said, dict) or not isinstance(said.get("id"), str) or not said["id"]:
        raise Failed("malformed answer: no id")
    return said["id"]
