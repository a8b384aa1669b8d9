"""The records of a file of templates: a row each of JSONL, JSON arrays, CSV, TSV or Parquet, or of lists under headings in one JSON object.

    records_of(Path("template_library.json"))
    → Found(at="Sequences/Arithmetic sequences/3", record={"template_name": …}, headings=("Sequences", "Arithmetic sequences"))

A record that is no object is `broken`, and stays in its place. A file without any is a DataError.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.files import MALFORMED, no_rows, row_reader
from factory.files.unpacking import ending, first_bytes, unpacked
from factory.templates.fields import field_of

DEEPEST = 12  # levels of headings
LONGEST_SHOWN = 2_000  # characters of a line that is no record, in its reject


@dataclass(frozen=True)
class Found:
    """A record of the file: `at` says where, `headings` what stands above it."""

    at: str
    record: dict[str, Any]
    headings: tuple[str, ...] = ()
    broken: str = ""


def records_of(path: Path) -> Iterator[Found]:
    document = _document(path)
    if document is not None:
        found = list(_nested(document, (), 0))
        if not found:
            raise DataError(f"{path} is JSON without a list of templates in it: expected objects with a name and steps, under any headings")
        yield from found
        return
    broken, any_read = None, False
    count = 0
    for batch in row_reader(path).batches():
        for record in batch.records:
            count += 1
            if record.broken:
                broken = broken or record
                yield Found(f"line {record.line}", {MALFORMED: str(record.values.get(MALFORMED, ""))[:LONGEST_SHOWN]}, broken=record.broken)
            else:
                any_read = True
                yield Found(f"line {record.line}", record.values)
    if not any_read:
        raise no_rows(str(path), count, broken)


def _document(path: Path) -> dict[str, Any] | None:
    """The file as one JSON object; None for any other kind of file. Raises DataError for broken JSON that spans lines."""
    if not path.is_file() or first_bytes(path, str(path)).startswith(b"PAR1") or ending(path)[0] not in ("json", ""):
        return None
    with unpacked(path, str(path)) as stream:
        start = stream.read(1 << 16)
        if not start.lstrip().startswith(b"{"):
            return None
        whole = start + stream.read()
    try:
        found = json.loads(whole.decode("utf-8", "replace"), object_pairs_hook=_once)
    except _Twice as error:
        raise DataError(f"{path} has the heading {error!s} twice in one object, of which JSON keeps one: rename or join them") from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" or b"}\n{" in whole[: 1 << 22] or start.lstrip().split(b"\n", 1)[0].rstrip().endswith(b"}"):
            return None  # a line an object
        raise DataError(f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        return None
    alone = b"\n" not in whole.strip()  # perhaps the one row of a JSONL file
    if not isinstance(found, dict) or _is_template(found) or (alone and not any(_nested(found, (), 0))):
        return None
    return found


class _Twice(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs) and any(isinstance(value, dict | list) for value in found.values()):
        names = [name for name, _ in pairs]
        raise _Twice(repr(next(name for name in names if names.count(name) > 1)[:60]))
    return found


def _is_template(value: dict[str, Any]) -> bool:
    fields = {field_of(str(key)) for key in value}
    return "name" in fields and bool(fields & {"steps", "description", "scope", "tags"})


def _nested(value: Any, headings: tuple[str, ...], depth: int) -> Iterator[Found]:
    """Templates in lists under headings; an item of such a list that is no object is a broken row, a text under a heading none at all."""
    if depth > DEEPEST:
        raise DataError(f"headings nest deeper than {DEEPEST} levels: is this a library of templates?")
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict) and _is_template(inner):
                yield Found("/".join([*headings, key]), inner, headings)
            else:
                yield from _nested(inner, (*headings, str(key)), depth + 1)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            at = "/".join([*headings, str(number)])
            if isinstance(item, dict):
                yield Found(at, item, headings)
            else:
                yield Found(at, {MALFORMED: str(item)[:LONGEST_SHOWN]}, headings, broken="not a JSON object")
