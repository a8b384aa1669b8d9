"""A pool of servers, and how answers are handed over."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fault_server import FOR_EVER, Fault, FaultServer, answer, fault_servers
from served import SAMPLING, SETTINGS, ask, asked, requests_of, role_of, said, wait_for

from factory.engines import servers
from factory.engines.flow import Ask, Flow, run
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine
from factory.errors import EngineError
from factory.params import Requests, Role

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.slow
def test_least_loaded_first(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(3, delay=0.02) as (slow, first, second):
        slow.delay = 0.2
        assert len(stored(slow, first, second, concurrency=3).generate(requests_of(60))) == 60
        assert slow.stats.max_in_flight == first.stats.max_in_flight == second.stats.max_in_flight == 3
        assert slow.stats.requests < 12 < 20 < min(first.stats.requests, second.stats.requests)


@pytest.mark.slow
def test_at_the_end_nobody_waits_for_a_slow_server(stored: Callable[..., StoredEngine]) -> None:
    """It gets what it can while there is more to do, and nothing that the others will have answered before it."""
    with fault_servers(3, delay=0.02) as (slow, first, second):
        slow.delay = 0.5
        engine = stored(slow, first, second)
        engine.generate(requests_of(40))  # now it is known to be slow
        before = slow.stats.requests
        assert before >= 4
        engine.generate(requests_of(80)[40:])
        assert slow.stats.requests == before, "forty requests are done in a tenth of a second without it"
        found = run((_one(engine, request) for request in requests_of(480)[80:]), "long", window=40)
        assert len(found) == 400
        assert slow.stats.requests >= before + 4, "with more to come, it is used"


def _one(engine: StoredEngine, request: Request) -> Flow[Completion]:
    (answer,) = yield Ask(engine, [request])
    return answer


@pytest.mark.slow
def test_a_dead_server_is_dropped_and_used_again(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(2, delay=0.01) as (first, second):
        engine = stored(first, second, settings=Requests(timeout=2, retries=0, max_failed_share=0))
        landed, seen = engine._landed, 0

        def watch(answers: Mapping[str, Completion]) -> None:
            nonlocal seen
            if seen < 40 <= seen + len(answers):
                threading.Thread(target=second.kill).start()
            seen += len(answers)
            landed(answers)

        def texts_are_right(begin: int, end: int) -> bool:  # no attempt is lost: there are no retries
            requests = requests_of(end)[begin:]
            return [one.text for one in engine.generate(requests)] == [answer(said(request), request.seed) for request in requests]

        engine._landed = watch  # type: ignore[method-assign]
        assert texts_are_right(0, 200)
        before, until = second.stats.requests, time.monotonic() + 120
        assert 0 < before < 100, "dropped: the other one answers most"
        second.restart()
        asked = 200
        while second.stats.requests < before + 20:  # it gets work again, and not only its first request
            assert time.monotonic() < until
            assert texts_are_right(asked, asked + 20)
            asked += 20


@pytest.mark.slow
def test_a_server_that_answers_nonsense_at_once_does_not_swallow_the_work(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(2, delay=0.01) as (sound, broken):
        for number in range(100):
            broken.script[f"problem {number}"] = [Fault(status=502, times=FOR_EVER)]
        broken.delay = 0
        completions = stored(sound, broken).generate(requests_of(100))
        assert [one.error for one in completions] == [None] * 100
        assert broken.stats.requests < 40


@pytest.mark.slow
def test_a_prompt_that_kills_servers_fails_in_the_end(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Ann"] = [Fault(kill=True, times=FOR_EVER)]
    over = threading.Event()

    def janitor() -> None:
        while not over.wait(0.02):
            if server.listening is None:
                server.restart()

    thread = threading.Thread(target=janitor)
    thread.start()
    bad, *fine = stored(server).generate([Request(asked("Ann"), SAMPLING), *requests_of(20)])
    over.set()
    thread.join()
    assert (bad.error or "").endswith("given up after 3 attempts")
    assert [one.error for one in fine] == [None] * 20


@pytest.mark.slow
def test_no_server_is_an_error_in_bounded_time(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.kill()
    started = time.monotonic()
    with pytest.raises(EngineError, match=rf"server {server.url} unreachable: .*(refused|Connect).*start it, or correct base_url"):
        ask(stored(server))
    assert time.monotonic() - started < 9, "FIRST_PATIENCE, which is 10 s outside of these tests"
    with pytest.raises(EngineError, match=r"no-such-host\.invalid/v1 unreachable"):
        ask(stored(server, base_url="http://no-such-host.invalid/v1"))


@pytest.mark.slow
def test_a_server_that_comes_up_late(server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "FIRST_PATIENCE", 5.0)
    server.kill()
    threading.Timer(0.2, server.restart).start()
    assert ask(stored(server)).error is None


@pytest.mark.slow
def test_while_no_server_answers_it_is_said(
    server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """A dead server is waited for, five minutes outside of these tests, in which nothing else moves."""
    monkeypatch.setattr(servers, "PATIENCE", 60.0)
    engine = stored(server)
    assert ask(engine).error is None
    server.kill()
    threading.Timer(0.5, server.restart).start()
    (answered,) = engine.generate(requests_of(1))
    assert answered.error is None
    down, back = capsys.readouterr().err.splitlines()
    assert down.startswith(f"m: no server answers ({server.url}: ")
    assert down.endswith("); waiting for one, 60 s at most")
    assert back == f"m: {server.url} answers again"


@pytest.mark.slow
def test_all_servers_gone_is_an_error_and_answers_are_kept(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(2) as (first, second):
        for one in (first, second):
            one.script["problem 30"] = [Fault(kill=True, times=FOR_EVER)]
            one.script["problem 31"] = [Fault(kill=True, times=FOR_EVER)]
        engine = stored(first, second)
        started = time.monotonic()
        with pytest.raises(EngineError, match=r"unreachable: .*; server .*unreachable: "):
            engine.generate(requests_of(60))
        assert time.monotonic() - started < 60
        with pytest.raises(EngineError, match="unreachable"):
            engine.generate(requests_of(61)[60:])  # and it stays one
        assert engine.store.usage()[0].requests >= 20


@pytest.mark.slow
def test_a_server_that_hangs_is_dropped(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(2) as (sound, hung):
        engine = stored(sound, hung, settings=Requests(timeout=1.0, retries=0, max_failed_share=0))
        ask(engine)
        hung.delay, hung.models_fault = 60, Fault(status=503, times=FOR_EVER)
        assert [one.error for one in engine.generate(requests_of(40))] == [None] * 40
        assert hung.stats.requests <= 5


def test_another_model_is_an_error(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    with pytest.raises(EngineError, match=r"serves m, not policy: correct"):
        ask(stored(server, model="policy@1"))


def test_a_redirect_is_not_followed(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    with FaultServer() as target:
        server.models_fault = Fault(status=307, headers={"Location": target.url}, times=FOR_EVER)
        with pytest.raises(EngineError, match="redirects to http"):
            ask(stored(server))
        assert target.paths == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "m"}, "written name@version"),
        ({"model": "m@"}, "written name@version"),
        ({"base_url": ()}, "no base_url"),
        ({"base_url": "gpu1:8000/v1"}, "expected an address"),
        ({"base_url": "http://me:secret@gpu1/v1"}, "holds a user or a password"),
        ({"base_url": "me:secret@gpu1/v1"}, "m@1: .*expected an address"),
        ({"base_url": "http://gpu1/v1?key=secret"}, "expected an address"),
        ({"base_url": "http://gpu1:secret/v1"}, "expected an address"),
        ({"base_url": "http://[::1/v1"}, "expected an address"),
    ],
)
def test_a_role_that_says_too_little(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message) as raised:
        OpenAIEngine(Role(**{"engine": "openai", "model": "m@1", "base_url": "http://gpu1:8000/v1", **changes}), SETTINGS)
    assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_what_lands_together_is_handed_over_together_and_holds_its_places_until_then(server: FaultServer) -> None:
    server.delay = 0.01
    engine, batches = OpenAIEngine(role_of(server, concurrency=16), SETTINGS), []

    def landed(answers: Mapping[str, Completion]) -> None:
        time.sleep(0.05)  # a slow commit: nothing may take the places meanwhile
        assert server.stats.requests <= sum(map(len, batches)) + 16
        batches.append(sorted(answers))

    engine.submit({f"key {number}": request for number, request in enumerate(requests_of(48))}, landed)
    wait_for(lambda: engine.work() or sum(map(len, batches)) == 48)
    engine.close()
    assert len({key for batch in batches for key in batch}) == 48
    assert len(batches) <= 36, "one by one they would be 48"
    assert server.stats.max_in_flight <= 16


def test_an_error_of_the_store_ends_the_engine(server: FaultServer) -> None:
    engine = OpenAIEngine(role_of(server), SETTINGS)

    def landed(answers: Mapping[str, Completion]) -> None:
        raise EngineError("the store is full")

    engine.submit({"a": Request(asked("Tom"), SAMPLING), "b": Request(asked("Ann"), SAMPLING)}, landed)
    wait_for(lambda: engine.error is not None)
    with pytest.raises(EngineError, match="the store is full"):
        engine.work()
    with pytest.raises(EngineError, match="the store is full"):
        engine.submit({"c": Request(asked("Eve"), SAMPLING)}, landed)
    engine.close()
    assert not engine.thread.is_alive()


def test_closing_stores_what_has_been_answered(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many under way: answers wait for others before they are committed."""
    monkeypatch.setattr(servers, "MANY", 1)
    monkeypatch.setattr(servers, "TOGETHER", 60.0)
    engine, landed = OpenAIEngine(role_of(server), SETTINGS), list[str]()
    server.script["Eve"] = [Fault(delay=30.0)]
    engine.submit({name: Request(asked(name), SAMPLING) for name in ("Tom", "Ann", "Eve")}, landed.extend)
    wait_for(lambda: server.stats.answered == 2 and len(engine.done) == 2)
    assert landed == []
    engine.close()
    assert sorted(landed) == ["Ann", "Tom"], "they were paid"


def test_closing_drops_what_is_under_way(server: FaultServer) -> None:
    server.delay = 30
    engine, threads = OpenAIEngine(role_of(server), SETTINGS), threading.active_count()
    engine.submit({"a": Request(asked("Tom"), SAMPLING), "b": Request(asked("Ann"), SAMPLING)}, lambda answers: pytest.fail("too late"))
    wait_for(lambda: server.stats.in_flight == 2)
    started = time.monotonic()
    engine.close()
    engine.close()
    assert time.monotonic() - started < 15
    assert threading.active_count() == threads
    wait_for(lambda: server.stats.in_flight == 0)
