"""Answers that follow a JSON schema: checked whatever the engine promises, mended where it promises nothing, asked again a bounded number
of times.

(completion,) = engine.generate([Request(prompt=…, sampling=…, schema='{"type": "object", "required": ["step"]}')])
completion.text    → '{"step": 2}'; finish_reason "error" and the reason when no attempt follows the schema
"""

import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from factory.engines.flow import Ask
from factory.engines.protocol import Completion, Request, failure
from factory.errors import ParamsError
from factory.identity import seed_for
from factory.prompting import render

ATTEMPTS = 3  # the first answer and two repairs


def structured(engine: Any, request: Request) -> Generator[Ask, list[Any], Completion]:
    """A flow: one completion whose text is the JSON document alone. `engine`: a StoredEngine; each attempt is a request of its own there,
    so that a run that was killed repeats none. Raises ParamsError for a schema that is none."""
    if request.schema is None:
        (completion,) = yield Ask(engine, [request])
        return completion
    schema = _schema(request.schema)
    asked = request if engine.structured else replace(request, schema=None)
    reason = ""
    for attempt in range(ATTEMPTS):
        (completion,) = yield Ask(engine, [asked])
        if completion.finish_reason == "error":
            return completion
        document, reason = conform(completion.text, schema)
        if not reason:
            return replace(completion, text=document)
        if completion.finish_reason == "length":
            reason = f"cut off at {completion.tokens} tokens"
        asked = _repair(asked, completion.text, reason, seed_for(request.seed, "repair", attempt))
    return replace(failure(f"no answer of its schema in {ATTEMPTS} attempts: {reason}"), request_id=completion.request_id)


def conform(text: str, schema: dict[str, Any]) -> tuple[str, str]:
    """(the first JSON document in the text that follows the schema, "") or ("", the reason). A code fence or a sentence around it is
    passed over; nothing inside is guessed."""
    import jsonschema

    reason, decoder = "no JSON in it", json.JSONDecoder()
    for begin in (place for place, letter in enumerate(text) if letter in '{["-0123456789tfn'):
        try:
            document, end = decoder.raw_decode(text, begin)
        except ValueError:
            continue
        try:
            jsonschema.validate(document, schema)
        except jsonschema.ValidationError as error:
            reason = reason if reason != "no JSON in it" else f"{error.json_path}: {error.message.splitlines()[0][:200]}"
            continue
        return text[begin:end], ""
    return "", reason


def _schema(text: str) -> dict[str, Any]:
    import jsonschema

    try:
        schema = json.loads(text)
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except (ValueError, jsonschema.SchemaError) as error:
        raise ParamsError(f"{text[:80]!r} is no JSON schema: {str(error).splitlines()[0]}") from None
    return schema


def _repair(request: Request, answer: str, reason: str, seed: int) -> Request:
    """The same question with the answer and what is wrong with it; token ids cannot be extended, they are sampled again."""
    prompt = request.prompt
    if isinstance(prompt, str):
        return replace(request, prompt=prompt + answer + "\n" + render("repair", reason=reason), seed=seed)
    if prompt and isinstance(prompt[0], tuple):
        return replace(request, prompt=(*prompt, ("assistant", answer), ("user", render("repair", reason=reason))), seed=seed)
    return replace(request, seed=seed)
