"""Answers that follow a JSON schema: kept when they do, asked again a bounded number of times when they do not."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from served import asked

from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.engines.structured import ATTEMPTS, conform, validator_of
from factory.errors import ParamsError
from factory.language.prompting import Prompts
from factory.schemas import Message

SCHEMA = {"type": "object", "properties": {"step": {"type": "integer", "minimum": 1}}, "required": ["step"], "additionalProperties": False}


class Scripted:
    """The k-th question gets the k-th text."""

    family, model = "scripted", "scripted@1"

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = list(texts), []

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked += requests
        return [self._answer(self.texts.pop(0)) for _ in requests]

    def _answer(self, text: str) -> Completion:
        if text == "error":
            return Completion("", (), "error", 0, error="too long")
        return Completion(text, (1, 2), "length" if text.endswith("…") else "stop", 3)


def ask(tmp_path: Path, engine: Scripted, prompt: object = asked("Which step?"), schema: object = SCHEMA) -> Completion:
    stored = StoredEngine(engine, Store(tmp_path / "requests.sqlite"), "plans")
    (completion,) = stored.generate([Request(prompt, SamplingParams(16), seed=5, schema=json.dumps(schema))])
    return completion


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ('{"step": 2}', '{"step": 2}'),
        ('Here it is:\n```json\n{"step": 2}\n```\n', '{"step": 2}'),
        ('{"step": 0} or rather {"step": 3}', '{"step": 3}'),
        ('{"step": 2, "why": "x"}', ""),
        ('{"step": "2"}', ""),
        ("step 2", ""),
        ("", ""),
        ('{"step": 2', ""),
        ('{"step": ' + "9" * 5000 + "}", ""),
        ('{"step": ' + "9" * 400 + "}", ""),
        ('{"step": 1e999}', ""),
        ('{"step": NaN}', ""),
        ('{"step":' * 200_000, ""),
        ("[" * 200_000 + '{"step": 2}', ""),
        ('{"step": 2} \ud83d', '{"step": 2}'),
    ],
)
def test_the_first_document_that_follows_the_schema(text: str, document: str) -> None:
    found, reason = conform(text, validator_of(json.dumps(SCHEMA)))
    assert found == document
    assert bool(reason) == (not document)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400, "-" + "9" * 5000])
def test_numbers_that_no_table_holds_fit_no_schema(number: str) -> None:
    validator = validator_of('{"type": "object", "properties": {"x": {"multipleOf": 0.01}}}')
    assert conform(f'{{"x": {number}}}', validator) == ("", "no JSON in it")
    assert conform('{"x": 0.01}', validator) == ('{"x": 0.01}', "")


@pytest.mark.parametrize("document", ['{"\\ud800": 1}', '{"a": {"\\udfff": [1]}}', '["\\ud83d", "\\ude00"]', '{"a": "\\ude00\\ud83d"}'])
def test_half_a_character_is_asked_for_again(document: str, tmp_path: Path) -> None:
    assert conform(document, validator_of("{}"))[1] == "half a character in it (a lone surrogate)"
    completion = ask(tmp_path, Scripted(document, '{"a": "\\ud83d\\ude00"}'), schema={"type": "object"})
    assert completion.text == '{"a": "\\ud83d\\ude00"}'


def test_nothing_is_guessed() -> None:
    steps = validator_of(json.dumps({"type": "array", "items": SCHEMA}))
    assert conform('{"steps": [{"step": 1}]}', validator_of(json.dumps(SCHEMA)))[0] == "", "the inside of a document that does not fit"
    assert conform("[]", steps)[0] == "[]"
    anything = validator_of("{}")
    assert conform("That is untrue.", anything) == ("", "no JSON in it")
    assert conform(" 42 ", anything) == ("42", "")
    assert conform('{"x": NaN}', anything)[0] == ""


def test_a_text_without_sense_is_refused_in_no_time() -> None:
    started = time.process_time()
    for text in ("[" * 200_000, "[1] " * 20_000, '{"a":' * 5000):
        assert conform(text, validator_of(json.dumps(SCHEMA)))[0] == ""
    assert time.process_time() - started < 10


@pytest.mark.parametrize("schema", [{"$ref": "https://example.org/schema.json"}, {"$ref": "#/nowhere"}])
def test_a_schema_that_points_outside_is_refused_and_nothing_is_fetched(tmp_path: Path, schema: object) -> None:
    with pytest.raises(ParamsError, match="is no JSON schema"):
        ask(tmp_path, Scripted(), schema=schema)


def test_a_good_answer_is_asked_for_once(tmp_path: Path) -> None:
    engine = Scripted('Step:\n{"step": 2}')
    completion = ask(tmp_path, engine)
    assert (completion.text, completion.finish_reason, len(engine.asked)) == ('{"step": 2}', "stop", 1)
    assert engine.asked[0].schema is None, "an engine that holds no schema is not given one"
    assert ask(tmp_path, Scripted()) == completion, "replayed from the store"


def test_a_bad_answer_is_repaired_with_its_reason(tmp_path: Path) -> None:
    engine = Scripted('{"step": 0}', '{"step": 4}')
    assert ask(tmp_path, engine).text == '{"step": 4}'
    first, second = engine.asked
    asked_again = Prompts.of("instruct").render("repair", reason="$.step: 0 is less than the minimum of 1")
    assert second.prompt == (*first.prompt, ("assistant", '{"step": 0}'), *asked_again)
    assert second.seed != first.seed
    assert ask(tmp_path, Scripted()).text == '{"step": 4}', "both attempts are stored"


def test_an_answer_begun_is_repaired_as_a_whole_and_ids_are_sampled_again(tmp_path: Path) -> None:
    engine = Scripted('"no"}', '{"step": 1}', "no", '{"step": 1}')
    ask(tmp_path, engine, (*asked("Which step?"), Message("assistant", '{"step": ')))
    assert engine.asked[1].prompt[:2] == (*asked("Which step?"), ("assistant", '{"step": "no"}'))
    ask(tmp_path, engine, (5, 6))
    assert engine.asked[3].prompt == (5, 6)


def test_attempts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr(StoredEngine, "failed", lambda self, reason: counted.append(reason))
    engine = Scripted("a", "b", "c")
    completion = ask(tmp_path, engine)
    assert (completion.finish_reason, len(engine.asked)) == ("error", ATTEMPTS)
    assert len(counted) == 1, "a stage counts it as a failed request"
    assert completion.error == "no answer of its schema in 3 attempts: no JSON in it"


def test_what_is_cut_off_is_not_asked_again(tmp_path: Path) -> None:
    engine = Scripted('{"step": …')
    assert (ask(tmp_path, engine).finish_reason, len(engine.asked)) == ("length", 1)


def test_a_request_that_fails_is_not_repaired(tmp_path: Path) -> None:
    engine = Scripted("error")
    assert ask(tmp_path, engine).error == "too long"
    assert len(engine.asked) == 1


def test_a_schema_that_is_none_stops_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="is no JSON schema"):
        ask(tmp_path, Scripted(), schema={"type": "objekt"})
