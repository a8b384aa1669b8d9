"""Answers that follow a JSON schema: checked whatever the engine promises, asked again with what is wrong with them, a bounded number of
times.

(completion,) = engine.generate([Request(prompt=…, sampling=…, schema='{"type": "object", "required": ["step"]}')])
completion.text    → '{"step": 2}'; finish_reason "error" and the reason when no attempt follows the schema
"""

import json
import math
import re
from collections.abc import Generator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from factory.engines.bodies import whole
from factory.engines.flow import Ask
from factory.engines.protocol import Completion, Request, failure
from factory.errors import ParamsError
from factory.identity import seed_for
from factory.language.conversation import split
from factory.language.prompting import Prompts
from factory.schemas import Message

UNFIT = "no answer of its schema"
ATTEMPTS = 3  # the first answer and two repairs
BEGINNINGS = 100  # brackets of an answer at which a document is looked for
DIGITS = 18  # of an integer: what every table can hold


def structured(engine: Any, request: Request) -> Generator[Ask, list[Any], Completion]:
    """A flow: one completion whose text is the JSON document alone. `engine`: a StoredEngine; each attempt is a request of its own there,
    so that a run that was killed repeats none. Raises ParamsError for a schema that is none."""
    if request.schema is None:
        (completion,) = yield Ask(engine, [request])
        return completion
    validator = validator_of(request.schema)
    asked = request if engine.structured else replace(request, schema=None)
    reason = ""
    for attempt in range(ATTEMPTS):
        (completion,) = yield Ask(engine, [asked])
        if completion.finish_reason != "stop":  # half a document asked again is cut again
            return completion
        document, reason = conform(completion.text, validator)
        if document:
            return replace(completion, text=document)
        asked = _repair(asked, completion.text, reason, seed_for(request.seed, "repair", attempt))
    reason = f"{UNFIT} in {ATTEMPTS} attempts: {reason}"
    engine.failed(reason)
    return replace(failure(reason), request_id=completion.request_id)


def conform(text: str, validator: Any) -> tuple[str, str]:
    """(the first JSON object or array in the text that follows the schema, "") or ("", the reason). A code fence or a sentence around it is
    passed over, what is inside a document that does not fit is not looked at; a text that is JSON as a whole may be of any type."""
    reason, begin = "no JSON in it", 0
    if (document := _parsed(text.strip())) is not None and not isinstance(document[0], dict | list):
        reason = _fault(document[0], validator)
        return ("", reason) if reason else (text.strip(), "")
    for _ in range(BEGINNINGS):
        found = _BEGIN.search(text, begin)
        if not found:
            break
        document = _parsed(text[found.start() :])
        begin = found.start() + (document[1] if document else 1)
        if document:
            fault = _fault(document[0], validator)
            if not fault:
                return text[found.start() : begin], ""
            reason = fault
    return "", reason


def _parsed(text: str) -> tuple[Any, int] | None:
    """The JSON document at the beginning and its length; None for none, or one too deep to read."""
    try:
        return _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None


def _fault(document: Any, validator: Any) -> str:
    try:
        written = json.dumps(document, ensure_ascii=False)
        if whole(written) != written:
            return "half a character in it (a lone surrogate)"
        error = next(validator.iter_errors(document), None)
    except RecursionError:
        return "it is nested too deeply"
    return f"{error.json_path}: {error.message.splitlines()[0][:200]}" if error else ""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _whole_number(digits: str) -> int:
    return int(digits) if len(digits) <= DIGITS else _refuse("an integer of so many digits")


def _number(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)


_BEGIN = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=_whole_number, parse_float=_number)


@lru_cache(maxsize=64)
def validator_of(text: str) -> Any:
    """Nothing is fetched: a schema that points outside of itself is refused."""
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        schema = json.loads(text)
        kind = jsonschema.validators.validator_for(schema)
        kind.check_schema(schema)
        validator = kind(schema, registry=Registry())
        next(validator.iter_errors(None), None)
        return validator
    except (ValueError, RecursionError, jsonschema.SchemaError, Unresolvable) as error:
        raise ParamsError(f"{text[:80]!r} is no JSON schema: {str(error).splitlines()[0]}") from None


def _repair(request: Request, answer: str, reason: str, seed: int) -> Request:
    """The same question with the answer and what is wrong with it; token ids cannot be extended, they are sampled again."""
    conversation = tuple(part for part in request.prompt if isinstance(part, Message))
    if not conversation:
        return replace(request, seed=seed)
    turns, begun = split(conversation)
    told = Prompts.of("instruct").render("repair", reason=reason)[0].content
    return replace(request, prompt=(*turns, Message("assistant", begun + answer), Message("user", told)), seed=seed)
