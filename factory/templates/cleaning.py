"""Texts and steps of other people's templates as ours are written: one line a step, no "Step 3:" before it, nothing added.

    steps_of(["Step 1: Choose a method.", "Method 1 (Slopes):", "1. Find k.", "2. Compare.", "Method 2 (Vectors):", "1. Use a."], Counter())
    → ("Choose a method.", "Method 1 (Slopes): Find k.", "Method 1 (Slopes): Compare.", "Method 2 (Vectors): Use a.")

A branch is kept as a mark: every step of it begins with its label and a colon. A label is what opens the branch: `Method 2`, `Option 1`,
`[Slope method]`, a heading without a number; or what qualifies one step, `Step 3 (slope method): …`. Items below a step (indented, bullets,
or enumerated one level deeper) become one line with it, in their order. `changes` counts the steps that each rule changed.

Text that went through JSON once too often is restored: `\\n` in two characters, doubled backslashes, commands of LaTeX whose backslash
was read as an escape (a form feed and `rac{1}{2}` is `\\frac{1}{2}`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

LONGEST_LABEL = 120  # characters of a heading
_EATEN = {"\a": "a", "\b": "b", "\v": "v", "\f": "f", "\t": "t"}
_COMMAND = re.compile(
    r"[\a\b\v\f](?=[A-Za-z])|\t(?=(?:imes|heta|herefore|ext|an|au|riangle|frac|op|ilde)(?![a-z])|ext[a-z]{2}\{)"
)  # a tab is mostly a tab
_DOUBLED = re.compile(r"\\{2,}(?=[A-Za-z()\[\]{}])")
_NEWLINE = re.compile(r"\\+n(?![a-z])")
_TAB = re.compile(r"\\+t(?![a-z])")
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")

_STEP = re.compile(
    r"(?:\[(?P<bracket>[^\[\]]{1,80})\]\s*)?[\[【]?(?:application\s)?step\s?\d{1,3}(?:\.\d{1,2})?[\]】]?"
    r"(?:\s?[(（](?P<qualifier>[^()（）]{1,80})[)）])?\s?[:：.、–—-]?\s*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,3}\s?[.)、](?!\d)\s*")
_DEEPER = re.compile(r"[①-⑳]|\(\d{1,2}(?:\.\d{1,2})?\)|[a-z][.)]\s")
_BULLET = re.compile(r"(?:[•▶▪►–→*]|-(?=\s))\s*")
_BRANCH = re.compile(
    r"(?P<label>(?:method|option|approach|case|type|scenario|strategy|way|branch|path)\s(?:\d{1,2}|[A-D]|[IVX]{1,4}|one|two|three|four))\b"
    r"(?P<title>(?:\s?[(（][^()（）]{1,80}[)）])?)\s*(?:[:：.–—-]\s*|$)",
    re.IGNORECASE,
)
_TITLED = re.compile(r"[\[【](?P<label>[^\[\]【】]{1,80})[\]】]\s*[:：]?\s*")
STEP, NUMBER, DEEPER, BULLET, PLAIN = range(5)


def text_of(text: str, changes: Counter[str]) -> str:
    """NFC, `\\n` line ends, commands of LaTeX whole, no blanks at the ends of lines, at most one blank line."""
    restored = _COMMAND.sub(lambda match: "\\" + _EATEN[match[0]], text)
    restored = _TAB.sub(" ", _NEWLINE.sub("\n", restored))
    restored = _DOUBLED.sub(r"\\", restored)
    if restored != text:
        changes["texts whose escapes were restored"] += 1
    plain = unicodedata.normalize("NFC", restored).replace("\r\n", "\n").replace("\r", "\n")
    plain = "".join(letter for letter in plain if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cs", "Co"))
    lines = [line.rstrip() for line in plain.expandtabs(4).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def line_of(text: str, changes: Counter[str]) -> str:
    """The same as one line, without emphasis of Markdown."""
    return " ".join(_unbold(text_of(text, changes)).split())


def _unbold(text: str) -> str:
    return _BOLD.sub(r"\1", text)


class _Line(NamedTuple):
    """One line of the source. `label`: of the branch that it opens, with `title` behind it. `opens`: it holds nothing else."""

    indent: int
    kind: int
    mark: str  # what stood before `rest`, kept for items
    rest: str
    label: str = ""
    title: str = ""
    opens: bool = False


class _Reading:
    """The steps so far, and what the next line belongs to."""

    def __init__(self, changes: Counter[str]) -> None:
        self.steps: list[str] = []
        self.changes = changes
        self.branch, self.heading, self.used = "", "", True  # label; the line that opened it; whether a step has it
        self.level: tuple[int, int] | None = None  # indent and kind of the branch's own steps
        self.top = STEP  # the kind of the last step outside of branches

    def close(self) -> None:
        if not self.used:
            self.steps.append(self.heading)  # a heading without steps: nothing is lost, and lint names it
        self.branch, self.heading, self.used, self.level = "", "", True, None

    def open(self, line: _Line, heading: str) -> None:
        self.close()
        self.branch, self.heading, self.used = f"{line.label}{line.title}", heading, False
        self.changes["branches and headings kept as marks"] += 1

    def step(self, line: _Line) -> None:
        text = line.rest
        if self.branch:
            text = f"{self.branch if self.used or self.heading.rstrip(':') == self.branch else self.heading.rstrip(':')}: {text}"
        self.used = True
        self.steps.append(text)

    def item(self, line: _Line) -> None:
        """A line of a list below the last step."""
        text = f"{line.mark} {line.rest}".strip() if line.kind in (NUMBER, DEEPER) else line.rest
        last = self.steps[-1]
        self.steps[-1] = f"{last} {text}" if last[-1:] in ":：" else f"{last.rstrip('.。;；')}; {text}"
        self.changes["items joined to their step"] += 1


def steps_of(lines: Sequence[str], changes: Counter[str]) -> tuple[str, ...]:
    """The steps, none empty. Lines within one entry of the source belong to one step."""
    reading = _Reading(changes)
    numbered = any(_STEP.match(line.strip()) and line.strip()[:4].lower() in ("step", "appl") for line in lines)
    for source in lines:
        first, *others = [part for part in text_of(source, changes).split("\n") if part.strip()] or [""]
        if not first.strip():
            changes["empty steps left out"] += 1
            reading.close()
            continue
        _read(_parsed(first, changes), reading, numbered, alone=not others)
        for part in others:
            reading.item(_parsed(part, Counter()))
    reading.close()
    return tuple(step for step in (" ".join(step.split()) for step in reading.steps) if step)


def _read(line: _Line, reading: _Reading, numbered: bool, alone: bool) -> None:
    """Put one line where it belongs: a branch's opening, an item of the step before it, or a step. Not `alone`: items follow at once."""
    if not alone and (line.opens or _is_heading(line.rest)):
        reading.close()
        reading.steps.append(f"{line.label}{line.title}: {line.rest}".removesuffix(" ").removeprefix(": "))
        return
    if line.opens:
        reading.open(line, f"{line.label}{line.title}:")
        return
    if line.label and line.kind != BULLET and line.indent == 0:
        reading.close()
        reading.step(line._replace(rest=f"{line.label}{line.title}: {line.rest}"))
        if line.mark == "[":  # `[Theorem] Step 1: …`: the steps after it are of it too
            reading.branch, reading.used, reading.level = f"{line.label}{line.title}", True, (0, STEP)
        reading.top = line.kind if line.kind != PLAIN else STEP
        return
    text = f"{line.label}{line.title}: {line.rest}" if line.label else line.rest
    line = line._replace(rest=text)
    if reading.branch:
        if not reading.used and line.kind != BULLET:
            reading.level = (line.indent, line.kind)
        if reading.level == (line.indent, line.kind) or not reading.used:
            reading.step(line)
            return
        if reading.steps and reading.used and (line.indent > (reading.level or (0, 0))[0] or line.kind in (DEEPER, BULLET)):
            reading.item(line)
            return
        reading.close()
    below = line.indent > 0 or line.kind == BULLET or (line.kind in (NUMBER, DEEPER) and line.kind > reading.top)
    heading = _is_heading(line.rest)
    if below and reading.steps and reading.used:
        reading.item(line)
    elif heading and line.kind == PLAIN and line.indent == 0 and (numbered or reading.steps or len(line.rest) <= LONGEST_LABEL):
        reading.open(line._replace(label=line.rest.rstrip(" :："), title=""), line.rest)
    else:
        reading.step(line)
        reading.top = min(line.kind, DEEPER) if line.kind != PLAIN else STEP


def _is_heading(text: str) -> bool:
    return text.endswith((":", "：")) and len(text) <= LONGEST_LABEL


def _parsed(text: str, changes: Counter[str]) -> _Line:
    indent = len(text) - len(text.lstrip())
    bare = text.strip()
    if _BOLD.search(bare):
        changes["steps with emphasis of Markdown"] += 1
        bare = _unbold(bare)
    if (match := _STEP.match(bare)) and match["qualifier"] and not bare[match.end() :].strip():
        changes["steps numbered by hand"] += 1
        return _Line(indent, STEP, "", f"{match['qualifier'].strip()}:")
    if (match := _STEP.match(bare)) and bare[match.end() :].strip():
        changes["steps numbered by hand"] += 1
        rest = bare[match.end() :].strip()
        if branch := _BRANCH.match(rest):
            return _Line(indent, STEP, "", rest[branch.end() :].strip(), branch["label"], branch["title"])
        if match["bracket"]:
            return _Line(indent, STEP, "[", rest, match["bracket"].strip())
        return _Line(indent, STEP, "", rest, (match["qualifier"] or "").strip())
    if (match := _BRANCH.match(bare)) and (rest := bare[match.end() :].strip(" :：")) != bare:
        short = len(rest.split()) <= 6 and not rest.endswith(".") and not match["title"]
        if not rest or (short and not re.search(r"[=<>→:]", rest)):
            title = f" ({rest})" if rest else match["title"]
            return _Line(indent, PLAIN, "", "", match["label"], title, opens=True)
        return _Line(indent, PLAIN, "", bare[match.end() :].strip(), match["label"], match["title"])
    if match := _TITLED.match(bare):
        rest = bare[match.end() :].strip()
        if not rest:
            return _Line(indent, PLAIN, "", "", match["label"].strip(), "", opens=True)
        if _is_heading(rest):
            return _Line(indent, PLAIN, "", "", match["label"].strip(), f" ({rest.rstrip(' :：')})", opens=True)
        return _Line(indent, PLAIN, "", rest, match["label"].strip())
    for kind, pattern in ((NUMBER, _NUMBER), (DEEPER, _DEEPER), (BULLET, _BULLET)):
        if (match := pattern.match(bare)) and bare[match.end() :].strip():
            changes["steps numbered by hand" if kind != BULLET else "steps with a bullet"] += 1
            return _Line(indent, kind, match[0].strip(), bare[match.end() :].strip())
    return _Line(indent, PLAIN, "", bare)


def lines_of(value: object, depth: int = 4) -> list[str]:
    """The lines of any value of JSON: a text's own, one for each item of a list, `key: text` for what an object says besides its texts."""
    if isinstance(value, str):
        return [value]
    if value is None or depth == 0 or value != value:
        return []
    if isinstance(value, dict):
        return [line for inner in value.values() for line in lines_of(inner, depth - 1)]
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [line for inner in value for line in lines_of(inner, depth - 1)]
    return [str(value)] if isinstance(value, bool | int | float) else []
