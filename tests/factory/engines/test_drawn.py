"""What was drawn and with which log-probability: of every token, the one that ended an answer included, the same by every engine."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fault_server import EOS, FaultServer
from served import SETTINGS, ask, asked, requests_of

from factory.engines.keys import request_key
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.recorded_engine import RecordedEngine
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.engines.transformers_engine import TransformersEngine
from factory.errors import EngineError
from factory.language.prompting import Prompts
from factory.params import Role
from factory.schemas import Message

SAMPLINGS = [
    SamplingParams(12, 1.0, drawn=True), SamplingParams(12, 0.7, drawn=True), SamplingParams(12, 1.3, top_p=0.8, drawn=True),
    SamplingParams(12, 0.0, drawn=True), SamplingParams(12, 0.9, stop=("e",), drawn=True),
]  # fmt: skip
PLAIN = Request((Message("user", "Tom has 3."),), SamplingParams(64, 0.8), seed=7, ordinal=1)


def recomputed(model: Any, prompt: Sequence[int], ids: Sequence[int], temperature: float, top_p: float) -> list[float]:
    """By one forward pass over prompt and answer: softmax(logits / T), without what lies behind a mass of top_p, renormalised."""
    import torch

    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].double()
    found = []
    for row, token in zip(logits / (temperature or 1.0), ids, strict=True):
        probs = row.softmax(-1)
        ordered, order = probs.sort(descending=True)
        kept = set(order[(ordered.cumsum(-1) - ordered) < (top_p if temperature else 1.0)].tolist())
        assert token in kept
        found.append(math.log(float(probs[token]) / sum(float(probs[other]) for other in kept)))
    return found


def close_to_recomputed(found: Sequence[Completion], model: Any, prompt: Sequence[int], sampling: SamplingParams, end: int) -> None:
    for one in found:
        assert one.drawn is not None
        assert one.drawn_ids == (*one.token_ids, *([end] if one.end is not None else []))
        assert list(one.drawn) == pytest.approx(recomputed(model, prompt, one.drawn_ids, sampling.temperature, sampling.top_p), abs=1e-4)
        assert (one.logprobs, max(one.drawn) <= 0) == (None, True)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_log_probabilities_are_of_what_was_drawn_from(sampling: SamplingParams, model_folder: Path, model: Any, tokenizer: Any) -> None:
    engine, prompt = TransformersEngine(str(model_folder), "base@1", batch=8), tokenizer("a b c").input_ids
    found = engine.generate([Request(asked("a b c"), sampling, seed=seed) for seed in range(20)])
    close_to_recomputed(found, model, prompt, sampling, tokenizer.eos_token_id)
    plain = engine.generate([Request(asked("a b c"), replace(sampling, drawn=False), seed=seed) for seed in range(20)])
    assert [replace(one, end=None, drawn=None) for one in found] == plain, "the same answers as without"
    ends = {(one.finish_reason, one.end) for one in found}
    if sampling.temperature == 1.0:
        assert ends == {("stop", tokenizer.eos_token_id), ("length", None)}
    if sampling.stop:
        assert ("stop", None) in ends, "a stop string is no token of the sampler's"


def test_requests_without_them_keep_their_keys_and_bytes(tmp_path: Path) -> None:
    assert request_key("vllm", "m@1", PLAIN) == "a1373bba004a6135fcaba7992eda9d8f64889ab89b732cd0152602e7c47783f3"
    assert request_key("vllm", "m@1", replace(PLAIN, sampling=replace(PLAIN.sampling, drawn=True))) != request_key("vllm", "m@1", PLAIN)
    store = Store(tmp_path / "store.sqlite")
    stored = StoredEngine(OpenAIEngine(Role(engine="openai", model="m@1", base_url="http://localhost/v1"), SETTINGS), store, "x")
    packed = stored.pack("k", PLAIN, Completion("7", (4,), "stop", 3))
    assert set(packed.answer) == {"text", "token_ids", "finish_reason", "prompt_tokens", "logprobs"}
    assert "drawn" not in packed.request
    store.close()


def test_they_are_stored_and_asked_for_where_they_are_not(model_folder: Path, tmp_path: Path) -> None:
    counted: list[int] = []

    class Counting(TransformersEngine):
        def generate(self, requests: Sequence[Request]) -> list[Completion]:
            counted.append(len(requests))
            return super().generate(requests)

    drawn = [Request(asked("a b c"), SamplingParams(12, 1.0, drawn=True), seed=seed) for seed in range(6)]
    plain = [replace(request, sampling=replace(request.sampling, drawn=False)) for request in drawn]
    store = Store(tmp_path / "store.sqlite")

    def answers(requests: list[Request]) -> list[Completion]:
        return StoredEngine(Counting(str(model_folder), "base@1"), store, "rollouts").generate(requests)

    without, told = answers(plain), answers(drawn)
    assert counted == [6, 6], "what is stored without them cannot answer"
    assert answers(drawn) == told
    assert answers(plain) == without
    assert counted == [6, 6]
    assert [one.text for one in told] == [one.text for one in without]
    assert {one.request_id for one in told}.isdisjoint(one.request_id for one in without)
    store.close()


@pytest.mark.usefixtures("quick")
def test_a_vllm_server_tells_them(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    found = stored(server).generate(requests_of(8, temperature=1.0, drawn=True))
    assert all(one.end == EOS and one.drawn_ids == (*one.token_ids, EOS) for one in found)
    assert all(one.drawn == (-0.5,) * len(one.drawn_ids) and one.logprobs is None for one in found)
    assert len(server.seen) == 8, "at temperature 1 both kinds of log-probabilities are the same"
    cut = ask(stored(server), sampling=SamplingParams(4, 1.0, drawn=True))
    assert (cut.finish_reason, cut.end, len(cut.drawn or ()), len(cut.drawn_ids)) == ("length", None, 4, 4)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("sampling", [SamplingParams(64, 0.7, drawn=True), SamplingParams(64, 1.0, top_p=0.9, drawn=True)])
def test_a_server_of_the_plain_softmax_is_refused_before_it_is_asked(
    sampling: SamplingParams, server: FaultServer, stored: Callable[..., StoredEngine]
) -> None:
    with pytest.raises(EngineError, match=r"plain softmax, not of what it draws .*--logprobs-mode processed_logprobs"):
        ask(stored(server), sampling=sampling)
    assert [sent["max_tokens"] for sent in server.seen] == [1, 1]
    server.processed = True
    assert ask(stored(server), sampling=sampling).drawn
    assert [sent["max_tokens"] for sent in server.seen] == [1, 1, 1, 1, 64]


@pytest.mark.usefixtures("quick")
def test_a_server_without_token_ids_is_refused_before_it_is_paid(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    server.vllm = False
    with pytest.raises(EngineError, match=r"tells no token ids .*rollouts\.drawn_tokens needs: take a vLLM server") as caught:
        ask(stored(server), sampling=SamplingParams(64, 1.0, drawn=True))
    assert "\n" not in str(caught.value)
    assert server.seen == []


def test_recorded_answers_have_none(tmp_path: Path) -> None:
    path, prompts = tmp_path / "answers.jsonl", Prompts("laptop")
    path.write_text('{"question": "Tom has 3.", "m": {"is_correct": true, "solution": "3\\nA: 3"}}\n')
    engine = RecordedEngine(path, ["m"], prompts)
    request = Request(prompts.render("solve", problem="Tom has 3."), SamplingParams(8, drawn=True))
    assert "leave rollouts.drawn_tokens out" in (engine.generate([request])[0].error or "")
    assert engine.generate([replace(request, sampling=SamplingParams(8))])[0].error is None
