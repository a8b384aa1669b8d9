"""The answer in a short text: a formula, a number, or a phrase that is nothing but the answer.

    bare("odd $n$")                                    → True
    answer_in("The largest $n$ is 34.", "number")      → "34"
    answer_in("(B) or (F), but hardly", "choice")      → "(B) or (F), but hardly"
    last_formula(r"so $x = 5$ or \\[ 9 \\]")            → "9"

Every expression here is bounded or linear, so hostile text costs no more than other text.
"""

import re

from factory.grading import kinds
from factory.grading.protocol import LONGEST_ANSWER
from factory.schemas import AnswerKind

LONGEST_LINE = 2_000  # characters of a line that are searched for a number: nobody states an answer in more
_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{2,}(?:['’-][^\W\d_]+)?")
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mbox|mathbf|operatorname|textnormal|begin|end)\*?\s?\{[^{}]{0,300}\}")
_FORMULAS = re.compile(r"\$[^$\n]{0,3000}\$|\\\((?:(?!\\[()])[^\n]){0,3000}\\\)")
_FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "sqrt", "pi", "mod", "gcd", "lcm", "max", "min", "arcsin", "arccos",
    "arctan", "infinity", "inf", "and", "or",
}  # fmt: skip
_MATHS = re.compile(r"\$|\\|\d")
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|equals?|gives?|has|have|had|so|because|since|then|which|that|we|it|he|she|they|you|i'm|there|if|when|costs?|does|do)\b",
    re.IGNORECASE,
)
_OPENER = re.compile(r"\d|\$\s?\d{1,20}[.,]?\d{0,10}\s")
_UNDECIDED = re.compile(
    r"\b(?:not|n't|never|none|neither|among|less|fewer|greater|larger|smaller|bigger|between|more than|at least|at most)\b", re.IGNORECASE
)
_SAYS_NOTHING = {
    "correct", "incorrect", "right", "wrong", "below", "above", "following", "follows", "given", "found", "obvious", "clear",
    "unclear", "therefore", "thus", "as", "here", "this", "that", "simply", "the", "likely", "probably", "verified", "confirmed",
    "consistent", "reasonable", "shown", "boxed", "answer", "done", "qed", "end",
}  # fmt: skip
_IS = re.compile(r"\b(?:is|are|was|were|be|equals?|becomes?)\b:?|(?<![<>=!\\])=(?!=)|:(?=\s)", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}.,])[-+\N{MINUS SIGN}])?(?<![\w.,/^_\\])(?:\\?[$€£])?[-\N{MINUS SIGN}]?"
    r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+(?!\d)|\d+ \d+(?=/\d)|\d+|(?=\.\d))(?:[.,]\d+)?(?:e[-+]?\d+(?!\w))?(?:\s?/\s?\d+)?"
    r"(?:\s?(?:×|\\times|\*|x)\s?10\^\{?[-+]?\d+\}?)?(?:\s?\\?%|[€£°]|(?!st\b|nd\b|rd\b|th\b)[^\W\d_]{1,3}[²³]?(?!\w))?(?!\w)"
)
_DELIMITER = re.compile(
    r"\\[\\$]|\$\$|\$|\\[()\[\]]|\n|\\(?:begin|end)\{(?:align|equation|gather|eqnarray|multline|displaymath|aligned|gathered)\*?\}"
)
_ALIGNED = ("\\begin{align", "\\begin{gather", "\\begin{equation", "\\begin{eqnarray")
_CLOSERS = {"$$": "$$", "$": "$", "\\(": "\\)", "\\[": "\\]"}
CHOICES = re.compile(r"(?<![\w}^)])[(\[]([A-Z])[)\]](?![\w^({])")
_DENIED = re.compile(
    r"(?:,? (?:or|and|nor) [(\[][A-Z][)\]]){0,9} (?:is|are|was|cannot|can't|would|does|could) ?(?:also )?(?:not|n't|in|wrong|false|be)"
)
_RULED_OUT = re.compile(r"\b(?:rul\w+ out|eliminat\w+|exclud\w+|not)(?: the)?(?: option| choice| answer)? $", re.IGNORECASE)
_HEDGE = re.compile(r",? ?(?:or|and|,|/|&) ?(?:option )?[(\[][A-Z][)\]]")
_LONE_CHOICE = re.compile(r"(?:(?:option|choice|answer) )?(?:([B-HJ-Z])(?![\w'’])|([A-Z])(?=[,;:]? (?:because|since|as|for)\b))")


def undress(text: str, keep_stop: bool = False) -> str:
    """White space, Markdown, quotes, a full stop and the delimiters of one formula around a whole text taken off."""
    previous = None
    while text != previous and len(text) <= LONGEST_ANSWER:  # each turn takes something off, a pair at a time
        previous = text
        text = text.strip().strip("*`").strip()
        if not keep_stop and text.endswith((".", ",", ";")) and text[-2:-1] not in (".", "\\"):
            text = text[:-1]
        for opener, closer in (('"', '"'), ("“", "”"), ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ('\\"', '\\"')):
            inside = text[len(opener) : -len(closer)]
            if (
                len(text) > len(opener + closer)
                and text.startswith(opener)
                and text.endswith(closer)
                and opener not in inside.replace("\\" + opener, "")
            ):
                text = inside
    return text.strip()


def _plain_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(_TEXT.sub(" ", _FORMULAS.sub(" ", text))) if word.lower() not in _FUNCTIONS]


def balanced(text: str) -> bool:
    """Braces balanced, and as many brackets opened as closed: `[0, 1)` is an interval."""
    braces = text.replace("\\{", "").replace("\\}", "")
    return braces.count("{") == braces.count("}") and sum(text.count(mark) for mark in "([") == sum(text.count(mark) for mark in ")]")


def bare(phrase: str, words: int = 1) -> bool:
    """Nothing but an answer: at most `words` words before its mathematics and a few behind, no verb; or only that many words."""
    if not phrase or len(phrase) > LONGEST_ANSWER or not balanced(phrase) or "://" in phrase or phrase.startswith(_ALIGNED):
        return False
    if phrase.count("$") % 2 and re.search(r"(?<!\\)\$ ", phrase) and not phrase.startswith("$"):
        return False  # an amount of money somewhere in a sentence
    if not any(character.isalnum() or character in "∞∅π√" for character in phrase) or phrase.endswith(":"):
        return False
    first = _MATHS.search(phrase)
    outside = _FORMULAS.sub(" ", phrase)
    if _VERB.search(_TEXT.sub(" ", outside)):
        return False
    if first is None:
        return len(_plain_words(phrase)) <= words and phrase.lower() not in _SAYS_NOTHING
    before, behind = _plain_words(phrase[: first.start()]), _plain_words(phrase[first.start() :])
    return len(before) <= words and len(behind) <= 5 and not re.search(r"[.!?]\s+[A-Z]", outside)


def answer_in(phrase: str, kind: AnswerKind) -> str | None:
    """The answer in what stands behind *the answer is*; None where nothing there can be one (`correct`, `not among the options`)."""
    if kind in ("text", "table", "literal"):
        if kind == "literal" and phrase.startswith("assert ") and ") == " in phrase:
            phrase = phrase.partition(") == ")[2]
        return (phrase.strip().strip("*`").strip() if kind != "text" else undress(phrase, keep_stop=True)) or None
    text = undress(re.sub(r"\*\*([^*\n]{1,300})\*\*", r"\1", phrase))
    if kind == "choice":
        return choice_in(text)
    if kind == "label":
        whole = not kinds.read_label(text).reason and text.lower() not in _SAYS_NOTHING
        return text if whole or kinds.label_mentions(text) else None
    return _maths_in(text, kind)


def _maths_in(text: str, kind: AnswerKind) -> str | None:
    has_maths = _MATHS.search(text)
    if has_maths is None:
        words = re.findall(r"\w+", text.lower())
        silent = kind == "number" or not words or len(words) > 3 or not _SAYS_NOTHING.isdisjoint(words) or _UNDECIDED.search(text)
        return None if silent else text
    if bare(text):
        return text
    masked = _FORMULAS.sub(lambda formula: "x" * len(formula[0]), text)  # what stands in a formula states nothing by itself
    for stated in reversed(list(_IS.finditer(masked))[-3:]):
        behind = undress(text[stated.end() :])
        if _MATHS.search(behind) and bare(behind):
            return behind
    if _UNDECIDED.search(_FORMULAS.sub(" ", text)):
        return None
    return last_formula(text) or last_number(text)


def choice_in(text: str) -> str | None:
    """The choice that a phrase names, with what it is hedged by; None for none."""
    if not kinds.read_choice(text).reason or kinds.names_several("choice", text):
        return text
    if re.match(r"(?:not|neither|none)\b", text, re.IGNORECASE):
        return None
    if named := CHOICES.search(text):
        return text if _HEDGE.match(text, named.end()) else named[0]
    if lone := _LONE_CHOICE.match(text):
        return lone[1] or lone[2]
    return None


def last_choice(text: str) -> str | None:
    """The last of `(A)` to `(J)` that is not said to be wrong; only the last few in a text are looked at."""
    for match in reversed([match for match in CHOICES.finditer(text) if "(A)" <= match[0] <= "(J)"][-20:]):
        if not _DENIED.match(text, match.end()) and not _RULED_OUT.search(text[max(match.start() - 40, 0) : match.start()]):
            return match[0]
    return None


def last_label(text: str) -> str | None:
    """The last of the labels of the text."""
    mentions = kinds.label_mentions(text[-LONGEST_LINE:])
    return text[-LONGEST_LINE:][mentions[-1][1] : mentions[-1][2]] if mentions else None


def last_number(line: str) -> str | None:
    """The last number of a line with its sign, currency or percent and a unit that is glued to it; none inside a word (`AZYUK2A`)."""
    numbers = _NUMBER.findall(line[-LONGEST_LINE:])
    return numbers[-1].strip() if numbers else None


def last_formula(text: str) -> str | None:
    """The content of the last formula: `$…$` and `\\(…\\)` on one line, `$$…$$`, `\\[…\\]` and environments over lines."""
    return last_formula_at(text)[0] or None


def last_formula_at(text: str) -> tuple[str, int]:
    """The last formula and where it ends, "" for none."""
    opener, start, found, end = "", 0, "", 0
    for mark in _DELIMITER.finditer(text):
        sign = mark.group()
        if sign == "\n":
            opener = "" if opener in ("$", "\\(") else opener
        elif opener and sign == (_CLOSERS.get(opener) or opener.replace("begin", "end")):
            inside = text[start : mark.start()]
            if opener == "$" and _is_money(inside, text[mark.end() : mark.end() + 1]):
                start = mark.end()  # the second sign may open a formula
            else:
                found, end = (inside, mark.end()) if inside.strip() else (found, end)
                opener = ""
        elif not opener and (sign in _CLOSERS or sign.startswith("\\begin")):
            opener, start = sign, mark.end()
    return (_row(found), end) if found else ("", 0)


def _is_money(inside: str, behind: str) -> bool:
    """Whether what stands between two dollar signs is an amount and the words behind it (`$5 and $3`), or ends before one (`x = $5`)."""
    if inside.rstrip().endswith("="):
        return True
    if not inside[:1].isdigit():
        return False
    words = len(_plain_words(inside))
    return behind.isdigit() or words > 1 or (words == 1 and inside[-1:].isspace())


def _row(formula: str) -> str:
    """A formula without its full stop; of aligned equations the last row."""
    formula = formula.strip()
    inner = re.match(r"\\begin\{(?:aligned|gathered|align|split)\*?\}", formula)
    if (inner or "&" in formula) and "\\begin" not in formula[inner.end() if inner else 0 :]:
        formula = re.sub(r"\\end\{\w{1,20}\*?\}\s*$", "", formula[inner.end() if inner else 0 :])
        rows = [row.replace("&", "").strip() for row in formula.split("\\\\")]
        formula = next((row for row in reversed(rows) if row), "")
    return formula[:-1].rstrip() if formula.endswith((".", ",", ";")) and formula[-2:-1] not in ("\\", ".") else formula
