"""Failures of requests, and the key."""

import asyncio
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fault_server import FOR_EVER, Fault, FaultServer, answer
from served import SAMPLING, SETTINGS, ask, asked, reply, requests_of

from factory.engines import server as server_module
from factory.engines import servers
from factory.engines.ledger import Chosen
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Request
from factory.engines.requests import StoredEngine
from factory.errors import EngineError
from factory.params import Requests, Role

pytestmark = pytest.mark.usefixtures("quick")
KEY = "sk-very/secret+key-12345"


def vary(fault: Fault, times: int) -> Fault:
    return Fault(**{**vars(fault), "times": times})


PASSING = {
    "HTTP 500: boom": Fault(status=500, body='{"error": {"message": "boom"}}'),
    "HTTP 502: Bad Gateway": Fault(status=502, body="Bad\r\nGateway"),
    "HTTP 408: no reason given": Fault(status=408, body=""),
    "HTTP 429: slow": Fault(status=429, body='{"detail": "slow"}'),
    "HTTP 503: loading": Fault(status=503, body='{"object": "error", "message": "loading"}', headers={"Retry-After": "0"}),
    "malformed answer: Invalid JSON": Fault(body='{"choices": ['),
    "malformed answer: JSON that is nested too deeply": Fault(body="[" * 100_000),
    "malformed answer: a web page": Fault(body="<!doctype html><title>Gateway</title>"),
    "malformed answer: a stream of events, and none was asked for": Fault(body='data: {"choices": []}\n\ndata: [DONE]\n'),
    "malformed answer: an empty body": Fault(body=""),
    "malformed answer: no choices in {\"object\": \"x\"}": Fault(body='{"object": "x"}'),
    "an error in an answer (HTTP 200): Rate limit reached": Fault(
        body='{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}'
    ),
    "an error in an answer (HTTP 200): The engine is overloaded": Fault(body='{"error": "The engine is overloaded", "choices": []}'),
    "an error in an answer (HTTP 200): try later": Fault(body='{"object": "error", "message": "try later", "code": 503}'),
    "an error in an answer (HTTP 200): Something odd": Fault(body='{"detail": "Something odd"}'),
    "the answer broke off with an error: upstream": Fault(
        body=reply(text="x", finish_reason="error", error={"code": 502, "message": "upstream"})
    ),
    "malformed answer: choices: List should have at least 1 item": Fault(body='{"choices": [], "usage": {}}'),
    "malformed answer: choices.0.text: Input should be a valid string": Fault(body=reply(text=7)),
    "malformed answer: choices.0.token_ids.0: Input should be greater": Fault(body=reply(text="x", token_ids=[-1])),
    "the server aborted the request": Fault(body=reply(text="x", finish_reason="abort")),
    "connection lost": Fault(drop=True),
    "connection lost (": Fault(half=True),
    "connection lost (Can not decode content-encoding": Fault(body="no br", headers={"Content-Encoding": "br"}),
    "connection lost (Bad status line: Expected HTTP/": Fault(raw=b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "connection lost (Response payload is not completed": Fault(
        raw=b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"choices": [{"t\r\n'
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", PASSING)
@pytest.mark.slow
def test_what_may_pass_is_asked_again(reason: str, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    fault = PASSING[reason]
    server.script["Tom"] = [vary(fault, 2)]
    server.script["Ann"] = [vary(fault, FOR_EVER)]
    engine = stored(server)
    fine, bad, other = engine.generate([Request(asked(prompt), SAMPLING) for prompt in ("Tom", "Ann", "Eve")])
    assert (fine.text, other.text) == (answer("Tom", 0), answer("Eve", 0))
    assert bad.finish_reason == "error"
    assert (bad.error or "").startswith(reason)
    assert (bad.error or "").endswith("; given up after 3 attempts")
    assert [sent["messages"][-1]["content"] for sent in server.seen].count("Tom") == 3
    assert [(failed[1], failed[3]) for failed in engine.store.failures()] == [("rollouts", bad.error)]
    assert engine.usage.failed == 1


REFUSED = {
    "HTTP 400: This model's maximum context length": Fault(status=400, body="This model's maximum context length " + "9" * 500),
    "HTTP 404: Not Found": Fault(status=404, body='{"detail": "Not Found"}'),
    "HTTP 413": Fault(status=413),
    "HTTP 422: a b": Fault(status=422, body='{"detail": "a\\u0007\\nb"}'),
    "HTTP 307": Fault(status=307, headers={"Location": "http://127.0.0.1:1/"}),
    "finish_reason content_filter": Fault(body=reply(text="x", finish_reason="content_filter")),
    "finish_reason tool_calls": Fault(body=reply(text="x", finish_reason="tool_calls")),
    "finish_reason SAFETY": Fault(body=reply(text="x", finish_reason="SAFETY")),
    "an error in an answer (HTTP 200): prompt is too long": Fault(
        body='{"error": {"message": "prompt is too long", "type": "invalid_request_error"}}'
    ),
    "an error in an answer (HTTP 200): bad key": Fault(body='{"error": {"message": "bad key", "code": 401}}'),
    "an error in an answer (HTTP 200): no such model": Fault(
        body='{"choices": [], "error": {"message": "no such model", "status": "NOT_FOUND"}}'
    ),
    "HTTP 501: not here": Fault(status=501, body='{"error": "not here"}'),
    "an answer without text": Fault(body=reply(message={"content": None})),
    "the model refused: No.": Fault(body=reply(message={"content": None, "refusal": "No."})),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_pass_fails_at_once(reason: str, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Ann"] = [vary(REFUSED[reason], FOR_EVER)]
    bad, fine = stored(server).generate([Request(asked("Ann"), SAMPLING), Request(asked("Tom"), SAMPLING)])
    assert (bad.error or "").startswith(reason)
    assert len(bad.error or "") < 250
    assert (bad.error or "").isprintable()
    assert fine.text == answer("Tom", 0)
    assert len(server.seen) == 2


@pytest.mark.slow
def test_a_late_answer_is_asked_again(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Tom"] = [Fault(delay=5)]
    server.script["Ann"] = [Fault(delay=5, times=FOR_EVER)]
    engine = stored(server, settings=Requests(timeout=0.5, retries=1, max_failed_share=1))
    fine, bad = engine.generate([Request(asked("Tom"), SAMPLING), Request(asked("Ann"), SAMPLING)])
    assert fine.text == answer("Tom", 0)
    assert bad.error == "no answer in 0.5 s; given up after 2 attempts"


@pytest.mark.parametrize(("status", "dated"), [(429, False), (503, False), (429, True)])
@pytest.mark.slow
def test_retry_after_is_waited_for(status: int, dated: bool, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    after = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if dated else "0.4"
    server.script["Tom"] = [Fault(status=status, headers={"Retry-After": after})]
    started = time.monotonic()
    assert ask(stored(server)).text == answer("Tom", 0)
    assert 0.3 < time.monotonic() - started < 30


def test_retry_after_is_capped_and_one_that_cannot_be_read_is_ignored() -> None:
    assert server_module._seconds("99999") == server_module.WAIT_MOST
    assert server_module._seconds("Fri, 31 Dec 2100 23:59:59 GMT") == server_module.WAIT_MOST
    assert server_module._seconds("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    for text in (
        "soon",
        "nan",
        "",
        " ",
        None,
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
    ):
        assert server_module._seconds(text) is None, text


@pytest.mark.slow
def test_a_retry_after_of_nothing_does_not_burn_the_retries(
    server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "BACKOFF", 0.2)
    monkeypatch.setattr(servers.random, "uniform", lambda low, high: high)
    server.script["Tom"] = [Fault(status=429, headers={"Retry-After": "0"}, times=2)]
    started = time.monotonic()
    assert ask(stored(server)).error is None
    assert 0.6 <= time.monotonic() - started < 20, "0.2 s and 0.4 s"


@pytest.mark.slow
def test_a_server_that_is_told_to_be_too_busy_gets_fewer_requests(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    for number in range(8):
        server.script[f"problem {number}"] = [Fault(status=429, headers={"Retry-After": "0.1"})]
    engine = stored(server, concurrency=8)
    assert [one.error for one in engine.generate(requests_of(8))] == [None] * 8
    assert engine.backend.servers[0].places < 8
    assert [one.error for one in engine.generate(requests_of(60)[8:])] == [None] * 52
    assert engine.backend.servers[0].places == 8


def test_one_round_of_refusals_halves_the_places_once() -> None:
    one = server_module.Server("http://gpu1/v1", 64, "", "OPENAI_API_KEY")
    for _ in range(64):
        one.slow_down()
    assert one.places == 32
    for _ in range(100):
        one.slow_down()
    assert one.places == 1


def test_the_key_is_sent_and_never_shown(
    server: FaultServer,
    stored: Callable[..., StoredEngine],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MY_KEY", KEY + "\n")
    server.key = KEY
    server.script["Ann"] = [Fault(status=400, echo=True)]
    server.script["Bob"] = [Fault(status=500, echo=True, times=FOR_EVER)]
    server.script["Eve"] = [Fault(body=reply(text=f"my key is {KEY}"))]
    engine = stored(server, api_key_env="MY_KEY")
    bad, worse, told, fine = engine.generate([Request(asked(prompt), SAMPLING) for prompt in ("Ann", "Bob", "Eve", "Tom")])
    assert fine.error is None
    assert "[key]" in (bad.error or "")
    assert "[key]" in (worse.error or "")
    assert told.text == "my key is [key]"
    engine.close()
    engine.store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows = [
        str(bad),
        str(worse),
        str(told),
        str(engine.store.failures()),
        str(list(engine.store.entries(Chosen()))),
        str(capfd.readouterr()),
    ]
    assert not [row for row in rows if "secret" in row]
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_wrong_key_and_none(server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = "another"
    with pytest.raises(EngineError, match=r"HTTP 401: .*OPENAI_API_KEY is not set: set it"):
        ask(stored(server))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(EngineError, match=r"OPENAI_API_KEY was refused") as raised:
        ask(stored(server))
    assert "secret" not in str(raised.value)
    server.key = None
    server.script["Tom"] = [Fault(status=403)]
    with pytest.raises(EngineError, match="HTTP 403"):
        ask(stored(server))


def test_a_moderated_prompt_is_no_wrong_key(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    engine = stored(server)
    ask(engine, "Ann")
    server.script["Tom"] = [Fault(status=403, body='{"error": {"message": "flagged"}}')]
    assert ask(engine, "Tom").error == "HTTP 403: flagged"
    assert ask(engine, "Eve").error is None
    server.script["Bob"] = [Fault(status=401)]
    with pytest.raises(EngineError, match="HTTP 401"):
        ask(engine, "Bob")


def test_a_certificate_that_is_not_trusted_is_named() -> None:
    class Untrusted:
        def request(self, *_: Any, **__: Any) -> None:
            raise aiohttp.ClientConnectorCertificateError(None, ssl.SSLCertVerificationError(1, "self-signed certificate"))  # type: ignore[arg-type]

    one = server_module.Server("https://gpu1/v1", 4, "", "OPENAI_API_KEY")
    one.session = Untrusted()
    with pytest.raises(server_module.Dropped, match="no TLS connection: self-signed certificate"):
        asyncio.run(one.contact("m", 1.0))


def test_a_key_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sécret")
    with pytest.raises(EngineError, match="OPENAI_API_KEY holds no key") as raised:
        OpenAIEngine(Role(engine="openai", model="m@1", base_url="http://gpu1/v1"), SETTINGS)
    assert "cret" not in str(raised.value)
