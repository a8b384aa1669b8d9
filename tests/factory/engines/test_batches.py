"""A provider's batch interface: half the price, nothing submitted or paid twice, whatever becomes of a batch or of this process."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer, Plan
from fault_server import Fault, FaultServer, answer
from served import SETTINGS, asked, requests_of, role_of, said

from factory.engines import batch_book, batch_engine, batch_provider
from factory.engines.batch_engine import BatchEngine
from factory.engines.budget import Book
from factory.engines.flow import Ask, Flow, run
from factory.engines.ledger import Ledger
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine
from factory.engines.select import Engines
from factory.errors import EngineError
from factory.params import Budget, Role

pytestmark = pytest.mark.usefixtures("quick")

SOON = {"poll": 0.02, "gather": 0.05}
SERVER = Path(__file__).with_name("batch_server.py")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"PAUSE": 0.01, "PAUSE_MOST": 0.05, "PATIENCE": 0.5}.items():
        monkeypatch.setattr(batch_provider, name, seconds)


@pytest.fixture
def provider() -> Iterator[BatchServer]:
    with BatchServer() as one:
        yield one


def batch_role(*servers: FaultServer, **changes: Any) -> Role:
    return role_of(*servers, batch={**SOON, **changes.pop("batch", {})}, **changes)


def opened(server: FaultServer, path: Path, **changes: Any) -> StoredEngine:
    store = Ledger(path / "store.sqlite")
    return StoredEngine(BatchEngine(batch_role(server, **changes), SETTINGS, store, "rollouts"), store, "rollouts")


def ask(server: FaultServer, path: Path, requests: Sequence[Request], **changes: Any) -> list[Completion]:
    engine = opened(server, path, **changes)
    try:
        return engine.generate(requests)
    finally:
        engine.close()
        engine.store.close()


def right(requests: Sequence[Request], answers: Sequence[Completion]) -> bool:
    return [one.text for one in answers] == [answer(said(request), request.seed) for request in requests]


def test_answers_come_by_batches_in_any_order_and_are_those_of_the_server_itself(
    provider: BatchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = requests_of(50)
    answers = ask(provider, tmp_path, requests)
    assert right(requests, answers)
    assert provider.sizes == [50]
    assert provider.stats.requests == 0, "nothing was asked directly"
    assert "rollouts: m@1: batch batch_0 of 50 requests (0.0 MB) is submitted, to be answered within 24h" in capsys.readouterr().err
    assert ask(provider, tmp_path, requests) == answers, "from the store"
    assert provider.sizes == [50]
    with Engines(SETTINGS, "rollouts") as engines:
        engines.store = Ledger(tmp_path / "store.sqlite")
        assert engines.engine(role_of(provider), "generator").generate(requests) == answers, "the same keys as without batches"
    assert provider.stats.requests == 0
    (batch,) = provider.batches.values()
    assert batch["completion_window"] == "24h"
    first = json.loads(provider.files["file-0"].splitlines()[0])
    assert (first["method"], first["url"], first["body"]["messages"][0]["content"]) == ("POST", "/v1/chat/completions", "problem 0")
    assert first["body"].keys() == {"model", "messages", "n", "max_tokens", "temperature", "top_p", "seed"}


@pytest.mark.slow
def test_a_batch_holds_so_many_requests_and_bytes_and_one_endpoint(provider: BatchServer, tmp_path: Path) -> None:
    requests = requests_of(50)
    assert right(requests, ask(provider, tmp_path / "a", requests, batch={"requests": 20}))
    assert provider.sizes == [20, 20, 10]
    provider.sizes, provider.most_bytes = [], 2_000
    assert right(requests, ask(provider, tmp_path / "b", requests, batch={"megabytes": 0.002}))
    assert len(provider.sizes) > 4
    assert sum(provider.sizes) == 50
    provider.sizes, provider.most_bytes = [], 1 << 40
    mixed = [replace(one, prompt=(5, 9, number)) if number % 2 else one for number, one in enumerate(requests_of(10))]
    assert not [one.error for one in ask(provider, tmp_path / "c", mixed) if one.error]
    assert provider.sizes == [5, 5], "token ids go to /completions"


@pytest.mark.slow
def test_expired_lines_go_into_the_next_batch_and_lose_no_attempt(provider: BatchServer, tmp_path: Path) -> None:
    requests = requests_of(30)
    provider.plans = [Plan(expires=20), Plan(expires=12, silent=True), Plan(expires=6), Plan(expires=2, state="cancelled")]
    assert right(requests, ask(provider, tmp_path, requests)), "with two retries, and four batches that expire"
    assert provider.sizes == [30, 20, 12, 6, 2]
    assert set(provider.batched.values()) == {1}, "no request was run twice"


@pytest.mark.slow
def test_a_request_that_always_expires_fails_in_the_end(provider: BatchServer, tmp_path: Path) -> None:
    provider.plans = [Plan(expires=1) for _ in range(20)]
    (only,) = ask(provider, tmp_path, requests_of(1))
    assert "batch_expired" in (only.error or "")
    assert (only.error or "").endswith("given up after 8 batches")


@pytest.mark.slow
def test_failed_lines_mean_what_they_mean_without_a_batch(provider: BatchServer, tmp_path: Path) -> None:
    requests = requests_of(12)
    long, slow = (
        (400, '{"error": {"message": "This model\'s maximum context length is 8 tokens."}}'),
        (500, '{"error": {"message": "oops"}}'),
    )
    provider.plans = [
        Plan(statuses={"problem 3": long, "problem 4": slow, "problem 5": slow}, broken=("problem 7",)),
        Plan(statuses={"problem 4": slow}),
        Plan(statuses={"problem 4": slow}),
    ]
    answers = ask(provider, tmp_path, requests)
    assert [number for number, one in enumerate(answers) if one.error] == [3, 4]
    assert answers[3].error == "HTTP 400: This model's maximum context length is 8 tokens."
    assert answers[4].error == "HTTP 500: oops; given up after 3 batches"
    assert right(requests[5:], answers[5:]), "an unreadable line is asked again"
    assert provider.sizes == [12, 3, 1]


def test_a_second_line_about_a_request_changes_nothing(provider: BatchServer, tmp_path: Path) -> None:
    provider.plans = [Plan(twice=True)]
    answers = ask(provider, tmp_path, requests_of(20))
    assert len(answers) == 20
    assert not [one.error for one in answers if one.error]
    again = ask(provider, tmp_path, requests_of(20))
    assert again == answers


@pytest.mark.slow
def test_429_and_5xx_of_every_call_are_survived(provider: BatchServer, tmp_path: Path) -> None:
    busy = {"status": 429, "headers": {"Retry-After": "0.01"}}
    for call in ("POST /files", "POST /batches", "GET /batches/", "GET /files/"):
        provider.faults[call] = [Fault(**busy), Fault(status=503), Fault(drop=True)]  # type: ignore[arg-type]
    requests = requests_of(10)
    assert right(requests, ask(provider, tmp_path, requests))
    assert provider.sizes == [10]


def test_a_submission_whose_answer_is_lost_is_not_made_again(provider: BatchServer, tmp_path: Path) -> None:
    provider.plans, provider.page = [Plan(lose=True), Plan(lose=True), Plan(lose=True)], 1
    requests = requests_of(30)
    assert right(requests, ask(provider, tmp_path, requests, batch={"requests": 10}))
    assert provider.sizes == [10, 10, 10]
    assert set(provider.batched.values()) == {1}


@pytest.mark.slow
def test_lines_that_fail_validation_fail_and_the_others_go_on(provider: BatchServer, tmp_path: Path) -> None:
    wrong = {"code": "invalid_json", "line": 3, "message": "no such model", "param": "body.model"}
    provider.plans = [Plan(errors=(wrong,))]
    answers = ask(provider, tmp_path, requests_of(10))
    assert [number for number, one in enumerate(answers) if one.error] == [2]
    assert "no such model" in (answers[2].error or "")
    assert provider.sizes == [10, 9]


@pytest.mark.slow
def test_a_full_queue_makes_batches_smaller(provider: BatchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}
    provider.plans = [Plan(errors=(full,)), Plan(errors=(full,))]
    requests = requests_of(40)
    assert right(requests, ask(provider, tmp_path, requests))
    assert provider.sizes[:3] == [40, 20, 20]
    assert set(provider.batched.values()) == {1}
    assert "the provider's queue is full (Enqueued token limit reached): 20 requests a batch from here on" in capsys.readouterr().err


@pytest.mark.slow
def test_a_batch_that_no_other_can_better_ends_the_stage(provider: BatchServer, tmp_path: Path) -> None:
    provider.plans = [Plan(errors=({"code": "billing", "message": "Billing hard limit has been reached"},))]
    with pytest.raises(EngineError, match=r"refuses a batch of 10 requests, none of which was run: Billing hard limit"):
        ask(provider, tmp_path, requests_of(10))
    assert right(requests_of(10), ask(provider, tmp_path, requests_of(10))), "and can be run again"


@pytest.mark.slow
def test_a_field_that_is_refused_names_the_option(provider: BatchServer, tmp_path: Path) -> None:
    provider.refuses = {"seed": (400, '{"error": {"message": "Unsupported parameter: \'seed\' is not supported"}}')}
    with pytest.raises(EngineError, match=r"write `omit: \[seed\]` into the role"):
        ask(provider, tmp_path, requests_of(5))


@pytest.mark.slow
def test_servers_without_batches_are_refused_in_one_line(server: FaultServer, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"is vLLM, which has no batch interface: leave batch out of the role whose model is m@1"):
        ask(server, tmp_path / "a", requests_of(2))
    with FaultServer(vllm=False) as foreign, pytest.raises(EngineError, match=r"has no batch interface \(HTTP 404.*leave batch out"):
        ask(foreign, tmp_path / "b", requests_of(2))
    with BatchServer() as one, BatchServer() as other, pytest.raises(EngineError, match=r"base_url names 2: name one"):
        BatchEngine(batch_role(one, other), SETTINGS, Ledger(tmp_path / "c.sqlite"), "rollouts")
    with Engines(SETTINGS, "gate") as engines, pytest.raises(EngineError, match="leave batch out of its role"):
        engines.scorer(batch_role(server), "reward_model")
    with pytest.raises(ValueError, match="batch is an option of the engine openai"):
        Role(engine="vllm", model="m", batch={})  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_provider_that_is_gone_is_an_error_and_the_batch_is_kept(provider: BatchServer, tmp_path: Path) -> None:
    provider.faults["GET /batches/"] = [Fault(status=503)] * 1000
    with pytest.raises(EngineError, match=r"HTTP 503.*its batches go on there, run again to fetch their answers"):
        ask(provider, tmp_path, requests_of(5))
    provider.faults = {}
    assert right(requests_of(5), ask(provider, tmp_path, requests_of(5)))
    assert provider.sizes == [5]


@pytest.mark.slow
def test_another_accounts_batch_is_an_error_until_it_is_forgotten(provider: BatchServer, tmp_path: Path) -> None:
    provider.faults["GET /batches/"] = [Fault(status=404, body='{"error": {"message": "No batch found"}}')]
    with pytest.raises(EngineError, match=r"does not give batch batch_0 .*another account's key \(OPENAI_API_KEY\)"):
        ask(provider, tmp_path, requests_of(5))
    store = Ledger(tmp_path / "store.sqlite")
    (batch,) = batch_book.batches(store)
    assert (batch.name, batch.requests, batch.stage, batch.model) == ("batch_0", 5, "rollouts", "m@1")
    batch_book.forget(store, batch.tag)
    store.close()
    assert right(requests_of(5), ask(provider, tmp_path, requests_of(5)))
    assert provider.sizes == [5, 5]


@pytest.mark.slow
def test_a_run_that_ends_early_finds_its_batches_again(
    provider: BatchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """Three of them, of one of which the second run asks for a part only, and the third for the rest."""
    provider.hold, requests = True, requests_of(30)
    engine = opened(provider, tmp_path, batch={"requests": 10})
    engine.submit(requests, lambda place, given: None)
    until = time.monotonic() + 60
    while len(provider.batches) < 3 or not all(batch.name for batch in batch_book.batches(engine.store)):
        assert time.monotonic() < until
        time.sleep(0.01)
    engine.close()
    engine.store.close()
    assert "3 batches with 30 requests may go on at" in capsys.readouterr().err
    provider.hold = False
    assert right(requests[:15], ask(provider, tmp_path, requests[:15]))
    assert right([*requests[12:], *requests_of(40)[30:]], ask(provider, tmp_path, [*requests[12:], *requests_of(40)[30:]]))
    assert provider.sizes == [10, 10, 10, 10], "only what is new was submitted"
    assert set(provider.batched.values()) == {1}
    store = Ledger(tmp_path / "store.sqlite")
    assert batch_book.batches(store) == []
    store.close()


def test_a_kill_between_the_book_and_the_provider_submits_once(provider: BatchServer, tmp_path: Path) -> None:
    """A batch without a name: at the provider, or not."""
    requests = requests_of(10)
    for reached in (True, False):
        folder = tmp_path / str(reached)
        store = Ledger(folder / "store.sqlite")
        engine = BatchEngine(batch_role(provider), SETTINGS, store, "rollouts")
        stored = StoredEngine(engine, store, "rollouts")
        keys = [stored.key(request) for request in requests]
        engine.book.begin("tag 1", "rollouts", keys)
        store.close()
        if reached:
            bodies = [
                {"model": "m", "messages": [{"role": "user", "content": said(one)}], "max_tokens": 64, "seed": one.seed} for one in requests
            ]
            rows = [{"custom_id": key, "url": "/v1/chat/completions", "body": body} for key, body in zip(keys, bodies, strict=True)]
            provider.files["input"] = "\n".join(map(json.dumps, rows)).encode()
            asked_for = {
                "input_file_id": "input",
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
                "metadata": {"factory": "tag 1"},
            }
            call = urllib.request.Request(f"{provider.url}/batches", json.dumps(asked_for).encode())
            urllib.request.urlopen(call, timeout=60).close()
        assert right(requests, ask(provider, folder, requests))
        assert provider.sizes == [10], "found by its tag" if reached else "begun"
        provider.sizes, provider.batches = [], {}


def test_a_kill_between_an_answer_and_the_book_leaves_no_batch_in_it(provider: BatchServer, tmp_path: Path) -> None:
    requests, key = requests_of(3), "a key"
    ask(provider, tmp_path, requests)
    with closing(Ledger(tmp_path / "store.sqlite")) as store:
        answered = [row[0] for row in store.connection.execute("SELECT key FROM answers")]
        book = batch_book.BatchBook(store, "m@1", provider.url)
        book.begin("all answered", "rollouts", answered[:2])
        book.begin("one left", "rollouts", [answered[2], key])
        assert [(batch.tag, batch.requests) for batch in batch_book.batches(store)] == [("one left", 1)]
        assert batch_book.BatchBook(store, "m@1", provider.url).held() == {key: "one left"}
        left = store.connection.execute("SELECT tag, key FROM batches LEFT JOIN batch_requests USING (tag)").fetchall()
        assert left == [("one left", key)], "and the next run takes the rest out"


def test_two_roles_of_one_model_that_ask_the_same_pay_once(provider: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store.sqlite"))
    with Engines(SETTINGS, "judging") as engines:
        one, two = engines.engine(batch_role(provider), "generator"), engines.engine(batch_role(provider), "critic")
        assert one.backend is two.backend

        def both(request: Request) -> Flow[tuple[Completion, Completion]]:
            (first,) = yield Ask(one, [request])
            return first, first

        def other(request: Request) -> Flow[tuple[Completion, Completion]]:
            (first,) = yield Ask(two, [request])
            return first, first

        requests = requests_of(6)
        found = run([flow(request) for request in requests for flow in (both, other)], "judging")
    assert right([one for one in requests for _ in range(2)], [pair[0] for pair in found])
    assert provider.sizes == [6]


def test_flows_fill_a_batch_and_their_second_questions_another(
    provider: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    engine = opened(provider, tmp_path, batch={"requests": 40})

    def twice(request: Request) -> Flow[str]:
        (first,) = yield Ask(engine, [request])
        (second,) = yield Ask(engine, [replace(request, prompt=asked(first.text))])
        return second.text

    requests = requests_of(40)
    found = run((twice(request) for request in requests), "twice", window=8)
    assert found == [answer(answer(said(one), one.seed), one.seed) for one in requests]
    assert provider.sizes == [40, 40], "eight at once would have been ten batches"
    engine.close()
    engine.store.close()


@pytest.mark.slow
def test_half_the_price_is_counted_and_a_budget_holds(
    provider: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store.sqlite"))
    role = batch_role(provider, price={"input": 10.0, "output": 20.0})

    def stage(count: int, budget: dict[str, Budget]) -> None:
        with Engines(SETTINGS, "rollouts", budget) as engines:
            engines.engine(role, "generator").generate(requests_of(count))
            engines.write_usage(Path("usage.csv"))

    stage(20, {})
    header, row = Path("usage.csv").read_text(encoding="utf-8").splitlines()
    used = dict(zip(header.split(","), row.split(","), strict=True))
    full = (10 * int(used["prompt_tokens"]) + 20 * int(used["completion_tokens"])) / 1e6
    assert float(used["dollars"]) == pytest.approx(full / 2)
    assert Book().of("generator").dollars == pytest.approx(full / 2)
    with pytest.raises(EngineError, match=r"the budget of roles\.generator is used up"):
        stage(400, {"generator": Budget(tokens=2_000)})
    assert 2_000 <= Book().of("generator").tokens < 2_100
    assert len(provider.sizes) < 12, "few batches, though each is only what the rest pays for"


CLIENT = """
import sys
from pathlib import Path
from factory.engines.batch_engine import BatchEngine
from factory.engines.ledger import Ledger
from factory.engines.protocol import Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.params import Requests, Role
from factory.schemas import Message

url, store, count = sys.argv[1], Ledger(Path(sys.argv[2])), int(sys.argv[3])
role = Role(engine="openai", model="m@1", base_url=url, batch={"poll": 0.05, "gather": 0.05, "requests": 100})
engine = StoredEngine(BatchEngine(role, Requests(timeout=10, retries=2, max_failed_share=0), store, "rollouts"), store, "rollouts")
requests = [Request((Message("user", f"p{number}"),), SamplingParams(20, 1.0), seed=number) for number in range(count)]
assert not [one.error for one in engine.generate(requests) if one.error]
engine.close()
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_submits_and_pays_nothing_twice(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, str(SERVER), "--polls", "12"], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"

    def client() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", CLIENT, url, str(tmp_path / "store.sqlite"), "1000"], env={**os.environ})

    def stats() -> dict[str, Any]:
        with urllib.request.urlopen(url.replace("/v1", "/stats"), timeout=60) as reply:
            return json.load(reply)

    try:
        for batches in (1, 3, 6, 8, 10, 10):  # under submission, then in the wait, then while files are read
            process, until = client(), time.monotonic() + 300
            while stats()["batches"] < batches or (batches == 10 and len(stats()["runs"]) < 10):
                assert time.monotonic() < until
                assert process.poll() is None or batches == 10
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert client().wait(timeout=500) == 0
        found = stats()
        assert sum(found["sizes"]) == 1000, "each request was submitted once"
        assert found["runs"] == [1] * 1000, "and run once"
        store = Ledger(tmp_path / "store.sqlite")
        assert store.usage()[0].requests == 1000
        assert batch_book.batches(store) == []
        store.close()
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_a_line_of_progress_while_a_batch_is_waited_for(
    provider: BatchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_engine, "EVERY", 0.03)
    provider.plans = [Plan(polls=8)]
    ask(provider, tmp_path, requests_of(5))
    assert "rollouts: m@1: batch batch_0: 0 of 5 answered, in_progress for 0 h 00 min" in capsys.readouterr().err


def test_the_command_lists_and_forgets(provider: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from factory.cli.requests import requests as command

    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store.sqlite"))
    provider.faults["GET /batches/"] = [Fault(status=404)]
    with pytest.raises(EngineError):
        ask(provider, tmp_path, requests_of(5))
    shown = CliRunner().invoke(command, ["batches"])
    assert "batch_0" in shown.output
    assert (
        CliRunner().invoke(command, ["batches", "--forget", "batch_0"]).output
        == "5 requests of batch_0 forgotten: asked again by the next run\n"
    )
    assert "batch_0" not in CliRunner().invoke(command, ["batches"]).output
