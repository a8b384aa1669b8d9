"""Text of rows with what COAT reads in it marked: meta-action tokens and boxes, each by its colour, its frame and a sign before it.

    marked("a\\n<|reflect|>Wait. \\\\boxed{3}")
    → a\\n<mark class="act reflect">&lt;|reflect|&gt;</mark>Wait. <mark class="box">\\\\boxed{3}</mark>

The frame (solid, dashed, dotted) and the sign (CSS, so that copied text has none) tell them apart on paper and without colour.
"""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

from factory.coat.grammar import ACTIONS

_NAMES = {token: name for name, token in ACTIONS.items()}
_START = re.compile("|".join([*map(re.escape, _NAMES), r"\\boxed\{"]))


def marked(text: str) -> Markup:
    """HTML of a text; everything in it is escaped."""
    return Markup("").join(_parts(text))


def _parts(text: str) -> Iterator[Markup]:
    at = 0
    while found := _START.search(text, at):
        yield escape(text[at : found.start()])
        name = _NAMES.get(found[0])
        at = found.end() if name else _closing(text, found.end())
        kind = f"act {name}" if name else "box"
        yield Markup('<mark class="{}">{}</mark>').format(kind, text[found.start() : at])
    yield escape(text[at:])


def _closing(text: str, at: int) -> int:
    """Behind the brace that closes the one before `at`; behind the line where none does."""
    depth = 1
    for place in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
        if text[place] == "\n":
            return place
    return len(text)
