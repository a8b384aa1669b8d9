"""What a model is really sent, token by token: for people who look at a prompt before they pay for a night of answers.

sent(role, [(Message("user", "Tom has 3."),)])
→ [Sent([Piece("<|im_start|>", True), Piece("user\\nTom has 3.", False), Piece("<|im_end|>", True), …], tokens=12)]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from factory.errors import DataError, EngineError
from factory.language import tokens
from factory.params import Role
from factory.schemas import Conversation


@dataclass(frozen=True)
class Piece:
    text: str
    special: bool  # a control token, not text


@dataclass(frozen=True)
class Sent:
    """`refused`: why the model cannot be sent it; then there are no pieces."""

    pieces: list[Piece]
    tokens: int
    refused: str = ""


def sent(role: Role, conversations: Sequence[Conversation]) -> list[Sent]:
    """Raises EngineError for a role whose tokenizer is not in this process: a server's and recorded answers."""
    tokenizer = _tokenizer(role)
    found = []
    for ids, refused in tokens.request_ids(tokenizer, conversations, role.model):
        special = tokens.control_ids(tokenizer)
        pieces = [
            Piece(tokenizer.decode(list(run), skip_special_tokens=False, clean_up_tokenization_spaces=False), control)
            for control, run in groupby(ids, key=special.__contains__)
        ]
        found.append(Sent(pieces, len(ids), refused))
    return found


def _tokenizer(role: Role) -> Any:
    if role.engine in ("openai", "recorded"):
        whose = "the server makes the tokens" if role.engine == "openai" else "nothing is sent"
        raise EngineError(f"the engine of {role.model} is {role.engine}: {whose}")
    from transformers import AutoTokenizer

    name, _, revision = (role.model, "", "") if Path(role.model).is_dir() else role.model.partition("@")
    try:
        return AutoTokenizer.from_pretrained(name, revision=revision or None)
    except (OSError, ValueError, DataError) as error:
        raise EngineError(f"the tokenizer of {role.model} cannot be read: {str(error).strip().splitlines()[0]}") from None
