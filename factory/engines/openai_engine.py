"""Models behind servers that speak OpenAI's HTTP interface: vLLM, others like it, a provider's own.

    role = Role(engine="openai", model="policy@3fa9", base_url=("http://gpu1:8000/v1", "http://gpu2:8000/v1"))
    engine = StoredEngine(OpenAIEngine(role, params.requests), store, "rollouts")
    engine.generate([Request(prompt=(Message("user", "Tom has 3 apples. …"),), sampling=SamplingParams(max_tokens=64), seed=7)])

Conversations go to /chat/completions as messages, token ids to /completions. A server that names itself vLLM in GET /models is also asked
for token ids, special tokens in the text, and for no sampling but the request's (top_k and penalties of its generation_config do not
count); it stops at its template's end of turn; a turn begun goes to it as the ids that it is trained as, and what spells one of its control
tokens is refused (served_tokens.py). Other servers get OpenAI's own fields only, tell no token ids, may cut special tokens, and read what
data spells as they like; a turn begun is refused unless the role says how such a server is told to go on (`continue_as`):

    message         an assistant's message at the end is gone on with (Fireworks, DeepInfra, OpenRouter, Anthropic's own)
    prefix          that message holds `"prefix": true` (DeepSeek, whose base_url is then …/beta)
    echoed_prefix   the same, and the answer begins with the words again (Mistral)

Which tokens were drawn with which log-probability (`SamplingParams.drawn`) a vLLM server alone can tell, and one that was not started with
`--logprobs-mode processed_logprobs` only at temperature 1 and top_p 1: each is asked for two tokens to find out.

Failures: the table in server.py. A vLLM server refuses (400) a prompt whose length and max_tokens exceed its context together; the engines
of this program cut the answer at its end.
"""

import json
import math
import sys
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat

from factory.engines.answers import DRAWN_NEEDS, completion
from factory.engines.bodies import Failed, Refused, parsed
from factory.engines.dialect import holds_schemas, worded
from factory.engines.protocol import Completion, Request, SamplingParams, failure
from factory.engines.served_tokens import ServedTokens, rows
from factory.engines.server import Server
from factory.engines.servers import Servers
from factory.errors import EngineError
from factory.language.conversation import split
from factory.params import Requests, Role
from factory.schemas import Conversation, Message

_VLLM = {
    "skip_special_tokens": False, "return_token_ids": True, "include_stop_str_in_output": False,
    "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0,
}  # fmt: skip
_CONTINUES = (
    "this server is not known to go on with a turn that is begun: take a vLLM server, or write into the role (params.yaml) `continue_as: "
    "message`, `prefix` or `echoed_prefix`, whichever its manual describes"
)


class OpenAIEngine(Servers[Request, Completion]):
    family = "openai"

    def __init__(self, role: Role, settings: Requests) -> None:
        super().__init__(role, settings)
        self.structured = holds_schemas(role)
        self.told = False
        self.tokens = {server: ServedTokens(server, self.name, settings.timeout) for server in self.servers}

    async def ask(self, item: Request, server: Server) -> Completion:
        path, document = await self.put(item, server)
        return self.read(await server.post(f"{server.url}{path}", document, self.settings.timeout), item, server)

    async def put(self, item: Request, server: Server) -> tuple[str, dict[str, Any]]:
        """(path, document) of a request. Raises Refused for what this server cannot be asked."""
        sampling = item.sampling
        document: dict[str, Any] = {
            "model": self.name, "n": 1, "max_tokens": sampling.max_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p,
            "seed": item.seed,
        }  # fmt: skip
        document |= await self._asked(item, server)
        chat = "messages" in document
        if sampling.stop:
            document["stop"] = sampling.stop
        if sampling.drawn:
            await self._tell_drawn(sampling, server)
        if sampling.logprobs or sampling.drawn:
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
        elif server.vllm and (end := await self.tokens[server].end()) is not None:
            document["stop_token_ids"] = [end]
        return f"/{'chat/' * chat}completions", worded(document, self.role)

    def read(self, said: Any, item: Request, server: Server) -> Completion:
        """Raises Refused or Failed where there is no whole answer."""
        if not isinstance(said, dict) or "choices" not in said:
            raise Failed(f"malformed answer: no choices in {server.clean(json.dumps(said, ensure_ascii=False))}{server.doubt}")
        answer = completion(said, item, server.clean)
        if self.role.continue_as == "echoed_prefix" and not server.vllm:
            answer = replace(answer, text=answer.text.removeprefix(split(_turns(item))[1]))
        if answer.uncounted and not self.told:
            print(
                f"{self.model}: server {server.url} tells no usage: tokens count as 0 in all sums, and costs cannot be known",
                file=sys.stderr,
            )
            self.told = True
        return answer

    async def _tell_drawn(self, sampling: SamplingParams, server: Server) -> None:
        """Raises EngineError, before anything is asked, for a server that cannot tell what it drew with which log-probability."""
        if not server.vllm:
            raise EngineError(f"server {server.url} tells no token ids (it is no vLLM), which rollouts.drawn_tokens needs: {DRAWN_NEEDS}")
        if sampling.logprobs:
            raise EngineError("log-probabilities of the plain softmax and of what is drawn were asked for at once: a server tells one kind")
        plain = sampling.top_p >= 1 and sampling.temperature in (0, 1)  # then both are the same
        if not plain and not await self.tokens[server].tells_drawn():
            raise EngineError(
                f"server {server.url} tells log-probabilities of the plain softmax, not of what it draws at temperature "
                f"{sampling.temperature:g} and top_p {sampling.top_p:g}: start it with `--logprobs-mode processed_logprobs`, or sample at "
                "temperature 1 and top_p 1"
            )

    async def _asked(self, item: Request, server: Server) -> dict[str, Any]:
        """The fields that hold the prompt. Raises Refused for what this server cannot be asked."""
        if not (asked := _turns(item)):
            return {"prompt": item.prompt}
        turns, begun = split(asked)
        if server.vllm:
            tokens = self.tokens[server]
            await tokens.refuse_spelled(asked)
            turns = await tokens.settled(turns)
            return {"prompt": await tokens.begun(turns, begun)} if begun else {"messages": rows(turns)}
        if not begun:
            return {"messages": rows(turns)}
        if self.role.continue_as is None:
            raise Refused(_CONTINUES)
        flag = {} if self.role.continue_as == "message" else {"prefix": True}
        return {"messages": [*rows(turns), {"role": "assistant", "content": begun, **flag}]}

    def failed(self, reason: str) -> Completion:
        return failure(reason)


class _Classified(BaseModel):
    probs: list[FiniteFloat] = Field(min_length=1)


class _Classes(BaseModel):
    data: list[_Classified] = Field(min_length=1)


class OpenAIScorer(Servers[tuple[Conversation, str], float]):
    """A reward model on vLLM (`vllm serve orm --convert classify`): the raw logit of its one label.

    The pair goes to /classify as a conversation, of which the server's chat template makes the ids that training saw
    (`language.tokens.pair_ids`). A pair that spells a control token has no score: the server would read it as the token (the engine
    transformers reads it as text).
    """

    def __init__(self, role: Role, settings: Requests) -> None:
        super().__init__(role, settings)
        self.tokens = {server: ServedTokens(server, self.name, settings.timeout) for server in self.servers}
        self.told = False

    async def ask(self, item: tuple[Conversation, str], server: Server) -> float:
        (turns, begun), tokens = split(item[0]), self.tokens[server]
        whole = (*turns, Message("assistant", begun + item[1]))
        await tokens.refuse_spelled(whole)
        messages = rows(await tokens.settled(whole))
        document = {"model": self.name, "use_activation": False, "messages": messages, "add_generation_prompt": False}
        body = await server.post(f"{server.root}/classify", document, self.settings.timeout)
        logits = parsed(_Classes, body).data[0].probs
        if len(logits) != 1:
            raise EngineError(f"server {server.url}: {self.name} has {len(logits)} labels, a reward model has 1: serve another model")
        return logits[0]

    def failed(self, reason: str) -> float:
        """NaN, as a pair that is too long gets; why is said once."""
        if not self.told:
            print(f"{self.model}: a pair without a score: {reason}", file=sys.stderr)
        self.told = True
        return math.nan


def _turns(request: Request) -> Conversation:
    """() for token ids."""
    return tuple(Message(*part) for part in request.prompt if isinstance(part, tuple))


@lru_cache(maxsize=64)
def _loaded(schema: str) -> Any:
    return json.loads(schema)
