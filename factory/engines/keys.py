"""What decides an answer, and the key that follows from it: any of these fields changed is another question.

    request_key("vllm", "base@1c3f…", Request("Tom has …", SamplingParams(64), seed=7))     → "9f0c…" (64 hex digits)

Identical prompts of one stage (a critic's votes, k samples) differ by `ordinal`.
"""

from typing import Any

from factory.engines.bodies import whole
from factory.engines.protocol import Request
from factory.identity import digest

KEY_VERSION = 1  # raise when what a key means changes: old answers stay, nothing replays them


def request_fields(family: str, model: str, request: Request) -> dict[str, Any]:
    """Everything that decides the answer to a request, as it is hashed."""
    sampling = request.sampling
    fields = {
        "version": KEY_VERSION, "family": family, "model": model, "prompt": request.prompt, "max_tokens": sampling.max_tokens,
        "temperature": float(sampling.temperature), "top_p": float(sampling.top_p), "stop": sampling.stop, "logprobs": sampling.logprobs,
        "schema": request.schema, "seed": request.seed, "ordinal": request.ordinal,
    }  # fmt: skip
    return {**fields, "ignore_eos": True} if sampling.ignore_eos else fields


def whole_prompt(prompt: Any) -> Any:
    """Text, token ids or messages without half characters, which no key, store or server can hold."""
    if isinstance(prompt, str):
        return whole(prompt)
    return tuple(whole_prompt(part) if isinstance(part, str | tuple) else part for part in prompt)


def request_key(family: str, model: str, request: Request) -> str:
    return digest("generate", request_fields(family, model, request))


def score_key(model: str, prompt: str, completion: str) -> str:
    return digest("score", {"version": KEY_VERSION, "model": model, "prompt": prompt, "completion": completion})
