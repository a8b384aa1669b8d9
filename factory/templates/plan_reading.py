"""A plan's text, read: `name (tag, tag)` a line, a list in Markdown, or JSON.

    plan_lines("put together (add, total)\\ngive away (subtract, left)")    → [("put together", ("add", "total")), ("give away", …)]
    plan_lines("Here is my plan:\\n1. **Give away** (tags: subtract, left) - three are lost")    → [("Give away", ("subtract", "left"))]

    plan_lines("none")    → []: the plan of no template

The last parentheses hold the tags, since a name may have its own: `Roots (real) (algebra, roots)`. Only an item of a list may lack them.

Source: papers/reasonflux, "Inference scaling" step 1.
"""

import re
from collections.abc import Iterator
from itertools import groupby

from factory.errors import DataError
from factory.language.documents import documents
from factory.templates.fields import written
from factory.templates.reading import balanced, unquoted

Line = tuple[str, tuple[str, ...]]  # name, tags

NOTHING = "none"  # the plan of a problem that is better solved without templates

LONGEST_ITEM = 2_000  # characters: an item that is longer names no template
LONGEST_SENTENCE = 6  # words of a name without tags that ends like a sentence
SHORTEST_SENTENCE = 3  # words: `Put together.` may be a name

_NOTHING = re.compile(r"\W*(?:none|nothing|no (?:plan|templates?)(?: needed)?)\W*", re.IGNORECASE)
_EXACT = re.compile(r"(?P<name>[^\n]*[^(\s]) \((?P<tags>[^()\n]+)\)")
_ITEM = re.compile(
    r"(?P<indent>\s*)[>#*_\s]{0,20}?"
    r"(?:(?P<bullet>[-*•])|(?P<number>\(?\d{1,3}[.)])|(?P<step>(?:step|template|strategy)\s{1,3}\d{1,3}\s?[:.)–—-]))(?:[*_]{2})?\s+(?=\S)",
    re.IGNORECASE,
)
_TAGS = re.compile(r"[\s\-–—|,;:.(\[*_]{0,20}\b(?:knowledge )?tags?[*_\s]{0,5}:[*_\s]{0,5}", re.IGNORECASE)
_REASON = re.compile(r"(?<=[)\]])(?:\s*[:;,.–—]|\s+-)(?:\s|$)")
_CUT = re.compile(r":\s|\s[-–—]\s|:$")
_BRACKETS = re.compile(r"\s\[([^\[\]()]+)\]$")
_NAMES = ("name", "template_name", "template name", "template", "title", "strategy")
_TAG_KEYS = ("tags", "tag", "knowledge_tags", "knowledge_tag", "knowledge tags", "keywords")


class PlanError(DataError):
    """A text that is no plan. The message is short and names no detail, so that rejects with one cause count as one reason."""


def plan_lines(text: str) -> list[Line]:
    """(name, tags) of every template of a plan, in order; [] of a plan that says in a word that it has none.

    Raises PlanError on an empty text or one with anything else among its lines.
    Sentences before, between and after the items of a list are passed over; without a list, those apart from the plan by a blank line."""
    if not text.strip():
        raise PlanError("empty plan")
    if len(text) < LONGEST_ITEM and _NOTHING.fullmatch(text):
        return []
    lines = [line for line in text.strip().splitlines() if line.strip() and not line.lstrip().startswith(("```", "~~~", "---"))]
    found = _of_documents(text) or _of_items(lines) or _of_lines(text)
    if not found or not all(line and all(line[1]) for line in found):
        raise PlanError("malformed plan")
    return [line for line in found if line]


def _of_lines(text: str) -> list[Line | None]:
    """One template a line, without the paragraphs of sentences before and after the plan, and without a first line that announces it."""
    kept = [line.strip() for line in text.strip().splitlines() if not line.lstrip().startswith(("```", "~~~", "---"))]
    paragraphs = [list(lines) for filled, lines in groupby(kept, key=bool) if filled]
    while len(paragraphs) > 1 and _is_prose(paragraphs[-1], ".!?"):
        paragraphs.pop()
    first = 0
    while first < len(paragraphs) - 1 and _is_prose(paragraphs[first], ".!?:"):
        first += 1
    lines = [line for paragraph in paragraphs[first:] for line in paragraph]
    announced = len(lines) > 1 and lines[0].rstrip("*").endswith(":")
    return [_exact(line) for line in lines[announced:]]


def _is_prose(lines: list[str], ends: str) -> bool:
    """Whether a paragraph is of sentences and names no template: `take away (subtract).` is a template with a stray full stop."""
    last = lines[-1].rstrip("*_)\"'”’ ")
    said = last.endswith(":") or len(lines) > 1 or len(last.split()) >= SHORTEST_SENTENCE
    return last.endswith(tuple(ends)) and said and not any(_exact(line.rstrip(".!?;:*_ ")) for line in lines)


def _exact(line: str) -> Line | None:
    """`name (tag, tag)`. A name's own parentheses are whole; before more of the name they hold no list, or two entries were one."""
    match = _EXACT.fullmatch(line)
    if not match:
        return None
    name = match["name"].strip()
    if not name or not balanced(name) or re.search(r"\([^()]*,\s[^()]*\)\s*[^\s()]|\),", name):
        return None
    return name, tuple(tag.strip() for tag in match["tags"].split(","))


def _of_items(lines: list[str]) -> list[Line | None]:
    """The items of the first list, those of its kind and indentation; [] without a list. `Tags: a, b` below an item are its tags."""
    marked = [_ITEM.match(line) for line in lines]
    first = next((match for match in marked if match), None)
    found: list[Line | None] = []
    for line, match in zip(lines, marked, strict=True):
        if first and match and match.lastgroup == first.lastgroup and len(match["indent"]) <= len(first["indent"]):
            found.append(_item(line[match.end() :]))
        elif first and not match and line[:1].strip() and _exact(line.strip()):
            return [None]  # one template is in the list and another beside it
        elif found and found[-1] and not found[-1][1] and (below := _TAGS.match(line[match.end() :] if match else line.strip())):
            found[-1] = (found[-1][0], _split((line[match.end() :] if match else line.strip())[below.end() :]))
    return found


def _item(text: str) -> Line | None:
    """One item: a name, perhaps in bold, perhaps its tags, perhaps why."""
    text = text.strip()
    if len(text) > LONGEST_ITEM:
        return None
    if labelled := _TAGS.search(text):
        return _named(text[: labelled.start()], re.split(r"[)\]]", text[labelled.end() :], maxsplit=1)[0])
    bold = [part for part in re.split(r"\*\*|__", text) if part.strip()]
    if not bold:
        return None
    head, rest = bold[0].strip(), "".join(bold[1:]).lstrip(": ").rstrip()
    if rest.startswith("(") and not _REASON.search(head):
        head, rest = f"{head.rstrip(':')} {rest}", ""
    for cut in (_REASON.search(head), None):
        exact = _exact(_BRACKETS.sub(r" (\1)", _plain(head[: cut.start()] if cut else head)))
        if exact and (tags := tuple(filter(None, exact[1]))):
            return _clean(exact[0]), tags
    name = head if rest else head[: cut.start()] if (cut := _CUT.search(head)) else head
    if name.endswith((".", "!", "?")) and len(name.split()) > LONGEST_SENTENCE:
        return None
    return _named(name, "")


def _named(name: str, tags: str) -> Line | None:
    bare = _clean(name)
    return (bare, _split(tags)) if bare and balanced(bare) and re.search(r"\w", bare) else None


def _clean(name: str) -> str:
    return unquoted(_plain(name.replace("**", "").replace("__", "")).rstrip(":.,; "))


def _plain(text: str) -> str:
    return text.strip().strip("*`").strip()


def _split(tags: str) -> tuple[str, ...]:
    return tuple(tag for tag in (_plain(tag).strip("#\"'.") for tag in re.split(r"[,;|]", tags)) if tag)


def _of_documents(text: str) -> list[Line | None]:
    """The plan in JSON: objects with a name, in lists or alone; a list of texts where nothing else is there."""
    read = documents(text)
    if not read:
        return []
    found: list[Line | None] = [line for document in read for line in _objects(document)]
    bare = re.sub(r"```\w*", "", text).strip()
    if not found and len(read) == 1 and bare.startswith(("[", "{")) and bare.endswith(("]", "}")):
        lists = read[0].values() if isinstance(read[0], dict) else [read[0]]
        found = [_item(_unmarked(item)) for items in lists if isinstance(items, list) for item in items if isinstance(item, str)]
    return found


def _unmarked(text: str) -> str:
    marked = _ITEM.match(text)
    return text[marked.end() :] if marked else text


def _objects(document: object, depth: int = 3) -> Iterator[Line | None]:
    if isinstance(document, dict):
        keys = {key.lower(): value for key, value in document.items()}
        name = next((keys[key] for key in _NAMES if isinstance(keys.get(key), str)), None)
        if isinstance(name, str):
            tags = written(next((keys[key] for key in _TAG_KEYS if key in keys), []))
            exact = None if tags else _exact(name.strip())
            yield exact or _named(" ".join(written(name)), ",".join(tags))
            return
    if depth and isinstance(document, dict | list):
        for item in document.values() if isinstance(document, dict) else document:
            yield from _objects(item, depth - 1)
