import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from factory.engines import flow, servers
from factory.engines import server as server_module
from factory.engines.openai_engine import OpenAIEngine, OpenAIScorer
from factory.engines.protocol import Completion, Request, SamplingParams, StreamingEngine, StreamingScorer
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.store import Store
from factory.errors import EngineError
from factory.params import Requests, Role

sys.path.insert(0, str(Path(__file__).parent))
from fault_server import FOR_EVER, Fault, FaultServer, answer, fault_servers

SETTINGS = Requests(timeout=2, retries=2, max_failed_share=0.5)
SAMPLING = SamplingParams(max_tokens=64)
KEY = "sk-very/secret+key-12345"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "BACKOFF": 0.01, "PAUSE": 0.05, "PAUSE_MOST": 0.2, "FIRST_PATIENCE": 0.4, "PATIENCE": 0.6, "PROBE": 0.3,
    }.items():  # fmt: skip
        monkeypatch.setattr(servers, name, seconds)
    monkeypatch.setattr(flow, "PATIENCE", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", "")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as one:
        yield one


def role_of(*fault_servers: FaultServer, **changes: Any) -> Role:
    values = {"engine": "openai", "model": "m@1", "base_url": tuple(one.url for one in fault_servers), "concurrency": 4}
    return Role(**{**values, **changes})


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Callable[..., StoredEngine]]:
    opened = []

    def make(*fault_servers: FaultServer, settings: Requests = SETTINGS, **changes: Any) -> StoredEngine:
        opened.append(
            StoredEngine(OpenAIEngine(role_of(*fault_servers, **changes), settings), Store(tmp_path / "store.sqlite"), "rollouts")
        )
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()
        engine.store.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("servers of")]


def requests_of(count: int, **sampling: Any) -> list[Request]:
    return [Request(prompt=f"problem {number}", sampling=SamplingParams(64, **sampling), seed=number) for number in range(count)]


def ask(engine: StoredEngine, prompt: Any = "Tom", **changes: Any) -> Completion:
    sampling = changes.pop("sampling", SAMPLING)
    return engine.generate([Request(prompt=prompt, sampling=sampling, **changes)])[0]


# What is sent and how it is read


def test_satisfies_the_protocols_and_contacts_nothing_before_the_first_request(server: FaultServer) -> None:
    engine, scorer = OpenAIEngine(role_of(server), SETTINGS), OpenAIScorer(role_of(server), SETTINGS)
    assert isinstance(engine, StreamingEngine)
    assert isinstance(scorer, StreamingScorer)
    assert (engine.family, engine.model, engine.structured) == ("openai", "m@1", True)
    assert engine.work() is False
    engine.close()
    engine.close()
    assert server.paths == []
    assert subprocess.run(
        [sys.executable, "-c", "import sys, factory.engines.openai_engine; sys.exit('aiohttp' in sys.modules)"], check=False
    ).returncode == 0  # fmt: skip


def test_answers_in_order_stored_and_replayed(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    requests, server.delay = requests_of(50), 0.01
    engine = stored(server)
    completions = engine.generate(requests)
    assert [one.text for one in completions] == [answer(request.prompt, request.seed) for request in requests]
    assert all(one.finish_reason == "stop" and one.tokens == len(one.text) // 3 for one in completions)  # without the end of sequence
    assert server.stats.max_in_flight == 4
    assert stored(server).generate(requests) == completions
    assert server.stats.requests == 50


def test_text_ids_and_chat_go_to_their_endpoints(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    engine = stored(server, base_url=server.url + "/")
    ask(engine, "Tom", sampling=SamplingParams(5, stop=("\n",), logprobs=True, ignore_eos=True))
    ask(engine, (5, 9, 3))
    chat = ask(engine, (("system", "Be brief."), ("user", "Hello")), sampling=SamplingParams(64, logprobs=True))
    assert chat.text == answer("Hello", 0)
    assert len(chat.logprobs or ()) == len(chat.token_ids)
    assert server.paths == ["GET /models", "POST /completions", "POST /completions", "POST /chat/completions"]
    text, ids, talk = server.seen
    extensions = {
        "skip_special_tokens": False, "return_token_ids": True, "include_stop_str_in_output": False,
        "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
    }  # fmt: skip
    assert text == {
        "model": "m", "prompt": "Tom", "n": 1, "max_tokens": 5, "temperature": 0.0, "top_p": 1.0, "seed": 0, "stop": ["\n"],
        "logprobs": 0, "ignore_eos": True, **extensions,
    }  # fmt: skip
    assert ids["prompt"] == [5, 9, 3]
    assert talk["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert talk["logprobs"] is True


def test_cut_off_and_stopped(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    engine, whole = stored(server), answer("Tom", 0)
    cut = ask(engine, sampling=SamplingParams(5, logprobs=True))
    assert (cut.text, cut.finish_reason, cut.token_ids, cut.logprobs) == (whole[:15], "length", (100, 101, 102, 103, 104), (-0.5,) * 5)
    stopped = ask(engine, sampling=SamplingParams(64, stop=(whole[9:12],)))
    end = whole.index(whole[9:12])
    assert (stopped.text, stopped.finish_reason, stopped.tokens) == (whole[:end], "stop", end // 3 + 1)  # the stop string's token stays
    server.script["Ann"] = [Fault(body=reply(text="one<end>two", token_ids=[1, 2, 3], stop_reason="<end>"))]
    assert ask(engine, "Ann", sampling=SamplingParams(64, stop=("<end>",))).text == "one"


def test_a_foreign_server_gets_no_extensions(stored: Callable[..., StoredEngine]) -> None:
    with FaultServer(vllm=False) as foreign:
        engine = stored(foreign)
        plain = ask(engine)
        assert (plain.text, plain.token_ids, plain.counted, plain.error) == (answer("Tom", 0), (), len(plain.text) // 3 + 1, None)
        assert ask(engine, sampling=SamplingParams(64, logprobs=True)).logprobs == (-0.5,) * plain.tokens
        assert foreign.seen[-1]["logprobs"] == 1
        assert ask(engine, sampling=SamplingParams(64, ignore_eos=True)).error == "ignore_eos needs a vLLM server"
        foreign.script["Ann"] = [Fault(body=reply(text="7"))]
        assert "tells none" in (ask(engine, "Ann", sampling=SamplingParams(64, logprobs=True)).error or "")


def test_a_schema_goes_to_the_server(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Tom"] = [Fault(body=reply(text='{"step": 2}'))]
    assert ask(stored(server), schema='{"type": "object", "required": ["step"]}').text == '{"step": 2}'
    shape = {"name": "answer", "schema": {"type": "object", "required": ["step"]}, "strict": True}
    assert server.seen[0]["response_format"] == {"type": "json_schema", "json_schema": shape}


def test_servers_without_a_list_of_models(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.models_fault = Fault(status=404, times=FOR_EVER)
    assert ask(stored(server)).counted
    assert "return_token_ids" not in server.seen[0]


# Failures of requests


def reply(**choice: Any) -> str:
    import json

    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    return json.dumps({"choices": [{"finish_reason": "stop", **choice}], "usage": usage})


PASSING = {
    "HTTP 500: boom": Fault(status=500, body='{"error": {"message": "boom"}}'),
    "HTTP 502: Bad Gateway": Fault(status=502, body="Bad\r\nGateway"),
    "HTTP 408: no reason given": Fault(status=408, body=""),
    "HTTP 429: slow": Fault(status=429, body='{"detail": "slow"}'),
    "HTTP 503: loading": Fault(status=503, body='{"object": "error", "message": "loading"}', headers={"Retry-After": "0"}),
    "malformed answer: Invalid JSON": Fault(body='{"choices": ['),
    "malformed answer: Invalid JSON:": Fault(body="[" * 100_000),
    "malformed answer: choices: List should have at least 1 item": Fault(body='{"choices": [], "usage": {}}'),
    "malformed answer: usage: Field required": Fault(body='{"choices": [{"text": "x", "finish_reason": "stop"}]}'),
    "malformed answer: choices.0.text: Input should be a valid string": Fault(body=reply(text=7)),
    "malformed answer: Invalid JSON: unexpected end of hex escape": Fault(body=reply(text="\ud800")),
    "the server aborted the request": Fault(body=reply(text="x", finish_reason="abort")),
    "connection lost": Fault(drop=True),
    "connection lost (": Fault(half=True),
}  # fmt: skip


@pytest.mark.parametrize("reason", PASSING)
def test_what_may_pass_is_asked_again(reason: str, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    fault = PASSING[reason]
    server.script["Tom"] = [vary(fault, 2)]
    server.script["Ann"] = [vary(fault, FOR_EVER)]
    engine = stored(server)
    fine, bad, other = engine.generate([Request(prompt, SAMPLING) for prompt in ("Tom", "Ann", "Eve")])
    assert (fine.text, other.text) == (answer("Tom", 0), answer("Eve", 0))
    assert bad.finish_reason == "error"
    assert (bad.error or "").startswith(reason)
    assert (bad.error or "").endswith("; given up after 3 attempts")
    assert [sent["prompt"] for sent in server.seen].count("Tom") == 3
    assert [(failed[1], failed[3]) for failed in engine.store.failures()] == [("rollouts", bad.error)]
    assert engine.usage.failed == 1


def vary(fault: Fault, times: int) -> Fault:
    return Fault(**{**vars(fault), "times": times})


REFUSED = {
    "HTTP 400: This model's maximum context length": Fault(status=400, body="This model's maximum context length " + "9" * 500),
    "HTTP 404: Not Found": Fault(status=404, body='{"detail": "Not Found"}'),
    "HTTP 413": Fault(status=413),
    "HTTP 422: a b": Fault(status=422, body='{"detail": "a\\u0007\\nb"}'),
    "HTTP 307": Fault(status=307, headers={"Location": "http://127.0.0.1:1/"}),
    "finish_reason content_filter": Fault(body=reply(text="x", finish_reason="content_filter")),
    "finish_reason tool_calls": Fault(body=reply(text="x", finish_reason="tool_calls")),
    "finish_reason None": Fault(body=reply(text="x", finish_reason=None)),
    "an answer without text": Fault(body=reply(message={"content": None})),
    "the model refused: No.": Fault(body=reply(message={"content": None, "refusal": "No."})),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_pass_fails_at_once(reason: str, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Ann"] = [vary(REFUSED[reason], FOR_EVER)]
    bad, fine = stored(server).generate([Request("Ann", SAMPLING), Request("Tom", SAMPLING)])
    assert (bad.error or "").startswith(reason)
    assert len(bad.error or "") < 250
    assert (bad.error or "").isprintable()
    assert fine.text == answer("Tom", 0)
    assert len(server.seen) == 2


def test_a_late_answer_is_asked_again(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Tom"] = [Fault(delay=5)]
    server.script["Ann"] = [Fault(delay=5, times=FOR_EVER)]
    engine = stored(server, settings=Requests(timeout=0.15, retries=1, max_failed_share=1))
    fine, bad = engine.generate([Request("Tom", SAMPLING), Request("Ann", SAMPLING)])
    assert fine.text == answer("Tom", 0)
    assert bad.error == "no answer in 0.15 s; given up after 2 attempts"


@pytest.mark.parametrize(("status", "dated"), [(429, False), (503, False), (429, True)])
def test_retry_after_is_waited_for(status: int, dated: bool, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    after = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if dated else "0.4"
    server.script["Tom"] = [Fault(status=status, headers={"Retry-After": after})]
    started = time.monotonic()
    assert ask(stored(server)).text == answer("Tom", 0)
    assert 0.3 < time.monotonic() - started < 2.5


def test_retry_after_is_capped_and_one_that_cannot_be_read_is_ignored() -> None:
    assert server_module._seconds("99999") == server_module.WAIT_MOST
    assert server_module._seconds("Fri, 31 Dec 2100 23:59:59 GMT") == server_module.WAIT_MOST
    assert server_module._seconds("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    assert [server_module._seconds(text) for text in ("soon", "nan", None)] == [None, None, None]


def test_a_server_that_is_told_to_be_too_busy_gets_fewer_requests(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    for number in range(8):
        server.script[f"problem {number}"] = [Fault(status=429, headers={"Retry-After": "0.1"})]
    engine = stored(server, concurrency=8)
    assert [one.error for one in engine.generate(requests_of(8))] == [None] * 8
    assert engine.backend.servers[0].places < 8
    assert [one.error for one in engine.generate(requests_of(60)[8:])] == [None] * 52
    assert engine.backend.servers[0].places == 8


# Servers


def test_least_loaded_first(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(3, delay=0.02) as (slow, first, second):
        slow.delay = 0.2
        assert len(stored(slow, first, second, concurrency=3).generate(requests_of(60))) == 60
        assert slow.stats.max_in_flight == first.stats.max_in_flight == second.stats.max_in_flight == 3
        assert slow.stats.requests < 12 < 20 < min(first.stats.requests, second.stats.requests)


def test_a_dead_server_is_dropped_and_used_again(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(2, delay=0.01) as (first, second):
        engine = stored(first, second, settings=Requests(timeout=2, retries=0, max_failed_share=0))
        landed, seen = engine._landed, 0

        def watch(answers: Mapping[str, Completion]) -> None:
            nonlocal seen
            if seen < 40 <= seen + len(answers):
                threading.Thread(target=second.kill).start()
            if seen < 150 <= seen + len(answers):
                threading.Thread(target=second.restart).start()
            seen += len(answers)
            landed(answers)

        engine._landed = watch  # type: ignore[method-assign]
        requests = requests_of(400)
        completions = engine.generate(requests)
        assert [one.text for one in completions] == [answer(request.prompt, request.seed) for request in requests]  # no attempt was lost
        assert second.stats.requests > 60  # 20 before it died


def test_a_server_that_answers_nonsense_at_once_does_not_swallow_the_work(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(2, delay=0.01) as (sound, broken):
        for number in range(100):
            broken.script[f"problem {number}"] = [Fault(status=502, times=FOR_EVER)]
        broken.delay = 0
        completions = stored(sound, broken).generate(requests_of(100))
        assert [one.error for one in completions] == [None] * 100
        assert broken.stats.requests < 40


def test_a_prompt_that_kills_servers_fails_in_the_end(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Ann"] = [Fault(kill=True, times=FOR_EVER)]
    over = threading.Event()

    def janitor() -> None:
        while not over.wait(0.02):
            if server.listening is None:
                server.restart()

    thread = threading.Thread(target=janitor)
    thread.start()
    bad, *fine = stored(server).generate([Request("Ann", SAMPLING), *requests_of(20)])
    over.set()
    thread.join()
    assert (bad.error or "").endswith("given up after 3 attempts")
    assert [one.error for one in fine] == [None] * 20


def test_no_server_is_an_error_in_bounded_time(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.kill()
    started = time.monotonic()
    with pytest.raises(EngineError, match=rf"server {server.url} unreachable: .*(refused|Connect).*start it, or correct base_url"):
        ask(stored(server))
    assert time.monotonic() - started < 2.5
    with pytest.raises(EngineError, match=r"no-such-host\.invalid/v1 unreachable"):
        ask(stored(server, base_url="http://no-such-host.invalid/v1"))


def test_a_server_that_comes_up_late(server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "FIRST_PATIENCE", 5.0)
    server.kill()
    threading.Timer(0.2, server.restart).start()
    assert ask(stored(server)).error is None


def test_all_servers_gone_is_an_error_and_answers_are_kept(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(2) as (first, second):
        for one in (first, second):
            one.script["problem 30"] = [Fault(kill=True, times=FOR_EVER)]
            one.script["problem 31"] = [Fault(kill=True, times=FOR_EVER)]
        engine = stored(first, second)
        started = time.monotonic()
        with pytest.raises(EngineError, match=r"unreachable: .*; server .*unreachable: "):
            engine.generate(requests_of(60))
        assert time.monotonic() - started < 4
        with pytest.raises(EngineError, match="unreachable"):
            engine.generate(requests_of(61)[60:])  # and it stays one
        assert engine.store.usage()[0].requests >= 20


def test_a_server_that_hangs_is_dropped(stored: Callable[..., StoredEngine]) -> None:
    with fault_servers(2) as (sound, hung):
        engine = stored(sound, hung, settings=Requests(timeout=0.3, retries=0, max_failed_share=0))
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
    ],
)
def test_a_role_that_says_too_little(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message) as raised:
        OpenAIEngine(Role(**{"engine": "openai", "model": "m@1", "base_url": "http://gpu1:8000/v1", **changes}), SETTINGS)
    assert "secret" not in str(raised.value)


# The key


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
    bad, worse, told, fine = engine.generate([Request(prompt, SAMPLING) for prompt in ("Ann", "Bob", "Eve", "Tom")])
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
        str(engine.store.request(told.request_id)),
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


def test_a_key_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sécret")
    with pytest.raises(EngineError, match="OPENAI_API_KEY holds no key") as raised:
        OpenAIEngine(Role(engine="openai", model="m@1", base_url="http://gpu1/v1"), SETTINGS)
    assert "cret" not in str(raised.value)


# Handing over


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 3
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


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
    assert len(batches) <= 24
    assert server.stats.max_in_flight <= 16


def test_an_error_of_the_store_ends_the_engine(server: FaultServer) -> None:
    engine = OpenAIEngine(role_of(server), SETTINGS)

    def landed(answers: Mapping[str, Completion]) -> None:
        raise EngineError("the store is full")

    engine.submit({"a": Request("Tom", SAMPLING), "b": Request("Ann", SAMPLING)}, landed)
    wait_for(lambda: engine.error is not None)
    with pytest.raises(EngineError, match="the store is full"):
        engine.work()
    with pytest.raises(EngineError, match="the store is full"):
        engine.submit({"c": Request("Eve", SAMPLING)}, landed)
    engine.close()
    assert not engine.thread.is_alive()


def test_closing_drops_what_is_under_way(server: FaultServer) -> None:
    server.delay = 30
    engine, threads = OpenAIEngine(role_of(server), SETTINGS), threading.active_count()
    engine.submit({"a": Request("Tom", SAMPLING), "b": Request("Ann", SAMPLING)}, lambda answers: pytest.fail("too late"))
    wait_for(lambda: server.stats.in_flight == 2)
    started = time.monotonic()
    engine.close()
    engine.close()
    assert time.monotonic() - started < 0.5
    assert threading.active_count() == threads
    wait_for(lambda: server.stats.in_flight == 0)


# Scores


@pytest.fixture
def scorer(server: FaultServer, tmp_path: Path) -> Iterator[StoredScorer]:
    one = StoredScorer(OpenAIScorer(role_of(server), SETTINGS), Store(tmp_path / "store.sqlite"), "pairs")
    yield one
    one.close()
    one.store.close()


def test_scores_are_raw_logits_of_the_ids_that_training_saw(server: FaultServer, scorer: StoredScorer) -> None:
    pairs = [("a", letter * 3) for letter in "bcd"]
    assert scorer.score(pairs) == [(0 + 97 + 3 * ord(letter) + 1) / 1000 for _, (letter, *_) in pairs]
    assert sorted(sent["input"] for sent in server.seen) == [[0, 97, *[ord(letter)] * 3, 1] for letter in "bcd"]
    assert all(sent["use_activation"] is False and sent["model"] == "m" for sent in server.seen)
    assert "POST /classify" in server.paths


def test_a_reward_model_with_a_chat_template_is_sent_the_conversation(server: FaultServer, scorer: StoredScorer) -> None:
    server.chat = True
    assert scorer.score([("a", "bc")]) == [(97 + 98 + 99) / 1000]
    (sent,) = server.seen
    assert sent["messages"] == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bc"}]
    assert sent["add_generation_prompt"] is False
    assert server.paths.count("POST /tokenize") == 1, "only to learn that there is a template"


def test_pairs_without_a_score(server: FaultServer, scorer: StoredScorer, capfd: pytest.CaptureFixture[str]) -> None:
    server.context = 10
    server.script[str([0, 97, 98, 1])] = [Fault(status=500, times=FOR_EVER)]
    long, ill, fine = scorer.score([("a", "b" * 20), ("a", "b"), ("a", "c")])
    assert str((long, ill, fine)) == f"(nan, nan, {(97 + 99 + 1) / 1000})"
    assert "m@1: a pair without a score: HTTP" in capfd.readouterr().err


def test_a_reward_model_whose_end_of_sequence_is_not_told(server: FaultServer, scorer: StoredScorer) -> None:
    server.tells_end = False
    with pytest.raises(EngineError, match="start it with --enable-tokenizer-info-endpoint"):
        scorer.score([("a", "b")])


def test_a_classifier_is_no_reward_model(server: FaultServer, scorer: StoredScorer) -> None:
    server.script[str([0, 97, 98, 1])] = [Fault(body='{"data": [{"probs": [0.1, 0.9]}]}')]
    with pytest.raises(EngineError, match="has 2 labels, a reward model has 1"):
        scorer.score([("a", "b")])


def test_the_server_as_a_process() -> None:
    import json
    import urllib.request

    command = [sys.executable, str(Path(__file__).parent / "fault_server.py"), "--delay", "0.01", "--tokens", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())  # type: ignore[union-attr]
        engine, found = OpenAIEngine(Role(engine="openai", model="m@1", base_url=f"http://127.0.0.1:{port}/v1"), SETTINGS), {}
        engine.submit(dict(enumerate(requests_of(5))), found.update)
        wait_for(lambda: len(found) == 5)
        engine.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats") as stats:
            told = json.load(stats)
        process.terminate()
    assert (told["requests"], told["answered"], told["tokens"], told["in_flight"]) == (5, 5, 40, 0)
    assert {one.tokens for one in found.values()} == {7}
