"""Engines and scorers behind the store: look everything up at once, ask only for what is missing, commit each chunk as it lands.

    engine = StoredEngine(TransformersEngine(…), Store(default_path()), stage="rollouts")
    completions = engine.generate(requests)         # in order; request_id is the store's key

Killed half-way and run again, it asks for the other half: total tokens stay those of one pass. A request that fails is asked again twice in
the run; then its completion has finish_reason "error" and the reason, and the stage goes on.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from factory.engines.progress import Meter
from factory.engines.protocol import Completion, Engine, Request, Scorer
from factory.engines.store import Answered, Store, request_fields, request_key, score_key

CHUNK = 256  # requests of one commit: a few seconds of work
RETRIES = 2


class StoredEngine:
    def __init__(self, engine: Engine, store: Store, stage: str, chunk: int = CHUNK) -> None:
        self.engine, self.store, self.stage, self.chunk = engine, store, stage, chunk
        self.family, self.model = engine.family, engine.model

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Raises EngineError when the store or the model as a whole is unusable."""
        keys = [request_key(self.family, self.model, request) for request in requests]
        completions = {key: _completion(answer, key) for key, answer in self.store.find(sorted(set(keys))).items()}
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in completions}
        self.store.count(self.stage, hits=len(keys) - len(missing), misses=len(missing))
        for _ in range(1 + RETRIES):
            completions |= self._ask(missing)
            missing = {key: request for key, request in missing.items() if completions[key].finish_reason == "error"}
        return [completions[key] for key in keys]

    def _ask(self, missing: dict[str, Request]) -> dict[str, Completion]:
        """Sorted by the prompt's length, so that little of a batch is padding and equal prompts stand together."""
        order = sorted(missing, key=lambda key: (len(missing[key].prompt), str(missing[key].prompt), missing[key].ordinal))
        answered: dict[str, Completion] = {}
        with Meter(self.stage, len(order)) as meter:
            for keys in _chunks(order, self.chunk):
                found = self.engine.generate([missing[key] for key in keys])
                assert len(found) == len(keys), f"{self.family} answered {len(found)} of {len(keys)} requests"
                part = {key: replace(completion, request_id=key) for key, completion in zip(keys, found, strict=True)}
                self._commit(part, missing)
                answered |= part
                meter.advance(len(keys), sum(completion.tokens for completion in found))
        return answered

    def _commit(self, part: dict[str, Completion], requests: dict[str, Request]) -> None:
        rows = [
            Answered(key, request_fields(self.family, self.model, requests[key]), _answer(made), made.prompt_tokens, made.tokens)
            for key, made in part.items()
            if made.finish_reason != "error"
        ]
        failures = {key: made.error or "no reason given" for key, made in part.items() if made.finish_reason == "error"}
        self.store.add(self.stage, self.model, rows, failures)


class StoredScorer:
    def __init__(self, scorer: Scorer, store: Store, stage: str, chunk: int = CHUNK) -> None:
        self.scorer, self.store, self.stage, self.chunk, self.model = scorer, store, stage, chunk, scorer.model

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Logits in order. NaN: the pair could not be scored (too long for the reward model); that is a failure in the store."""
        keys = [score_key(self.model, *pair) for pair in pairs]
        scores: dict[str, float] = {key: answer["score"] for key, answer in self.store.find(sorted(set(keys))).items()}
        missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in scores}
        self.store.count(self.stage, hits=len(keys) - len(missing), misses=len(missing))
        order = sorted(missing, key=lambda key: (sum(map(len, missing[key])), key))
        with Meter(f"{self.stage}, scores", len(order)) as meter:
            for part in _chunks(order, self.chunk):
                found = dict(zip(part, self.scorer.score([missing[key] for key in part]), strict=True))
                rows = [
                    Answered(key, {"model": self.model, "prompt": missing[key][0], "completion": missing[key][1]}, {"score": value})
                    for key, value in found.items()
                    if not math.isnan(value)
                ]
                failures = {key: "no score: too long for the reward model's context" for key, value in found.items() if math.isnan(value)}
                self.store.add(self.stage, self.model, rows, failures)
                scores |= found
                meter.advance(len(part), 0)
        return [scores[key] for key in keys]


def _chunks(keys: list[str], size: int) -> Iterator[list[str]]:
    for begin in range(0, len(keys), size):
        yield keys[begin : begin + size]


def _answer(completion: Completion) -> dict[str, Any]:
    return {
        "text": completion.text, "token_ids": completion.token_ids, "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens, "logprobs": completion.logprobs,
    }  # fmt: skip


def _completion(answer: dict[str, Any], key: str) -> Completion:
    return Completion(
        text=answer["text"], token_ids=tuple(answer["token_ids"]), finish_reason=answer["finish_reason"],
        prompt_tokens=answer["prompt_tokens"], request_id=key, logprobs=None if answer["logprobs"] is None else tuple(answer["logprobs"]),
    )  # fmt: skip
