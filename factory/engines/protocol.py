"""What a pipeline may ask of a model, whatever runs it.

    engine.generate([Request(prompt="Tom has 3 apples. …\\nSolve:\\n", sampling=SamplingParams(max_tokens=64), seed=7)])
    → [Completion(text="3 + 4 = 7\\n\\\\boxed{7}\\n", token_ids=(41, 12, …), finish_reason="stop", prompt_tokens=19, request_id="9f0c…")]

Special tokens stay in the text; the end-of-sequence token does not. Truncation is finish_reason "length", never hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from factory.schemas import FinishReason


@dataclass(frozen=True)
class SamplingParams:
    max_tokens: int
    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    logprobs: bool = False


@dataclass(frozen=True)
class Request:
    """`ordinal` keeps identical requests of one stage apart (the k samples of a problem); `seed` fixes the sample's randomness."""

    prompt: str | tuple[int, ...] | tuple[tuple[str, str], ...]  # text, token ids, or chat messages as (role, content)
    sampling: SamplingParams
    seed: int = 0
    ordinal: int = 0
    schema: str | None = None  # JSON schema of a structured answer, as text


@dataclass(frozen=True)
class Completion:
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    request_id: str = ""  # the store's key
    logprobs: tuple[float, ...] | None = None
    error: str | None = None  # set with finish_reason "error": why it failed after all retries

    @property
    def tokens(self) -> int:
        return len(self.token_ids)


class Engine(Protocol):
    family: str  # "transformers", "vllm", …: part of every request's key
    model: str  # name@revision-or-hash: what rows carry as their lineage

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request, in order. A request that fails is a Completion with finish_reason "error", not an exception."""
        ...


class Scorer(Protocol):
    model: str

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """A reward model's logit for each (prompt, completion), in order."""
        ...
