"""Find the answer in a response.

    extract(r"… so \\boxed{\\frac{1}{2}}")                      → Extraction(r"\\frac{1}{2}", "box")
    extract("… = 18 eggs.\\n#### 18", ALL_RULES, "number")      → Extraction("18", "hash")
    extract("… The answer is (B).", ALL_RULES, "choice")       → Extraction("(B)", "answer_is")

The rules are those of docs/grading.md. Of `box`, `hash`, `tag` and `final_answer` the one that stands last counts; the others are tried in
the order of the table. Time is linear in the text, whatever it holds, and nothing raises.
"""

import re
from collections.abc import Iterator, Sequence

from factory.grading import kinds, phrases
from factory.grading.protocol import BOX, LONGEST_ANSWER, Extraction, Rule
from factory.schemas import AnswerKind

_BOX = re.compile(r"\\(?:(?:begin)?boxed|fbox)\s{0,4}\{")
_BRACE = re.compile(r"\\[{}\\]|[{}]")
_SPACING = re.compile(
    r"\\(?:quad|qquad|hspace|enspace|left|right|displaystyle)(?![a-z])|\\(?:text|textbf|mathrm|mbox)\{|[$}*{]|\\[()\[\],;:! ]|~"
)
_SENTENCE = re.compile(r"[.!?](?=[\s*\"]|$)")
_JOINS = re.compile(r"\b(?:and|or|und|et|y)\b|[,;]|&(?!\s*(?:[=<>]|\\(?:le|ge|approx)))", re.IGNORECASE)
_PARTS_WAYS = {
    "so", "thus", "hence", "therefore", "wait", "actually", "instead", "rather", "sorry", "correction", "oops", "answer", "no", "i.e",
    "which", "because", "since", "giving",
}  # fmt: skip
_HEADING = re.compile(
    r"(?:step|case|part|method|approach|option|example|solution|problem|question|stage)\b|\d+[.)]\s+\S|[^\d$\\]*$", re.IGNORECASE
)
_TAG = re.compile(r"([\[<])(/?)answer[\]>]", re.IGNORECASE)
_ANSWER = re.compile(
    r"\b(?P<final>final[ \t]{1,3})?answers?\b[*_\"]{0,3}(?:\s(?:to|for|of)\s(?:(?!answer)[^.:\n]){1,80}?)?(?:[ \t]{0,3}(?:(?P<colon>[:=])|"
    r"(?:is|are|would be|will be|must be|should be|becomes)\b[ \t]{0,2}:?)|(?P<alone>(?=[*_#: \t]{0,8}\n)))",
    re.IGNORECASE,
)
_TAIL = re.compile(r"<\||</s>|\bI hope (?:it|this|that)\b|\bNote:|\[Note\b")
_STOP = re.compile(r"[.?](?=\s|$|[*\"'”<)])")
_TOKENS = re.compile(r"(?:(?:<\|[a-z_]{1,20}\|>|</s>|<eos>|<end_of_turn>)(?:user|assistant|system)?\s*){1,4}$")
_LEAD_IN = re.compile(
    r"(?:[#>*\-•\s]{0,6}(?:(?:the )?(?:final )?answer|ans|solution|result|so|thus|therefore|hence|then)\b[:.,*\s=]{1,6}){1,3}",
    re.IGNORECASE,
)
_A = re.compile(r"A: +(?=\S)")  # of question and answer; of a choice it is the letter
_STATEMENTS = 8  # that many statements of an answer are read, from the last one back
_LONGEST_GAP, _LONGEST_OPTION = 60, 300  # characters between two boxes; of a line that is one option of a question


def boxed_answers(text: str) -> list[str]:
    """The contents of every `\\boxed{…}` in order, braces balanced; an unclosed box is none, a closed one inside it counts."""
    return [text[start:end].strip() for _, start, end in _boxes(text)]


def _boxes(text: str) -> list[tuple[int, int, int]]:
    """(start of the box, start and end of its content) of every box that is inside no other."""
    first = _BOX.search(text)
    if first is None:
        return []
    opened: list[int] = []
    ends: dict[int, int] = {}  # behind an opening brace → its closing one
    for brace in _BRACE.finditer(text, first.start()):
        if brace.group() == "{":
            opened.append(brace.end())
        elif brace.group() == "}" and opened:
            ends[opened.pop()] = brace.start()
    found: list[tuple[int, int, int]] = []
    match: re.Match[str] | None = first
    while match:
        inside = match.end()
        if inside in ends:
            found.append((match.start(), inside, ends[inside]))
        match = _BOX.search(text, ends.get(inside, inside))
    return found


def extract_answer(text: str) -> str | None:
    """What the box rule finds, None without a box."""
    found = extract(text)
    return found.text if found else None


def extract(text: str, rules: Sequence[Rule] = BOX, kind: AnswerKind = "math") -> Extraction | None:
    """The answer that counts, and the rule that found it; None where no rule finds one. Pass the response without its prompt."""
    strong = sorted((found for rule in rules if rule in _STRONG for found in (_STRONG[rule](text, kind),) if found), reverse=True)
    for _, answer, rule in strong:
        if kind not in ("choice", "label") or not kinds.readable(kind, answer) or kinds.names_several(kind, answer):
            return Extraction(answer, rule)
    if "answer_is" in rules and (stated := _statement(text, kind, final=False)):
        return Extraction(stated[1], "answer_is")
    if "last_line" in rules and kind != "text" and (line := _last_line(text, kind)):
        return Extraction(line, "last_line")
    if "last_maths" in rules and (last := _last_maths(text, kind)):
        return Extraction(last, "last_maths")
    return Extraction(*strong[0][1:]) if strong else None


def _box(text: str, kind: AnswerKind) -> tuple[int, str, Rule] | None:
    """The last box with something in it, joined with the boxes that are parts of the same answer."""
    if "boxed" not in text and "fbox" not in text:
        return None
    boxes = [box for box in _boxes(text) if text[box[1] : box[2]].strip()]  # "I put it in \\boxed{}" says nothing
    if not boxes:
        return None
    parts = [boxes.pop()]
    while boxes and _joined(text[boxes[-1][2] + 1 : parts[-1][0]][: _LONGEST_GAP + 1]):
        parts.append(boxes.pop())
    answers = [text[start:end].strip() for _, start, end in reversed(parts)]
    return parts[-1][0], answers[0] if len(set(answers)) == 1 else ", ".join(answers), "box"


def _joined(gap: str) -> bool:
    """Whether two boxes with this between them are parts of one answer: a mark or two, or a few words with a comma, *and* or *or*."""
    if len(gap) > _LONGEST_GAP:
        return False
    bare = _SPACING.sub(" ", gap).strip(" \t")
    if "\n" in bare:
        ahead, _, behind = bare.partition("\n")
        if not re.search(r"(?:[,;]|\band|\bor)\s*$", ahead) or "\n" in behind:
            return False
    if _SENTENCE.search(bare):
        return False
    if not any(character.isalnum() for character in bare):
        return len(bare) <= 20
    words = [word for word in re.findall(r"[\w.]+", bare.lower()) if word not in ("and", "or")]
    return bool(_JOINS.search(bare)) and len(words) <= 4 and _PARTS_WAYS.isdisjoint(words)


def _hash(text: str, kind: AnswerKind) -> tuple[int, str, Rule] | None:
    """The rest of the last line with `####` that is no heading: a heading has text below it, and no answer."""
    place = len(text)
    for _ in range(_STATEMENTS):
        place = text.rfind("####", 0, place)
        if place < 0:
            return None
        if text[place + 4 : place + 5] != "#" and text[max(place - 1, 0) : place] != "#":
            rest, _, below = text[place + 4 : place + 4 + LONGEST_ANSWER].partition("\n")
            tail = _TAIL.search(rest)
            answer = (rest[: tail.start()] if tail else rest).strip()
            if answer and not (below.strip() and _HEADING.match(answer)):
                return place, answer if kind in ("literal", "text", "table") else phrases.undress(answer), "hash"
    return None


def _tag(text: str, kind: AnswerKind) -> tuple[int, str, Rule] | None:
    if "[/" not in text and "</" not in text:
        return None
    opened: dict[str, tuple[int, int]] = {}
    found: tuple[int, str, Rule] | None = None
    for tag in _TAG.finditer(text):
        bracket = tag[1]
        if not tag[2]:
            opened[bracket] = tag.span()
        elif bracket in opened:
            start, inner = opened.pop(bracket)
            inside = re.sub(r"^```[a-z]{0,10}\n|```$", "", text[inner : tag.start()].strip()).strip()
            found = (start, (phrases.answer_in(inside, kind) or inside) if kind == "literal" else inside, "tag") if inside else found
    return found


def _statement(text: str, kind: AnswerKind, final: bool) -> tuple[int, str, Rule] | None:
    """The last statement of an answer that holds one: `the final answer is …`, or any where `final` is not asked for."""
    if "nswer" not in text and "NSWER" not in text:
        return None
    matches = [match for match in _ANSWER.finditer(text) if bool(match["final"]) >= final][-_STATEMENTS:]
    for match in reversed(matches):
        if match["alone"] is not None and not match["final"]:
            continue
        phrase = _phrase(text[match.end() : match.end() + LONGEST_ANSWER], kind, whole_line=match["colon"] is not None)
        answer = phrases.answer_in(phrase, kind)
        if answer:
            return match.end(), answer, "final_answer"
    return None


def _phrase(ahead: str, kind: AnswerKind, whole_line: bool) -> str:
    """What a statement says: to the end of its sentence or line, or the next line with something in it."""
    ahead = ahead.lstrip(" \t*_:")
    lines = ahead.split("\n", 6)
    if not lines[0].strip(" \t*_:#"):
        below = next((line for line in lines[1:6] if line.strip(" \t*_:#")), "").strip()
        if below in ("$$", "\\[") or below.startswith("\\begin"):
            return phrases.last_formula("\n".join(lines[1:6])) or ""
        if kind == "table" and below.startswith("|"):
            return _table_block(ahead.splitlines(), last=False)
        lines[0] = below
    line = lines[0]
    if tail := _TAIL.search(line):
        line = line[: tail.start()]
    if kind == "literal" or (whole_line and kind in ("text", "table")):
        return line
    stop = _STOP.search(line)
    return line[: stop.start() + (kind in ("text", "table"))] if stop else line


def _table_block(lines: Sequence[str], last: bool) -> str:
    """The first or the last run of lines that are rows of a Markdown table."""
    rows: list[str] = []
    for line in reversed(lines) if last else lines:
        if line.strip().startswith("|"):
            rows.append(line.strip())
        elif rows:
            break
    return "\n".join(reversed(rows) if last else rows)


def _lines_from_the_end(text: str) -> Iterator[str]:
    """Lines with something in them, the last one first; the tokens that end a turn are cut off."""
    end = len(text.rstrip())
    if (tokens := _TOKENS.search(text[max(end - 200, 0) : end])) is not None:
        end = len(text[: max(end - 200, 0) + tokens.start()].rstrip())
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        if line := text[start:end].strip():
            yield line
        end = start - 1


def _last_line(text: str, kind: AnswerKind) -> str | None:
    """The last line where it is nothing but the answer."""
    line = next(_lines_from_the_end(text), "")
    if not line or len(line) > LONGEST_ANSWER:
        return None
    if kind == "table":
        if line.startswith("|"):
            return _table_block(text[-LONGEST_ANSWER:].splitlines(), last=True)
        sentence = len(line) > 500 or (line.endswith((".", ":", "?", "```")) and len(line.split()) > 4)
        return None if sentence or re.search(r"[.?]\s+[A-Z]", line) or line.startswith("```") else _LEAD_IN.sub("", line, count=1)
    lead_in = _LEAD_IN.match(line) or (_A.match(line) if kind in ("number", "math") else None)
    line = line[lead_in.end() :].strip() if lead_in else line
    if kind == "literal":
        return line if not kinds.readable(kind, line) else None
    line = phrases.undress(line)
    if kind == "choice" and len(phrases.CHOICES.findall(line)) > 1:
        return None
    if kind in ("choice", "label"):
        return line if len(line) <= _LONGEST_OPTION and not kinds.readable(kind, line) else None
    return line if phrases.bare(line) and (kind == "math" or any(map(str.isdecimal, line))) else None


def _last_maths(text: str, kind: AnswerKind) -> str | None:
    """The last number of the last line where no formula stands behind it, else the last formula; the last choice or label."""
    if kind == "choice":
        return phrases.last_choice(text)
    line = next(_lines_from_the_end(text), "")
    if kind == "label":
        return phrases.last_label(line)
    if kind in ("number", "math"):
        formula, end = phrases.last_formula_at(text)
        behind = text[max(end, text.rfind("\n", 0, len(text.rstrip())) + 1) :] if formula else line
        return phrases.last_number(behind.strip()) or formula or None
    return None


_STRONG = {"box": _box, "hash": _hash, "tag": _tag, "final_answer": lambda text, kind: _statement(text, kind, final=True)}
