"""JSON objects in an answer, as models write them: fenced or not, with a sentence around them, with LaTeX whose backslashes stand alone.

list(objects_in('Here: {"Step": 2, "reason": "\\frac{1}{2} is lost"}'))   → [{"Step": 2, "reason": "\\\\frac{1}{2} is lost"}]
field_named({"First Error Step": 2}, "step")                             → (True, 2)
"""

import json
import re
from collections.abc import Iterator

BEGINNINGS = 50  # brackets at which a document is looked for, and objects inside of documents
DEEPEST = 4
FIELDS = {
    "step": "step stepnumber stepno stepindex wrongstep errorstep incorrectstep firstwrongstep firsterrorstep firstincorrectstep "
    "firsterror firstwrong",
    "statement": "statement reason error explanation errorreason erroranalysis mistake problem critique issue why analysis description "
    "whatiswrong",
    "hint": "hint suggestion alternatively alternative correction instead advice fix betterapproach correctapproach suggestedfix",
    "right": "correct iscorrect right isright valid isvalid verdict judgement judgment approved approve stepcorrect stepiscorrect status",
    "remark": "reason explanation remark comment statement verification why analysis justification rationale",
}
_NAMES = {kind: frozenset(names.split()) for kind, names in FIELDS.items()}
_DECODER = json.JSONDecoder(strict=False)  # a line end inside of a string is one
_ESCAPE = re.compile(r"\\(?:[\\\"/]|u[0-9a-fA-F]{4}|([a-zA-Z]+)|.)", re.DOTALL)
_COMMANDS = frozenset(
    [
        "bar",
        "because",
        "beta",
        "begin",
        "bf",
        "big",
        "bigl",
        "bigr",
        "binom",
        "bmod",
        "bot",
        "boxed",
        "bullet",
        "fbox",
        "flat",
        "floor",
        "forall",
        "frac",
        "frown",
        "nabla",
        "ne",
        "nearrow",
        "neg",
        "neq",
        "newline",
        "ni",
        "nmid",
        "not",
        "notin",
        "nu",
        "rangle",
        "rbrace",
        "rceil",
        "rfloor",
        "rho",
        "right",
        "rightarrow",
        "rm",
        "root",
        "rvert",
        "tan",
        "tanh",
        "tau",
        "tbinom",
        "text",
        "textbf",
        "textit",
        "textrm",
        "tfrac",
        "therefore",
        "theta",
        "tilde",
        "times",
        "to",
        "top",
        "triangle",
        "tt",
    ]
)
_TRAILING = re.compile(r",(?=\s{0,20}[}\]])")


def objects_in(text: str) -> Iterator[dict[str, object]]:
    """Every JSON object, also inside of others and of lists, in reading order; at most BEGINNINGS."""
    text = _ESCAPE.sub(_escaped, text) if "\\" in text else text
    begin = found = 0
    for _ in range(BEGINNINGS):
        begin = text.find("{", begin)
        if begin < 0:
            return
        document, end = _parsed(text, begin)
        begin = max(end, begin + 1)
        for inner in _objects(document, 0):
            yield inner
            if (found := found + 1) >= BEGINNINGS:
                return


def _parsed(text: str, begin: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        pass
    end = text.find("}", begin, begin + 5_000)
    if end < 0 or not _TRAILING.search(text, begin, end + 1):
        return None, begin
    try:
        return _DECODER.raw_decode(_TRAILING.sub("", text[begin : end + 1]))[0], end + 1
    except (ValueError, RecursionError):
        return None, begin


def _escaped(match: re.Match[str]) -> str:
    r"""A backslash that LaTeX means is doubled: `\frac`, `\(`, `\sqrt`; `\n`, `\"` and `\\` are JSON's own."""
    letters = match[1]
    if letters is None:
        return match[0] if match[0][1] in '\\"/u' else "\\" + match[0]
    if letters[0] in "bfnrt" and letters not in _COMMANDS:
        return match[0]
    return "\\" + match[0]


def _objects(document: object, depth: int) -> Iterator[dict[str, object]]:
    if depth > DEEPEST:
        return
    if isinstance(document, dict):
        yield document
    for inner in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from _objects(inner, depth + 1)


def field_named(document: dict[str, object], kind: str) -> tuple[bool, object]:
    """(whether there is a field of that kind, its value); case, spaces and underscores in its name do not count."""
    for name, value in document.items():
        if "".join(filter(str.isalpha, name.lower())) in _NAMES[kind]:
            return True, value
    return False, None
