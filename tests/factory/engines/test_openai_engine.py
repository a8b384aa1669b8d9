import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_server import FOR_EVER, Fault, FaultServer, answer
from served import SETTINGS, ask, reply, requests_of, role_of, wait_for

from factory.engines.openai_engine import OpenAIEngine, OpenAIScorer
from factory.engines.protocol import SamplingParams, StreamingEngine, StreamingScorer
from factory.engines.requests import StoredEngine
from factory.params import Role

pytestmark = pytest.mark.usefixtures("quick")


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


def test_log_probs_that_do_not_match_the_ids_are_malformed(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Tom"] = [Fault(body=reply(text="x", token_ids=[5, 6, 1], logprobs={"token_logprobs": [-0.5] * 2}), times=FOR_EVER)]
    told = ask(stored(server), sampling=SamplingParams(64, logprobs=True))
    assert told.error == "malformed answer: 3 token ids and 2 log-probabilities; given up after 3 attempts"


def test_a_schema_goes_to_the_server(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.script["Tom"] = [Fault(body=reply(text='{"step": 2}'))]
    assert ask(stored(server), schema='{"type": "object", "required": ["step"]}').text == '{"step": 2}'
    shape = {"name": "answer", "schema": {"type": "object", "required": ["step"]}, "strict": True}
    assert server.seen[0]["response_format"] == {"type": "json_schema", "json_schema": shape}


def test_servers_without_a_list_of_models(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.models_fault = Fault(status=404, times=FOR_EVER)
    assert ask(stored(server)).counted
    assert "return_token_ids" not in server.seen[0]


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
