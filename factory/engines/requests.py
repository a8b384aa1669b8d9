"""Engines and scorers behind the store: look up what was answered before, ask for the rest, store every answer as it lands.

    engine = StoredEngine(TransformersEngine(…), Store(default_path()), stage="rollouts")
    completions = engine.generate(requests)         # in order; request_id is the store's key

An answer is delivered only when it is stored: killed at any moment and run again, a stage asks for what was under way, and nothing else.
A request that fails is a completion with finish_reason "error" and the reason; the stage goes on.
"""

import math
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from factory.engines.bodies import whole
from factory.engines.budget import Account, Gate, Tokens, estimated, prompt_tokens
from factory.engines.flow import Ask, Deliver, Flow, run
from factory.engines.keys import request_fields, request_key, score_key, whole_prompt, written
from factory.engines.limits import Limits
from factory.engines.protocol import Completion, Engine, Request, Scorer, StreamingEngine, StreamingScorer
from factory.engines.store import Answered, Store
from factory.engines.streams import CHUNK, Batches, streaming
from factory.engines.structured import structured
from factory.engines.thinking import apart
from factory.errors import EngineError
from factory.language.conversation import flat
from factory.schemas import Conversation

COUNTED = 1.0  # seconds of lookups that one commit counts

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass
class Usage:
    """What one run of a stage asked, answers from the store included: the same for a cold and a warm run."""

    requests: int = 0
    failed: int = 0
    uncounted: int = 0  # answers whose tokens are unknown, and count as none below
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class _Waiting(Generic[Item]):
    item: Item
    sinks: list[tuple[Deliver, int]]


class _Stored(ABC, Generic[Item, Answer]):
    """What engines and scorers have in common. Identical items that are under way at once are asked once."""

    tell: Callable[[Sequence[Any], Deliver], Deliver] | None = None  # who listens (listening.py)

    def __init__(self, backend: Any, store: Store, stage: str, model: str, account: Account | None) -> None:
        self.backend, self.store, self.stage, self.model, self.account = backend, store, stage, model, account
        self.gate: Any = Gate(backend, account, self.at_most) if account and account.gated else backend
        self.usage = Usage()
        self.reasons: Counter[str] = Counter()
        self.waiting: dict[str, _Waiting[Item]] = {}
        self.lock = threading.Lock()
        self.busy_since = self.counted = 0.0
        self.lookups = [0, 0]  # hits and misses that are not in the store's books yet
        self.broken: BaseException | None = None

    @abstractmethod
    def key(self, item: Item) -> str: ...

    @abstractmethod
    def pack(self, key: str, item: Item, answer: Answer) -> Answered: ...

    @abstractmethod
    def unpack(self, key: str, document: dict[str, Any]) -> Answer: ...

    @abstractmethod
    def sound_item(self, item: Item) -> Item: ...  # texts that can be written anywhere

    def sound_answer(self, answer: Answer) -> Answer:
        return answer

    @abstractmethod
    def at_most(self, item: Item) -> Tokens: ...  # about

    def paid(self, item: Item, answer: Answer) -> Tokens:
        return self.at_most(item)

    @abstractmethod
    def reason(self, answer: Answer) -> str | None:
        """Why there is no answer, None where there is one."""

    def alike(self, missing: Mapping[str, Item]) -> dict[str, Answer]:
        """Answers to other requests that are the same to these."""
        return {}

    @abstractmethod
    def deliver(self, key: str, answer: Answer, deliver: Deliver, place: int) -> None: ...

    def submit(self, items: Sequence[Item], deliver: Deliver) -> None:
        """Raises EngineError when the store is unusable."""
        if self.broken:
            raise EngineError(f"{self.model} broke off before ({self.broken or type(self.broken).__name__}): open it again")
        items = [self.sound_item(item) for item in items]
        deliver = self.tell(items, deliver) if self.tell else deliver
        keys = [self.key(item) for item in items]
        with self.lock:
            unknown = [place for place, key in enumerate(keys) if not self._join(key, deliver, place)]
        found = self.store.find(list({keys[place] for place in unknown}))
        answers = {key: self.unpack(key, document) for key, document in found.items()}
        if missing := {keys[place]: items[place] for place in unknown if keys[place] not in answers}:
            answers |= self.alike(missing)
        fresh: dict[str, Item] = {}
        with self.lock:
            for place in unknown:
                key = keys[place]
                if key in answers:
                    self._hand_over(key, answers[key], deliver, place)
                elif not self._join(key, deliver, place):  # else a twin in the same call
                    fresh[key] = items[place]
                    self.waiting[key] = _Waiting(items[place], [(deliver, place)])
            if fresh and len(fresh) == len(self.waiting):
                self.busy_since = time.monotonic()
        self._count(hits=len(items) - len(fresh), misses=len(fresh), now=not fresh)
        if fresh:
            with self._breaking():
                self.gate.submit(fresh, self._landed)

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """What is under way when an engine breaks off never lands: nobody may wait for it."""
        try:
            yield
        except BaseException as error:
            self.broken = error
            raise

    def _join(self, key: str, deliver: Deliver, place: int) -> bool:
        if key in self.waiting:
            self.waiting[key].sinks.append((deliver, place))
        return key in self.waiting

    @property
    def ending(self) -> bool:
        """Whether nothing is asked any more but what answers under way give rise to. Servers want to know (servers.py)."""
        return getattr(self.backend, "ending", True)

    @ending.setter
    def ending(self, value: bool) -> None:
        if hasattr(self.backend, "ending"):
            self.backend.ending = value

    def work(self) -> bool:
        with self._breaking():
            return self.gate.work()

    def close(self) -> None:
        self.gate.close()

    def _landed(self, answers: Mapping[str, Answer]) -> None:
        """From `work` or a thread of the engine's. Counted first, stored then, delivered last."""
        answers = {key: self.sound_answer(answer) for key, answer in answers.items()}
        failures = {key: reason for key, answer in answers.items() if (reason := self.reason(answer))}
        rows = [self.pack(key, self.waiting[key].item, answer) for key, answer in answers.items() if key not in failures]
        if self.account and rows:
            paid = [self.paid(self.waiting[row.key].item, answers[row.key]) for row in rows]
            self.account.pay(len(rows), (sum(read for read, _ in paid), sum(written for _, written in paid)))
        earlier = self.store.add(self.stage, self.model, rows, failures)
        answers = {**answers, **{key: self.unpack(key, document) for key, document in earlier.items()}}
        with self.lock:
            sinks = [(key, answer, *sink) for key, answer in answers.items() for sink in self.waiting.pop(key).sinks]
            idle = not self.waiting
        if idle:
            self._count(seconds=time.monotonic() - self.busy_since)
        with self.lock:
            for key, answer, deliver, place in sinks:
                self._hand_over(key, answer, deliver, place)

    def _count(self, hits: int = 0, misses: int = 0, seconds: float = 0.0, now: bool = True) -> None:
        """Lookups, for the store's books: written at once, or with those of the next second."""
        with self.lock:
            self.lookups[0] += hits
            self.lookups[1] += misses
            if not now and time.monotonic() - self.counted < COUNTED:
                return
            (hits, misses), self.lookups, self.counted = self.lookups, [0, 0], time.monotonic()
        self.store.count(self.stage, hits, misses, seconds)

    def failed(self, reason: str) -> None:
        self.usage.failed += 1
        self.reasons[reason] += 1

    def _hand_over(self, key: str, answer: Answer, deliver: Deliver, place: int) -> None:
        self.usage.requests += 1
        if reason := self.reason(answer):
            self.failed(reason)
        self.deliver(key, answer, deliver, place)


class StoredEngine(_Stored[Request, Completion]):
    def __init__(
        self, engine: Engine | StreamingEngine, store: Store, stage: str, chunk: int = CHUNK, account: Account | None = None
    ) -> None:
        super().__init__(streaming(engine, chunk), store, stage, engine.model, account)
        self.family, self.limits = engine.family, Limits(store, stage, engine.model)

    @property
    def structured(self) -> bool:
        return self.backend.structured

    @property
    def window(self) -> int:
        """How many flows are to be under way at once, where the engine wants more than others (batches)."""
        return getattr(self.backend, "window", 0)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request, in order. Raises EngineError when the store or the model as a whole is unusable."""
        if any(request.schema for request in requests):
            return run((structured(self, request) for request in requests), self.stage)
        return run([_together(self, requests)], self.stage)[0]

    def sound_item(self, item: Request) -> Request:
        prompt = whole_prompt(item.prompt)
        return item if prompt is item.prompt else replace(item, prompt=prompt)

    def sound_answer(self, answer: Completion) -> Completion:
        reasoning, error = answer.reasoning and whole(answer.reasoning), answer.error and whole(answer.error)
        return replace(answer, text=whole(answer.text), reasoning=reasoning, error=error)

    def key(self, item: Request) -> str:
        return request_key(self.family, self.model, item)

    def pack(self, key: str, item: Request, answer: Completion) -> Answered:
        document = {
            "text": answer.text, "token_ids": answer.token_ids, "finish_reason": answer.finish_reason,
            "prompt_tokens": answer.prompt_tokens, "logprobs": answer.logprobs,
        }  # fmt: skip
        document |= {name: value for name in ("counted", "reasoning") if (value := getattr(answer, name)) is not None}
        if answer.drawn is not None:
            document["drawn"] = {"end": answer.end, "logprobs": answer.drawn}
        return Answered(key, request_fields(self.family, self.model, item), document, answer.prompt_tokens, answer.tokens)

    def unpack(self, key: str, document: dict[str, Any]) -> Completion:
        drawn = document.get("drawn")
        return Completion(
            text=document["text"], token_ids=tuple(document["token_ids"]), finish_reason=document["finish_reason"],
            prompt_tokens=document["prompt_tokens"], request_id=key, counted=document.get("counted"), reasoning=document.get("reasoning"),
            logprobs=None if document["logprobs"] is None else tuple(document["logprobs"]),
            end=drawn and drawn["end"], drawn=drawn and tuple(drawn["logprobs"]),
        )  # fmt: skip

    def alike(self, missing: Mapping[str, Request]) -> dict[str, Completion]:
        """Made under another `max_tokens`; each names its own key."""
        return {key: self.unpack(other, document) for key, (other, document) in self.limits.find(missing, self.key).items()}

    def at_most(self, item: Request) -> Tokens:
        return prompt_tokens(item.prompt), item.sampling.max_tokens

    def paid(self, item: Request, answer: Completion) -> Tokens:
        return answer.prompt_tokens or prompt_tokens(item.prompt), answer.tokens or estimated(answer.text + (answer.reasoning or ""))

    def reason(self, answer: Completion) -> str | None:
        return (answer.error or "no reason given") if answer.finish_reason == "error" else None

    def deliver(self, key: str, answer: Completion, deliver: Deliver, place: int) -> None:
        self.usage.uncounted += answer.uncounted
        self.usage.prompt_tokens += answer.prompt_tokens
        self.usage.completion_tokens += answer.tokens
        told = answer if answer.request_id else replace(answer, request_id=key)
        deliver(place, apart(told, closes_alone=self.family == "openai"))


Pair = tuple[Conversation, str]


class StoredScorer(_Stored[Pair, float]):
    def __init__(
        self, scorer: Scorer | StreamingScorer, store: Store, stage: str, chunk: int = CHUNK, account: Account | None = None
    ) -> None:
        backend = scorer if isinstance(scorer, StreamingScorer) else Batches(scorer.score, chunk, _none, _both)
        super().__init__(backend, store, stage, scorer.model, account)

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Logits in order. NaN: the pair could not be scored (too long for the reward model); that is a failure in the store."""
        return run([_together(self, pairs)], f"{self.stage}, scores")[0]

    def sound_item(self, item: Pair) -> Pair:
        return whole_prompt(item[0]), whole(item[1])  # type: ignore[return-value]

    def key(self, item: Pair) -> str:
        return score_key(self.model, *item)

    def pack(self, key: str, item: Pair, answer: float) -> Answered:
        return Answered(key, {"model": self.model, "prompt": written(item[0]), "completion": item[1]}, {"score": answer})

    def unpack(self, key: str, document: dict[str, Any]) -> float:
        return document["score"]

    def at_most(self, item: Pair) -> Tokens:
        return prompt_tokens(item[0]) + estimated(item[1]), 0

    def reason(self, answer: float) -> str | None:
        return None if math.isfinite(answer) else "the reward model gives no score: too long for its context, or it failed"

    def deliver(self, key: str, answer: float, deliver: Deliver, place: int) -> None:
        deliver(place, answer)


def _together(service: _Stored[Any, Any], items: Sequence[Any]) -> Flow[list[Any]]:
    return (yield Ask(service, items))


def _none(pair: Pair) -> object:
    return None


def _both(pair: Pair) -> int:
    return len(flat(pair[0])) + len(pair[1])
