"""JSON that a model wrote among other words, mended where models break it.

    documents('Sure: ```json\\n{"name": "half \\\\angle", "tags": ["a",]}\\n```')    → [{"name": "half \\\\angle", "tags": ["a"]}]

Mathematics in JSON lacks the second backslash as a rule: `\\(` is no escape and `\\frac` one for another character; both are set right.
"""

import json
import re

from factory.engines.bodies import whole

FAILURES = 30  # brackets that begin no document before the search ends
DEPTH = 4  # of what `written` reads

_BEGIN = re.compile(r"[{\[](?=\s{0,100}[\"{\[\]}])")
_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|)')
_COMMA = re.compile(r",(?=\s{0,100}[}\]])")
_SWALLOWED = re.compile(r"([\b\f\r\t])(?=[a-z])|\n(?=(?:eq|abla|eg|otin)\b)")
_LETTER = {"\b": "b", "\f": "f", "\r": "r", "\t": "t", "\n": "n"}


def documents(text: str) -> list[object]:
    """The JSON objects and arrays in a text, in order, none that lies within another; of a mended text where it has none as it is."""
    if not _BEGIN.search(text):
        return []
    found, failures = _documents(text)
    if not failures:
        return found
    mended = _COMMA.sub("", _ESCAPE.sub(lambda match: match[0] if match[1] else "\\\\", text))
    others, left = _documents(mended)
    return others if left < failures else found


def _documents(text: str) -> tuple[list[object], int]:
    """(documents, brackets that begin none)."""
    decoder, begin, failures = json.JSONDecoder(strict=False), 0, 0
    found: list[object] = []
    while failures < FAILURES and (bracket := _BEGIN.search(text, begin)):
        begin = bracket.start() + 1
        try:
            document, begin = decoder.raw_decode(text, bracket.start())
        except (ValueError, RecursionError):
            failures += 1
        else:
            found.append(document)
    return found, failures


def written(value: object, depth: int = DEPTH) -> list[str]:
    """The lines of a JSON value: a text's own, one for each item of a list, the texts of an object in their order."""
    if isinstance(value, str):
        text = _SWALLOWED.sub(lambda match: "\\" + _LETTER[match[0]], whole(value))
        return [line for line in text.splitlines() if line.strip()]
    if depth == 0 or not isinstance(value, list | dict):
        return []
    if isinstance(value, list):
        lines = (" ".join(written(item, depth - 1)) for item in value)
    else:
        lines = (" ".join(written(item, depth - 1)) for item in value.values())
    return [line for line in lines if line]
