"""What a vLLM server's tokenizer and chat template do, asked of its /tokenize, each once.

    served = ServedTokens(server, "policy", seconds=60)
    await served.end()                       → 2           the token behind an answer, where the server's own ends may lack it
    await served.settled(asked)              → asked, its system turn put before the user's words where the template refuses it
    await served.begun(turns, "12 + 7")      → [1, 9690, …, 198, 33, 34, 932, 216, 39]

The same as `language.tokens` does where the tokenizer is at hand, but for text that spells a control token of the server's: there is no
way to have it read as text, and the request is refused.
"""

import asyncio
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat

from factory.engines.answers import Id
from factory.engines.bodies import Refused, parsed
from factory.engines.server import Server
from factory.language.conversation import said
from factory.language.tokens import control
from factory.language.tokens.chat import folded
from factory.schemas import Conversation

KEPT = 4096  # prompts whose ids are kept: the samples of one come together
_ASKED = said("user", "12 + 7?")


class _Tokens(BaseModel):
    tokens: list[Id]
    token_strs: list[str] | None = None


class _Likely(BaseModel):
    token: str
    logprob: FiniteFloat


class _Place(BaseModel):
    top_logprobs: list[_Likely] = Field(min_length=2)


class _Places(BaseModel):
    content: list[_Place] = Field(min_length=1)


class _First(BaseModel):
    logprobs: _Places


class _Told(BaseModel):
    choices: list[_First] = Field(min_length=1)


class ServedTokens:
    def __init__(self, server: Server, model: str, seconds: float) -> None:
        self.server, self.model, self.seconds = server, model, seconds
        self.lock = asyncio.Lock()
        self.learned: dict[str, Any] = {}
        self.prompts: dict[Conversation, list[int]] = {}

    async def end(self) -> int | None:
        """The first control token that the template writes behind an answer; None where it cannot be seen."""
        async with self.lock:
            if "end" not in self.learned:
                self.learned["end"] = await self._learn_end()
            return self.learned["end"]

    async def tells_drawn(self) -> bool:
        """Whether its log-probabilities are of the tempered distribution: then two tokens' lie half as far apart at temperature 2."""
        async with self.lock:
            if "drawn" not in self.learned:
                far, near = [await self._likeliest(temperature) for temperature in (1.0, 2.0)]
                both = sorted(far.keys() & near.keys(), key=lambda token: (far[token], token))
                self.learned["drawn"] = len(both) > 1 and near[both[-1]] - near[both[0]] < 0.75 * (far[both[-1]] - far[both[0]])
            return self.learned["drawn"]

    async def _likeliest(self, temperature: float) -> dict[str, float]:
        """Log-probabilities of the likeliest first tokens of an answer. vLLM tells the sampled one too, likely or not, in the place of the
        fifth: another one each time, so that only tokens of both answers can be compared."""
        asked = {"model": self.model, "messages": rows(_ASKED), "max_tokens": 1, "temperature": temperature, "logprobs": True}
        asked["top_logprobs"] = 5
        told = parsed(_Told, await self.server.post(f"{self.server.url}/chat/completions", asked, self.seconds, proves=False))
        return {one.token: one.logprob for one in told.choices[0].logprobs.content[0].top_logprobs}

    async def settled(self, asked: Conversation) -> Conversation:
        """As the template takes it: a system turn that it refuses or drops is put before the first user's words."""
        if not (asked and asked[0].role == "system" and asked[1:] and asked[1].role == "user"):
            return asked
        async with self.lock:
            if "folds" not in self.learned:
                self.learned["folds"] = await self._learn_folds()
        return folded(asked) if self.learned["folds"] else asked

    async def begun(self, turns: Conversation, words: str) -> list[int]:
        """The ids of a turn begun: those of the prompt, and those of its words behind them, as they were trained. (A server's own
        `continue_final_message` strips where its template strips, and joins what stands on both sides of the boundary.)"""
        return [*await self._prompt(turns), *(await self._tokenize(prompt=words, add_special_tokens=False)).tokens]

    async def refuse_spelled(self, asked: Conversation) -> None:
        """Raises Refused for text that the server would read as a control token: the meta-action tokens stand only at the start of a
        line of the assistant's."""
        for role, content in asked:
            for spelled in [*control.strays(content), *(control.placed(content) if role != "assistant" else ())]:
                if await self._is_token(spelled):
                    raise Refused(f"the text spells {spelled!r}, which the server would read as a control token: take it out of the text")

    async def _is_token(self, spelled: str) -> bool:
        if spelled not in self.learned:
            self.learned[spelled] = len((await self._tokenize(prompt=spelled, add_special_tokens=False)).tokens) == 1
        return self.learned[spelled]

    async def _learn_end(self) -> int | None:
        try:
            one, two = [
                await self._tokenize(messages=rows(_ASKED + said("assistant", word)), add_generation_prompt=False, return_token_strs=True)
                for word in ("Nineteen", "Twelve")
            ]
        except Refused:  # no template, or no /tokenize
            return None
        behind: list[tuple[int, str]] = []
        for place in range(1, min(len(one.tokens), len(two.tokens)) + 1):
            if one.tokens[-place] != two.tokens[-place]:
                break
            behind.insert(0, (one.tokens[-place], one.token_strs[-place] if one.token_strs else ""))
        return next((token for token, written in behind if control.SPELLED.fullmatch(written)), None)

    async def _learn_folds(self) -> bool:
        try:
            without = (await self._tokenize(messages=rows(_ASKED), add_generation_prompt=True)).tokens
        except Refused:  # no template, or no /tokenize
            return False
        try:
            whole = (await self._tokenize(messages=rows(said("system", "Add.") + _ASKED), add_generation_prompt=True)).tokens
        except Refused:
            return True
        return whole == without

    async def _prompt(self, turns: Conversation) -> list[int]:
        ids = self.prompts.get(turns)
        if ids is None:
            ids = (await self._tokenize(messages=rows(turns), add_generation_prompt=True)).tokens
            if len(self.prompts) >= KEPT:
                self.prompts.clear()
            self.prompts[turns] = ids
        return ids

    async def _tokenize(self, **asked: Any) -> _Tokens:
        body = await self.server.post(f"{self.server.root}/tokenize", {"model": self.model, **asked}, self.seconds, proves=False)
        return parsed(_Tokens, body)


def rows(turns: Conversation) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]
