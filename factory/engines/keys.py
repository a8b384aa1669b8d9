"""What decides an answer, and the key that follows from it: any of these fields changed is another question.

    request_key("vllm", "base@1c3f…", Request((Message("user", "Tom has …"),), SamplingParams(64), seed=7))     → "9f0c…" (64 hex digits)

Identical prompts of one stage (a critic's votes, k samples) differ by `ordinal`.
"""

from typing import Any

from factory.engines.bodies import whole
from factory.engines.protocol import Request
from factory.identity import digest
from factory.schemas import Conversation, Message

KEY_VERSION = 2  # raise when what a key means changes: old answers stay, nothing replays them


def request_fields(family: str, model: str, request: Request) -> dict[str, Any]:
    """Everything that decides the answer to a request, as it is hashed."""
    sampling = request.sampling
    fields = {
        "version": KEY_VERSION, "family": family, "model": model, "prompt": written(request.prompt), "max_tokens": sampling.max_tokens,
        "temperature": float(sampling.temperature), "top_p": float(sampling.top_p), "stop": sampling.stop, "logprobs": sampling.logprobs,
        "schema": request.schema, "seed": request.seed, "ordinal": request.ordinal,
    }  # fmt: skip
    return fields | {name: True for name in ("ignore_eos", "drawn") if getattr(sampling, name)}


Prompt = Conversation | tuple[int, ...]


def written(prompt: Prompt) -> list[Any]:
    """As JSON holds it: [["user", "Tom has …"]], or token ids."""
    return [list(part) if isinstance(part, tuple) else part for part in prompt]


def whole_prompt(prompt: Prompt) -> Prompt:
    """Without half characters, which no key, store or server can hold; the same object where there are none."""
    if all(type(part) is int or (type(part) is Message and whole(part.content) is part.content) for part in prompt):
        return prompt
    return tuple(Message(*map(whole, part)) if isinstance(part, tuple) else part for part in prompt)  # type: ignore[return-value]


def request_key(family: str, model: str, request: Request) -> str:
    return digest("generate", request_fields(family, model, request))


def score_key(model: str, prompt: Conversation, completion: str) -> str:
    return digest("score", {"version": KEY_VERSION, "model": model, "prompt": written(prompt), "completion": completion})
