"""Rows for people: one field a line, long texts as they are, control characters made visible.

    fields_of(restart)   → [("id", "8c1f…"), ("problem_id", "a07b…"), ("buffer", "-"), ("prompt", "[user] Tom has …\\nSolve:\\n"), …]
    visible("a\\x1b[31mb")   → "a\\\\x1b[31mb"

Rows are model output: a terminal must not obey what they say.
"""

import json
import unicodedata
from collections.abc import Mapping

from factory.schemas import Message, Row, field_types

LINEAGE = ("model", "request_ids", "prompt_version", "seed", "round", "parents")
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # controls, formats (bidirectional marks too), surrogates, private use, separators


def visible(text: str) -> str:
    """Everything that is no plain character becomes its escape; newlines stay, tabs become spaces."""
    return "".join(_escaped(character) for character in text.replace("\t", "    "))


def _escaped(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def fields_of(row: Row, *, lineage: bool = False) -> list[tuple[str, str]]:
    """(column, visible text) of every column with something in it; lineage columns only when asked for."""
    found = []
    for name in field_types(type(row)):
        value = getattr(row, name)
        if value is None or value in ("", ()) or (name in LINEAGE and not lineage):
            continue
        items = value if isinstance(value, tuple) else (value,)
        found.append((name, visible("\n".join(map(_written, items)))))
    return found


def fields_of_dict(row: Mapping[str, object], *, longest: int = 0) -> list[tuple[str, str]]:
    """The same of a row of any table, as Arrow or JSON give it, without lineage; a text of more than `longest` characters is cut there."""
    found = []
    for name, value in row.items():
        if value is None or value in ("", [], ()) or name in LINEAGE:
            continue
        items = value if isinstance(value, (list, tuple)) else (value,)
        text = visible("\n".join(map(_written, items)))
        if longest and len(text) > longest:
            text = f"{text[:longest]}… ({len(text) - longest:,} characters more)"
        found.append((name, text))
    return found


def _written(item: object) -> str:
    if isinstance(item, Message):
        return f"[{item.role}] {item.content}"
    if isinstance(item, Mapping):
        return f"[{item['role']}] {item['content']}" if {"role", "content"} <= item.keys() else json.dumps(dict(item), ensure_ascii=False)
    return f"{item:.4g}" if isinstance(item, float) else str(item)
