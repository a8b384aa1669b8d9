"""What a server's reply says, whoever wrote the server: a JSON document, an error, or something else with one line about it.

read(b'\\xef\\xbb\\xbf{"choices": […], "created": 1e999}')                    → {"choices": […], "created": inf}
read(b"data: {…}")                                raises Failed: "malformed answer: a stream of events, and none was asked for"
fault({"error": {"message": "Slow down", "type": "rate_limit"}})     → 429
words({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]})    → "body.seed: Extra inputs are not permitted"
"""

import json
import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

Shape = TypeVar("Shape", bound=BaseModel)

LIMIT = 2**53  # of counts and token ids: what the store and JSON can hold
DIGITS = 19  # of an integer that is read exactly
DEEPEST = 10  # levels of an error that are read for its words
LATER = (408, 409, 425, 429)  # HTTP statuses below 500 that another attempt may not get

_HALF = re.compile("[\ud800-\udfff]")
_ANSWERS = ("choices", "data", "tokens", "eos_token")  # one of them is in every answer that is asked for
_SAID = ("error", "message", "detail", "errors", "msg")  # where servers write what went wrong
_TELLS = ("code", "type", "status", "status_code")  # … and of which kind it is
_KINDS = (  # of an error, as servers write it in `_TELLS` or say it: the HTTP status that it amounts to
    (r"rate.?limit|too.?many.?requests|exhausted|quota|throttl", 429),
    (r"overload|unavailable|busy|capacity|loading|try again|temporar|time.?d?.?out|deadline|internal|server.?error|connection", 503),
    (r"context|too long|invalid|bad.?request|validation|(un|not |n't )support|not.?found|not.?exist|unprocessable", 400),
    (r"permission|unauthor|authenti|api.?key|denied|forbidden|moderat|flagged|filter|safety|policy", 400),
)


class Refused(Exception):
    """The request can never succeed. `status`: of HTTP, where a server refused it."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Failed(Exception):
    """The attempt failed, another may succeed. `wait`: seconds the server asks to be left alone. `ill`: the server seems unwell."""

    def __init__(self, reason: str, wait: float | None = None, ill: bool = True) -> None:
        super().__init__(reason)
        self.wait, self.ill = wait, ill


def read(body: bytes) -> Any:
    """The JSON document, whatever its encoding; its texts can be written anywhere. Raises Failed for what is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode(json.detect_encoding(body), "replace").strip("\ufeff \t\r\n")
    try:
        document = _loads(text)
        written = json.dumps(document, ensure_ascii=False)
        return _loads(whole(written)) if _HALF.search(written) else document
    except RecursionError:
        raise Failed("malformed answer: JSON that is nested too deeply") from None
    except ValueError as error:
        raise Failed(f"malformed answer: {_other_kind(text) or f'Invalid JSON: {error}'}") from None


def parsed(shape: type[Shape], document: Any) -> Shape:
    """Raises Failed that names the first field that does not fit."""
    try:
        return shape.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Failed(f"malformed answer: {place + ': ' if place else ''}{first['msg']}") from None


def whole(text: str) -> str:
    """Text that every file and database can hold: half a character (a lone surrogate) becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _HALF.sub("\ufffd", text)
    return text


def count(value: Any) -> int | None:
    """A number of tokens, however it is written (12, 12.0, "12"); None for what is none."""
    if isinstance(value, str) and value.isascii() and len(value) <= DIGITS and value.isdigit():
        value = int(value)
    sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LIMIT and value == int(value)
    return int(value) if sound else None


def fault(document: Any) -> int | None:
    """The HTTP status that a document amounts to which came with another: 500 for an error of no known kind, None for an answer."""
    if not isinstance(document, dict):
        return None
    answer, said = any(document.get(name) for name in _ANSWERS), any(document.get(name) for name in _SAID)
    if not says(document.get("error")) and document.get("object") != "error" and (answer or not said):
        return None
    levels = [level for level in (document.get("error"), document) if isinstance(level, dict)]
    tells = [level.get(name) for level in levels for name in _TELLS]
    status = next((number for tell in tells if (number := count(tell)) and 400 <= number < 600), None)
    if status:
        return status
    for told in (" ".join(tell for tell in tells if isinstance(tell, str)), words(document)):
        for pattern, status in _KINDS:
            if re.search(pattern, told, re.IGNORECASE):
                return status
    return 500


def says(error: Any, depth: int = 0) -> bool:
    """Whether an error says anything: some servers send {"code": null, "message": ""} beside every answer."""
    if isinstance(error, dict | list) and depth < DEEPEST:
        return any(says(part, depth + 1) for part in (error.values() if isinstance(error, dict) else error))
    return bool(error)


def words(said: Any, depth: int = 0) -> str:
    """What an error says: OpenAI's {"error": {"message", "param"}}, FastAPI's {"detail": [{"loc", "msg"}]}, or the document itself."""
    named = ""
    for name in _SAID:
        if isinstance(said, dict) and said.get(name) and said[name] is not True:
            param = said.get("param")
            named = param if isinstance(param, str) else named
            said = said[name]
    if isinstance(said, list) and depth < DEEPEST:
        said = "; ".join(_one_of_several(part, depth + 1) for part in said)
    if not isinstance(said, str):
        said = _dumped(said)
    return said if not named or named in said else f"{said} ({named})"


def _one_of_several(said: Any, depth: int) -> str:
    if not (isinstance(said, dict) and isinstance(said.get("loc"), list)):
        return words(said, depth)
    return f"{'.'.join(map(str, said['loc']))}: {said.get('msg')}"


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=_integer, strict=False)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= DIGITS else float(digits)


def _other_kind(text: str) -> str:
    if not text.strip("\0"):
        return "an empty body"
    if text.startswith("<"):
        return "a web page"
    return "a stream of events, and none was asked for" if re.match(r"(data|event|id|retry)?:", text) else ""
