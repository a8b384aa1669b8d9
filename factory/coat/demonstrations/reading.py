"""What a critic answered, read tolerantly: the first wrong step with a statement and a hint, or whether a step is approved.

    read_critique("**In Step 3:** they add 4.\\n\\n*Hint:* take away 4.", 5)   → Read(3, "they add 4.", "take away 4.")
    read_critique('{"step": "Step 2", "why": "it is 3", "fix": "add 4"}', 5)   → Read(2, "it is 3", "add 4")
    read_critique("All steps are correct.", 5)                               → Unreadable("calls no step wrong")
    read_verification("Verdict: correct. 12 + 7 is 19.")                     → Verification(True, "correct. 12 + 7 is 19.")

The two lines that a critic is asked for are read as they stand, then JSON anywhere in the answer, then prose (prose.py). Nothing is
guessed: where several steps could be meant there is no reading.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from factory.coat.demonstrations import wording
from factory.coat.demonstrations.prose import NO_STEP, NO_STEP_WRONG, in_prose, paragraph
from factory.language.documents import objects_in

LONGEST = 50_000  # characters of an answer that are worth reading
NO_HINT, NO_STATEMENT, NOT_THERE = "no hint", "no statement about the step", "names a step that is not there"

CRITIQUE_SCHEMA = json.dumps({
    "type": "object",
    "properties": {
        "step": {"type": "integer", "minimum": 1},
        "statement": {"type": "string", "minLength": 1, "maxLength": 400},
        "hint": {"type": "string", "minLength": 1, "maxLength": 300},
    },
    "required": ["step", "statement", "hint"],
    "additionalProperties": False,
})  # fmt: skip

VERIFICATION_SCHEMA = json.dumps({
    "type": "object",
    "properties": {"remark": {"type": "string", "minLength": 1, "maxLength": 500}, "verdict": {"enum": ["correct", "wrong"]}},
    "required": ["remark", "verdict"],
    "additionalProperties": False,
})  # fmt: skip


def verification_lines(text: str) -> str:
    """A verification that follows VERIFICATION_SCHEMA as lines; any other text as it is.

    >>> verification_lines('{"remark": "12 + 12 is 24.", "verdict": "correct"}')
    '12 + 12 is 24.\\nVerdict: correct'
    """
    try:
        found = json.loads(text[:LONGEST])
        return f"{found['remark'].strip()}\nVerdict: {found['verdict']}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return text


_FIELDS = {  # kind → names that models give it
    "step": "step stepnumber stepno stepindex wrongstep errorstep incorrectstep firstwrongstep firsterrorstep firstincorrectstep "
    "firsterror firstwrong",
    "statement": "statement reason error explanation errorreason erroranalysis mistake problem critique issue why analysis description "
    "whatiswrong",
    "hint": "hint suggestion alternatively alternative correction instead advice fix betterapproach correctapproach suggestedfix",
    "right": "correct iscorrect right isright valid isvalid verdict judgement judgment approved approve stepcorrect stepiscorrect status",
    "remark": "reason explanation remark comment statement verification why analysis justification rationale",
}
_NAMES = {kind: frozenset(names.split()) for kind, names in _FIELDS.items()}
_TWO_LINES = re.compile(r"\s*In Step (\d{1,6}): *(\S.*?)(?<=\S)\s*\nAlternatively: *(\S.*?)(?<=\S)\s*")


@dataclass(frozen=True)
class Read:
    """`step` is the one that is called the first wrong one, as the critic counts them."""

    step: int
    statement: str
    hint: str


@dataclass(frozen=True)
class Unreadable:
    reason: str


def read_critique(text: str, steps: int) -> Read | Unreadable:
    """The first wrong one of `steps` steps, what is wrong with it, and what to do instead. The two lines that are asked for are read
    as they stand. Never raises."""
    if two := _TWO_LINES.fullmatch(text):
        return _checked(int(two[1]), two[2], two[3], steps)
    if len(text) > LONGEST:
        return Unreadable(f"longer than {LONGEST:,} characters")
    return _in_document(text, steps) or _checked(*in_prose(text, steps), steps)


def _in_document(text: str, steps: int) -> Read | Unreadable | None:
    """What the JSON objects of an answer say; None where none of them names a step."""
    seen: Read | Unreadable | None = None
    for document in objects_in(text):
        named, value = _field_named(document, "step")
        if not named:
            continue
        right = _field_named(document, "right")[1]
        if right is True or (isinstance(right, str) and wording.called(right)):
            seen = seen or Unreadable(NO_STEP_WRONG)
            continue
        number = _step_value(value, steps)
        statement, hint = (paragraph(_text(_field_named(document, name)[1])) for name in ("statement", "hint"))
        if wording.approves(statement):
            seen = seen or Unreadable(NO_STEP_WRONG)
            continue
        return _checked(number, statement, hint, steps)
    return seen


def _field_named(document: dict[str, object], kind: str) -> tuple[bool, object]:
    """(whether there is a field of that kind, its value); case, spaces and underscores in its name do not count."""
    for name, value in document.items():
        if "".join(filter(str.isalpha, name.lower())) in _NAMES[kind]:
            return True, value
    return False, None


def _step_value(value: object, steps: int) -> int | str:
    """A step, or why there is none."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or value is None or value in (0, -1):
        return NO_STEP_WRONG if value is not True else NO_STEP
    if isinstance(value, int | float):
        return int(value) if abs(value) < 10**6 and value == int(value) else NO_STEP
    if not isinstance(value, str) or not value.strip() or wording.NONE.match(value):
        return NO_STEP_WRONG if isinstance(value, str) else NO_STEP
    number = wording.number_of(value, steps) if wording.ONLY_STEP.fullmatch(value) else None
    return NO_STEP if number is None else number


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _checked(number: int | str, statement: str, hint: str, steps: int) -> Read | Unreadable:
    if isinstance(number, str):
        return Unreadable(number)
    if not 1 <= number <= steps:
        return Unreadable(NOT_THERE)
    if not statement:
        return Unreadable(NO_STATEMENT)
    return Read(number, statement, hint) if hint else Unreadable(NO_HINT)


# -- verifications


@dataclass(frozen=True)
class Verification:
    """`approves`: True, False (it refuses), or None for neither. `remark`: what it says, without markdown and the label of its verdict."""

    approves: bool | None
    remark: str


_RULE = re.compile(r"[\s|:]*-[\s|:-]*")
_SAID = re.compile(r"[A-Za-z]{2}.*[.!?:]\W{0,3}$")
_PART = re.compile(r"(?<=[.?!\n])")
_BARE_VERDICT = re.compile(r"(?:\W|correct|right|yes|true|valid|approved|incorrect|wrong|no|false){1,8}", re.IGNORECASE)
_VERDICT = re.compile(
    r"\W{0,3}(?:(?:final |overall )?(?:verdict|judge?ment|verification|correctness|result|conclusion|evaluation|answer)\s?[:=]"
    r"|correct\s?[:=]|is (?:it|this|the step|this step) correct\s?[:?]|(?:in )?step \d{1,6}\s?[:.])\W{0,3}",
    re.IGNORECASE,
)
_YES = re.compile(
    rf"(?:{_VERDICT.pattern})?"
    r"(?:(?:yes|correct|right|true|valid|approved)\b(?!-| (?:answer|approach|way|method|result|value|step|calculation)\b)"
    r"|(?:(?:so|thus|therefore|hence|overall|indeed),? )?(?:the|this|that|it|everything|my|his|her|their)\b(?: \w{1,15}){0,3}"
    r" (?:is|are|was|looks|seems|holds)(?: (?:also|indeed|clearly|all|completely|entirely|perfectly|mathematically)){0,2}"
    r" (?:correct|right|true|valid|accurate|sound|fine)\b)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[:;,.]|\b(?:because|since|as)\b", re.IGNORECASE)
_REFUSES = re.compile(
    r"\b(?:wrong\w{0,2}|incorrect\w{0,2}|false\w{0,2}|inaccurate|invalid|mistak\w{1,4}|errors?|erroneous\w{0,2}|flaw\w{0,2}|unlikely"
    r"|far from|but|however|except|although|though|unless|(?:should|would|must|ought to) (?:be|have|not))\b|[✗✘❌]"
    r"|(?:\b(?:not|never|cannot|hardly|barely|almost|nearly)|n['’]t)(?: \w{1,15}){0,3}"
    r" (?:correct|right|true|valid|accurate|sound|fine|hold)\b"
    r"|\b(?:that|this|it|which) ?(?:(?:is|was|does|can) not\b|(?:is|was|does|ca)n['’]t\b|cannot\b)"
    r"|(?:^|[.!?;:]\s{1,3})(?:no|not|nope|never)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(r"\b(?:no|not|never|cannot|hardly|barely|almost|nearly|instead|different)\b|n['’]t\b", re.IGNORECASE)
_NO_FAULT = re.compile(
    r"\b(?:no|without(?: any)?|zero|nor any) (?:\w{1,15} )?(?:errors?|mistakes?|issues?|problems?|flaws?)\b(?! except)"
    r"|\bnothing (?:is )?(?:wrong|incorrect)\b|\b(?:not|n['’]t) (?:wrong|incorrect|false|mistaken)\b|\berror-free\b",
    re.IGNORECASE,
)
_IS = re.compile(r"[\d)] is (?P<no>not )?\$?-?\.?\d")
_APPROVES = re.compile(
    r"\b(?:right|correct|correctly|yes)\b(?! (?:answer|value|result|number|total|amount|calculation|step)\b)|[✓✔✅]", re.IGNORECASE
)


def read_verification(text: str) -> Verification:
    """Whether a verification approves of its step. In doubt it does not: an approval with *but*, *should be* or a denial beside it refuses,
    and a question approves of nothing. Never raises."""
    if len(text) > LONGEST:
        return Verification(None, "")
    for document in objects_in(text):
        named, value = _field_named(document, "right")
        if named:
            remark = paragraph("\n".join(_sentences(_text(_field_named(document, "remark")[1]))))
            approves = value if isinstance(value, bool) else _in_words(_text(value))
            return Verification(None if approves and _REFUSES.search(_NO_FAULT.sub(" ", remark)) else approves, remark)
    lines = [line for raw in text.splitlines() if (line := wording.plain(raw))]
    return Verification(_in_words("\n".join(lines)), _remark([line for raw in _sentences(text) if (line := wording.plain(raw))]))


def _sentences(text: str) -> list[str]:
    """The lines without tables and without what is no sentence between code fences."""
    lines = text.splitlines()
    tables = {place for first, last in _tables(lines) for place in range(first, last)}
    kept, fenced = list[str](), False
    for place, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif place not in tables and (not fenced or _SAID.search(line) or _VERDICT.match(wording.plain(line))):
            kept.append(line)
    return kept


def _tables(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Runs of lines with a `|` in each and a rule (`|---|`) in one of them."""
    begin = 0
    for place, line in enumerate([*lines, ""]):
        if "|" not in line:
            if any(_RULE.fullmatch(row) for row in lines[begin:place]):
                yield begin, place
            begin = place + 1


def _remark(lines: list[str]) -> str:
    """The lines in one paragraph, without the label of the verdict, and without a labelled verdict that stands alone on its line, or a bare
    one above a reason."""
    if lines and (last := _VERDICT.match(lines[-1])) and _BARE_VERDICT.fullmatch(lines[-1][last.end() :]):
        lines = lines[:-1]
    verdict = _VERDICT.match(lines[0]) if lines else None
    first = lines[0][verdict.end() :] if verdict else lines[0] if lines else ""
    rest = lines[1:]
    said = " ".join(rest if any(map(str.isalnum, "".join(rest))) and (not first or _BARE_VERDICT.fullmatch(first)) else [first, *rest])
    return said.strip().lstrip("✓✔✅✗✘❌ ")


def _in_words(text: str) -> bool | None:
    """Whether words approve. A statement about numbers (`12 + 7 is 19`) is a verdict too; whether it is true is checked elsewhere."""
    told = _NO_FAULT.sub(" right ", "".join(part for part in _PART.split(text) if not part.rstrip().endswith("?")))
    claims = [bool(claim["no"]) for claim in _IS.finditer(told)]
    if any(claims) or _REFUSES.search(told):
        return False
    if claims or any(_approving(sentence) for part in _PART.split(told) if (sentence := part.strip())):
        return True
    if _DENIES.search(told):
        return False
    return True if _APPROVES.search(told) else None


def _approving(sentence: str) -> bool:
    """`The step is correct: …`: what stands behind the first clause may deny what it likes."""
    if not (yes := _YES.match(sentence)):
        return False
    end = _CLAUSE.search(sentence, yes.end())
    return not _DENIES.search(sentence[: end.start() if end else len(sentence)])
