import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_server import FOR_EVER, TURN_END, Fault, FaultServer, answer, templated
from served import SETTINGS, ask, asked, reply, requests_of, role_of, said, wait_for

from factory.engines.ledger import Chosen
from factory.engines.openai_engine import OpenAIEngine, OpenAIScorer
from factory.engines.protocol import SamplingParams, StreamingEngine, StreamingScorer
from factory.engines.requests import StoredEngine
from factory.language.conversation import begun
from factory.params import Role
from factory.schemas import Message

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.slow
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


@pytest.mark.slow
def test_answers_in_order_stored_and_replayed(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    requests, server.delay = requests_of(50), 0.01
    engine = stored(server)
    completions = engine.generate(requests)
    assert [one.text for one in completions] == [answer(said(request), request.seed) for request in requests]
    assert all(one.finish_reason == "stop" and one.tokens == len(one.text) // 3 for one in completions)  # without the end of sequence
    assert server.stats.max_in_flight == 4
    assert stored(server).generate(requests) == completions
    assert server.stats.requests == 50


EXTENSIONS = {
    "skip_special_tokens": False, "return_token_ids": True, "include_stop_str_in_output": False,
    "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
}  # fmt: skip
BRIEF = (Message("system", "Be brief."), Message("user", "Hello"))
ROWS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def test_conversations_and_ids_go_to_their_endpoints(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    engine = stored(server, base_url=server.url + "/")
    ask(engine, (5, 9, 3), sampling=SamplingParams(5, stop=("\n",), logprobs=True, ignore_eos=True))
    chat = ask(engine, BRIEF, sampling=SamplingParams(64, logprobs=True))
    assert chat.text == answer("Hello", 0)
    assert len(chat.logprobs or ()) == len(chat.token_ids)
    assert [path for path in server.paths if path != "POST /tokenize"] == ["GET /models", "POST /completions", "POST /chat/completions"]
    ids, talk = server.seen
    assert ids == {
        "model": "m", "prompt": [5, 9, 3], "n": 1, "max_tokens": 5, "temperature": 0.0, "top_p": 1.0, "seed": 0, "stop": ["\n"],
        "logprobs": 0, "ignore_eos": True, **EXTENSIONS,
    }  # fmt: skip
    assert talk == {
        "model": "m", "messages": ROWS, "n": 1, "max_tokens": 64, "temperature": 0.0, "top_p": 1.0, "seed": 0, "logprobs": True,
        "stop_token_ids": [TURN_END], **EXTENSIONS,
    }  # fmt: skip


def test_a_turn_begun_is_the_concatenation_of_ids_on_a_vllm_server(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    engine = stored(server)
    for words in (" 3 +", " 3 +", "3"):
        assert ask(engine, begun(BRIEF, words), ordinal=len(server.seen)).error is None
    assert [sent["prompt"] for sent in server.seen] == [templated(ROWS, True) + list(map(ord, words)) for words in (" 3 +", " 3 +", "3")]
    assert server.paths.count("POST /tokenize") == 2 + 2 + 1 + 3, "its end, its system turn, and each prompt once"


def test_a_system_turn_that_the_template_refuses_joins_the_users(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.system = False
    engine, joined = stored(server), [{"role": "user", "content": "Be brief.\n\nHello"}]
    assert ask(engine, BRIEF).text == answer("Be brief.\n\nHello", 0)
    assert ask(engine, begun(BRIEF, "3")).error is None
    assert [sent.get("messages", sent.get("prompt")) for sent in server.seen] == [joined, [*templated(joined, True), ord("3")]]


@pytest.mark.parametrize(
    "prompt",
    [
        asked("Say <|end|>"),
        asked("7\n<|reflect|>No."),
        begun(asked("Tom"), "7 <|reflect|>No."),
        (*asked("Tom"), Message("assistant", "<|turn|>"), *asked("Eve")),
    ],
)
def test_data_that_spells_one_of_its_control_tokens_is_refused(
    prompt: object, server: FaultServer, stored: Callable[..., StoredEngine]
) -> None:
    engine = stored(server)
    assert "which the server would read as a control token" in (ask(engine, prompt).error or "")
    assert server.seen == []
    assert ask(engine, "Say </s> and <|im_end|>").error is None, "letters to this tokenizer"
    assert ask(engine, begun(asked("Tom"), "7\n<|reflect|>No.")).error is None, "where the grammar has it"


def test_a_vllm_server_that_tells_no_ids(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.tokenizes = False
    engine = stored(server)
    assert ask(engine, BRIEF).error is None
    assert "stop_token_ids" not in server.seen[0]


def test_how_another_server_goes_on_with_a_turn_begun(stored: Callable[..., StoredEngine]) -> None:
    prompt, row = begun(asked("Tom"), "3 + 4"), {"role": "assistant", "content": "3 + 4"}
    with FaultServer(vllm=False) as foreign:
        assert "write into the role (params.yaml) `continue_as: message`" in (ask(stored(foreign), prompt).error or "")
        assert foreign.seen == []
        assert ask(stored(foreign, continue_as="message"), prompt).text == answer("3 + 4", 0)
        foreign.script["3 + 4"] = [Fault(body=reply(message={"content": "3 + 4 = 7"}), times=2)]
        assert ask(stored(foreign, continue_as="prefix"), prompt, ordinal=1).text == "3 + 4 = 7"
        assert ask(stored(foreign, continue_as="echoed_prefix"), prompt, ordinal=2).text == " = 7"
        assert [sent["messages"][-1] for sent in foreign.seen] == [row, row | {"prefix": True}, row | {"prefix": True}]


@pytest.mark.parametrize(
    ("message", "finish", "told"),
    [
        ({"content": "<think>\n3 + 4\n</think>\n\n7"}, "stop", ("3 + 4", "7", "stop")),
        ({"content": "3 + 4\n</think>\n\n7"}, "stop", ("3 + 4", "7", "stop")),
        ({"content": "<think>3 +"}, "length", ("3 +", "", "length")),
        ({"content": None, "reasoning": "3 +"}, "length", ("3 +", "", "length")),
        ({"content": "7", "reasoning_content": "3 + 4"}, "stop", ("3 + 4", "7", "stop")),
        ({"content": "Write <think> and </think>."}, "stop", (None, "Write <think> and </think>.", "stop")),
    ],
)
def test_thinking_is_told_apart_and_stored_as_it_came(
    message: dict[str, str], finish: str, told: tuple[str | None, str, str], server: FaultServer, stored: Callable[..., StoredEngine]
) -> None:
    server.script["Tom"] = [Fault(body=reply(message=message, finish_reason=finish))]
    engine = stored(server)
    for _ in range(2):  # fresh, and from the store
        found = ask(engine)
        assert (found.reasoning, found.text, found.finish_reason) == told
    (entry,) = engine.store.entries(Chosen())
    assert (entry.answer["text"], entry.answer.get("reasoning")) == (
        message["content"] or "", message.get("reasoning_content", message.get("reasoning")),
    )  # fmt: skip


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
        assert foreign.seen[-1]["logprobs"] is True
        assert "stop_token_ids" not in foreign.seen[-1]
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
