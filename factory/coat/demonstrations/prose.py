"""A critique in prose: the first wrong step that it claims, what it says of that step, and its hint.

    in_prose("The error is in step 3: they add 4. Instead, take away 4.", 5)   → (3, "they add 4.", "take away 4.")

An answer is cut into pieces (what is said behind a label, of a step, as a hint); the claimed step, the statement and the hint are then
looked for among them. An explicit claim (`First Error Step: 3`) goes before a sentence that names the first error, that one before one
that names an error, and that before a walk through all steps, of which the first one that is called wrong counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from factory.coat.demonstrations import wording

NO_STEP_WRONG, NO_STEP = "calls no step wrong", "names no step"
SEVERAL, UNDECIDED = "claims that several steps are the first wrong one", "names several steps and calls none wrong"
DOUBTFUL = "leaves open which step is wrong"

LONGEST_HEADER = 30  # characters of a line that is nothing but a label: `### Hint`
_PREFIX = re.compile(r"(?:critique|answer|output|response|assistant)\s?:\s?(?=(?:in )?(?:the )?(?:first|step)\b)", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?;])[\"”')]{0,2}\s+(?=\S)")
_NUMBERED = re.compile(r"^[ \t>*-]{0,6}(\d{1,3})[.):][*_ ]{1,3}(?=\D)", re.MULTILINE)
_INSIDE = re.compile(rf"(?:[,;–—]|\.\.\.)\s(?:and |but )?{wording.INSTEAD},?\s(?=[A-Za-z\\$])", re.IGNORECASE)
_CALLED_WRONG = re.compile(
    r"[\s(,:–—-]{0,4}(?:(?:is|was|contains|has|makes) )?(?:clearly |also |the first ){0,2}"
    r"(?:wrong|incorrect|not (?:correct|right)|invalid|false|mistaken|an? (?:error|mistake)|error|mistake)"
    r"(?: step)?\)?(?:\s?[:;.,!–—-]{1,3}\s*|\s(?:because|since|as)\s|\s*$)(?:because\s|since\s)?",
    re.IGNORECASE,
)
_BEHIND_A_CLAIM = re.compile(
    r"[\s\"'”’)*_]{0,4}(?:[:;,.–—-]{1,3}|$|(?=\s(?:because|since|where|when|as)\b))\s*(?:(?:because|since|where|when|as)\s)?", re.I
)


@dataclass(frozen=True)
class _Piece:
    """A part of an answer. `kind`: claim (a label with the step) · step (about a step) · reason · hint · text · aside."""

    kind: str
    text: str = ""
    step: int | None = None
    own_line: bool = False


def in_prose(text: str, steps: int) -> tuple[int | str, str, str]:
    """(the step or why there is none, the statement, the hint), "" for what is not there."""
    if not says(text):
        return NO_STEP_WRONG if text.strip() else NO_STEP, "", ""
    if not re.search(wording.STEP, text, re.IGNORECASE):
        text = _NUMBERED.sub(r"Step \1: ", text)
    pieces = _pieces(text, steps)
    step = _claimed(pieces, steps)
    if isinstance(step, str):
        return step, "", ""
    statement = _statement(pieces, step)
    hint = _hint(pieces, step)
    if not hint:
        statement, hint = _last_sentence(statement)
    return step, paragraph(statement), paragraph(hint)


def _pieces(text: str, steps: int) -> list[_Piece]:
    """The answer in parts, in order. A label begins one at the beginning of a line, a step and a hint at the beginning of a sentence."""
    pieces: list[_Piece] = []
    blank = False
    for raw in text.splitlines():
        line = _PREFIX.sub("", wording.plain(raw), count=1)
        if not line:
            blank = True
            continue
        if raw.lstrip().startswith(("#", "**")) and len(line) <= LONGEST_HEADER and line[-1].isalnum():
            line += ":"
        for place, sentence in enumerate(_SENTENCE.split(line)):
            piece = _piece(sentence, steps, at_line=place == 0, inside=pieces[-1].kind if pieces else "")
            ended = blank and place == 0 and pieces and pieces[-1].kind == "hint" and pieces[-1].text and pieces[-1].text[-1] not in ":,"
            if piece.kind != "text" or not pieces or ended or pieces[-1].kind in ("claim", "aside"):
                pieces.append(piece)
            else:
                pieces[-1] = replace(pieces[-1], text=f"{pieces[-1].text} {piece.text}".strip())
        blank = False
    return pieces


def _piece(sentence: str, steps: int, *, at_line: bool, inside: str) -> _Piece:
    if hint := wording.HINT.match(sentence):
        return _Piece("hint", sentence[hint.end() :].strip(), own_line=at_line)
    if at_line:
        if (label := wording.LABEL.fullmatch(sentence)) and (value := _labelled(label["value"], steps)):
            return value
        if reason := wording.REASON.match(sentence):
            return _Piece("reason", sentence[reason.end() :].strip())
        if wording.ASIDE.fullmatch(sentence):
            return _Piece("aside", sentence)
    if (at_line or inside in ("step", "text", "")) and (subject := wording.SUBJECT.match(sentence)):
        return _Piece("step", _without_header(sentence, subject), wording.number_of(subject["step"], steps))
    return _Piece("text", sentence)


def _labelled(value: str, steps: int) -> _Piece | None:
    """What stands behind `First Error Step:`."""
    value = value.strip()
    if not value or wording.NONE.match(value):
        return _Piece("claim")
    named = re.match(rf"\W{{0,3}}(?:in |at |the ){{0,2}}(?:{wording.STEP}|(?:number )?\d{{1,6}}\b(?![.,]?\d))", value, re.IGNORECASE)
    if not named:
        return None
    behind = _BEHIND_A_CLAIM.match(value, named.end())
    return _Piece("claim", value[behind.end() if behind else named.end() :].strip(), wording.number_of(named.group(), steps))


def _without_header(sentence: str, subject: re.Match[str]) -> str:
    """`In step 3, they add 4.` and `Step 3: they add 4.` → `they add 4.`; of `Step 3 adds 4.` the whole."""
    behind = sentence[subject.end() :]
    mark = re.match(r"\s?[)\]]?(?:[:.,–—-]{1,2}\s?|$)|\s(?=\()", behind)
    if mark:
        return behind[mark.end() :].strip()
    return behind.strip() if subject["in"] else sentence.strip()


def _claimed(pieces: list[_Piece], steps: int) -> int | str:
    """The step that is called the first wrong one, or why there is none."""
    labels = [piece.step for piece in pieces if piece.kind == "claim"]
    if any(labels):
        return _one({number for number in labels if number})
    told = "\n".join(_spoken(piece) for piece in pieces if piece.kind != "hint")
    if first := set(_named(told, wording.NAMED_FIRST, steps)):
        return DOUBTFUL if None in first else _one(first)
    if labels:
        return NO_STEP_WRONG
    named = set(_named(told, wording.NAMED, steps))
    if None in named:
        return DOUBTFUL
    if len(named) == 1:
        return _one(named)
    return _walked(pieces, steps) or (NO_STEP_WRONG if wording.ALL_RIGHT.search(told) else NO_STEP)


def _walked(pieces: list[_Piece], steps: int) -> int | str:
    """The first step that a walk through the steps calls wrong, or why there is none; "" without any step. A single step is meant unless it
    is called right, and a step with a hint of its own is wrong."""
    walk = [piece for piece in pieces if piece.kind == "step" and piece.step] or _mentions(pieces, steps)
    if walk is None:
        return DOUBTFUL
    verdicts = [(piece.step, wording.called(_behind_name(piece))) for piece in walk]
    doubts = [place for place, piece in enumerate(walk) if wording.mixed(_behind_name(piece))]
    sure = [place for place, (_, right) in enumerate(verdicts) if right is False and place not in doubts]
    if doubts and (not sure or doubts[0] < sure[0]):
        return DOUBTFUL
    named = list(dict.fromkeys(step for step, right in verdicts if step and right is not True))
    wrong = [step for step, right in verdicts if step and right is False]
    if not named:
        return NO_STEP_WRONG if verdicts else ""
    if len({step for step, _ in verdicts}) == 1:
        return named[0]
    if wrong:
        return wrong[0]
    hinted = [one.step for one, other in pairwise(pieces) if one.kind == "step" and other.kind == "hint"]
    return named[0] if named[0] in hinted else UNDECIDED


def _spoken(piece: _Piece) -> str:
    return f"{piece.text}." if piece.kind in ("text", "step", "reason") else ""


def _one(numbers: set[int | None]) -> int | str:
    (number, *more) = numbers
    return SEVERAL if more or number is None else number


def _named(text: str, patterns: tuple[re.Pattern[str], ...], steps: int) -> Iterator[int | None]:
    """The steps that claims name; None for a claim that may mean another step than it names."""
    for pattern in patterns:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            denied = re.search(r"\b(?:no|not|without|never)\b[^.]*$|n't\b[^.]*$", text[max(match.start() - 25, 0) : match.start()], re.I)
            if not denied and (number := wording.number_of(groups.get("step") or groups.get("bare") or "", steps)):
                yield None if wording.doubtful(text, match, number, steps) else number


def _mentions(pieces: list[_Piece], steps: int) -> list[_Piece] | None:
    """Sentences with one step in the middle: `They multiply wrongly in step 3.`; None for `They fail before step 3.`"""
    found = []
    for piece in pieces:
        for sentence in _SENTENCE.split(piece.text) if piece.kind in ("text", "reason") else ():
            names = list(re.finditer(wording.STEP, sentence, re.IGNORECASE))
            numbers = {wording.number_of(name.group(), steps) for name in names}
            if any(wording.beside(sentence, *name.span()) for name in names):
                if wording.called(sentence) is False:
                    return None
            elif len(numbers) == 1:
                found.append(_Piece("step", sentence, numbers.pop()))
    return found


def _behind_name(piece: _Piece) -> str:
    """What is said of the step: `Step 3 is wrong` → ` is wrong`."""
    subject = wording.SUBJECT.match(piece.text)
    return piece.text[subject.end() :] if subject else piece.text


def _statement(pieces: list[_Piece], step: int) -> str:
    """What is wrong with the step: a labelled reason, what stands behind the claim, or what the walk says of it."""
    if reason := next((piece.text for piece in pieces if piece.kind == "reason" and says(piece.text)), ""):
        return reason
    for place, piece in enumerate(pieces):
        if piece.kind == "claim" and piece.step == step:
            behind = pieces[place + 1].text if place + 1 < len(pieces) and pieces[place + 1].kind == "text" else ""
            if says(said := f"{piece.text} {behind}".strip()):
                return said
    about = [piece for piece in pieces if piece.kind == "step" and piece.step == step]
    about.sort(key=lambda piece: wording.called(_behind_name(piece)) is not False)  # what calls it wrong first
    for piece in about:
        if said := _bare(piece.text):
            return said
    texts = [piece.text for piece in pieces if piece.kind in ("text", "step")]
    return next((said for text in texts if (said := _behind_claim(text))), "") or " ".join(texts)


def _hint(pieces: list[_Piece], step: int) -> str:
    """The first hint on a line of its own behind what is said of the step, or the first in a sentence there, or the first at all."""
    begin = next((place for place, piece in enumerate(pieces) if piece.kind in ("claim", "step") and piece.step == step), 0)
    behind = sorted(pieces[begin:], key=lambda piece: not piece.own_line)
    return next((piece.text for piece in (*behind, *pieces) if piece.kind == "hint" and says(piece.text)), "")


def _bare(text: str) -> str:
    """The text without the verdict before its reason: `is wrong because they add 4.` → `they add 4.`"""
    subject = wording.SUBJECT.match(text)
    start = subject.end() if subject else 0
    verdict = _CALLED_WRONG.match(text, start)
    rest = text[verdict.end() :].strip() if verdict else ""
    return rest if says(rest) else text if says(text) else ""


def _behind_claim(text: str) -> str:
    """`… The error is in step 3: they add 4.` → `they add 4.`; "" without a claim or with nothing behind it."""
    for pattern in (*wording.NAMED_FIRST, *wording.NAMED):
        if found := pattern.search(text):
            behind = _BEHIND_A_CLAIM.match(text, found.end())
            return text[behind.end() :].strip() if behind and says(text[behind.end() :]) else ""
    return ""


def _last_sentence(statement: str) -> tuple[str, str]:
    """(statement, hint) where the last sentence says what to do, else (statement, "")."""
    sentences = _SENTENCE.split(statement.strip())
    before, last = " ".join(sentences[:-1]), sentences[-1]
    if says(before) and wording.SOFT_HINT.match(last):
        return before, last
    if inside := _INSIDE.search(last):
        return f"{before} {last[: inside.start()]}".strip(), last[inside.end() :]
    return statement, ""


def says(text: str) -> bool:
    """Whether there is more than marks, `None` or `N/A`."""
    return any(map(str.isalnum, text)) and not re.fullmatch(r"\W*(?:none|n\s?/?\s?a|null|nil|\.\.\.)\W*", text, re.IGNORECASE)


def paragraph(text: str) -> str:
    """One paragraph without markdown and without a label of its own."""
    said = " ".join(line for raw in text.splitlines() if (line := wording.plain(raw)))
    for label in (wording.HINT, wording.REASON):
        if (found := label.match(said)) and says(said[found.end() :]):
            said = said[found.end() :].strip()
    return said if says(said) else ""
