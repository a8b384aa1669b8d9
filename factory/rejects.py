"""Rows that a stage will not let through, kept whole with a reason.

    kept = reject("problems", {"question": "…", "answer": b"\\xff"}, "no number", parent_id=None)
    write_rejects("problems", [kept])                 → data/rejects/problems.parquet

{"id": "8f0c…", "stage": "problems", "parent_id": null, "reason": "no number", "row": "{\\"answer\\": \\"base64:/w==\\", …}"}
"""

import base64
import contextlib
import dataclasses
import datetime
import json
import math
from collections.abc import Iterable
from typing import Any

from factory.identity import row_id
from factory.schemas import Message, Reject, Row
from factory.storage import REJECTS, write_rows
from factory.whole import storable

DEEPEST = 100  # levels of a rejected row; what lies deeper is named, not written


def _plain(value: object, depth: int = 0) -> object:
    """The value in what JSON has, nothing lost where it can be said: bytes are text or base64, dates ISO 8601, huge integers base 16."""
    if depth > DEEPEST:
        return f"(nested deeper than {DEEPEST})"
    if isinstance(value, Message):
        return value._asdict()
    if isinstance(value, dict):
        return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode("utf-8")
        return f"base64:{base64.b64encode(value).decode('ascii')}"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, int) and value.bit_length() > 14_000:  # Python writes no more than 4,300 digits
        return hex(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def reject(stage: str, row: Row | dict[str, Any], reason: str, parent_id: str | None = None) -> Reject:
    """A row that the stage will not let through, with its reason (short, countable: the same words for the same cause). Any row can be
    written as one."""
    record = _plain(dataclasses.asdict(row) if isinstance(row, Row) else row)
    text = storable(json.dumps(record, ensure_ascii=False, sort_keys=True))
    reason, parent_id = storable(reason), None if parent_id is None else storable(parent_id)
    return Reject(id=row_id("reject", stage, reason, parent_id, text), stage=stage, parent_id=parent_id, reason=reason, row=text)


def write_rejects(stage: str, rejects: Iterable[Reject]) -> int:
    """`data/rejects/<stage>.parquet`, an out of the stage. Identical rejects are numbered apart, never dropped."""
    seen: dict[str, int] = {}
    numbered: list[Reject] = []
    for item in rejects:
        seen[item.id] = seen.get(item.id, 0) + 1
        numbered.append(item if seen[item.id] == 1 else dataclasses.replace(item, id=row_id(item.id, seen[item.id])))
    return write_rows(REJECTS / f"{stage}.parquet", Reject, numbered)
