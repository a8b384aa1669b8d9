"""Models behind servers that speak OpenAI's HTTP interface: vLLM, others like it, a provider's own.

    role = Role(engine="openai", model="policy@3fa9", base_url=("http://gpu1:8000/v1", "http://gpu2:8000/v1"))
    engine = StoredEngine(OpenAIEngine(role, params.requests), store, "rollouts")
    engine.generate([Request(prompt="Tom has 3 apples. …\\nSolve:\\n", sampling=SamplingParams(max_tokens=64), seed=7)])

Text and token ids go to /completions, chat messages to /chat/completions. A server that names itself vLLM in GET /models is also asked for
token ids, special tokens in the text, and for no sampling but the request's (top_k and penalties of its generation_config do not count);
other servers get OpenAI's own fields only, tell no token ids, and may cut special tokens. Failures: the table in server.py. A vLLM server
refuses (400) a prompt whose length and max_tokens exceed its context together; the engines of this program cut the answer at its end.
"""

import asyncio
import json
import math
import sys
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from factory.engines.protocol import Completion, Request, failure
from factory.engines.server import Failed, Refused, Server
from factory.engines.servers import Servers
from factory.errors import EngineError
from factory.params import Requests, Role

Shape = TypeVar("Shape", bound=BaseModel)
Count = Annotated[int, Field(ge=0, lt=2**53)]  # also of token ids: what the store and JSON can hold

PROMPTS = 4096  # whose token ids a scorer keeps: the samples of one prompt come together
_VLLM = {
    "skip_special_tokens": False, "return_token_ids": True, "include_stop_str_in_output": False,
    "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
}  # fmt: skip


class _Usage(BaseModel):
    prompt_tokens: Count
    completion_tokens: Count


class _Token(BaseModel):
    logprob: FiniteFloat


class _Logprobs(BaseModel):
    token_logprobs: list[FiniteFloat] | None = None  # /completions
    content: list[_Token] | None = None  # /chat/completions


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    text: str | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    token_ids: list[Count] | None = None
    logprobs: _Logprobs | None = None


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage


class OpenAIEngine(Servers[Request, Completion]):
    family = "openai"
    structured = True

    async def ask(self, item: Request, server: Server) -> Completion:
        chat, sampling = _is_chat(item), item.sampling
        document: dict[str, Any] = {
            "model": self.name, "n": 1, "max_tokens": sampling.max_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p,
            "seed": item.seed,
        }  # fmt: skip
        if chat:
            document["messages"] = [{"role": role, "content": content} for role, content in item.prompt]  # type: ignore[misc, str-unpack]
        else:
            document["prompt"] = item.prompt
        if sampling.stop:
            document["stop"] = sampling.stop
        if sampling.logprobs:
            document["logprobs"] = True if chat else int(not server.vllm)
        if item.schema is not None:
            shape = {"name": "answer", "schema": _loaded(item.schema), "strict": True}
            document["response_format"] = {"type": "json_schema", "json_schema": shape}
        if server.vllm:
            document |= _VLLM
        if sampling.ignore_eos:
            if not server.vllm:
                raise Refused("ignore_eos needs a vLLM server")
            document["ignore_eos"] = True
        body = await server.post(f"{server.url}/{'chat/' * chat}completions", document, self.settings.timeout)
        return _completion(_parsed(_Reply, body), item, server)

    def failed(self, reason: str) -> Completion:
        return failure(reason)


def _completion(reply: _Reply, request: Request, server: Server) -> Completion:
    choice = reply.choices[0]
    if choice.message and choice.message.refusal:
        raise Refused(f"the model refused: {server.clean(choice.message.refusal)}")
    if choice.finish_reason not in ("stop", "length"):
        if choice.finish_reason == "abort":  # vLLM, while it shuts down
            raise Failed("the server aborted the request")
        raise Refused(f"finish_reason {server.clean(str(choice.finish_reason))}: no whole answer")
    text = choice.message.content if choice.message else choice.text
    if text is None:
        raise Refused("an answer without text (a reasoning or tool parser of the server may hold it back)")
    cuts = [text.index(stop) for stop in request.sampling.stop if stop in text]
    token_ids = tuple(choice.token_ids or ())
    if choice.finish_reason == "stop" and not isinstance(choice.stop_reason, str):
        token_ids = token_ids[:-1]  # vLLM: the end-of-sequence token, unless a stop string ended it
    return Completion(
        text=text[: min(cuts)] if cuts else text,
        token_ids=token_ids,
        finish_reason=choice.finish_reason,  # type: ignore[arg-type]
        prompt_tokens=reply.usage.prompt_tokens,
        logprobs=_logprobs(choice, len(token_ids)) if request.sampling.logprobs else None,
        counted=reply.usage.completion_tokens if choice.token_ids is None else None,
    )


def _logprobs(choice: _Choice, tokens: int) -> tuple[float, ...]:
    """One a token; the end-of-sequence token has none, as in every engine."""
    found, values = choice.logprobs or _Logprobs(), None
    if found.token_logprobs is not None:
        values = found.token_logprobs
    elif found.content is not None:
        values = [one.logprob for one in found.content]
    if values is None:
        raise Refused("log-probabilities were asked for, and this server tells none")
    if choice.token_ids is None:
        return tuple(values)
    if len(values) != len(choice.token_ids):
        raise Failed(f"malformed answer: {len(choice.token_ids)} token ids and {len(values)} log-probabilities")
    return tuple(values[:tokens])


class _Classified(BaseModel):
    probs: list[FiniteFloat] = Field(min_length=1)


class _Classes(BaseModel):
    data: list[_Classified] = Field(min_length=1)


class _Tokens(BaseModel):
    tokens: list[Count]


class _TokenizerInfo(BaseModel):
    eos_token: str | None = None


class OpenAIScorer(Servers[tuple[str, str], float]):
    """A reward model on vLLM (`vllm serve orm --convert classify --enable-tokenizer-info-endpoint`): the raw logit of its one label.

    The server sees the token ids that training saw (TransformersScorer.encode): with a chat template the pair goes to /classify as a
    conversation, else as ids(prompt) + ids(completion) + [end of sequence], made by the server's /tokenize. The logit is read at the last
    token, so a model without chat template whose server does not tell the end-of-sequence token (/tokenizer_info) is refused.
    """

    def __init__(self, role: Role, settings: Requests) -> None:
        super().__init__(role, settings)
        self.end: list[int] | None = None  # what follows a completion; None: the pair is a conversation
        self.prompts: dict[str, list[int]] = {}
        self.told = False

    async def greet(self, server: Server) -> None:
        chat = {"messages": _conversation("a", "b"), "add_generation_prompt": False}
        try:
            await self._tokenize(server, chat)
        except Refused:
            self.end = await self._learn_end(server)

    async def _learn_end(self, server: Server) -> list[int]:
        try:
            info = _parsed(_TokenizerInfo, await server.get(f"{server.root}/tokenizer_info", self.settings.timeout))
        except Refused as error:
            raise EngineError(
                f"server {server.url} does not tell its end-of-sequence token, at which a reward model's logit is read ({error}):"
                " start it with --enable-tokenizer-info-endpoint"
            ) from None
        if not info.eos_token:
            return []
        end = await self._tokenize(server, {"prompt": info.eos_token, "add_special_tokens": False})
        if len(end) != 1:
            raise EngineError(f"server {server.url}: its end-of-sequence token {info.eos_token!r} is {len(end)} tokens: expected 1")
        return end

    async def ask(self, item: tuple[str, str], server: Server) -> float:
        if self.end is None:
            asked: dict[str, Any] = {"messages": _conversation(*item), "add_generation_prompt": False}
        else:
            asked = {"input": await self._encode(item, self.end, server)}
        document = {"model": self.name, "use_activation": False, **asked}
        body = await server.post(f"{server.root}/classify", document, self.settings.timeout)
        logits = _parsed(_Classes, body).data[0].probs
        if len(logits) != 1:
            raise EngineError(f"server {server.url}: {self.name} has {len(logits)} labels, a reward model has 1: serve another model")
        return logits[0]

    async def _encode(self, pair: tuple[str, str], end: list[int], server: Server) -> list[int]:
        prompt, completion = pair
        begin, rest = await asyncio.gather(
            self._prompt(server, prompt), self._tokenize(server, {"prompt": completion, "add_special_tokens": False})
        )
        return begin + rest + end

    async def _prompt(self, server: Server, prompt: str) -> list[int]:
        found = self.prompts.get(prompt)
        if found is None:
            if len(self.prompts) >= PROMPTS:
                self.prompts.clear()
            found = self.prompts[prompt] = await self._tokenize(server, {"prompt": prompt, "add_special_tokens": True})
        return found

    async def _tokenize(self, server: Server, document: dict[str, Any]) -> list[int]:
        body = await server.post(f"{server.root}/tokenize", {"model": self.name, **document}, self.settings.timeout)
        return _parsed(_Tokens, body).tokens

    def failed(self, reason: str) -> float:
        """NaN, as a pair that is too long gets; why is said once."""
        if not self.told:
            print(f"{self.model}: a pair without a score: {reason}", file=sys.stderr)
        self.told = True
        return math.nan


def _parsed(shape: type[Shape], body: bytes) -> Shape:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Failed(f"malformed answer: {place + ': ' if place else ''}{first['msg']}") from None


def _is_chat(request: Request) -> bool:
    return not isinstance(request.prompt, str) and bool(request.prompt) and isinstance(request.prompt[0], tuple)


def _conversation(prompt: str, completion: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]


@lru_cache(maxsize=64)
def _loaded(schema: str) -> Any:
    return json.loads(schema)
