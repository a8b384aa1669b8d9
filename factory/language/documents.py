r"""JSON in a model's answer: fenced or not, among sentences, with trailing commas, with LaTeX whose backslashes stand alone.

    documents('Sure:\n```json\n{"name": "half \angle", "tags": ["a",]}\n```')   → [{"name": "half \\angle", "tags": ["a"]}]
    list(objects_in('[{"step": 2, "why": "\frac{1}{2} is lost"}]'))             → [{"step": 2, "why": "\\frac{1}{2} is lost"}]

In strings, `\(` is no escape of JSON, and `\frac` would be one for a form feed; both are read as LaTeX.
Nothing here raises, and the time is linear in the length of the text.
"""

import json
import re
from collections.abc import Iterator

FAILURES = 50  # brackets that begin no document, and commas too many, before the search ends
READINGS, SHORT = 5, 200_000  # times that a text may be read in vain, and characters that are read in any case
DEPTH = 5  # to which objects are looked for inside of a document

_BEGIN = re.compile(r'\{(?=\s{0,100}["}])|\[(?=\s{0,100}["{\[\]])')
_ESCAPE = re.compile(r'\\(?:["\\/]|u[0-9a-fA-F]{4}|([a-zA-Z]+)|.)', re.DOTALL)
_NAMES = (  # of commands of LaTeX: \n and \t often stand before other words, \b, \f and \r do not
    "nabla natural ncong ne nearrow neg neq newline nexists ngeq nleq nmid not notin nparallel nrightarrow nsubseteq nu nwarrow "
    "tan tanh tau tbinom text textbf textit textnormal textrm textsc textsf textstyle texttt tfrac therefore theta thinspace tilde "
    "times to top triangle triangleleft triangleq triangleright tt rVert"
)
_COMMANDS = frozenset(_NAMES.split())
_DECODER = json.JSONDecoder(strict=False)  # a line end inside of a string is one


def documents(text: str) -> list[object]:
    """The JSON objects and arrays of a text in order, without those inside of another."""
    found: list[object] = []
    begin = failures = 0
    text = _ESCAPE.sub(_escaped, text) if _BEGIN.search(text) else ""
    left = READINGS * len(text) + SHORT
    while failures < FAILURES and left > 0 and (bracket := _BEGIN.search(text, begin)):
        begin = bracket.start()
        try:
            document, begin = _DECODER.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            failures += 1
            end = error.pos if isinstance(error, json.JSONDecodeError) else len(text)
            left -= end - begin
            comma = _trailing_comma(text, end)
            if comma is None:
                begin += 1
            else:
                text = f"{text[:comma]} {text[comma + 1 :]}"
        else:
            found.append(document)
    return found


def objects_in(text: str) -> Iterator[dict[str, object]]:
    """Every JSON object of a text in reading order, also those inside of others and of arrays."""
    for document in documents(text):
        yield from _objects(document, DEPTH)


def _objects(document: object, depth: int) -> Iterator[dict[str, object]]:
    if isinstance(document, dict):
        yield document
    if depth and isinstance(document, dict | list):
        for inner in document.values() if isinstance(document, dict) else document:
            yield from _objects(inner, depth - 1)


def _escaped(match: re.Match[str]) -> str:
    r"""A backslash of LaTeX is doubled (`\frac`, `\(`, `\sqrt`); `\n`, `\"` and `\\` are JSON's own."""
    letters = match[1]
    if letters is None:
        own = match[0][1] in '"\\/u'
    else:
        own = letters[0] in "bfnrt" and letters not in _COMMANDS and not (letters[0] in "bfr" and letters[1:2].islower())
    return match[0] if own else "\\" + match[0]


def _trailing_comma(text: str, place: int) -> int | None:
    """Where the comma is that stands before the closing bracket at which reading failed. Python 3.13 and later fail at the comma."""
    if text[place : place + 1] == ",":
        return place if text[place + 1 :].lstrip()[:1] in ("}", "]") else None
    comma = len(text[:place].rstrip()) - 1
    return comma if text[place : place + 1] in ("}", "]") and text[comma] == "," else None
