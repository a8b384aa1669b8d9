"""The text in a value of a file: numbers, dates, conversations of one turn, lists of one element. Whatever else there is, is refused.

    text_of(18.0, "answer")                                                   → "18"
    text_of([{"role": "user", "content": "How many?"}], "problem", "user")    → "How many?"
    text_of(["a", "b"], "answer")                                             → BadRow: answer is a list of 2 values
    literal_of([1, None, "a"], "answer")                                      → "[1, None, 'a']", what `answer_kind: literal` reads

No value becomes text by Python's `repr`, but for a literal, whose text is a Python value by definition.
"""

import datetime
import math
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

Speaker = Literal["user", "assistant"]
DEEPEST = 20  # brackets in brackets of a literal
_SPEAKERS: dict[str, str] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "system": "system",
}
_SURROGATE = re.compile("[\ud800-\udfff]")
_WRITTEN = re.compile(r"\s*\[?\s*\{\s*[\"'](?:role|from|content)[\"']\s*:")  # a conversation that somebody turned into text


class BadRow(ValueError):
    """Why a row is no problem, in few words that are the same for the same cause."""


def normalise(text: str) -> str:
    """Unicode NFC and `\\n` as line end, without white space at the ends of lines and blank lines at both ends. Indentation, inner spaces
    and blank lines between paragraphs stay."""
    lines = [line.rstrip() for line in unicodedata.normalize("NFC", text).splitlines()]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines)


def text_of(value: object, name: str, speaker: Speaker | None = None) -> str | None:
    """The text of a value, None for a missing one. `speaker`: whose turn a conversation may consist of. Raises BadRow."""
    if value is None:
        return None
    if isinstance(value, str):
        return checked(value, name, speaker)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return _digits(value, name)
    if isinstance(value, float | Decimal):
        return _decimal(value, name)
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        if isinstance(value, datetime.datetime) and value.tzinfo is None and value.time() == datetime.time():
            return value.date().isoformat()  # a date that a library read as a moment
        return value.isoformat()
    if isinstance(value, Mapping) and speaker and _is_turn(value):
        return conversation([value], name, speaker)
    if isinstance(value, list):
        if value and speaker and all(map(_is_turn, value)):
            return conversation(value, name, speaker)
        if len(value) == 1 and not isinstance(value[0], list | Mapping):
            return text_of(value[0], name, speaker)
    raise BadRow(f"{name} is {_described(value)}")


def checked(text: str, name: str, speaker: Speaker | None = None) -> str:
    """`text`. Raises BadRow for half a character, for NUL, and for a conversation that is written as text."""
    if _SURROGATE.search(text):
        raise BadRow(f"{name} has a lone surrogate, which is no character")
    if "\0" in text:
        raise BadRow(f"{name} has a NUL character")
    if speaker and _WRITTEN.match(text):
        raise BadRow(f"{name} is a conversation written as text")
    return text


def conversation(turns: list[Any], name: str, speaker: Speaker) -> str:
    """The text of the one turn that `speaker` has; that of a system turn stands before it, for it may say what is asked. Raises BadRow."""
    texts: list[str] = []
    roles: list[str] = []
    for turn in turns:
        if turn.get("tool_calls") or turn.get("function_call"):
            raise BadRow(f"{name} is a conversation with tool calls")
        role = str(turn.get("role") or turn.get("from")).lower()
        roles.append(_SPEAKERS.get(role, role))
        texts.append(_content(turn["content"] if "content" in turn else turn.get("value"), name))
    if roles not in ([speaker], ["system", speaker]):
        said = "turns" if len(roles) > 1 else "turn, not the " + speaker + "'s"
        raise BadRow(f"{name} is a conversation of {len(roles)} {said}")
    return checked("\n\n".join(text for text in texts if text.strip()), name)


def _content(content: object, name: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") in ("text", None) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            raise BadRow(f"{name} is a conversation with more than text")
    return "".join(texts)


def _is_turn(value: object) -> bool:
    return isinstance(value, Mapping) and ({"role", "content"} <= value.keys() or {"from", "value"} <= value.keys())


def literal_of(value: object, name: str) -> str | None:
    """The Python literal of a JSON value; text is a literal already. Raises BadRow."""
    if isinstance(value, list | dict):
        return _literal(value, name, 0)
    return text_of(value, name)


def _literal(value: object, name: str, depth: int) -> str:
    if depth > DEEPEST:
        raise BadRow(f"{name} is nested more than {DEEPEST} deep")
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, name, depth + 1) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_literal(key, name, depth + 1)}: {_literal(item, name, depth + 1)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        return repr(checked(value, name))
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return _digits(value, name)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise BadRow(f"{name} has {'NaN or an infinity' if isinstance(value, float) else _described(value)} in it")


def table_of(value: object, name: str) -> str | None:
    """The rows of a table, a line each, its cells between pipes: of a list of cells, or of a list of rows. Text is a table already.
    Raises BadRow."""
    if not isinstance(value, list):
        return text_of(value, name)
    rows = value if value and all(isinstance(row, list) for row in value) else [value]
    lines = [[_cell(cell, name) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: object, name: str) -> str:
    if isinstance(value, list):
        raise BadRow(f"{name} is a list in a list")
    return " ".join((text_of(value, name) or "").split()).replace("|", r"\|")


def _digits(value: int, name: str) -> str:
    try:
        return str(value)
    except ValueError:
        raise BadRow(f"{name} is a whole number of thousands of digits") from None


def _decimal(value: float | Decimal, name: str) -> str:
    """Without an exponent; whole floats, which are what a column of whole numbers with gaps becomes, without a point."""
    if not math.isfinite(value):
        raise BadRow(f"{name} is {'NaN' if math.isnan(value) else 'infinite'}")
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    if abs(exact.adjusted()) > 400:
        raise BadRow(f"{name} is a number of hundreds of digits")
    text = format(exact, "f")
    return text.removesuffix(".0") if isinstance(value, float) else text


def _described(value: object) -> str:
    if isinstance(value, list | tuple):
        return "an empty list" if not value else f"a list of {len(value)} values" if len(value) > 1 else "a list in a list"
    if isinstance(value, bytes):
        return "bytes, not text"
    return "an object" if isinstance(value, Mapping) else f"a value of the type {type(value).__name__}"
