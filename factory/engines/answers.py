"""From a server's document to a completion: read as loosely as servers write, and never taken for more than it says.

    completion({"choices": [{"text": "3 + 4 = 7\\n", "finish_reason": "eos"}]}, request, clean)
    → Completion(text="3 + 4 = 7\\n", token_ids=(), finish_reason="stop", prompt_tokens=0, counted=None)

A reason to finish that says nothing (null, or a word that nobody knows) is `length` when max_tokens tokens were made, else `stop`. Tokens
are counted by ids, else by `usage`, else by log-probabilities; what nobody tells is 0 in all sums, and `Completion.uncounted` says so.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat

from factory.engines.bodies import LATER, LIMIT, Failed, Refused, count, fault, parsed, says, words
from factory.engines.protocol import Completion, Request
from factory.errors import EngineError
from factory.schemas import FinishReason

DRAWN_NEEDS = "take a vLLM server of version 0.10.2 or later, the engine vllm or transformers, or leave the key out"
Id = Annotated[int, Field(ge=0, lt=LIMIT)]
Count = Annotated[int | None, BeforeValidator(count)]

# How servers write why an answer ended, in small letters and without signs.
_STOP = {
    "stop", "eos", "eostoken", "eosfound", "eosreached", "stopsequence", "stopstring", "stopstr", "stopstringfound", "stopword",
    "stoptoken", "stopped", "word", "endturn", "endofturn", "endoftext", "end", "ended", "finish", "finished", "complete",
    "completed", "done", "success",
}  # fmt: skip
_LENGTH = {
    "length", "limit", "maxtokens", "maxtoken", "maxlength", "maxoutputtokens", "maxnewtokens", "maxcompletiontokens",
    "maxpredictedtokensreached", "maxtokensreached", "maxoutputtokensreached",
    "modellength", "contextlength", "contextlengthreached", "maxcontextlength",
    "maxmodellength", "modelcontextwindowexceeded", "contextwindowexceeded", "truncated", "incomplete", "lengthcapped",
}  # fmt: skip
_BROKEN = {
    "abort", "aborted", "cancel", "cancelled", "canceled", "interrupted", "userstopped", "modelunloaded", "unload", "load", "timeout",
    "error", "errored", "failed", "failure", "insufficientsystemresource", "servererror", "errorlimit", "usercancel",
}  # fmt: skip
_WITHHELD = {
    "contentfilter", "contentfiltered", "contentfilterresult", "filtered", "safety", "recitation", "blocklist", "prohibitedcontent",
    "spii", "refusal", "refused", "moderated", "toolcalls", "toolcall", "tooluse", "functioncall", "malformedfunctioncall",
    "unexpectedtoolcall", "pauseturn", "errortoxic", "language", "imagesafety", "guardrail", "guardrailintervened",
}  # fmt: skip
_BY_STRING = {
    "stopsequence", "stopstring", "stopstr", "stopstringfound", "stopword", "word",
}  # fmt: skip


def _text_of(content: Any) -> Any:
    """Of a content in parts, the text; None when no part is one."""
    parts = content if isinstance(content, list) else [content] if isinstance(content, dict) else None
    if parts is None:
        return content
    texts = [text for part in parts if isinstance(text := _part(part), str)]
    return "".join(texts) if texts else None


def _part(part: Any) -> Any:
    if isinstance(part, dict):
        return part.get("text") if part.get("type", "text") in ("text", "output_text") else None
    return part


def _words(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _mapping(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


class _Usage(BaseModel):
    prompt_tokens: Count = None
    completion_tokens: Count = None


class _Token(BaseModel):
    logprob: FiniteFloat


class _Logprobs(BaseModel):
    token_logprobs: list[FiniteFloat] | None = None  # /completions
    content: list[_Token] | None = None  # /chat/completions


class _Message(BaseModel):
    content: Annotated[str | None, BeforeValidator(_text_of)] = None
    refusal: Any = None
    reasoning_content: Annotated[str | None, BeforeValidator(_words)] = None
    reasoning: Annotated[str | None, BeforeValidator(_words)] = None


class _Choice(BaseModel):
    text: str | None = None
    message: _Message | None = None
    finish_reason: Any = None
    stop_reason: Any = None
    token_ids: list[Id] | None = None
    logprobs: Any = None
    error: Any = None


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Annotated[_Usage, BeforeValidator(_mapping)] = _Usage()


def completion(document: Any, request: Request, clean: Callable[[str], str]) -> Completion:
    """Raises Refused or Failed where there is no whole answer; `clean` makes a server's words fit for a message."""
    reply = parsed(_Reply, document)
    choice, sampling = reply.choices[0], request.sampling
    message = choice.message or _Message()
    if says(choice.error):
        _raise_error(choice.error, clean)
    if message.refusal:
        raise Refused(f"the model refused: {clean(words(message.refusal))}")
    said = _said(choice.finish_reason)
    if said in _BROKEN:
        raise Failed(f"the server aborted the request (finish_reason {clean(str(choice.finish_reason))})")
    if said in _WITHHELD:
        raise Refused(f"finish_reason {clean(str(choice.finish_reason))}: no whole answer")
    reasoning = message.reasoning_content or message.reasoning
    text = message.content if message.content is not None else choice.text
    if text is None:
        if not reasoning:
            raise Refused("an answer without text (a reasoning or tool parser of the server may hold it back)")
        text = ""  # cut off while it thought, or it had nothing more to say
    known = len(choice.token_ids) if choice.token_ids is not None else _counted(reply.usage, choice, text)
    finish = _finish(said, known, sampling.max_tokens)
    cuts = [text.index(stop) for stop in sampling.stop if stop in text]
    token_ids, end = tuple(choice.token_ids or ()), None
    if token_ids and finish == "stop" and said in _STOP - _BY_STRING and not isinstance(choice.stop_reason, str):
        *kept, end = token_ids  # vLLM: the end-of-sequence token, unless a stop string ended it
        token_ids = tuple(kept)
    if sampling.drawn and choice.token_ids is None:
        raise EngineError(f"this server tells no token ids, which rollouts.drawn_tokens needs: {DRAWN_NEEDS}")
    return Completion(
        text=text[: min(cuts)] if cuts else text,
        token_ids=token_ids,
        finish_reason="stop" if cuts else finish,
        prompt_tokens=reply.usage.prompt_tokens or 0,
        logprobs=_logprobs(choice, len(token_ids)) if sampling.logprobs else None,
        counted=known if choice.token_ids is None else None,
        reasoning=reasoning,
        end=end if sampling.drawn else None,
        drawn=_logprobs(choice, len(choice.token_ids or ())) if sampling.drawn else None,
    )


def _raise_error(error: Any, clean: Callable[[str], str]) -> None:
    document = {"error": error}
    reason = f"the answer broke off with an error: {clean(words(document))}"
    status = fault(document) or 500
    if status < 500 and status not in LATER:
        raise Refused(reason)
    raise Failed(reason, ill=status >= 500)


def _said(reason: Any) -> str:
    """`STOP`, `end_turn`, {"type": "stop", "matched": 2} → stop, endturn, stop. "" for none."""
    if isinstance(reason, dict):
        reason = reason.get("type")
    return "".join(filter(str.isalnum, reason.lower())).removeprefix("finishreason") if isinstance(reason, str) else ""


def _finish(said: str, tokens: int | None, most: int) -> FinishReason:
    if said in _STOP or said in _LENGTH:
        return "stop" if said in _STOP else "length"
    return "length" if tokens is not None and tokens >= most else "stop"


def _counted(usage: _Usage, choice: _Choice, text: str) -> int | None:
    """None where neither `usage` nor log-probabilities tell; a text of no tokens tells nothing either."""
    if usage.completion_tokens or (usage.completion_tokens is not None and not text):
        return usage.completion_tokens
    told = _mapping(choice.logprobs)
    values = told.get("token_logprobs") or told.get("content")
    return len(values) if isinstance(values, list) else None


def _logprobs(choice: _Choice, tokens: int) -> tuple[float, ...]:
    """One a token; the end-of-sequence token has none, as in every engine."""
    found, values = parsed(_Chosen, {"logprobs": choice.logprobs}).logprobs or _Logprobs(), None
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


class _Chosen(BaseModel):
    logprobs: _Logprobs | None = None
