"""20,000 answers as no server should write them: each is a completion or one line, and every completion can be stored and published."""

import json
import math
import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fault_server import FOR_EVER, Fault, FaultServer
from served import SETTINGS, asked, said

from factory.coat.rollouts import _rollout
from factory.engines import servers
from factory.engines.answers import completion
from factory.engines.bodies import Failed, Refused
from factory.engines.ledger import Ledger
from factory.engines.protocol import Completion, Request, SamplingParams, failure
from factory.engines.requests import StoredEngine
from factory.engines.server import Server, _cards
from factory.engines.structured import conform, validator_of
from factory.rejects import reject
from factory.schemas import Reject, Rollout
from factory.storage import read_rows, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]
CASES = 20_000
HUGE = "9" * 5000
TEXTS = [
    "", "7", "3 + 4 = 7\n\\boxed{7}", "\ud83d", "a\udfff\ud83db", "a\0b", "\ufeffx", "<|im_end|>", "é" * 50, "\u2028\u202e", "\U0001f600",
    '{"step": 2}', '{"step": "\\ud800"}', '{"step": ' + HUGE + "}", '{"step": 1e999}', '{"a":' * 3000, "[" * 5000, "stop", "12", "1e5", "²",
]  # fmt: skip
REASONS = [
    "stop", "eos", "STOP", "end_turn", "stop_sequence", "length", "max_tokens", "model_length", "content_filter", "tool_calls", "abort",
    "error", "", "wat", "\ud800", None, 7, [], {}, {"type": "stop"}, True,
]  # fmt: skip
ODD = [None, True, False, 0, -1, 1, 1.5, 2**53, 2**70, 1e300, math.nan, math.inf, -math.inf, [], {}, [[]], {"a": None}, [1, "x"], *TEXTS]
KEYS = [
    "choices", "usage", "error", "object", "message", "detail", "code", "type", "text", "content", "finish_reason", "token_ids", "logprobs",
    "prompt_tokens", "completion_tokens", "refusal", "reasoning_content", "stop_reason", "data", "errors", "token_logprobs", "status",
]  # fmt: skip
SAMPLINGS = [SamplingParams(3), SamplingParams(64, stop=("\n", "7")), SamplingParams(64, logprobs=True)]

LINEAGE = {"model": "m@1", "prompt_version": "p@1", "round": "base"}


def odd(rng: random.Random) -> Any:
    return deepcopy(rng.choice(ODD))


def document(rng: random.Random) -> Any:
    text, reason = rng.choice(TEXTS), deepcopy(rng.choice(REASONS))
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
    form = rng.randrange(4)
    if form == 0:
        choice["text"] = text
    elif form == 1:
        choice["message"] = {"role": "assistant", "content": text}
    elif form == 2:
        choice["message"] = {"content": [{"type": rng.choice(["text", "thinking"]), "text": text}, odd(rng)]}
    else:
        choice["message"] = {"content": odd(rng), "reasoning_content": rng.choice([None, text])}
    if rng.random() < 0.3:
        choice["token_ids"] = [rng.randrange(100) for _ in range(rng.randrange(5))]
    if rng.random() < 0.3:
        choice["logprobs"] = {"token_logprobs": [rng.choice([-0.5, 0, math.nan, None]) for _ in range(rng.randrange(5))]}
    usage = {name: deepcopy(rng.choice([1, 2, 5, *ODD])) for name in ("prompt_tokens", "completion_tokens")}
    made: dict[str, Any] = {"choices": [choice], "usage": usage}
    if rng.random() < 0.1:
        made["error"] = rng.choice([{"message": text, "code": rng.choice([400, 429, 503])}, odd(rng)])
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
        mutate(made, rng)
    return made


def mutate(value: Any, rng: random.Random) -> None:
    """Change one place somewhere inside."""
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return
        place = rng.choice(places)
        if isinstance(value[place], dict | list) and rng.random() < 0.7:
            value = value[place]
            continue
        step = rng.randrange(3)
        if step == 0:
            del value[place]
        elif step == 1:
            value[place] = deepcopy(rng.choice([*ODD, *REASONS]))
        elif isinstance(value, dict):
            value[rng.choice(KEYS)] = odd(rng)
        return


def body(rng: random.Random) -> bytes:
    text = json.dumps(document(rng), ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.02:
        text = text.replace('"usage"', f'"created": {rng.choice(["[" * 200_000, "-" + HUGE, HUGE, "1e999", "-0", "01"])}, "usage"', 1)
    data = text.encode(rng.choice(["utf-8"] * 20 + ["utf-16", "utf-8-sig", "utf-32"]), "surrogatepass")
    kind = rng.random()
    if kind < 0.1:
        return data[: rng.randrange(len(data) + 1)]
    if kind < 0.2:
        bytes_ = bytearray(data)
        for _ in range(rng.randrange(1, 5)):
            bytes_[rng.randrange(len(bytes_))] = rng.randrange(256)
        return bytes(bytes_)
    if kind < 0.23:
        return rng.choice([b"data: ", b"<html>", b"\0", b"\xff\xfe", b"\n", b"null", b": "]) + data
    return rng.randbytes(rng.randrange(40)) if kind < 0.25 else data


def answered(server: Server, data: bytes, request: Request) -> Completion:
    """As the engine does it, without the network; a failure is one line. It would be no list of models that cannot be read, either."""
    assert isinstance(_cards(data), list | None)
    try:
        return completion(server.judge(200, {}, data, {}), request, server.clean)
    except (Failed, Refused) as error:
        reason = str(error)
        assert len(reason.splitlines()) == 1, reason
        assert reason.isprintable(), repr(reason)
        assert 5 < len(reason) < 450, reason
        return failure(reason)


def test_whatever_a_server_answers_is_a_completion_or_one_line(tmp_path: Path) -> None:
    rng, server = random.Random(13), Server("http://gpu1/v1", 4, "", "OPENAI_API_KEY")
    validator = validator_of('{"type": "object", "properties": {"step": {"multipleOf": 0.5}}, "required": ["step"]}')
    questions = [Request(asked(f"problem {number}"), rng.choice(SAMPLINGS), ordinal=number) for number in range(CASES)]
    found = {request.prompt: answered(server, body(rng), request) for request in questions}

    class Scripted:
        family, model = "openai", "m@1"

        def generate(self, requests: list[Request]) -> list[Completion]:
            return [found[request.prompt] for request in requests]

    kept = []
    for _ in range(2):  # fresh, and as it was stored
        engine = StoredEngine(Scripted(), Ledger(tmp_path / "store.sqlite"), "rollouts")  # type: ignore[arg-type]
        kept.append(engine.generate(questions))
        engine.store.close()
    assert [replace(one, request_id="") for one in kept[0]] == [found[request.prompt] for request in questions]
    assert kept[1] == kept[0]
    reasons = Counter(one.finish_reason for one in kept[0])
    assert min(reasons[name] for name in ("stop", "length", "error")) > CASES / 50, reasons

    problem, grade = SimpleNamespace(id="p"), SimpleNamespace(extracted=None, verdict="unparsable", reason="")
    rows, rejects = [], []
    for request, one in zip(questions, kept[0], strict=True):
        text, reason = conform(one.text, validator)
        assert bool(text) != bool(reason)
        if one.finish_reason == "error":
            rejects.append(reject("rollouts", {"prompt": said(request), "error": one.error}, "the request failed", "p"))
        else:
            rows.append(_rollout(problem, request.prompt, request, one, grade, (), LINEAGE))  # type: ignore[arg-type]
            rejects.append(reject("rollouts", rows[-1], one.text[:50] or "none"))
    for row_type, written in ((Rollout, rows), (Reject, list({row.id: row for row in rejects}.values()))):
        write_rows(tmp_path / "rows.parquet", row_type, written)
        assert {row.id: row for row in read_rows(tmp_path / "rows.parquet", row_type)} == {row.id: row for row in written}


def test_a_few_hundred_through_a_real_server(
    server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "STRIKES", CASES)  # else it rests after every few of these
    rng = random.Random(7)
    questions = [Request(asked(f"problem {number}"), rng.choice(SAMPLINGS), ordinal=number) for number in range(300)]
    for request in questions:
        server.script[said(request)] = [Fault(body=body(rng), times=FOR_EVER)]
    settings = SETTINGS.model_copy(update={"retries": 1, "max_failed_share": 1})
    engine = stored(server, settings=settings, concurrency=16)
    completions = engine.generate(questions)
    assert len(completions) == 300
    assert {one.finish_reason for one in completions} == {"stop", "length", "error"}
    kept = [one for one in completions if one.finish_reason != "error"]
    assert stored(server, settings=settings).generate([r for r, one in zip(questions, completions, strict=True) if one in kept]) == kept
