"""Labels and what stands below them: a labeller's text as field → lines, whether it came in lines, in Markdown or as JSON.

    fields("Sure!\\n**Name:** Half\\n- Knowledge tags: a, b")    → {"name": ["Half"], "tags": ["a, b"]}
    fields('{"title": "Half", "tags": ["a", "b"]}')           → {"name": ["Half"], "tags": ["- a", "- b"]}

A label may be a heading, in bold, an item of a list or nothing of it, under any of the words below.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from factory.engines.bodies import whole
from factory.errors import DataError
from factory.language.documents import documents

_WORDS = {
    "name": "name, template name, name of the template, title, template, thought template, strategy, strategy name",
    "tags": "tags, tag, knowledge tags, knowledge tag, template tags, keywords, key words, topics",
    "description": "description, template description, brief description, short description, summary, overview",
    "scope": "scope, scope of application, applicable scope, application scope, application, applications, application scenario, "
    "application scenarios, applicable scenarios, applicability, when to use, when to use it, use when, use cases, applies to",
    "steps": "steps, application steps, solution steps, template steps, reasoning steps, steps to apply, procedure, reasoning flow, "
    "reason flow, steps to solve, steps to follow, step by step, how to apply, how to apply it, how to use it, instructions",
    # what models add to the five
    "other": "example, examples, worked example, example problem, example application, template type, type, category, difficulty, level, "
    "note, notes, explanation, answer, solution, prerequisites, common mistakes",
}
_LABELS = {label: name for name, labels in _WORDS.items() for label in labels.split(", ")}

DEPTH = 4  # of what `written` reads
REACH = 200  # characters of a line in which its label must end
_LABEL = re.compile(r"[>#*_`\s]*(?P<label>[^\W\d][^:–—=*`#\n]{0,60}?)[*_`\s]*(?P<end>:|[–—=]|(?<=[\s*_])-(?=\s)|$)")
MARKER = re.compile(
    r"(?P<indent>\s*)[>#*_\s]{0,20}?"
    r"(?:(?P<bullet>[-*+•])|(?P<step>[Ss]tep\s{1,3}\d{1,3}\s?[:.)–—-])|(?P<number>\(?\d{1,3}[.)]))(?:[*_]{2})?(?:\s+|$)"
)
_RULE = re.compile(r"\s*(?:```|~~~|(?:-{3,}|\*{3,}|_{3,})\s*$)")
NUMBERED_NAME = re.compile(r"(?:(?:thought )?template|strategy|name|step)\s*#?\s*(?:\d{1,3}\s*[:.)–—-]|:)\s*", re.IGNORECASE)


def field_of(label: str) -> str:
    """The field that a column's or key's name stands for: `knowledge_tag` → "tags"; "" for one that we do not know."""
    return _LABELS.get(_label(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label[:REACH])), "")


class AnalysisError(DataError):
    """A labeller's answer that is no analysis. The message names the cause and no detail, so that rejects with one cause count as one."""


@dataclass
class _Section:
    """The lines below one label; `marker` and `indent` are those of the label's own line."""

    label: str
    marker: str = ""
    indent: int = 0
    lines: list[str] = field(default_factory=list)


def fields(text: str) -> dict[str, list[str]]:
    """name, tags, description, scope, steps → their lines, those that are there. Raises AnalysisError where there are two of one."""
    return _of_documents(text) or _of_lines(text)


def _of_documents(text: str) -> dict[str, list[str]]:
    """field → lines of the JSON object that has at least two of the fields; {} without one."""
    found: list[dict[str, list[str]]] = []
    for document in documents(text):
        found += [fields for fields in _candidates(document) if fields not in found]
    if len(found) > 1:
        raise AnalysisError("more than one template")
    return found[0] if found else {}


def _candidates(document: object, depth: int = 3) -> Iterator[dict[str, list[str]]]:
    """The objects with two fields or more, within lists and objects that only wrap them."""
    fields = _fields_of(document) if isinstance(document, dict) else {}
    if len(fields) > 1:
        yield fields
    elif depth and isinstance(document, dict | list):
        for item in document.values() if isinstance(document, dict) else document:
            yield from _candidates(item, depth - 1)


def _fields_of(document: dict[str, object]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for key, value in document.items():
        name = _LABELS.get(_label(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key[:REACH])), "other")
        lines = written(value)
        if isinstance(value, list | dict) and name != "name":
            lines = [f"- {unmarked(line)}" for line in lines]
        if name != "other" and lines:
            fields.setdefault(name, lines)
    return fields


def written(value: object, depth: int = DEPTH) -> list[str]:
    """The lines of a JSON value: a text's own, one for each item of a list, the texts of an object in their order."""
    if isinstance(value, str):
        return [line for line in whole(value).splitlines() if line.strip()]
    if depth == 0 or not isinstance(value, list | dict):
        return []
    lines = (" ".join(written(item, depth - 1)) for item in (value if isinstance(value, list) else value.values()))
    return [line for line in lines if line]


def _of_lines(text: str) -> dict[str, list[str]]:
    """field → the lines below its label. A name may also be the heading above the first label."""
    sections = [_Section("")]
    for line in text.strip().splitlines():
        if _RULE.match(line):
            continue
        opened = _opened(line, sections[-1])
        if opened:
            sections.append(opened)
        else:
            sections[-1].lines.append(line)
    found: dict[str, list[str]] = {}
    seen = set()
    for section in sections[1:]:
        name = _LABELS[section.label]
        if name == "other" or not any(line.strip() for line in section.lines):
            continue
        if section.label in seen:
            raise AnalysisError("more than one template" if name == "name" else "a label twice")
        seen.add(section.label)
        found.setdefault(name, section.lines)
    if found and "name" not in found:
        found["name"] = _heading(sections[0].lines)
    return found


def _opened(line: str, current: _Section) -> _Section | None:
    """The section that a line opens. In a list below a label, an item opens one only where that label was an item of the same list,
    or was the name's, which has no list."""
    marked = MARKER.match(line)
    marker = (marked.lastgroup or "") if marked else ""
    indent = len(marked["indent"]) if marked else 0
    inside = current.label and _LABELS[current.label] != "name"
    if marker and inside and (marker != current.marker or indent > current.indent):
        return None
    rest = line[marked.end() :] if marked else line
    match = _LABEL.match(rest[:REACH])
    label = _label(match["label"]) if match else ""
    if not match or label not in _LABELS or (match["end"] == "" and len(rest) > REACH):
        return None
    value = rest[match.end() :].lstrip("*_` \t")
    return _Section(label, marker, indent, [value] if value.strip() else [])


def _label(text: str) -> str:
    """`Knowledge_Tags (optional)` → "knowledge tags", `Template 2` → "template"."""
    plain = re.sub(r"\([^()]*\)|\d+|[\"'#_-]", " ", text.lower())
    return " ".join(plain.split())


def _heading(lines: Sequence[str]) -> list[str]:
    """The last heading or line in bold that says more than what kind of thing follows."""
    for line in reversed(lines):
        bare = line.strip()
        if bare.startswith("#") or (len(bare) > 4 and bare.startswith("**") and bare.endswith("**")):
            name = NUMBERED_NAME.sub("", bare.strip("#*_: \t"), count=1)
            if name and _label(name) not in _LABELS and not name.lower().startswith(("analysis", "thought template")):
                return [name]
    return []


def unmarked(line: str) -> str:
    marked = MARKER.match(line)
    return line[marked.end() :] if marked else line
