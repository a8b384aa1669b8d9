r"""A record of somebody else's as a row of ours, or the reason why it is none.

    Shaper("distillation", {"prompt": "question", "completion": "response", "answer": "gold"}, "line").row({"question": "12 + 7?", …})
    → Shaped({"id": "8c1f…", "prompt": (Message("user", "12 + 7?"),), "completion": "\\boxed{19}", …}, Problem(answer="19", …))

What no column says is filled with an empty value, and nothing that reads it is checked (factory/foreign/checking.py).
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

import pyarrow as pa

from factory.errors import DataError
from factory.grading import parse_number
from factory.identity import row_id
from factory.language.conversation import flat
from factory.language.steps import By, split
from factory.schemas import ANSWERS, Conversation, Message, Problem, arrow_schema, arrow_type, choices, field_types, nullable
from factory.schemas import TURNS as ROLES
from factory.tables import TABLES

MARK = "####"  # GSM8K: the answer stands behind it, the solution before it
SPOKEN = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}
_NOTES = re.compile(r"<<[^<>]*>>")


class Unfit(ValueError):
    """Why a record is no row; short, the same words for the same cause."""


@dataclass(frozen=True)
class Shaped:
    values: dict[str, Any]
    problem: Problem | None


class Shaper:
    """`columns`: ours → theirs. `made`: columns that no source says but that follow from the others; `absent`: those that nothing says.
    `gold`, `solved`: whether a problem's answer and solution are given; `two_questions`: whether prompt and problem are two columns.
    `marked`: whether answers were found behind GSM8K's mark, their solutions before it."""

    def __init__(self, kind: str, columns: Mapping[str, str], steps: By, turns: str | None = None) -> None:
        self.kind, self.columns, self.steps, self.turns = kind, columns, steps, turns
        self.types = field_types(TABLES[kind])
        self.defaults = {field.name: field.default for field in fields(TABLES[kind]) if field.default is not MISSING}
        given = {*columns, *(("prompt", "completion") if turns else ()), *(("prompt",) if "chosen" in columns else ())}
        known = {"problem": ("instance", "problem_id", "id", "prompt"), "completion": ("steps",), "answer": ("answer_kind",)}
        self.made = {"id"} | {name for source in (given | {"id"}) for name in known.get(source, ()) if name in self.types} - set(columns)
        if "prompt" in given and "problem_id" in self.types and "problem_id" not in columns:
            self.made.add("problem_id")
        self.made &= set(self.types)
        self.made -= set(columns)
        self.marked = False
        self.gold, self.solved = "answer" in columns, "solution" in columns
        self.two_questions = columns.get("problem") is not None and columns.get("prompt") not in (None, columns.get("problem"))
        self.absent = {name for name in self.types if name not in given | self.made}

    def row(self, record: Mapping[str, Any]) -> Shaped:
        """Raises Unfit."""
        found = {name: record.get(theirs) for name, theirs in self.columns.items()}
        if self.turns:
            found["prompt"], found["completion"] = _of_turns(record.get(self.turns))
        if "prompt" not in found and "chosen" in found and "prompt" in self.types:
            found["prompt"], found["chosen"], found["rejected"] = _common(found.get("chosen"), found.get("rejected"))
        for name, value in found.items():
            _finite(self.columns.get(name, name), value)
        answer = found.get("answer")
        if isinstance(answer, str) and MARK in answer and "solution" not in self.columns:
            self.marked = self.solved = True
            found["solution"], _, found["answer"] = (part.strip() for part in _NOTES.sub("", answer).rpartition(MARK))
        problem = self._problem(found)
        values = {name: self._value(name, hint, found, problem) for name, hint in self.types.items() if name != "id"}
        own = found.get("id")
        values["id"] = str(own) if own not in (None, "") else row_id("foreign", self.kind, json.dumps(found, default=str, sort_keys=True))
        return Shaped(values, problem)

    def _problem(self, found: Mapping[str, Any]) -> Problem | None:
        """What a row says of its problem. Its text: its own column, else the question that was asked."""
        text = found.get("problem") if "problem" in self.columns else found.get("prompt")
        if text in (None, "", [], ()):
            return None
        text = flat(_conversation(text))
        answer = found.get("answer")
        answer = "" if answer is None else str(answer)
        solution = found.get("solution")
        return Problem(
            id=str(found.get("problem_id") or row_id("problem", text)), source="foreign", family="none", group="none", split="train",
            instance=text, problem=text, answer=answer, answer_kind=_kind(answer), solution=str(solution) if solution else None,
        )  # fmt: skip

    def _value(self, name: str, hint: Any, found: Mapping[str, Any], problem: Problem | None) -> Any:
        if self.kind == "problems" and problem and name in ("instance", "problem", "answer_kind") and name not in self.columns:
            return getattr(problem, name)
        value = found.get(name)
        if name in self.columns or name in found:
            if self.kind == "problems" and name == "problem":
                value = problem.problem if problem else None
            if value is None and not nullable(hint):
                raise Unfit(f"{self.columns.get(name, name)} is empty")
            return _fitted(name, value, hint)
        if name == "problem_id" and problem:
            return problem.id
        if name == "prompt" and problem:
            return _fitted(name, problem.problem, hint)
        if name == "steps" and "completion" in found:
            return split(_text(found["completion"]), self.steps)
        if name in self.defaults:
            return self.defaults[name]
        return None if nullable(hint) else _empty(hint)


def _kind(answer: str) -> Any:
    return "number" if parse_number(answer) is not None else "math" if "\\" in answer or "^" in answer else "text"


def _empty(hint: Any) -> Any:
    if allowed := choices(hint):
        return allowed[0]
    kind = arrow_type(hint)
    if hint == Conversation:
        return (Message("user", ""),)
    return () if pa.types.is_list(kind) else {"string": "", "int64": 0, "double": 0.0, "bool": False}[str(kind)]


def _fitted(name: str, value: Any, hint: Any) -> Any:
    """Raises Unfit for what the column cannot hold."""
    if value is None:
        return None
    if hint == Conversation:
        return _conversation(value)
    if name in ANSWERS:
        return _text(value)
    if allowed := choices(hint):
        if isinstance(value, bool) and set(allowed) >= {"correct", "wrong"}:
            return "correct" if value else "wrong"
        if value not in allowed:
            raise Unfit(f"{name} is none of {', '.join(allowed)}")
        return value
    kind = arrow_type(hint)
    if pa.types.is_list(kind):
        if not isinstance(value, (list, tuple)):
            raise Unfit(f"{name} is no list")
        items = [str(item) if pa.types.is_string(kind.value_type) and isinstance(item, (int, float)) else item for item in value]
        return tuple(_held(name, items, kind))
    if pa.types.is_string(kind):
        if isinstance(value, (list, dict)):
            return flat(_conversation(value))
        return _unicode(name, str(value))
    number = _number(value, kind)
    _finite(name, number)
    return _held(name, [number], pa.list_(kind))[0]


def _finite(name: str, value: Any) -> None:
    """Raises Unfit for NaN and the infinities, which JSON writers and pandas let through, in whatever value."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise Unfit(f"{name} is {'NaN' if math.isnan(item) else 'infinite'}" if item is value else f"{name} holds NaN or an infinity")
        left += item.values() if isinstance(item, Mapping) else item if isinstance(item, (list, tuple)) else ()


def _number(value: Any, kind: pa.DataType) -> Any:
    if isinstance(value, str):
        try:
            return float(value) if pa.types.is_floating(kind) else int(value)
        except ValueError:
            return value
    return int(value) if pa.types.is_integer(kind) and isinstance(value, float) and value.is_integer() else value


def _held(name: str, items: list[Any], kind: Any) -> list[Any]:
    try:
        return list(pa.array([items], kind).to_pylist()[0])
    except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeError):
        raise Unfit(f"{name} is no {kind.value_type}") from None


def _unicode(name: str, text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Unfit(f"{name} holds half of a surrogate pair, which is no character") from None
    return text


def _text(value: Any) -> str:
    """The assistant's words: a text, or a conversation's."""
    if isinstance(value, str):
        return _unicode("the answer", value)
    return "".join(turn.content for turn in _conversation(value) if turn.role == "assistant")


def _conversation(value: Any) -> Conversation:
    """A text is a user's turn. Turns have role and content, or from and value."""
    if isinstance(value, str):
        return (Message("user", _unicode("the question", value)),)
    if not isinstance(value, (list, tuple)) or not value:
        raise Unfit("the question is neither a text nor turns")
    if all(isinstance(turn, Message) for turn in value):
        return tuple(value)
    turns = []
    for turn in value:
        role = SPOKEN.get(str(turn.get("role", turn.get("from")))) if isinstance(turn, Mapping) else None
        content = turn.get("content", turn.get("value")) if isinstance(turn, Mapping) else None
        if role not in ROLES or not isinstance(content, str):
            raise Unfit("a turn without a role (system, user, assistant) and words")
        turns.append(Message(str(role), _unicode("a turn", content)))
    return tuple(turns)


def _of_turns(value: Any) -> tuple[Conversation, str]:
    """A conversation as question and last answer. Raises Unfit where it has no answer."""
    turns = _conversation(value)
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise Unfit("the conversation ends without an answer")
    return turns[:-1], turns[-1].content


def _common(chosen: Any, rejected: Any) -> tuple[Conversation, str, str]:
    """TRL's implicit prompt: two conversations that begin alike."""
    (asked, first), (also, second) = _of_turns(chosen), _of_turns(rejected)
    if asked != also:
        raise Unfit("chosen and rejected answer different questions")
    return asked, first, second


def table_of_rows(kind: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Arrow, in the row type's columns; ids as they are, also where one stands twice."""
    schema, types = arrow_schema(TABLES[kind]), field_types(TABLES[kind])
    columns = []
    for name, hint in types.items():
        values = [row[name] for row in rows]
        if hint == Conversation:
            values = [[turn._asdict() for turn in value] for value in values]
        try:
            columns.append(pa.array(values, arrow_type(hint)))
        except (pa.ArrowException, TypeError, OverflowError, UnicodeError) as error:
            raise DataError(f"the column {name} cannot be held as {arrow_type(hint)}: {str(error).splitlines()[0]}") from None
    return pa.table(columns, schema=schema)
