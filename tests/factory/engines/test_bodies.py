"""What servers send, read as loosely as they write."""

import json
import math
from typing import Any

import pytest
from pydantic import BaseModel

from factory.engines import bodies
from factory.engines.bodies import Failed, count, fault, parsed, read, whole, words


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'\xef\xbb\xbf{"text": "a"}', "a"),
        ('{"text": "é\U0001f600"}'.encode("utf-16"), "é\U0001f600"),
        ('{"text": "b"}'.encode("utf-32-le"), "b"),
        (b'{"text": "\\ud83d!"}', "\ufffd!"),
        (b'{"text": "\\ude00\\ud83d"}', "\ufffd\ufffd"),
        (b'{"text": "\\ud83d\\ude00 \\udc00"}', "\U0001f600 \ufffd"),
        (b'{"text": "a\xff\xfeb"}', "a\ufffd\ufffdb"),
        (b'{"text": "caf\xe9"}', "caf\ufffd"),
        (b'{"text": "\xed\xa0\xbd"}', "\ufffd\ufffd\ufffd"),
        (b'{"text": "a\\u0000b"}', "a\0b"),
        (b'{"text": "a\x00\nb", "x": NaN}', "a\0\nb"),
        (b'\n\n {"text": "c"}\n', "c"),
        (b'{"text": "d", "created": ' + b"9" * 5000 + b"}", "d"),
        (b'{"text": "e", "a": -Infinity, "b": 1e999}', "e"),
        (b'{"text": "x", "text": "f"}', "f"),
    ],
)
def test_a_document_however_it_is_written(body: bytes, text: str) -> None:
    found = read(body)["text"]
    assert found == text
    found.encode()


def test_ten_megabytes_are_an_answer() -> None:
    assert len(read(json.dumps({"text": "é" * 10_000_000}, ensure_ascii=False).encode())["text"]) == 10_000_000


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "an empty body"),
        (b" \r\n", "an empty body"),
        (b"\0\0\0\0", "an empty body"),
        (b"<html>502</html>", "a web page"),
        (b"\n<!DOCTYPE html>", "a web page"),
        (b'<?xml version="1.0"?>', "a web page"),
        (b'data: {"choices": []}\n\n', "a stream of events"),
        (b": keep-alive\n\ndata: {}\n", "a stream of events"),
        (b"event: message\ndata: {}\n", "a stream of events"),
        (b"[" * 200_000, "JSON that is nested too deeply"),
        (b'{"a":' * 200_000, "JSON that is nested too deeply"),
        (b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "JSON that is nested too deeply"),
        (b'{"choices": [{"te', "Invalid JSON: "),
        (b"{} {}", "Invalid JSON: "),
        (b"\x1f\x8b\x08\x00", "Invalid JSON: "),
        (b"Bad Gateway", "Invalid JSON: "),
    ],
)
def test_what_is_no_document_is_one_line(body: bytes, reason: str) -> None:
    with pytest.raises(Failed, match=f"malformed answer: {reason}") as raised:
        read(body)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("document", "status", "said"),
    [
        ({"error": {"message": "a", "code": 429}}, 429, "a"),
        ({"error": {"message": "a", "code": "529"}}, 529, "a"),
        ({"error": {"message": "a", "type": "overloaded_error"}, "type": "error"}, 503, "a"),
        ({"error": {"message": "a", "status": "RESOURCE_EXHAUSTED"}}, 429, "a"),
        ({"error": {"message": "a", "type": "invalid_request_error", "param": "seed"}}, 400, "a (seed)"),
        ({"error": {"message": "a", "type": "BadRequestError", "code": None}}, 400, "a"),
        ({"error": "This model's maximum context length is 5"}, 400, "This model's maximum context length is 5"),
        ({"error": "Unexpected endpoint or method. (GET /models)"}, 500, "Unexpected endpoint or method. (GET /models)"),
        ({"error": True, "message": "slow: rate limit"}, 429, "slow: rate limit"),
        ({"object": "error", "message": "no such model: not found", "choices": []}, 400, "no such model: not found"),
        ({"object": "error", "message": {"detail": [{"loc": ["body", "n"], "msg": "extra"}]}, "code": 422}, 422, "body.n: extra"),
        ({"detail": "Not Found"}, 400, "Not Found"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs", "input": 7}, "and more"]}, 500, "body.seed: Extra inputs; and more"),
        ({"success": False, "errors": [{"code": 5004, "message": "capacity exceeded"}]}, 503, "capacity exceeded"),
        ({"code": 1302, "msg": "too many requests"}, 429, "too many requests"),
        ({"error": {"message": {"deep": 1}}}, 500, '{"deep": 1}'),
        ({"error": ["a", {"message": "b"}]}, 500, "a; b"),
        ({"error": 7}, 500, "7"),
        ({"choices": [{"text": "x"}], "error": {"message": "broke off", "code": 502}}, 502, "broke off"),
    ],
)
def test_an_error_whatever_its_form(document: Any, status: int, said: str) -> None:
    assert (fault(document), words(document)) == (status, said)


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [{"text": "x"}], "error": None},
        {"choices": [{"text": "x"}], "message": "ok", "code": 200},
        {"data": [{"probs": [1.0]}], "error": ""},
        {"tokens": [], "count": 0},
        {"eos_token": None},
        [],
        "error",
        None,
        7,
    ],
)
def test_what_is_no_error(document: Any) -> None:
    assert fault(document) is None


def test_counts() -> None:
    assert [count(value) for value in (12, 12.0, "12", 0)] == [12, 12, 12, 0]
    for value in (-1, 1.5, "1.5", "", "x", "²", True, None, [], {}, 2**53, "9" * 30, math.inf, math.nan, 1e300):
        assert count(value) is None, value


def test_a_text_that_every_file_can_hold() -> None:
    assert [whole(text) for text in ("a\0b", "\ud83d", "x\udfffy\U0001f600", "")] == ["a\0b", "\ufffd", "x\ufffdy\U0001f600", ""]


def test_the_first_field_that_does_not_fit_is_named() -> None:
    class Shape(BaseModel):
        tokens: list[int]

    with pytest.raises(Failed, match=r"^malformed answer: tokens\.1: Input should be a valid integer"):
        parsed(Shape, {"tokens": [1, "x"]})


@pytest.mark.parametrize("empty", [{"code": None, "message": None}, {"code": 0, "message": ""}, {"message": ""}, [None], [{}]])
def test_an_error_that_says_nothing_is_none(empty: object) -> None:
    assert bodies.fault({"choices": [{"text": "x", "finish_reason": "stop"}], "error": empty}) is None


@pytest.mark.parametrize("levels", [20, 100, 400])
def test_an_error_may_be_nested(levels: int) -> None:
    document = bodies.read(('{"error":[' * levels + '"x"' + "]}" * levels).encode())
    assert bodies.fault(document) == 500
    assert isinstance(bodies.words(document), str)
