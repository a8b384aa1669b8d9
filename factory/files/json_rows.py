"""JSONL and JSON arrays.

json_reader(Path("train.jsonl"), "train.jsonl", strict=True).batches()
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.files.batches import MALFORMED, NOT_UTF_8, Batch, Reader, Record, in_batches
from factory.files.unpacking import unpacked

_LONGEST_INTEGER = 4_000  # digits


class _Doubled(dict[str, Any]):
    """A JSON object with a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Doubled(found)


def _record(values: object, text: str, line: int) -> Record:
    """A row of a JSON value; `text`: its line in JSONL, "" in an array."""
    if isinstance(values, _Doubled):
        return Record({MALFORMED: text or json.dumps(values)}, broken="an object with a key twice", line=line)
    if isinstance(values, dict):
        return Record(values, text, line=line)
    return Record({MALFORMED: text or json.dumps(values)}, broken="not a JSON object", line=line)


def json_reader(path: Path, name: str, strict: bool) -> Reader:
    """One object a line, or one array of objects, which is read whole."""
    with unpacked(path, name) as stream:
        start = b""
        while not start.strip() and (line := stream.readline(1 << 16)):
            start = line
        if not start.lstrip().startswith(b"["):
            return _Lines(path, name, strict)
    with unpacked(path, name) as stream:
        whole = stream.read()
    try:
        text = whole.decode("utf-8", "strict" if strict else "replace")
        return _Array(_loaded(text, strict))
    except (ValueError, RecursionError) as error:
        if any(map(_is_json, whole.split(b"\n", 3)[:2])):  # one of many lines
            return _Lines(path, name, strict)
        raise DataError(f"{name} begins with [ and is no JSON array ({error}): correct it, or write one object a line") from None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _loaded(text: str, strict: bool) -> Any:
    hook = _object if strict else None
    try:
        return json.loads(text, object_pairs_hook=hook)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a whole number of thousands of digits: it is left as text
        return json.loads(text, object_pairs_hook=hook, parse_int=lambda digits: int(digits) if len(digits) < _LONGEST_INTEGER else digits)


def _record_of_line(text: str, line: int, strict: bool) -> Record:
    try:
        return _record(json.loads(text, object_pairs_hook=_object if strict else None), text, line)
    except json.JSONDecodeError:
        broken = "malformed JSON"
    except (ValueError, RecursionError):  # a whole number of thousands of digits, brackets in thousands of brackets
        broken = "JSON that is too long or too deep"
    return Record({MALFORMED: text}, broken=broken, line=line)


class _Lines:
    """JSONL. Blank lines are no rows."""

    header: tuple[str, ...] = ()

    def __init__(self, path: Path, name: str, strict: bool) -> None:
        self.path, self.name, self.strict = path, name, strict

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        with unpacked(self.path, self.name) as stream:
            yield from in_batches((self._record(line, number), len(line)) for number, line in enumerate(stream, 1) if line.strip())

    def _record(self, line: bytes, number: int) -> Record:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = line.decode("utf-8", "replace")
            if self.strict:
                return Record({MALFORMED: text.strip()}, broken=NOT_UTF_8, line=number)
        return _record_of_line(text.strip(), number, self.strict)


class _Array:
    """One JSON array."""

    header: tuple[str, ...] = ()

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        yield from in_batches((_record(item, "", number), 1) for number, item in enumerate(self.items, 1))
