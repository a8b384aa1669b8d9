"""One OpenAI-compatible server: how it is asked, what its failures mean, and how it fares.

    await server.post("http://gpu1:8000/v1/completions", {"model": "policy", "prompt": "Tom has 3 apples. …"})
    → b'{"choices": [{"text": "3 + 4 = 7\\n", "finish_reason": "stop", …}], "usage": {…}}'

What comes back                                  what is done (servers.py)
-----------------------------------------------  ---------------------------------------------------------------------------------------
429, 503 with Retry-After (seconds or a date)    the server rests that long (at most WAIT_MOST); the request has its own random wait, see
                                                 below, and may go to another
429                                              the server gets half a request less at once: half as many after a round of nothing else;
                                                 one more after each round of answers
408, 409, 425, 429, 5xx except 501               asked again, `requests.retries` times, after a random wait of up to 0.5 · 2^n s (≤ 30 s)
no JSON (a web page, a stream, cut off, nested   the same
too deeply), no choices, more than BODY_MOST
a 200 whose body is an error                     as the HTTP status that its code, type or words amount to: a rate limit or an overload
                                                 is asked again, what is invalid is not; asked again where nothing tells
finish_reason abort, error and their like        asked again
timeout, dropped connection                      the same if the server still answers GET /models; else the server is down
refused connection                               the server is down
server down                                      its requests go to others and lose no attempt (the first FREE times); it is asked
                                                 GET /models after a growing pause, and gets one request first when it is back
STRIKES failures in a row                        the server is down for a pause
all servers down for PATIENCE                    EngineError (at the first contact: FIRST_PATIENCE)
401, and 403 from a server that never answered   EngineError that names the key's environment variable
407                                              EngineError that names the proxy's environment variables
other 4xx, 501, 3xx (no redirect is followed)    the request fails at once with the server's message: no other attempt can be different
                                                 (403: a prompt that was moderated)
… that complains of a field of the request       the message names the role's option; EngineError where the server never answered
finish_reason content_filter, tool_calls, …      the request fails at once and says so
finish_reason null or unknown, no usage          an answer: answers.py
GET /models: 403, 404, 405, 501                  goes on without a list; where only …/v1/models is there, EngineError that proposes it
GET /models: a web page                          EngineError that asks for the address with /v1
GET /models: other names than the model's        EngineError that names them, and the role's option listed_as
retries used up                                  the request fails with the last reason and the number of attempts
"""

import json
import os
import re
import time
from asyncio import Task
from datetime import UTC, datetime
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import IO, Any
from urllib.parse import quote

import orjson

from factory.engines.bodies import LATER, Failed, Refused, fault, read, words
from factory.engines.dialect import hint
from factory.engines.proxy import proxy_of
from factory.errors import EngineError

CONNECT = 5.0  # seconds for a connection
PROBE = 4.0  # seconds for GET /models
WAIT_MOST = 120.0  # seconds of a Retry-After
LONGEST = 200  # letters of a server's message
SECRET = 12  # letters of a key that is also looked for in answers: a shorter one is a placeholder ("EMPTY") that a model may well write
FADES = 0.999  # of what is known of a server's seconds, with every answer
BODY_MOST = 64 << 20  # bytes of a body


class Dropped(Exception):
    """No answer: the connection broke or the time was up. `reached` False: there was no connection at all."""

    def __init__(self, reason: str, reached: bool = True) -> None:
        super().__init__(reason)
        self.reached = reached


class Server:
    """`places`: requests it gets at once. `strikes`: failures since its last answer. `probation`: just back, it gets one request.
    `proven`: has answered a request, so that its key is right."""

    def __init__(self, url: str, concurrency: int, key: str, key_name: str) -> None:
        """Raises EngineError for a proxy in the environment that cannot be used."""
        self.url, self.concurrency, self.key, self.key_name = url, concurrency, key, key_name
        self.root, self.proxy = url.removesuffix("/v1"), proxy_of(url)
        self.doubt = "" if re.search(r"/v\d", url) else "; is base_url right? With most servers it ends in /v1"
        self.session: Any = None  # aiohttp.ClientSession
        self.live, self.vllm, self.probation, self.proven = False, False, False, False
        self.places, self.busy, self.strikes, self.outages, self.rests_until = float(concurrency), 0, 0, 0, 0.0
        self.longest = 0.0  # seconds that an answer took at most, of late; 0: none yet
        self.seconds = 0.0  # … and on average
        self.problem = "not asked yet"
        self.probe: Task[bool] | None = None

    def has_room(self) -> bool:
        return self.live and self.busy < self.room and self.rests_until <= time.monotonic()

    @property
    def room(self) -> int:
        """Requests that it gets at once."""
        return 1 if self.probation else int(self.places)

    def answered(self, seconds: float) -> None:
        self.longest = max(seconds, FADES * self.longest)
        self.seconds += (seconds - self.seconds) * (1 - FADES if self.seconds else 1.0)
        self.strikes, self.outages, self.probation = 0, 0, False
        self.places = min(self.concurrency, self.places + 1 / self.places)

    def slow_down(self) -> None:
        self.places = max(1.0, self.places - 0.5)

    async def contact(self, model: str, seconds: float) -> None:
        """Ask which models it serves, `model` ("*": any) being one. Raises EngineError when it refuses the key, serves another model or is
        none, Failed or Dropped when it cannot be asked now."""
        status, headers, body = await self._exchange("GET", f"{self.url}/models", None, seconds)
        if status != 403:  # some tell nobody what they serve
            self._check_key(status, body)
        if 300 <= status < 400:
            raise EngineError(
                f"server {self.url} redirects to {self.clean(headers.get('Location', '?'))}: write the address itself as base_url"
            )
        if (status >= 500 and status != 501) or status in LATER:
            raise Failed(f"HTTP {status}: {self._message(body)}")
        cards = _cards(body) if 200 <= status < 300 else None
        if cards is None:
            await self._look_beside(status, body, seconds)
        served = {str(card.get("id") or card.get("name")) for card in cards or ()}
        if served and not any(_fits(model, name) for name in served):
            names = self.clean(", ".join(get_close_matches(model, served, 3, 0.4) or sorted(served)))
            raise EngineError(
                f"server {self.url} serves {names}, not {model}: correct the role's model (name@version) or its base_url; where it answers"
                ' to this name all the same, write listed_as: "the name that it lists" into the role'
            )
        self.vllm = any(card.get("owned_by") == "vllm" for card in cards or ())

    async def _look_beside(self, status: int, body: bytes, seconds: float) -> None:
        """There is no list of models: is base_url an address without its /v1?"""
        if not self.url.endswith("/v1"):
            try:
                beside, _, found = await self._exchange("GET", f"{self.url}/v1/models", None, seconds)
            except Dropped:
                beside, found = 0, b""
            if beside in (401, 403) or (200 <= beside < 300 and _cards(found) is not None):
                raise EngineError(
                    f"server {self.url} has no list of models (HTTP {status}), {self.url}/v1 has one: write {self.url}/v1 as base_url"
                )
        if status == 200 and body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and not self.proven:
            raise EngineError(
                f"server {self.url} answers GET /models with a web page: base_url is not the address of an OpenAI-compatible interface,"
                " which ends in /v1 with most servers"
            )

    async def post(self, url: str, document: dict[str, Any], seconds: float, *, proves: bool = True) -> Any:
        """The document in a 200; `proves`: whether that shows that requests are taken. Raises Refused, Failed or Dropped, and EngineError
        when the key or a field of every request is refused: the table above."""
        try:
            data = orjson.dumps(document)
        except TypeError:  # half a character, an integer of more than 64 bits
            data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return self.judge(*await self._exchange("POST", url, data, seconds), document, proves)

    async def call(self, method: str, path: str, data: Any, seconds: float, into: IO[bytes] | None = None) -> Any:
        """The document that another part of the interface answers with, errors that it may hold unread; None where the body goes `into` a
        file. `data`: JSON as bytes, aiohttp.FormData or None. Raises Refused, Failed, Dropped and EngineError."""
        status, headers, body = await self._exchange(method, f"{self.url}{path}", data, seconds, into)
        return self._read(status, headers, body, {}) if into is None or not 200 <= status < 300 else None

    def judge(self, status: int, headers: Any, body: bytes, sent: dict[str, Any], proves: bool = True) -> Any:
        document = self._read(status, headers, body, sent)
        meant = fault(document)
        if meant is not None:
            raise self._failure(meant, f"an error in an answer (HTTP {status})", self._message(body), headers, sent)
        self.proven = self.proven or proves
        return document

    def _read(self, status: int, headers: Any, body: bytes, sent: dict[str, Any]) -> Any:
        if not 200 <= status < 300:
            if status != 403 or not self.proven:
                self._check_key(status, body)
            raise self._failure(status, f"HTTP {status}", self._message(body), headers, sent)
        try:
            return read(body)
        except Failed as error:
            raise Failed(f"{self.clean(str(error))}{self.doubt}") from None

    def _failure(self, status: int, what: str, said: str, headers: Any, sent: dict[str, Any]) -> Refused | Failed:
        """Raises EngineError for a field of the request that this server never takes."""
        if status in LATER or (status >= 500 and status != 501):
            wait = _seconds(headers.get("Retry-After")) if status in (429, 503) else None
            if status == 429:
                self.slow_down()
            return Failed(f"{what}: {said}", wait, ill=status >= 500 and wait is None)
        remedy = hint(said, sent) if status in (400, 422) else ""
        if remedy and not self.proven:
            raise EngineError(f"server {self.url} refuses what it is asked ({what}: {said}): {remedy} (roles in params.yaml)")
        doubt = self.doubt if status in (404, 405) and not self.proven else ""
        return Refused(f"{what}: {said}{doubt}{f'; {remedy}' if remedy else ''}", status)

    async def _exchange(self, method: str, url: str, data: Any, seconds: float, into: IO[bytes] | None = None) -> tuple[int, Any, bytes]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT)
        headers = {"Content-Type": "application/json"} if isinstance(data, bytes) else None
        via = " through the proxy that the environment names; NO_PROXY goes round it" if self.proxy else ""
        try:
            async with self.session.request(
                method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False, proxy=self.proxy
            ) as reply:
                status, found = reply.status, reply.headers
                body = await (_bounded(reply) if into is None or status != 200 else _copied(reply, into))
        except aiohttp.ClientSSLError as error:  # its errno is a number of OpenSSL's
            raise Dropped(self.clean(f"no TLS connection: {error.os_error}") + via, reached=False) from None
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            said = os.strerror(number) if number and number > 0 else str(error.os_error)
            raise Dropped(self.clean(said) + via, reached=False) from None
        except aiohttp.ConnectionTimeoutError:
            raise Dropped(f"no connection in {min(CONNECT, seconds):g} s{via}", reached=False) from None
        except TimeoutError:
            raise Dropped(f"no answer in {seconds:g} s") from None
        except aiohttp.ClientHttpProxyError as error:  # its text holds the proxy's address, and a password in it
            self._check_proxy(error.status)
            raise Dropped(f"the proxy answered HTTP {error.status}{via}", reached=False) from None
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError) as error:
            told = getattr(error, "message", None)  # without the address, which messages name anyway
            said = self.clean(told if isinstance(told, str) else str(error)) or type(error).__name__
            raise Dropped(f"connection lost ({said})") from None
        self._check_proxy(status)
        if len(self.key) >= SECRET and self.key.encode() in body:
            body = body.replace(self.key.encode(), b"[key]")
        return status, found, body

    def _check_proxy(self, status: int) -> None:
        if status == 407:
            raise EngineError(
                f"the proxy before {self.url} wants a user and a password (HTTP 407): write them into HTTP_PROXY or HTTPS_PROXY,"
                " http://user:password@host:port, or the server's host into NO_PROXY"
            )

    def _check_key(self, status: int, body: bytes) -> None:
        if status in (401, 403):
            state = "was refused: correct it" if self.key else "is not set: set it"
            raise EngineError(
                f"server {self.url} wants another key (HTTP {status}: {self._message(body)}): the environment variable {self.key_name}"
                f" {state}, or name another one as the role's api_key_env"
            )

    def _message(self, body: bytes) -> str:
        """What a server says went wrong: in words, or in a page of some kind."""
        try:
            said = words(read(body))
        except Failed:
            said = body[: 100 * LONGEST].decode(errors="replace")
        return self.clean(said) or "no reason given"

    def clean(self, text: str) -> str:
        """Text of a server for a message of ours: without the key, control characters and what is too long."""
        for form in {self.key, quote(self.key, safe=""), json.dumps(self.key)[1:-1]} - {""}:
            text = text.replace(form, "[key]")
        text = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 10 * LONGEST]).split())
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After: a number or an HTTP date. None when there is none that can be read."""
    if retry_after is None:
        return None
    try:
        wait = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
            wait = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(max(wait, 0.0), WAIT_MOST) if wait == wait else None


async def _bounded(reply: Any) -> bytes:
    """Raises Failed for a body of more than BODY_MOST."""
    parts, size = [], 0
    async for part in reply.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > BODY_MOST:
            raise Failed(f"malformed answer: more than {BODY_MOST >> 20} MiB")
    return b"".join(parts)


async def _copied(reply: Any, into: IO[bytes]) -> bytes:
    async for part in reply.content.iter_any():
        into.write(part)
    return b""


def _cards(body: bytes) -> list[dict[str, Any]] | None:
    """What a server says of each of its models; None for no list, [] for one that does not tell all."""
    try:
        document = read(body)
    except Failed:
        return None
    if fault(document) is not None:
        return None
    listed = document
    if isinstance(document, dict):
        listed = [] if document.get("has_more") else document.get("data", document.get("models"))
    return [card for card in listed if isinstance(card, dict)] if isinstance(listed, list) else None


def _fits(model: str, listed: str) -> bool:
    """Ollama lists `llama3:latest` for `llama3`, Gemini `models/x` for `x`, LiteLLM `openai/*`."""
    if model == "*" or ("*" in listed and fnmatchcase(model, listed)):
        return True
    plain, name = (one.removeprefix("models/").removesuffix(":latest") for one in (model, listed))
    return plain == name
