"""A role's options for servers that are not quite OpenAI's, and what names them when they are missing."""

from collections.abc import Callable
from typing import Any

import pytest
from fault_server import FOR_EVER, Fault, FaultServer, answer
from pydantic import ValidationError
from served import SETTINGS, ask, asked, reply, requests_of, said

from factory.engines.dialect import hint, lineage, worded
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.errors import EngineError
from factory.params import Role

pytestmark = pytest.mark.usefixtures("quick")
SENT = {"model", "prompt", "n", "max_tokens", "temperature", "top_p", "seed", "stop", "response_format", "logprobs"}


@pytest.mark.parametrize(
    ("said", "option"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "max_tokens_as: max_c",
        ),
        ("Unknown field: max_tokens", "max_tokens_as: max_c"),
        ("body.max_tokens: Extra inputs are not permitted", "max_tokens_as: max_c"),
        ("Unrecognized request argument supplied: seed", "omit: [seed]"),
        ("body.seed: Extra inputs are not permitted", "omit: [seed]"),
        ("Argument not supported on this model: seed", "omit: [seed]"),
        ("Unknown parameter: 'seed'. Allowed: temperature, top_p, max_tokens, stop", "omit: [seed]"),
        ("Invalid value at 'generation_config.seed' (TYPE_INT32), 7459459494", "seed_bits: 31"),
        ("body.seed: Input should be less than or equal to 2147483647", "seed_bits: 31"),
        ("json: cannot unmarshal number 7459 into Go struct field CompletionRequest.seed of type int", "seed_bits: 31"),
        ("litellm.UnsupportedParamsError: openai does not support parameters: ['seed', 'n'], for model=x", "omit: [seed, n]"),
        ("property 'n' is unsupported", "omit: [n]"),
        ("n: Extra inputs are not permitted", "omit: [n]"),
        ("n is not supported", "omit: [n]"),
        (
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.",
            "omit: [temperature]",
        ),
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", "omit: [top_p]"),
        ("Input validation error: `top_p` must be > 0.0 and < 1.0", "omit: [top_p]"),
        ("Unsupported parameter: 'stop' is not supported with this model.", "omit: [stop]"),
        ("This response_format type is unavailable now", "omit: [response_format]"),
        ("Unrecognized request argument supplied: logprobs", "no log-probabilities"),
    ],
)
def test_a_complaint_names_the_option(said: str, option: str) -> None:
    assert option in hint(said, SENT)


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 48 tokens. However, you requested 84 tokens (20 in the messages, 64 in the completion).",
        "'max_tokens' or 'max_completion_tokens' is too large: 64. This model's maximum context length is 48 tokens",
        "The model `gpt-9` does not exist",
        "prompt: Field required",
        "Invalid JSON: you must stop sending this",
        "",
    ],
)
def test_other_complaints_name_none(said: str) -> None:
    assert hint(said, SENT) == ""


def test_the_renamed_field_that_a_server_does_not_know() -> None:
    sent = (SENT - {"max_tokens"}) | {"max_completion_tokens"}
    assert hint("max_completion_tokens: Extra inputs are not permitted", sent) == "leave `max_tokens_as` out of the role"


def test_wording() -> None:
    document = {"prompt": "Tom", "n": 1, "max_tokens": 5, "temperature": 0.0, "top_p": 1.0, "seed": 2**62 + 2**31 + 7, "stop": ("\n",)}
    plain = Role(engine="openai", model="m@1")
    assert list(worded(document, plain).items()) == list(document.items()), "stored answers keep their keys"
    odd = Role(engine="openai", model="m@1", omit=("n", "top_p", "stop"), max_tokens_as="max_completion_tokens", seed_bits=31)
    assert worded(document, odd) == {"prompt": "Tom", "max_completion_tokens": 5, "temperature": 0.0, "seed": 7}
    assert (lineage(plain), lineage(odd)) == ("m@1", "m@1,omit=top_p")
    both = Role(engine="openai", model="m@1", omit=("top_p", "seed", "temperature"))
    assert lineage(both) == "m@1,omit=temperature+top_p"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"omit": ["sead"]}, "omit"),
        ({"omit": "seed"}, "omit"),
        ({"seed_bits": 64}, "seed_bits"),
        ({"max_tokens_as": "max_new_tokens"}, "max_tokens_as"),
        ({"engine": "vllm", "omit": ["seed"]}, "omit is an option of the engine openai, and this role's is vllm"),
        ({"engine": "transformers", "listed_as": "*"}, "listed_as is an option of the engine openai"),
    ],
)
def test_an_option_that_is_none(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Role(**{"engine": "openai", "model": "m@1", **option})


REFUSES = {
    "seed": (400, '{"error": {"message": "Unrecognized request argument supplied: seed", "type": "invalid_request_error"}}'),
    "n": (422, '{"detail": [{"type": "extra_forbidden", "loc": ["body", "n"], "msg": "Extra inputs are not permitted", "input": 1}]}'),
    "max_tokens": (400, '{"error": {"message": "Unsupported parameter: use \'max_completion_tokens\' instead.", "param": "max_tokens"}}'),
    "response_format": (400, '{"error": "unknown field `response_format`"}'),
    "top_p": (400, '{"object": "error", "message": "`temperature` and `top_p` cannot both be specified"}'),
}
OPTIONS: dict[str, dict[str, Any]] = {name: {"omit": (name,)} for name in REFUSES} | {
    "max_tokens": {"max_tokens_as": "max_completion_tokens"}
}


@pytest.mark.parametrize("field", REFUSES)
def test_a_server_that_refuses_a_field(field: str, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.refuses, schema = {field: REFUSES[field]}, '{"type": "object"}' if field == "response_format" else None
    (option,) = OPTIONS[field]
    with pytest.raises(EngineError, match=rf"refuses what it is asked \(HTTP 4..: .*\): write `{option}: .*into the role") as raised:
        ask(stored(server), schema=schema)
    assert field in str(raised.value)
    server.script["Tom"] = [Fault(body=reply(text='{"step": 2}'))] if schema else []
    taken = ask(stored(server, **OPTIONS[field]), schema=schema)
    assert taken.text == ('{"step": 2}' if schema else answer("Tom", 0))


def test_a_complaint_after_an_answer_fails_the_request_alone(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    engine = stored(server)
    ask(engine, "Ann")
    server.refuses = {"seed": REFUSES["seed"]}
    assert (ask(engine, "Tom").error or "").endswith("; write `omit: [seed]` into the role")


def test_seeds_of_31_bits(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    assert ask(stored(server, seed_bits=31), seed=2**62 + 5).error is None
    assert ask(stored(server), "Ann", seed=2**62 + 5).error is None
    assert [sent["seed"] for sent in server.seen] == [5, 2**62 + 5]


def test_a_default_of_the_server_is_another_request(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    keys = [ask(stored(server, omit=omit)).request_id for omit in ((), ("seed", "n"), ("temperature",), ("temperature", "top_p"))]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_what_is_sent_without_options_is_what_was_always_sent(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    ask(stored(server), sampling=SamplingParams(5, stop=("\n",)))
    assert list(server.seen[0]) == [
        "model", "n", "max_tokens", "temperature", "top_p", "seed", "messages", "stop", "skip_special_tokens", "return_token_ids",
        "include_stop_str_in_output", "top_k", "min_p", "repetition_penalty", "stop_token_ids",
    ]  # fmt: skip


@pytest.mark.parametrize("status", [403, 404, 405, 410, 501])
def test_a_server_that_lists_no_models(status: int, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.models_fault = Fault(status=status, body="no", times=FOR_EVER)
    assert ask(stored(server)).text == answer("Tom", 0)


@pytest.mark.parametrize(
    "body",
    [
        '{"object": "list", "data": []}',
        '[{"id": "m"}, {"id": "other"}]',
        '{"data": [{"id": "other"}], "has_more": true}',
        '{"data": [{"id": "models/m"}]}',
        '{"models": [{"name": "m:latest"}]}',
        '{"data": [{"id": "*"}]}',
        '{"data": "none"}',
        '{"error": "Unexpected endpoint or method"}',
        "not JSON",
        "[" * 100_000,
        '\ufeff{"data": [{"id": "m", "created": ' + "9" * 5000 + "}]}",
    ],
)
def test_lists_of_models_as_servers_write_them(body: str, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.models_fault = Fault(body=body, times=FOR_EVER)
    assert ask(stored(server)).text == answer("Tom", 0)


@pytest.mark.parametrize("listed", [["alias"], ["/models/m.gguf", "b"], ["m-2024-08-06"]])
def test_a_server_that_lists_another_name(listed: list[str], server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.listed = listed
    with pytest.raises(EngineError, match=r"serves .*, not m: correct the role's model .*listed_as: "):
        ask(stored(server))
    assert ask(stored(server, listed_as=listed[-1])).text == answer("Tom", 0)
    assert ask(stored(server, listed_as="*"), "Ann").text == answer("Ann", 0)
    assert {sent["model"] for sent in server.seen} == {"m"}


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, '{"detail": "Not Found"}'), (405, ""), (200, "<!doctype html><title>Models</title>"), (200, '{"error": "Unexpected endpoint"}')],
)
def test_an_address_without_v1(status: int, body: str, server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    root = server.url.removesuffix("/v1")
    server.elsewhere = Fault(status=status, body=body, times=FOR_EVER)
    with pytest.raises(EngineError, match=rf"server {root} has no list of models .*: write {root}/v1 as base_url"):
        ask(stored(server, base_url=root))


def test_an_address_that_is_no_interface(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.models_fault = Fault(body="\ufeff <!DOCTYPE html>", times=FOR_EVER)
    for url in (server.url, server.url.removesuffix("/v1")):
        with pytest.raises(EngineError, match="with a web page: base_url is not the address"):
            ask(stored(server, base_url=url))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions/", "/v1/models"])
def test_an_address_that_says_too_much(path: str) -> None:
    with pytest.raises(EngineError, match=r"base_url ends in (completions|models): write what stands before it"):
        OpenAIEngine(Role(engine="openai", model="m@1", base_url=f"http://gpu1{path}"), SETTINGS)


def test_a_wrong_address_is_doubted_in_its_failures(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.models_fault = Fault(status=404, times=FOR_EVER)
    server.script["Tom"] = [Fault(status=404, body='{"detail": "Not Found"}')]
    server.script["Ann"] = [Fault(body='{"content": "7", "stop": true}', times=FOR_EVER)]
    engine = stored(server, base_url=server.url.removesuffix("v1") + "api")
    server_said = [
        one.error or "" for one in engine.generate([Request(asked("Tom"), SamplingParams(8)), Request(asked("Ann"), SamplingParams(8))])
    ]
    assert all("is base_url right? With most servers it ends in /v1" in said for said in server_said), server_said


def test_unknown_usage_is_said_once(server: FaultServer, stored: Callable[..., StoredEngine], capfd: pytest.CaptureFixture[str]) -> None:
    for request in requests_of(3):
        server.script[said(request)] = [Fault(body='{"choices": [{"text": "7", "finish_reason": null}]}')]
    engine = stored(server)
    completions = engine.generate(requests_of(3))
    assert [(one.text, one.tokens, one.prompt_tokens, one.uncounted) for one in completions] == [("7", 0, 0, True)] * 3
    assert (engine.usage.uncounted, engine.usage.completion_tokens) == (3, 0)
    assert capfd.readouterr().err.count("tells no usage: tokens count as 0 in all sums, and costs cannot be known") == 1
    again = stored(server)
    assert again.generate(requests_of(3)) == completions
    assert again.usage.uncounted == 3
    assert engine.store.spent() == [("rollouts", "m@1", 0, 0)]
