"""Answers that are no mathematics: choices, labels, Python literals and text, read and compared.

    compare_choice("(B)", "B")                        → ("correct", "")
    compare_choice("B or C", "B")                     → ("unparsable", "names several choices")
    compare_label("it cannot be determined", "unknown") → ("correct", "")
    compare_literal("[1.0, True]", "[1, 1]")          → ("correct", "")
    compare_text("in  Paris.", "In Paris")            → ("correct", "")

Every comparison is symmetric, takes any two texts, raises nothing and evaluates nothing.
"""

import ast
import math
import re
import warnings
from collections.abc import Callable
from typing import Literal, NamedTuple

from factory.grading.numbers import LONGEST as LONGEST_NUMBER  # noqa: F401 (what a number may be is one thing for the whole grader)
from factory.grading.protocol import LONGEST_ANSWER, Outcome
from factory.schemas import AnswerKind

Label = Literal["positive", "negative", "open"]

SYNONYMS: dict[Label, tuple[str, ...]] = {
    "positive": ("true", "yes", "proved", "proven", "correct", "entailed", "entailment", "t", "y"),
    "negative": ("false", "no", "disproved", "disproven", "refuted", "incorrect", "contradicted", "contradiction", "f", "n"),
    "open": (
        "unknown",
        "indeterminate",
        "uncertain",
        "undetermined",
        "undecided",
        "neutral",
        "cannot be determined",
        "not enough information",
        "neither",
    ),
}
"""What BoardgameQA, StrategyQA, FOLIO and their like call their labels; upper and lower case are one.

Where a sentence is the answer (`the statement is disproved`), its words count, but for `correct`, `incorrect`, `neutral` and the single
letters, which must be the whole answer, and `yes` and `no`, which must be that, stand in quotes or at the start (`No, it …`).
Negations: `not true`, `untrue` → negative; `not false`, `not incorrect` → positive; `cannot be determined`, `not known`, `not certain`,
`not enough information`, `neither true nor false`, `cannot be proved or disproved` → open; `not proved`, `cannot be proved`,
`not disproved`, `not entailed`, `not unknown` leave two labels possible and are none. Labels of two groups (`true or false`) are none.
"""

_GROUPS: dict[str, Label] = {word: group for group, words in SYNONYMS.items() for word in words}
_NOT = r"\b(?:not|never|cannot|can't|isn't|wasn't|neither)\s{1,3}(?:yet\s|be\s|been\s|fully\s|necessarily\s){0,2}"
_PROVED = "(?:proved|proven|disproved|disproven|refuted|entailed|contradicted|prove|disprove|refute)"
_MENTIONS = re.compile(
    r"\b(?P<open>(?:not|n't)\s(?:have\s)?enough\s(?:information|evidence|data|facts|to\s(?:prove|disprove|decide|determine|tell|conclude|say)"
    rf"(?:\sor\s(?:to\s)?disprove)?)|insufficient\s(?:information|evidence|data)|{_NOT}(?:determined?|decided?|known|certain|inferred|concluded)"
    rf"|neither\s(?:true|{_PROVED})\snor\s(?:false|{_PROVED})|{_NOT}{_PROVED}\s(?:n?or)\s(?:be\s)?{_PROVED}"
    r"|unknown|uncertain|undetermined|undecided|not\sgiven)\b"
    rf"|(?P<none>{_NOT}(?:{_PROVED}|unknown|uncertain|undetermined|undecided))\b"
    rf"|(?P<negative>{_NOT}(?:true|correct|right)|untrue)\b|(?P<positive>{_NOT}(?:false|incorrect|wrong))\b"
    r"|\b(?P<word>true|false|proved|proven|disproved|disproven|refuted|entailed|contradicted)\b"
    r"|(?:^|[\"'“‘])(?P<reply>yes|no)(?=[,.;:!\"'”’]|$|\s(?:because|since|as|and|or)\b)|\b(?:or|and)\s(?P<other>yes|no)(?=[,.;:!\"'”’]|$)",
    re.IGNORECASE,
)  # every repetition is bounded: linear on any text
_STYLE = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt)?|math(?:bf|rm|it|sf)|boxed|bf|rm|quad)\b\s?|\\[()\[\],;! ]"
    r"|\\(?:left|right|Large|large|boldsymbol|underline)(?![a-zA-Z])|[${}`*~]"
)
_CHOICE = re.compile(r"(?:(?:the )?(?:correct )?(?:option|choice|answer)(?: is)?:? ?)?[(\[]? ?([a-z]) ?[)\]]?[.:]?", re.IGNORECASE)
_CHOICE_AND_TEXT = re.compile(
    r"(?:(?:option|choice|answer):? ?)?(?:[(\[] ?([A-J]) ?[)\]][.:]?|([A-J])\)[.:]?|([A-J])[.:]) (?=\S)|\(([A-J])\)(?=\w)"
)
_SEVERAL = re.compile(r"\(?[A-Za-z]\)?(?: ?(?:,|/|&|;|\bor\b|\band\b|\+)(?: ?(?:or|and))? ?[(\[]?[A-Za-z]\b[)\]]?)+\.?")
_NEXT_CHOICE = re.compile(r"[(\[][A-J][)\]]|(?<![A-Za-z0-9])[A-J][).:](?!\w)")
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”")
_DOUBTS = re.compile(
    r"\b(?:not|never|nothing|none|hardly|barely|scarcely|far from|cannot|unless|if|seems?|doubt\w*|negation|opposite|contrary|wrong|"
    r"unlikely|neither|isnt|arent|wont|cant|dont|doesnt|aint|maybe|perhaps|probably|possibly|impossible|fails?|rejects?|"
    r"denied|sometimes|could|longer|anything but|but)\b|n't\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\s*(?:(?:is|was|are|can(?:not)? be)\s+(?:not|never|wrong|incorrect|false|eliminated|ruled)|isn't\b|or\b|and\b|maybe\b"
    r"|perhaps\b|unless\b|but\b)",
    re.IGNORECASE,
)


def normalise(text: str) -> str:
    """Case and white space folded, an outer full stop dropped."""
    return " ".join(text.lower().split()).rstrip(".")


def readable(kind: AnswerKind, text: str) -> str:
    """Why `text` cannot be read as a `choice`, `label`, `literal`, `table` or `text`; "" where it can. So gold answers are cleaned."""
    if len(text) > LONGEST_ANSWER:
        return f"longer than {LONGEST_ANSWER:,} characters"
    if kind == "choice":
        return read_choice(text).reason
    if kind == "label":
        return read_label(text).reason
    if kind == "literal":
        return read_literal(text).reason
    return "" if normalise(plain(text)) else "empty"


class Read(NamedTuple):
    """A value, or the reason why there is none ("" where there is one)."""

    value: object
    reason: str = ""


def compare_choice(answer: str, gold: str) -> Outcome:
    """The letters, upper and lower case are one."""
    return _compare(read_choice, answer, gold)


def compare_label(answer: str, gold: str) -> Outcome:
    """The groups of SYNONYMS."""
    return _compare(read_label, answer, gold)


def compare_literal(answer: str, gold: str) -> Outcome:
    """As Python compares values (`1 == 1.0 == True`), and nan is nan."""
    return _compare(read_literal, answer, gold)


def compare_text(answer: str, gold: str) -> Outcome:
    """Case and white space folded, an outer full stop and `\\text{…}` around the whole dropped."""
    return _compare(lambda text: Read(normalise(plain(text)), readable("text", text)), answer, gold)


def _compare(read: Callable[[str], Read], answer: str, gold: str) -> Outcome:
    if max(len(answer), len(gold)) > LONGEST_ANSWER:
        return "unparsable", f"longer than {LONGEST_ANSWER:,} characters"
    first, second = read(answer), read(gold)
    if first.reason or second.reason:
        return "unparsable", first.reason or f"the gold answer: {second.reason}"
    try:
        same = [first.value] == [second.value]  # in a list an object equals itself: there is one nan
    except RecursionError:
        return "unparsable", "too deeply nested"
    return ("correct", "") if same else ("wrong", f"{answer.strip()[:40]} is not {gold.strip()[:40]}")


def plain(text: str) -> str:
    """`\\text{…}`, Markdown emphasis and quotes around a whole text taken off."""
    text = text.strip()
    for _ in range(3):
        styled = re.match(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf)\s?\{", text)
        if styled and text.endswith("}") and "{" not in text[styled.end() :]:
            text = text[styled.end() : -1].strip()
        for mark in ("**", "`", '"', "“", "'", "$"):
            if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith({"“": "”"}.get(mark, mark)):
                text = text[len(mark) : -len(mark)].strip()
    return text


def read_choice(text: str) -> Read:
    """A letter A–Z in upper case: alone (`b` is B), or A–J with a bracket, a point or a colon and text behind it."""
    bare = " ".join(_STYLE.sub("", text[:LONGEST_ANSWER]).strip("\"' \n\t").split())
    if alone := _CHOICE.fullmatch(bare):
        return Read(alone[1].upper())
    if _SEVERAL.fullmatch(bare) or re.fullmatch("[A-J]{2,10}", bare):
        return Read(None, "names several choices")
    if behind := _CHOICE_AND_TEXT.match(bare):
        if _NEXT_CHOICE.search(bare, behind.end()):
            return Read(None, "names several choices")
        if _DENIED.match(bare, behind.end()):
            return Read(None, "a choice that is denied")
        return Read(next(filter(None, behind.groups())))
    return Read(None, "no choice" if bare else "empty")


def names_several(kind: AnswerKind, text: str) -> bool:
    """Whether a text hedges: several choices or labels."""
    return readable(kind, text).startswith("names several")


def label_mentions(text: str) -> list[tuple[Label | None, int, int]]:
    """(label, start, end) of everything in a text that says a label, None for a negated label that leaves two possible."""
    found: list[tuple[Label | None, int, int]] = []
    for match in _MENTIONS.finditer(text[:LONGEST_ANSWER]):
        group = match.lastgroup or ""
        name = match[group].lower()
        label = _GROUPS.get(name) if group in ("word", "reply", "other") else None
        if group in ("positive", "negative", "open"):
            label = {"positive": "positive", "negative": "negative", "open": "open"}[group]  # type: ignore[assignment]
        found.append((label, match.start(group), match.end(group)))
    return found


def read_label(text: str) -> Read:
    """`positive`, `negative` or `open`, after SYNONYMS."""
    bare = " ".join(_STYLE.sub("", text[:LONGEST_ANSWER]).split()).strip("\"'“”‘’ .!")
    if whole := _GROUPS.get(bare.lower()):
        return Read(whole)
    mentions = label_mentions(bare)
    labels = {label for label, _, _ in mentions}
    around = "".join(" " if any(start <= place < end for _, start, end in mentions) else letter for place, letter in enumerate(bare))
    refusal = bool(mentions) and mentions[0] == ("negative", 0, 2)  # No, they could not
    if mentions and not refusal and _DOUBTS.search(_QUOTED.sub(" ", around)):
        return Read(None, "a label that is denied or doubted")
    if len(labels) > 1:
        return Read(None, "names several labels")
    label = labels.pop() if labels else None
    return Read(label, "" if label else "no label" if bare else "empty")


class _Names(ast.NodeTransformer):
    """`nan` and `inf`, which Python prints and does not read, become one value each."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.copy_location(ast.Constant({"nan": math.nan, "inf": math.inf}[node.id]), node) if node.id in ("nan", "inf") else node


def read_literal(text: str) -> Read:
    """A Python value; quotes, brackets and commas as Python wants them, `\\{` and `\\text{…}` of LaTeX and backticks forgiven."""
    bare = text.strip().strip("`").strip()
    if not bare:
        return Read(None, "empty")
    try:
        return Read(_literal(bare))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        loose = re.sub(r"\\([{}_$%&#])", r"\1", plain(bare) if bare.startswith(("\\", "$")) else bare)
    try:
        return Read(_literal(loose)) if loose != bare else Read(None, "no Python value")
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return Read(None, "no Python value")


def _literal(text: str) -> object:
    """Raises ValueError, SyntaxError, TypeError, RecursionError or MemoryError, as ast.literal_eval does."""
    if len(text) > LONGEST_ANSWER:
        raise ValueError("too long")
    if "\\" not in text and "nan" not in text and "inf" not in text:
        return ast.literal_eval(text)
    with warnings.catch_warnings():  # an unknown escape in a string ("\d") is a warning of the answer's author, not ours
        warnings.simplefilter("ignore")
        return ast.literal_eval(_Names().visit(ast.parse(text, mode="eval")))
