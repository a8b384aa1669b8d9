"""From a server's document to a completion."""

import json
from typing import Any

import pytest
from served import asked, reply

from factory.engines.answers import completion
from factory.engines.bodies import Failed, Refused, read
from factory.engines.protocol import Completion, Request, SamplingParams


def made(document: Any, **sampling: Any) -> Completion:
    return completion(document, Request(asked("Tom"), SamplingParams(**{"max_tokens": 3, **sampling})), str.strip)


def ended(reason: Any, tokens: int | None = 2, **choice: Any) -> Completion:
    usage = {} if tokens is None else {"usage": {"prompt_tokens": 5, "completion_tokens": tokens}}
    return made({"choices": [{"text": "x", "finish_reason": reason, **choice}], **usage})


@pytest.mark.parametrize(
    "reason", ["stop", "eos", "eos_token", "EOS", "stop_sequence", "end_turn", "STOP", "COMPLETE", "eosFound", {"type": "stop"}]
)
def test_names_of_a_whole_answer(reason: Any) -> None:
    assert ended(reason, tokens=3).finish_reason == "stop"


@pytest.mark.parametrize(
    "reason",
    [
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "model_length",
        "max_length",
        "contextLengthReached",
        {"type": "length", "length": 3},
        "FINISH_REASON_MAX_TOKENS",
        "FinishReason.LENGTH",
    ],
)
def test_names_of_a_truncated_answer(reason: Any) -> None:
    assert ended(reason, tokens=2).finish_reason == "length"


@pytest.mark.parametrize("reason", [None, "", "whatever", 7, True, [], {}, {"type": None}, "FINISH_REASON_UNSPECIFIED"])
def test_a_reason_that_says_nothing_is_decided_by_the_tokens(reason: Any) -> None:
    assert [ended(reason, tokens).finish_reason for tokens in (2, 3, 4, None)] == ["stop", "length", "length", "stop"]


def test_a_missing_reason_is_one_that_says_nothing() -> None:
    assert made({"choices": [{"text": "x"}]}).finish_reason == "stop"
    assert made({"choices": [{"text": "x", "token_ids": [5, 6, 7]}]}).token_ids == (5, 6, 7), "nobody says that the last one is an end"
    assert made({"choices": [{"text": "x", "token_ids": [5, 6, 7]}]}).finish_reason == "length"
    assert made({"choices": [{"text": "x", "logprobs": {"token_logprobs": [-1.0] * 3}}]}).finish_reason == "length"


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "refusal", "tool_calls", "function_call", "tool_use", "RECITATION"])
def test_an_answer_that_is_held_back_is_refused(reason: str) -> None:
    with pytest.raises(Refused, match=f"finish_reason {reason}: no whole answer"):
        ended(reason)


@pytest.mark.parametrize("reason", ["abort", "error", "cancelled", "insufficient_system_resource"])
def test_an_answer_that_broke_off_is_asked_again(reason: str) -> None:
    with pytest.raises(Failed, match=f"the server aborted the request .finish_reason {reason}"):
        ended(reason)


@pytest.mark.parametrize(
    ("usage", "prompt", "tokens", "uncounted"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, 5, 2, False),
        ({"prompt_tokens": "5", "completion_tokens": 2.0}, 5, 2, False),
        ({"prompt_tokens": 5}, 5, 0, True),
        ({"prompt_tokens": None, "completion_tokens": 2}, 0, 2, True),
        ({"prompt_tokens": 0, "completion_tokens": 0}, 0, 0, True),
        ({"prompt_tokens": -1, "completion_tokens": 10**30}, 0, 0, True),
        ({"prompt_tokens": [], "completion_tokens": {"n": 2}}, 0, 0, True),
        (None, 0, 0, True),
        ("unknown", 0, 0, True),
        ([], 0, 0, True),
        ({}, 0, 0, True),
    ],
)
def test_usage_as_far_as_it_is_told(usage: Any, prompt: int, tokens: int, uncounted: bool) -> None:
    answer = made({"choices": [{"text": "x", "finish_reason": "stop"}], "usage": usage})
    assert (answer.prompt_tokens, answer.tokens, answer.uncounted, answer.text) == (prompt, tokens, uncounted, "x")


def test_tokens_that_usage_does_not_tell_are_counted_here() -> None:
    values = {"token_logprobs": [-1.0, -2.0]}
    assert made({"choices": [{"text": "x", "finish_reason": "stop", "logprobs": values}]}).tokens == 2
    assert made({"choices": [{"message": {"content": "x"}, "finish_reason": "stop", "logprobs": {"content": [{}, {}]}}]}).tokens == 2
    assert made({"choices": [{"text": "x", "finish_reason": "length", "token_ids": [4, 5, 6]}], "usage": None}).tokens == 3
    assert made({"choices": [{"text": "x", "finish_reason": "stop", "token_ids": [4, 5, 1]}]}).token_ids == (4, 5)
    assert (
        made({"choices": [{"text": "", "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}).uncounted is False
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("7", "7"),
        ([{"type": "text", "text": "3 + 4 "}, {"type": "text", "text": "= 7"}], "3 + 4 = 7"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "7"}], "7"),
        ([{"type": "output_text", "text": "7"}], "7"),
        ([{"text": "7"}], "7"),
        (["3 + 4 ", "= 7", None, 5, {"type": "image_url"}], "3 + 4 = 7"),
        ({"type": "text", "text": "7"}, "7"),
        ("", ""),
    ],
)
def test_a_content_in_parts(content: Any, text: str) -> None:
    assert made({"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}).text == text


def test_a_text_beside_an_empty_message() -> None:
    assert made({"choices": [{"message": {"content": None}, "text": "7", "finish_reason": "stop"}]}).text == "7"
    assert made({"choices": [{"message": None, "text": "7", "finish_reason": "stop"}]}).text == "7"


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"message": {"content": None, "reasoning_content": " "}}, "an answer without text"),
        ({"message": {"content": None}}, "an answer without text"),
        ({"message": {"content": []}}, "an answer without text"),
        ({"message": {"content": [{"type": "image_url"}]}}, "an answer without text"),
        ({"text": None}, "an answer without text"),
        ({}, "an answer without text"),
        ({"message": {"refusal": "I can't."}}, "the model refused: I can't."),
        ({"text": "x", "error": {"message": "bad prompt", "code": 400}}, "the answer broke off with an error: bad prompt"),
    ],
)
def test_no_text_is_refused(choice: Any, reason: str) -> None:
    with pytest.raises(Refused) as raised:
        made({"choices": [{"finish_reason": "stop", **choice}]})
    assert str(raised.value).startswith(reason)


@pytest.mark.parametrize(
    ("message", "finish", "told"),
    [
        ({"content": "7", "reasoning_content": "Hm."}, "stop", ("Hm.", "7")),
        ({"content": "7", "reasoning": "Hm.", "reasoning_content": None}, "stop", ("Hm.", "7")),
        ({"content": None, "reasoning": "Hm."}, "length", ("Hm.", "")),  # cut off while it thought
        ({"content": None, "reasoning_content": "Hm."}, "stop", ("Hm.", "")),
        ({"content": "7", "reasoning_content": {"effort": "high"}}, "stop", (None, "7")),
        ({"content": "7", "reasoning_content": ""}, "stop", (None, "7")),
    ],
)
def test_thinking_is_kept_apart(message: dict[str, Any], finish: str, told: tuple[str | None, str]) -> None:
    answer = made({"choices": [{"message": message, "finish_reason": finish}]})
    assert ((answer.reasoning, answer.text), answer.finish_reason) == (told, finish)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"choices": []}, "choices: List should have at least 1 item"),
        ({"choices": None}, "choices: Input should be a valid list"),
        ({"choices": {"text": "x"}}, "choices: Input should be a valid list"),
        ({"choices": [None]}, "choices.0: Input should be a valid dictionary"),
        ({"choices": [{"text": 7}]}, "choices.0.text: Input should be a valid string"),
        ({"choices": [{"message": "x"}]}, "choices.0.message: Input should be a valid dictionary"),
        ({"choices": [{"message": {"content": 7}}]}, "choices.0.message.content: Input should be a valid string"),
        ({"choices": [{"text": "x", "token_ids": [-1]}]}, "choices.0.token_ids.0: Input should be greater"),
        ([], "Input should be a valid dictionary"),
        (None, "Input should be a valid dictionary"),
    ],
)
def test_no_choice_is_malformed(document: Any, reason: str) -> None:
    with pytest.raises(Failed) as raised:
        made(document)
    assert str(raised.value).startswith(f"malformed answer: {reason}")


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), None, "x", {}])
def test_log_probabilities_that_are_none(value: Any) -> None:
    document = {"choices": [{"text": "x", "finish_reason": "stop", "logprobs": {"token_logprobs": [-1.0, value]}}]}
    assert made(document).text == "x", "nobody asked for them"
    with pytest.raises(Failed, match=r"malformed answer: logprobs.token_logprobs.1: Input should be a"):
        made(document, logprobs=True)
    with pytest.raises(Refused, match="this server tells none"):
        made({"choices": [{"text": "x", "finish_reason": "stop"}]}, logprobs=True)


def test_a_stop_string_that_the_server_let_through_is_cut_off() -> None:
    answer = made(read(reply(text="7\nNext: 8", finish_reason="length").encode()), stop=("\n",))
    assert (answer.text, answer.finish_reason) == ("7", "stop")


def test_every_completion_is_stored_as_it_is() -> None:
    odd = read(json.dumps({"choices": [{"text": "\ud83d \0 \U0001f600", "finish_reason": None}]}).encode())
    assert made(odd).text == "\ufffd \0 \U0001f600"
