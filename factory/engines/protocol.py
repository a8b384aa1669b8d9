"""What a pipeline may ask of a model, whatever runs it.

    asked = (Message("user", "Tom has 3 apples. …\\nSolve:\\n"),)
    engine.generate([Request(prompt=asked, sampling=SamplingParams(max_tokens=64), seed=7)])
    → [Completion(text="3 + 4 = 7\\n\\\\boxed{7}\\n", token_ids=(41, 12, …), finish_reason="stop", prompt_tokens=19, request_id="9f0c…")]

A prompt is a conversation, made ids by the model's own chat template; an assistant's message at its end is a turn begun, which the model
goes on with. Special tokens stay in the text; the token that ends the turn does not. Truncation is finish_reason "length", never hidden.

Two shapes of engine: an `Engine` answers a batch and returns (transformers, recorded); a `StreamingEngine` takes requests at any time and
answers each as it lands (vllm, openai). The store (requests.py) makes the same of both.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from factory.schemas import Conversation, FinishReason


@dataclass(frozen=True)
class SamplingParams:
    max_tokens: int
    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0
    stop: tuple[str, ...] = ()  # the text ends before the first of them
    logprobs: bool = False
    ignore_eos: bool = False  # go on to max_tokens (benchmarks)
    drawn: bool = False  # tell every token that was drawn, the one that ended it too, and with which log-probability


@dataclass(frozen=True)
class Request:
    """`ordinal` keeps identical requests of one stage apart (the k samples of a problem); `seed` fixes the sample's randomness."""

    prompt: Conversation | tuple[int, ...]  # or token ids
    sampling: SamplingParams
    seed: int = 0  # [0, 2^63)
    ordinal: int = 0
    schema: str | None = None  # JSON schema of a structured answer, as text


@dataclass(frozen=True)
class Completion:
    """`logprobs`: of the sampled tokens, under the model's plain softmax (temperature 1, nothing truncated). Unknown counts are 0.

    `drawn`: natural log-probabilities, one of each of `drawn_ids`, under the distribution that the token was drawn from: at the request's
    temperature, of what top_p leaves; of a greedy answer under the plain softmax."""

    text: str
    token_ids: tuple[int, ...]  # () where an engine does not tell them
    finish_reason: FinishReason
    prompt_tokens: int
    request_id: str = ""  # the store's key
    logprobs: tuple[float, ...] | None = None
    error: str | None = None  # set with finish_reason "error": why it failed after all retries
    counted: int | None = None  # generated tokens by an engine's own count, where it tells no ids
    reasoning: str | None = None  # what a thinking model thought before it answered: no part of `text`
    end: int | None = None  # the token that ended it, where `drawn` was asked for: None for one that was cut, or ended by a stop string
    drawn: tuple[float, ...] | None = None

    @property
    def drawn_ids(self) -> tuple[int, ...]:
        return self.token_ids if self.end is None else (*self.token_ids, self.end)

    @property
    def tokens(self) -> int:
        return len(self.token_ids) if self.counted is None else self.counted

    @property
    def uncounted(self) -> bool:
        """Whether a count that is not 0 is unknown: sums and costs with this answer in them are too low."""
        return self.finish_reason != "error" and (not self.prompt_tokens or (bool(self.text) and not self.tokens))


def failure(reason: str, prompt_tokens: int = 0) -> Completion:
    """A request that cannot be answered, however often it is asked."""
    return Completion(text="", token_ids=(), finish_reason="error", prompt_tokens=prompt_tokens, error=reason)


Landed = Callable[[Mapping[str, Completion]], None]
Answer = TypeVar("Answer")


def hand_over(answered: Iterable[tuple[Callable[[Mapping[str, Answer]], None], str, Answer]]) -> None:
    """Give each `landed` its own answers, (landed, key, answer), in one call: one commit."""
    sinks: dict[Callable[[Mapping[str, Answer]], None], dict[str, Answer]] = {}
    for landed, key, answer in answered:
        sinks.setdefault(landed, {})[key] = answer
    for landed, answers in sinks.items():
        landed(answers)


class Engine(Protocol):
    family: str  # "transformers", "vllm", …: part of every request's key
    model: str  # name@revision-or-hash: what rows carry as their lineage

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request, in order. A request that fails is a Completion with finish_reason "error", not an exception."""
        ...


@runtime_checkable
class StreamingEngine(Protocol):
    """`structured`: whether the engine itself holds an answer to a request's JSON schema."""

    family: str
    model: str
    structured: bool

    def submit(self, requests: Mapping[str, Request], landed: Landed) -> None:
        """Begin to answer requests; two callers may use the same key. `landed` is given {key: completion, …}, each key once and in any
        order, from `work` or from a thread of the engine's own; a key stays under way until `landed` returns, which is when its answer
        is stored: an engine with a limit on requests under way frees its place only then."""
        ...

    def work(self) -> bool:
        """Do a part of what is under way in the calling thread. False: nothing to do here (what is under way runs elsewhere).
        Raises EngineError when the engine as a whole cannot go on."""
        ...

    def close(self) -> None:
        """Give back processes, threads and connections. What is under way is dropped."""
        ...


class Scorer(Protocol):
    model: str

    def score(self, pairs: Sequence[tuple[Conversation, str]]) -> list[float]:
        """A reward model's logit for each (prompt, completion), in order; NaN for one that it cannot score."""
        ...


@runtime_checkable
class StreamingScorer(Protocol):
    """A `Scorer` that takes pairs at any time, as a `StreamingEngine` takes requests."""

    model: str

    def submit(self, pairs: Mapping[str, tuple[Conversation, str]], landed: Callable[[Mapping[str, float]], None]) -> None: ...

    def work(self) -> bool: ...

    def close(self) -> None: ...
