"""Models behind servers that speak OpenAI's HTTP interface: vLLM, others like it, a provider's own.

    role = Role(engine="openai", model="policy@3fa9", base_url=("http://gpu1:8000/v1", "http://gpu2:8000/v1"))
    engine = StoredEngine(OpenAIEngine(role, params.requests), store, "rollouts")
    engine.generate([Request(prompt="Tom has 3 apples. …\\nSolve:\\n", sampling=SamplingParams(max_tokens=64), seed=7)])

Text and token ids go to /completions, chat messages to /chat/completions. A server that names itself vLLM in GET /models is also asked for
token ids, special tokens in the text, and for no sampling but the request's (top_k and penalties of its generation_config do not count);
other servers get OpenAI's own fields only, tell no token ids, and may cut special tokens. Failures: the table in server.py. A server makes
the ids of prompts itself: control tokens that data spells are read there as tokens; the engines transformers and vllm read them as text. A
vLLM server refuses (400) a prompt whose length and max_tokens exceed its context together; the engines of this program cut the answer at
its end.
"""

import asyncio
import json
import math
import sys
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat

from factory.engines.answers import Id, completion
from factory.engines.bodies import Failed, Refused, parsed
from factory.engines.dialect import worded
from factory.engines.protocol import Completion, Request, failure
from factory.engines.server import Server
from factory.engines.servers import Servers
from factory.errors import EngineError
from factory.language.tokens import control
from factory.params import Requests, Role

PROMPTS = 4096  # whose token ids a scorer keeps: the samples of one prompt come together
_VLLM = {
    "skip_special_tokens": False, "return_token_ids": True, "include_stop_str_in_output": False,
    "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
}  # fmt: skip


class OpenAIEngine(Servers[Request, Completion]):
    family = "openai"

    def __init__(self, role: Role, settings: Requests) -> None:
        super().__init__(role, settings)
        self.structured = "response_format" not in role.omit  # else answers are checked and asked again (structured.py)
        self.told = False

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
        url = f"{server.url}/{'chat/' * chat}completions"
        said = await server.post(url, worded(document, self.role), self.settings.timeout)
        if not isinstance(said, dict) or "choices" not in said:
            raise Failed(f"malformed answer: no choices in {server.clean(json.dumps(said, ensure_ascii=False))}{server.doubt}")
        answer = completion(said, item, server.clean)
        if answer.uncounted and not self.told:
            print(
                f"{self.model}: server {server.url} tells no usage: tokens count as 0 in all sums, and costs cannot be known",
                file=sys.stderr,
            )
            self.told = True
        return answer

    def failed(self, reason: str) -> Completion:
        return failure(reason)


class _Classified(BaseModel):
    probs: list[FiniteFloat] = Field(min_length=1)


class _Classes(BaseModel):
    data: list[_Classified] = Field(min_length=1)


class _Tokens(BaseModel):
    tokens: list[Id]


class _TokenizerInfo(BaseModel):
    eos_token: str | None = None


class OpenAIScorer(Servers[tuple[str, str], float]):
    """A reward model on vLLM (`vllm serve orm --convert classify --enable-tokenizer-info-endpoint`): the raw logit of its one label.

    The server sees the token ids that training saw (`language.tokens`): with a chat template the pair goes to /classify as a conversation,
    else as ids(prompt) + ids(completion) + [end of sequence], made by the server's /tokenize. The logit is read at the last token, so a
    model without chat template whose server does not tell the end-of-sequence token (/tokenizer_info) is refused. A pair that spells a
    control token has no score: the server would read it as the token (the engine transformers reads it as text).
    """

    def __init__(self, role: Role, settings: Requests) -> None:
        super().__init__(role, settings)
        self.begin: list[int] = []  # what stands before a prompt
        self.end: list[int] | None = None  # what follows a completion; None: the pair is a conversation
        self.prompts: dict[str, list[int]] = {}
        self.told = False

    async def greet(self, server: Server) -> None:
        chat = {"messages": _conversation("a", "b"), "add_generation_prompt": False}
        try:
            await self._tokenize(server, chat)
        except Refused:
            end = await self._learn_end(server)
            self.begin, close = await self._learn_frame(server)
            self.end = end or close

    async def _learn_frame(self, server: Server) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and behind a text."""
        bare, whole = [await self._tokenize(server, {"prompt": "a", "add_special_tokens": added}) for added in (False, True)]
        for start in range(len(whole) - len(bare) + 1):
            if bare and whole[start : start + len(bare)] == bare:
                return whole[:start], whole[start + len(bare) :]
        raise EngineError(f"server {server.url} reads 'a' as the tokens {bare}, and within a text as {whole}: serve another tokenizer")

    async def _learn_end(self, server: Server) -> list[int]:
        try:
            info = parsed(_TokenizerInfo, await server.get(f"{server.root}/tokenizer_info", self.settings.timeout))
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
        prompt, completion = item
        if spelled := [*control.strays(prompt), *control.placed(prompt), *control.strays(completion)]:
            raise Refused(f"the text spells {spelled[0]!r}, which the server would read as a control token")
        if self.end is None:
            asked: dict[str, Any] = {"messages": _conversation(*item), "add_generation_prompt": False}
        else:
            asked = {"input": await self._encode(item, self.end, server)}
        document = {"model": self.name, "use_activation": False, **asked}
        body = await server.post(f"{server.root}/classify", document, self.settings.timeout)
        logits = parsed(_Classes, body).data[0].probs
        if len(logits) != 1:
            raise EngineError(f"server {server.url}: {self.name} has {len(logits)} labels, a reward model has 1: serve another model")
        return logits[0]

    async def _encode(self, pair: tuple[str, str], end: list[int], server: Server) -> list[int]:
        prompt, completion = pair
        begin, rest = await asyncio.gather(
            self._prompt(server, prompt), self._tokenize(server, {"prompt": completion, "add_special_tokens": False})
        )
        return self.begin + begin + rest + end

    async def _prompt(self, server: Server, prompt: str) -> list[int]:
        found = self.prompts.get(prompt)
        if found is None:
            if len(self.prompts) >= PROMPTS:
                self.prompts.clear()
            found = self.prompts[prompt] = await self._tokenize(server, {"prompt": prompt, "add_special_tokens": False})
        return found

    async def _tokenize(self, server: Server, document: dict[str, Any]) -> list[int]:
        body = await server.post(f"{server.root}/tokenize", {"model": self.name, **document}, self.settings.timeout)
        return parsed(_Tokens, body).tokens

    def failed(self, reason: str) -> float:
        """NaN, as a pair that is too long gets; why is said once."""
        if not self.told:
            print(f"{self.model}: a pair without a score: {reason}", file=sys.stderr)
        self.told = True
        return math.nan


def _is_chat(request: Request) -> bool:
    return not isinstance(request.prompt, str) and bool(request.prompt) and isinstance(request.prompt[0], tuple)


def _conversation(prompt: str, completion: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]


@lru_cache(maxsize=64)
def _loaded(schema: str) -> Any:
    return json.loads(schema)
