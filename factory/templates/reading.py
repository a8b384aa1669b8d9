"""What a labeller writes about one step, read: the five labels in lines, in Markdown or as JSON.

    parse_analysis("Name: Put together\\nTags: add, gain\\nDescription: Add it.\\nScope: There is a gain.\\nSteps: Add the gain. Check.")
    → Analysis(name="put together", tags=("add", "gain"), description="Add it.", scope="There is a gain.", steps=("Add the gain.", …))

Labels may come in any order and case, under other usual words (`knowledge tags`, `when to use`), as headings, in bold or as list items;
sentences before and after them are passed over. A text that is refused has one short reason a cause: `no name`, `no steps`.

Source: papers/reasonflux, "Template T".
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from factory.grading import normalise
from factory.templates.fields import MARKER, NUMBERED_NAME, AnalysisError, fields, unmarked

__all__ = ["ANALYSIS_SCHEMA", "Analysis", "AnalysisError", "parse_analysis", "plan_schema"]

LONGEST_NAME = 150  # characters
FIELDS = ("name", "tags", "description", "scope", "steps")

ANALYSIS_SCHEMA = json.dumps({  # in the order in which it is written: a name after the steps is the name of these steps
    "type": "object",
    "properties": {
        "steps": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200}, "minItems": 1, "maxItems": 8},
        "description": {"type": "string", "minLength": 1, "maxLength": 250},
        "scope": {"type": "string", "minLength": 1, "maxLength": 250},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 40}, "minItems": 1, "maxItems": 5},
        "name": {"type": "string", "minLength": 1, "maxLength": 80},
    },
    "required": ["steps", "description", "scope", "tags", "name"],
    "additionalProperties": False,
})  # fmt: skip


def plan_schema(names: Sequence[str], most: int) -> str:
    """A JSON schema of plans of at most `most` of these templates."""
    item = {"type": "object", "properties": {"name": {"enum": list(names)}}, "required": ["name"], "additionalProperties": False}
    plan = {"type": "array", "items": item, "minItems": 1, "maxItems": most}
    return json.dumps({"type": "object", "properties": {"plan": plan}, "required": ["plan"], "additionalProperties": False})


_INLINE = re.compile(r"(?:(?<=\s)|^)(?:\d{1,2}[.)]|\(\d{1,2}\)|[Ss]tep \d{1,2}[:.)])\s+(?=\S)")
_SENTENCE = re.compile(r"(?<=\.)(?<!\be\.g\.)(?<!\bi\.e\.)\s+")
_REMARK = re.compile(
    r"(?:let me know|i hope|hope this|feel free|would you like|please let|if you (?:need|want|have|would)|in summary|overall,|"
    r"(?:this|the above) (?:template|strategy|analysis|approach|method)\b|these steps\b|by following)",
    re.IGNORECASE,
)
_QUOTES = ('""', "''", "“”", "‘’", "«»", "``", "**", "[]")


@dataclass(frozen=True)
class Analysis:
    name: str  # normalised, as are the tags
    tags: tuple[str, ...]
    description: str
    scope: str
    steps: tuple[str, ...]


def parse_analysis(text: str) -> Analysis:
    """Raises AnalysisError unless the text has a name, tags, a description, a scope and steps, for one template."""
    if not text.strip():
        raise AnalysisError("empty analysis")
    found = fields(text)
    if not found:
        raise AnalysisError("no analysis in it")
    tags = _tags(found.get("tags", []))
    description, scope = joined(found.get("description", [])), joined(found.get("scope", []))
    analysis = Analysis(_name(found.get("name", [])), tags, description, scope, _steps(found.get("steps", [])))
    for name in FIELDS:
        if not getattr(analysis, name):
            raise AnalysisError(f"no {name}")
    return analysis


def _name(lines: Sequence[str]) -> str:
    bare = next((line.strip() for line in lines if line.strip()), "")
    bare = bare.replace("**", "").replace("__", "").lstrip("#").strip().rstrip(".,;")
    match = NUMBERED_NAME.match(bare)
    bare = bare[match.end() :] if match and match.end() < len(bare) else bare
    bare = unquoted(bare)
    if " " not in bare and not re.search(r"[$\\]", bare):
        bare = bare.replace("_", " ")
    name = normalise(bare)
    if len(name) > LONGEST_NAME:
        raise AnalysisError("a name of more than a line")
    if not balanced(name):
        raise AnalysisError("half a parenthesis in the name")
    return name


def _tags(lines: Sequence[str]) -> tuple[str, ...]:
    """Tags hold no parentheses, since a plan writes them in one."""
    items = [item for item in (unmarked(line).strip().strip("[](){}") for line in lines) if item]
    text = "\n".join(items if len(items) == 1 else [item.rstrip(",;") for item in items])
    if not text.strip(" ,;|"):
        return ()
    text = re.sub(r"\s#", ", ", re.sub(r"[()\[\]]", " ", text.replace("**", "")))
    tags = (normalise(unquoted(re.sub(r"^\s*(?:and\s|#)", "", tag)).strip(' `*_"')) for tag in re.split(r"[,;|•·\n]", text))
    found = tuple(dict.fromkeys(tags))
    if not all(found):
        raise AnalysisError("an empty tag")
    return found


def joined(lines: Sequence[str]) -> str:
    """Lines as one: the items of a list with a semicolon between them where they have no punctuation of their own."""
    items = [(bool(MARKER.match(line)), unmarked(line).replace("**", "").strip()) for line in _without_remark(lines)]
    text = ""
    for listed, item in items:
        if text and item:
            text += "; " if listed and text[-1] not in ".,;:!?" else " "
        text += item
    return text


def _steps(lines: Sequence[str]) -> tuple[str, ...]:
    """One step an item where there is a list, else one a sentence."""
    lines = _without_remark(lines)
    text = "\n".join(line.strip() for line in lines).strip()
    if len(lines) == 1 and len(starts := list(_INLINE.finditer(text))) > 1 and starts[0].start() == 0:  # `1. Add. 2. Check.`
        ends = [*(start.start() for start in starts[1:]), len(text)]
        return tuple(filter(None, (text[a.end() : b].strip() for a, b in zip(starts, ends, strict=True))))
    first = next((marked for line in lines if (marked := MARKER.match(line))), None)
    if first is None:
        sentences = (sentence.strip() for line in text.split("\n") for sentence in _SENTENCE.split(line))
        return tuple(filter(None, (sentence.replace("**", "") for sentence in sentences)))
    items: list[list[str]] = []
    for line in lines:
        marked = MARKER.match(line)
        if marked and marked.lastgroup == first.lastgroup and len(marked["indent"]) <= len(first["indent"]):
            items.append([])
            line = line[marked.end() :]
        if items:
            items[-1].append(line)
    return tuple(filter(None, (joined(item) for item in items)))


def _without_remark(lines: Sequence[str]) -> list[str]:
    """Without the model's closing words: after a list whatever is no part of it, else a last paragraph that speaks to its reader."""
    kept = list(lines)
    last = max((number for number, line in enumerate(kept) if MARKER.match(line)), default=None)
    for number in range(len(kept) - 1, last if last is not None else 0, -1):
        line, before = kept[number], kept[number - 1]
        apart = last is not None and not before.strip() and line[:1].strip() and not line.startswith(("\\", "$", "|"))
        if apart or (_REMARK.match(line.lstrip("*_ ")) and (last is not None or not before.strip())):
            del kept[number:]
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def unquoted(text: str) -> str:
    """Without quotes, brackets or emphasis around the whole."""
    for _ in range(3):
        if len(text) > 1 and text[0] + text[-1] in _QUOTES:
            text = text[1:-1].strip()
    return text


def balanced(text: str) -> bool:
    """Whether every parenthesis has its other half, none within another."""
    return "(" not in (bare := re.sub(r"\([^()]*\)", "", text)) and ")" not in bare
