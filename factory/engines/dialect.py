"""How a role's requests are worded: what servers of other makers refuse of OpenAI's fields, and which option of the role says so.

    role = Role(engine="openai", model="o3@2025-04", base_url=…, omit=("temperature", "top_p"), max_tokens_as="max_completion_tokens")
    worded({"prompt": "Tom …", "max_tokens": 64, "top_p": 1.0, …}, role)     → {"prompt": "Tom …", "max_completion_tokens": 64, …}
    hint("Unrecognized request argument supplied: seed", {"prompt", "seed"}) → "write `omit: [seed]` into the role"

Which of them are part of a request's key: those that change what is drawn. Without `temperature` or `top_p` a server samples by a default
of its own, so that these two are written behind the model's name (`o3@2025-04,omit=temperature+top_p`), in keys and in rows; so is
`continue_as`, which decides what the words of a turn begun become. Without
`seed`, or with fewer bits of it, samples are other draws of the same distribution, `n` is always 1, a stop string is cut off here as well,
an answer to `response_format` is checked here, and `max_tokens_as` changes a name alone: answers stay valid when these options change.
"""

import re
from collections.abc import Collection
from typing import Any

from factory.params import Role

_DRAW = ("temperature", "top_p")
_NAMES = ("seed", "top_p", "temperature", "response_format", "logprobs", "max_tokens", "max_completion_tokens", "n", "stop")
_WORDS = ("n", "stop")  # that stand in many a sentence
_UNKNOWN = re.compile(
    r"un(supported|recogni[sz]ed|known|expected|available)|extra |not (\w+ )?(support|permit|allow|available|recogni)|n't support|"
    r"no longer|instead|deprecated|forbidden",
    re.IGNORECASE,
)
_LARGE = r"less than|smaller|at most|range|exceed|too (?:large|big)|(?:\b|_)u?int(?:eger)?_?\d*\b|2147483647|4294967295|\^3[12]"
_TOO_LARGE = re.compile(_LARGE, re.IGNORECASE)
_BOUND = re.compile(rf"must|\bonly\b|both|invalid|greater than|{_LARGE}", re.IGNORECASE)


def lineage(role: Role) -> str:
    """The model's name in keys and rows."""
    left_out = [name for name in _DRAW if name in role.omit]
    name = f"{role.model},omit={'+'.join(left_out)}" if left_out else role.model
    return f"{name},continue_as={role.continue_as}" if role.continue_as else name


def holds_schemas(role: Role) -> bool:
    """Whether the role's engine itself holds an answer to a JSON schema; else answers are checked and asked again (structured.py)."""
    return role.engine == "vllm" or (role.engine == "openai" and "response_format" not in role.omit)


def worded(document: dict[str, Any], role: Role) -> dict[str, Any]:
    """A request as the role's server takes it."""
    names = {"max_tokens": role.max_tokens_as}
    made = {names.get(name, name): value for name, value in document.items() if name not in role.omit}
    if "seed" in made:
        made["seed"] &= (1 << role.seed_bits) - 1
    return made


def hint(said: str, sent: Collection[str]) -> str:
    """Which option of the role answers a server's complaint about a field of the request; "" where none does."""
    unknown = _UNKNOWN.search(said)
    if not unknown and not _BOUND.search(said):
        return ""
    known = [name for name in _NAMES if name in sent]
    named = [name for name in known if _is_named(name, said)]
    named = named or [name for name in known if name not in _WORDS and re.search(rf"(?<!\w){name}(?!\w)", said, re.IGNORECASE)]
    if unknown and "max_tokens" in named:
        return "write `max_tokens_as: max_completion_tokens` into the role"
    if unknown and "max_completion_tokens" in named:
        return "leave `max_tokens_as` out of the role"
    if "logprobs" in named:
        return "this server tells no log-probabilities, take another for what needs them"
    named = [name for name in named if not name.startswith("max_")]
    if not unknown and "seed" in named and _TOO_LARGE.search(said):
        return "write `seed_bits: 31` into the role"
    if {"temperature", "top_p"} <= set(named) and "both" in said.lower():
        named = ["top_p"]
    return f"write `omit: [{', '.join(named)}]` into the role" if named else ""


def _is_named(name: str, said: str) -> bool:
    """In quotes, behind a dot, or as what something is said about."""
    before = r"(?:^|['\"`.\[]|(?:argument|parameter|param|property|option|field|input|key|supplied)s?:? \[?['\"`]?)"
    return re.search(rf"{before}{name}(?:['\"`\],:;]|$|\.\s|\.$| is )", said, re.IGNORECASE) is not None
