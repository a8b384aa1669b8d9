"""One OpenAI-compatible server: how it is asked, what its failures mean, and how it fares.

    await server.post("http://gpu1:8000/v1/completions", {"model": "policy", "prompt": "Tom has 3 apples. …"})
    → b'{"choices": [{"text": "3 + 4 = 7\\n", "finish_reason": "stop", …}], "usage": {…}}'

What comes back                                  what is done (servers.py)
-----------------------------------------------  ---------------------------------------------------------------------------------------
429, 503 with Retry-After (seconds or a date)    the server rests that long (at most WAIT_MOST); the request has its own random wait, see
                                                 below, and may go to another
429                                              the server gets half a request less at once: half as many after a round of nothing else;
                                                 one more after each round of answers
408, 409, 425, 429, 5xx                          asked again, `requests.retries` times, after a random wait of up to 0.5 · 2^n s (≤ 30 s)
no JSON, no choices, no usage, aborted           the same
timeout, dropped connection                      the same if the server still answers GET /models; else the server is down
refused connection                               the server is down
server down                                      its requests go to others and lose no attempt (the first FREE times); it is asked
                                                 GET /models after a growing pause, and gets one request first when it is back
STRIKES failures in a row                        the server is down for a pause
all servers down for PATIENCE                    EngineError (at the first contact: FIRST_PATIENCE)
401, and 403 from a server that never answered   EngineError that names the key's environment variable
other 4xx, 3xx (redirects are not followed)      the request fails at once with the server's message: no other attempt can be different
                                                 (403: a prompt that was moderated)
finish_reason not stop or length                 the request fails at once and says so
retries used up                                  the request fails with the last reason and the number of attempts
"""

import json
import os
import re
import time
from asyncio import Task
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from factory.errors import EngineError

CONNECT = 5.0  # seconds for a connection
PROBE = 4.0  # seconds for GET /models
WAIT_MOST = 120.0  # seconds of a Retry-After
LONGEST = 200  # letters of a server's message
SECRET = 12  # letters of a key that is also looked for in answers: a shorter one is a placeholder ("EMPTY") that a model may well write
_LATER = (408, 409, 425, 429)


class Refused(Exception):
    """The request can never succeed."""


class Failed(Exception):
    """The attempt failed, another may succeed. `wait`: seconds the server asks to be left alone. `ill`: the server seems unwell."""

    def __init__(self, reason: str, wait: float | None = None, ill: bool = True) -> None:
        super().__init__(reason)
        self.wait, self.ill = wait, ill


class Dropped(Exception):
    """No answer: the connection broke or the time was up. `reached` False: there was no connection at all."""

    def __init__(self, reason: str, reached: bool = True) -> None:
        super().__init__(reason)
        self.reached = reached


class Server:
    """`places`: requests it gets at once. `strikes`: failures since its last answer. `probation`: just back, it gets one request.
    `proven`: has answered a request, so that its key is right."""

    def __init__(self, url: str, concurrency: int, key: str, key_name: str) -> None:
        self.url, self.concurrency, self.key, self.key_name = url, concurrency, key, key_name
        self.root = url.removesuffix("/v1")
        self.session: Any = None  # aiohttp.ClientSession
        self.live, self.vllm, self.probation, self.proven = False, False, False, False
        self.places, self.busy, self.strikes, self.outages, self.rests_until = float(concurrency), 0, 0, 0, 0.0
        self.problem = "not asked yet"
        self.probe: Task[bool] | None = None

    def has_room(self) -> bool:
        return self.live and self.busy < (1 if self.probation else int(self.places)) and self.rests_until <= time.monotonic()

    def answered(self) -> None:
        self.strikes, self.outages, self.probation = 0, 0, False
        self.places = min(self.concurrency, self.places + 1 / self.places)

    def slow_down(self) -> None:
        self.places = max(1.0, self.places - 0.5)

    async def contact(self, model: str, seconds: float) -> None:
        """Ask which models it serves. Raises EngineError when it refuses the key or serves another model, Failed or Dropped when it
        cannot be asked now."""
        status, headers, body = await self._exchange("GET", f"{self.url}/models", None, seconds)
        self._check_key(status, body)
        if 300 <= status < 400:
            raise EngineError(
                f"server {self.url} redirects to {self.clean(headers.get('Location', '?'))}: write the address itself as base_url"
            )
        if status >= 500 or status in _LATER:
            raise Failed(f"HTTP {status}: {self._message(body)}")
        try:
            cards = [card for card in json.loads(body)["data"] if isinstance(card, dict)] if status == 200 else []
        except (ValueError, KeyError, TypeError, RecursionError):
            cards = []
        served = {str(card.get("id")) for card in cards}
        if served and model not in served:
            names = self.clean(", ".join(sorted(served)))
            raise EngineError(f"server {self.url} serves {names}, not {model}: correct the role's model (name@version) or its base_url")
        self.vllm = any(card.get("owned_by") == "vllm" for card in cards)

    async def post(self, url: str, document: dict[str, Any], seconds: float) -> bytes:
        """The body of a 200. Raises Refused, Failed or Dropped, and EngineError when the key is refused: the table above."""
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        return self._judge(*await self._exchange("POST", url, data, seconds))

    async def get(self, url: str, seconds: float) -> bytes:
        return self._judge(*await self._exchange("GET", url, None, seconds))

    def _judge(self, status: int, headers: Any, body: bytes) -> bytes:
        if status == 200:
            self.proven = True
            return body
        if status != 403 or not self.proven:
            self._check_key(status, body)
        reason = f"HTTP {status}: {self._message(body)}"
        if status < 500 and status not in _LATER:
            raise Refused(reason)
        wait = _seconds(headers.get("Retry-After")) if status in (429, 503) else None
        if status == 429:
            self.slow_down()
        raise Failed(reason, wait, ill=status >= 500 and wait is None)

    async def _exchange(self, method: str, url: str, data: bytes | None, seconds: float) -> tuple[int, Any, bytes]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT)
        headers = {"Content-Type": "application/json"} if data is not None else None
        try:
            async with self.session.request(method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False) as reply:
                body = await reply.read()
        except aiohttp.ClientSSLError as error:  # its errno is a number of OpenSSL's
            raise Dropped(self.clean(f"no TLS connection: {error.os_error}"), reached=False) from None
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            raise Dropped(self.clean(os.strerror(number) if number and number > 0 else str(error.os_error)), reached=False) from None
        except aiohttp.ConnectionTimeoutError:
            raise Dropped(f"no connection in {min(CONNECT, seconds):g} s", reached=False) from None
        except TimeoutError:
            raise Dropped(f"no answer in {seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Dropped(f"connection lost ({self.clean(str(error)) or type(error).__name__})") from None
        if len(self.key) >= SECRET and self.key.encode() in body:
            body = body.replace(self.key.encode(), b"[key]")
        return reply.status, reply.headers, body

    def _check_key(self, status: int, body: bytes) -> None:
        if status in (401, 403):
            state = "was refused: correct it" if self.key else "is not set: set it"
            raise EngineError(
                f"server {self.url} wants another key (HTTP {status}: {self._message(body)}): the environment variable {self.key_name}"
                f" {state}, or name another one as the role's api_key_env"
            )

    def _message(self, body: bytes) -> str:
        """What a server says went wrong: OpenAI's {"error": {"message"}}, FastAPI's {"detail"}, or the text itself."""
        said: Any = body.decode(errors="replace")
        try:
            document = json.loads(said)
        except (ValueError, RecursionError):
            document = None
        for name in ("error", "message", "detail"):
            if isinstance(document, dict) and document.get(name):
                said = document = document[name]
        return self.clean(said if isinstance(said, str) else json.dumps(said)) or "no reason given"

    def clean(self, text: str) -> str:
        """Text of a server for a message of ours: without the key, control characters and what is too long."""
        for form in {self.key, quote(self.key, safe=""), json.dumps(self.key)[1:-1]} - {""}:
            text = text.replace(form, "[key]")
        text = " ".join(re.sub(r"[^\S ]|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", " ", text).split())
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
