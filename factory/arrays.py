"""Rows as Arrow arrays and back: a value that its column cannot hold is named with its row, never bent to fit.

array(rows, "tokens", int)                        → a column of int64; DataError: Rollout 5f…: tokens is 1.5: expected int64
rows_of(batch, Rollout)                           → the rows of a record batch that has all columns of their type
"""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from factory.errors import DataError
from factory.schemas import TURNS, Conversation, Message, R, Row, arrow_type, choices, field_types, nullable, released_answers


def _fault(value: Any, hint: Any) -> str:
    """Why a value cannot stand in a column, "" when it can. Arrow alone would cut 1.5 to 1 and take "abc" for a list of letters."""
    kind = arrow_type(hint)
    if hint == Conversation:
        if not _is_conversation(value):
            return "expected a conversation: Messages of system, user or assistant with words"
        value = [turn._asdict() for turn in value]
    if value is None:
        return "" if nullable(hint) else "a value must be there"
    if (allowed := choices(hint)) and value not in allowed:
        return f"expected one of {', '.join(allowed)}"
    if (pa.types.is_integer(kind) and isinstance(value, float)) or (pa.types.is_list(kind) and not isinstance(value, (tuple, list))):
        return f"expected {kind}"
    try:
        pa.array([value], kind)
    except UnicodeEncodeError:
        return "half of a surrogate pair, which is no character"
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        return f"expected {kind}"
    return ""


def _is_conversation(value: object) -> bool:
    return (
        isinstance(value, tuple) and bool(value)
        and all(isinstance(turn, Message) and turn.role in TURNS and isinstance(turn.content, str) for turn in value)
    )  # fmt: skip


def array(rows: Sequence[Row], name: str, hint: Any) -> pa.Array:
    """Raises DataError with the first row whose value the column cannot hold."""
    values, kind, allowed = [getattr(row, name) for row in rows], arrow_type(hint), choices(hint)
    suspicious = {float} if pa.types.is_integer(kind) else {str} if pa.types.is_list(kind) else set()
    with contextlib.suppress(AttributeError, ValueError, TypeError, OverflowError, pa.ArrowException):
        if hint == Conversation and not all(map(_is_conversation, values)):
            raise ValueError
        given = [[turn._asdict() for turn in value] for value in values] if hint == Conversation else values
        array = pa.array(given, kind)
        if not (
            suspicious & set(map(type, values)) or (array.null_count and not nullable(hint)) or (allowed and not set(values) <= {*allowed})
        ):
            return array
    row, fault = next((row, fault) for row in rows if (fault := _fault(getattr(row, name), hint)))
    raise DataError(f"{type(row).__name__} {row.id}: {name} is {_shortly(getattr(row, name))}: {fault}")


def _shortly(value: object) -> str:
    """At most 60 characters; a huge number has a text of its own only in base 16."""
    text = hex(value) if isinstance(value, int) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def rows_of(part: pa.RecordBatch, row_type: type[R]) -> list[R]:
    """The rows of a batch that has all columns of their type."""
    types = field_types(row_type)
    released = {name for name in released_answers(row_type) if part.schema.field(name).type == arrow_type(Conversation)}
    columns = [values_of(part.column(name).to_pylist(), "released" if name in released else hint) for name, hint in types.items()]
    return [row_type(**dict(zip(types, values))) for values in zip(*columns, strict=True)]


def values_of(values: list[Any], hint: Any) -> Iterable[Any]:
    """A column's values as a row holds them. `hint` "released": conversations of one message, of which the row holds the words."""
    if hint == "released":
        return [None if turns is None else "".join(turn["content"] or "" for turn in turns) for turns in values]
    if hint == Conversation:
        return [turns if turns is None else tuple(Message(**turn) for turn in turns) for turns in values]
    return [value if value is None else tuple(value) for value in values] if pa.types.is_list(arrow_type(hint)) else values
