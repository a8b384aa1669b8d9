r"""A solution cut into its steps: the one splitter of COAT, restarts, critics, templates and audits.

    split("16 - 3 = 13\n13 * 2 = 26", "line")                 → ("16 - 3 = 13", "13 * 2 = 26")
    split("So we have:\n\n\\[ x = 3 \\]\n\nDone.", "paragraph")  → ("So we have:\n\n\\[ x = 3 \\]\n", "Done.")

`"\n".join(split(text, by)) == text` for every text. A meta-action token at the start of a line begins a step, whatever surrounds it.

`line`: a line is a step; blank lines and a final newline stay with the step before.
`paragraph`: a step begins after blank lines, which stay with the step before (and so does a rule `---` after them), and at a heading, a
label (`Step 3:`, `**Case 2:**`) or a numbered line (`1.`, `2)`). What belongs together stays so:
- a block: display maths, `\begin{…}…\end{…}`, `[asy]…[/asy]`, a code fence, a table;
- a heading (`## …`, a line all in bold, a bare `Step 2:`) and what follows it;
- a line that ends with ":" or "," and the paragraph after it, unless that begins with a label or number;
- a numbered line and the indented paragraphs after it;
- the lines of a labelled or numbered step (but text right after two numbered steps of one line each begins a step of its own);
- a list of short numbered lines without arithmetic under a line that ends with ":" and does not speak of steps.

A block that no end closes before the next token, heading or label is read as plain text; only a fence that names its language
(```` ```python ````) is code up to the next token or the end, because long outputs are cut off there.
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Literal

from factory.language.tokens.control import ACTIONS

By = Literal["line", "paragraph"]

_BREAK = re.compile(r"\n(?!\n|\Z)")  # the newline that ends a line's step
_TOKEN = re.compile("|".join(re.escape(token) for token in ACTIONS.values()))
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,})\s*")
_HEADING = re.compile(r" {0,3}(#{1,6})\s")
_BOLD = re.compile(r"\s*\*\*[^*]+\*\*:?\s*")
_LABEL = re.compile(r" {0,2}[*_]{0,3}(?:step|case) {0,2}\d{1,3}(?: {0,2}[:.)\-–—*_]|\s*$)", re.IGNORECASE)
_BARE_LABEL = re.compile(r"\s*[*_]{0,3}[a-z]+ {0,2}\d+[\s:.)*_]*", re.IGNORECASE)
_NUMBER = re.compile(r" {0,2}#?[*_]{0,2}\(?\d{1,2}[.)][*_]{0,2}(?=\s+\S)")
_OWN_LABEL = re.compile(
    r"\s*#{0,6} {0,2}[*_]{0,3}(?:(?:step|case) {0,2}\d{1,3} {0,2}[*_]{0,3} {0,2}[:.)\-–—]?[*_]{0,3}|\(?\d{1,2}[.)][*_]{0,2}(?=\s))\s*",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\s*(`{3,}|~{3,})([^`]*)")
_DELIMITER = re.compile(r"\\\\|\\\$|\$\$|\\[\[\]]|\\(?:begin|end)\{[^{}]{1,40}\}|\[/?asy\]")
_CLOSING = {r"\[": r"\]", "[asy]": "[/asy]"}
_ARITHMETIC = re.compile(r"\d(?:\W{0,4}(?:[-+*/×÷]|times|cdot)\W{0,4}| x )\d.*=")

_CONTINUES = (" ", "\t", "- ", "* ", "|", r"\[", "$$", r"\begin", "`", "~", "=")  # starts of lines that go on with a numbered line

_BOLD_RANK, _LABEL_RANK, _NUMBER_RANK = 7, 8, 9  # after the six levels of headings
_SHORT = 60  # characters of a line that is an item of a list rather than a step


def unnumbered(step: str) -> str:
    """A step without a number or label of its own (`**Step 3:**`, `2.`), for where it gets another one."""
    return _OWN_LABEL.sub("", step, count=1)


def split(text: str, by: By = "line") -> tuple[str, ...]:
    """The steps, tokens kept, each without the newline that ends it; works on any text, COAT or not."""
    return tuple(_BREAK.split(text)) if by == "line" else _paragraphs(text)


def _paragraphs(text: str) -> tuple[str, ...]:
    lines = text.split("\n")
    inside = _inside_blocks(lines)
    starts = [0]
    before: str | None = None  # the last line that is not blank
    blank = numbered = False  # whether blank lines came after it; whether the step began with a number
    run = 0  # numbered steps of one line each that end right before this line
    list_end = 0
    for place, line in enumerate(lines):
        if not inside[place] and (not line.strip() or (blank and _RULE.fullmatch(line))):
            blank, run = True, 0
            continue
        token = _TOKEN.match(line)
        body = line[token.end() :] if token else line
        rank = _rank(body)
        if before is not None and rank == _NUMBER_RANK and place >= list_end and _announces_list(before):
            list_end = _list_end(lines, place)
        if rank == _NUMBER_RANK and place < list_end:
            rank = 0
        begins = before is not None and not inside[place] and _begins_step(before, body, rank, blank, numbered, run)
        if place and (token or begins):
            starts.append(place)
        if before is None or token or begins:
            numbered = rank == _NUMBER_RANK
        run = run + 1 if rank == _NUMBER_RANK else 0
        before, blank = body, False
    ends = [*starts[1:], len(lines)]
    return tuple("\n".join(lines[start:end]) for start, end in zip(starts, ends, strict=True))


def _begins_step(before: str, line: str, rank: int, blank: bool, numbered: bool, run: int) -> bool:
    if rank:
        return not _holds_next(before) or rank <= _rank(before) > 0
    if _holds_next(before) or before.rstrip(" \t\r*_").endswith((":", "：", ",")):
        return False
    if not blank:
        return run > 1 and not line.startswith(_CONTINUES)
    if _is_row(before) and _is_row(line):
        return False
    return not (numbered and line.startswith(("  ", "\t")))


def _is_row(line: str) -> bool:
    row = line.strip()
    return len(row) > 1 and row[0] == row[-1] == "|"


def _rank(line: str) -> int:
    """How high a line stands that begins a step: 1 to 6 a heading, then bold lines, labels and numbers; 0 for any other line."""
    if heading := _HEADING.match(line):
        return len(heading[1])
    if _BOLD.fullmatch(line):
        return _BOLD_RANK
    if _LABEL.match(line):
        return _LABEL_RANK
    return _NUMBER_RANK if _NUMBER.match(line) else 0


def _holds_next(line: str) -> bool:
    """Whether a line only names what follows: a heading, a bare label, or nothing (after a meta-action token)."""
    rank = _rank(line)
    if rank == _LABEL_RANK:
        return _BARE_LABEL.fullmatch(line) is not None
    if rank == _NUMBER_RANK:
        return _BOLD.fullmatch(_NUMBER.sub("", line, count=1)) is not None
    return rank > 0 or not line.strip()


def _announces_list(line: str) -> bool:
    sentence = line.rstrip(" \t\r*_").rsplit(". ", 1)[-1]
    return sentence.endswith((":", "：")) and "step" not in sentence.lower() and _rank(line) != _NUMBER_RANK


def _list_end(lines: list[str], start: int) -> int:
    """The end of the list of short numbered lines that begins at `start`; `start` itself where they are steps."""
    end = start
    while end < len(lines) and _rank(lines[end]) == _NUMBER_RANK:
        item = lines[end].rstrip()
        if len(item) > _SHORT or item.endswith(":") or _ARITHMETIC.search(_NUMBER.sub("", item, count=1)):
            return start
        end += 1
    after = next((line for line in lines[end : end + 3] if line.strip()), "")
    continued = after.startswith(_CONTINUES) or _rank(after) == _NUMBER_RANK
    return start if continued or end - start < 2 else end


def _inside_blocks(lines: list[str]) -> list[bool]:
    """For each line, whether a block that is open before it closes at it or after it."""
    change = [0] * (len(lines) + 1)
    for first, last in _blocks(lines):
        change[first + 1] += 1
        change[last + 1] -= 1
    return [depth > 0 for depth in accumulate(change[:-1])]


def _blocks(lines: list[str]) -> Iterator[tuple[int, int]]:
    """The first and last line of each closed block; they may nest and overlap."""
    last_bare = {mark: place for place, line in enumerate(lines) for mark in "`~" if _is_fence(line, mark * 3)}
    opened: dict[str, list[int]] = {}  # what closes a block → the lines where such blocks began
    fence, fenced_since, named = "", 0, False
    for place, line in enumerate(lines):
        token = _TOKEN.match(line) is not None
        if fence and token:
            if named:
                yield fenced_since, place - 1
            fence = ""
        if fence:
            if _is_fence(line, fence):
                yield fenced_since, place
                fence = ""
        elif (marks := _FENCE.fullmatch(line)) and (marks[2].strip() or place < last_bare.get(marks[1][0], 0)):
            fence, fenced_since, named = marks[1], place, bool(marks[2].strip())
        else:
            if token or 0 < _rank(line) < _NUMBER_RANK:
                opened.clear()
            yield from ((first, place) for first in _closed(line, place, opened))
    if fence and named:
        yield fenced_since, len(lines) - 1


def _is_fence(line: str, fence: str) -> bool:
    """Whether the line closes a code fence of these marks."""
    marks = line.strip()
    return marks.startswith(fence) and not marks.strip(fence[0])


def _closed(line: str, place: int, opened: dict[str, list[int]]) -> Iterator[int]:
    """Where the blocks began that this line closes; what it opens is added to `opened`."""
    dollars = 0
    for delimiter in _DELIMITER.findall(line):
        if delimiter == "$$":
            dollars += 1
        elif delimiter in (r"\[", "[asy]") or delimiter.startswith(r"\begin"):
            opened.setdefault(_CLOSING.get(delimiter) or delimiter.replace("begin", "end", 1), []).append(place)
        elif opened.get(delimiter):
            yield opened[delimiter].pop()
    if dollars % 2:  # an even number opens and closes within the line
        if opened.get("$$"):
            yield opened["$$"].pop()
        else:
            opened["$$"] = [place]
