"""Extract and grade answers: correct | wrong | unparsable | timeout. An exception never becomes a wrong.

    grade("3 * 4 = 12\\n\\\\boxed{12}", "12", "number")      → "correct"
    grade("3 * 4 = 12", "12", "number")                     → "unparsable": no box

Callers pass the *response* only: a prompt or a restart prefix that holds the answer must earn nothing (papers/satori, "Reward").
"""

import re
from fractions import Fraction
from functools import lru_cache

from factory.errors import DataError
from factory.schemas import AnswerKind, Verdict

_BOX = r"\boxed{"
LONGEST = 300  # characters of a number: nobody computes with a longer one, and Python does not read 4,301 digits
_NUMBER = re.compile(r"[-+]?(?:[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?: \d{3})+|\d+)?(?:\.\d+)?", re.ASCII)
_MIXED = re.compile(r"([-+]?)(\d+) (\d+)/(\d+)", re.ASCII)
_DRESS = str.maketrans({"\\": "", "$": "", "€": "", "£": "", "\N{MINUS SIGN}": "-"})


def boxed_answers(text: str) -> list[str]:
    """The contents of every `\\boxed{…}` in order, braces balanced; an unclosed box is none, a closed one inside it counts."""
    opened: list[int] = []
    ends: dict[int, int] = {}  # behind an opening brace → its closing one
    for brace in re.finditer("[{}]", text):
        if brace.group() == "{":
            opened.append(brace.end())
        elif opened:
            ends[opened.pop()] = brace.start()
    found, start = [], text.find(_BOX)
    while start >= 0:
        inside = start + len(_BOX)
        if inside in ends:
            found.append(text[inside : ends[inside]].strip())
        start = text.find(_BOX, ends.get(inside, inside))
    return found


def extract_answer(text: str) -> str | None:
    """The content of the last box, None without one."""
    answers = boxed_answers(text)
    return answers[-1] if answers else None


@lru_cache(maxsize=1 << 16)
def parse_number(text: str) -> Fraction | None:
    """An exact number from `1,234`, `-$5.50`, `3/4`, `1 1/2` or `20%` (as 20); None otherwise: a unit (`16 eggs`) must be gone."""
    bare = text.translate(_DRESS).strip().rstrip("%.").strip()
    if len(bare) > LONGEST:
        return None
    if mixed := _MIXED.fullmatch(bare):
        sign, whole, above, below = mixed.groups()
        return None if int(below) == 0 else (-1 if sign == "-" else 1) * (int(whole) + Fraction(int(above), int(below)))
    parts = [part.strip() for part in bare.split("/")]
    if len(parts) > 2 or not all(_NUMBER.fullmatch(part) and part[-1:].isdigit() for part in parts):
        return None
    values = [Fraction(part.replace(",", "").replace(" ", "")) for part in parts]
    if len(values) == 1:
        return values[0]
    return values[0] / values[1] if values[1] else None


def normalise(text: str) -> str:
    """Case and white space folded, an outer full stop dropped: how literal answers and choices are compared."""
    return " ".join(text.lower().split()).rstrip(".")


def grade_answer(answer: str | None, gold: str, kind: AnswerKind) -> Verdict:
    """Grade an extracted answer. Numbers compare exactly (2024.5 is not 2025; 0.50 is 1/2).

    Raises DataError when the gold answer itself is no number though `kind` says so: nothing could ever be correct.
    """
    if answer is None or not answer.strip():
        return "unparsable"
    if kind == "number":
        number, expected = parse_number(answer), parse_number(gold)
        if expected is None:
            raise DataError(f"the gold answer {gold!r} is not a number: give its source `answer_kind: literal`, or mend the answer")
        if number is None:
            return "unparsable"
        return "correct" if number == expected else "wrong"
    if kind == "choice":
        return "correct" if normalise(answer).strip("()") == normalise(gold).strip("()") else "wrong"
    return "correct" if normalise(answer) == normalise(gold) else "wrong"


def grade(response: str, gold: str, kind: AnswerKind) -> Verdict:
    """Grade the last boxed answer of a response."""
    return grade_answer(extract_answer(response), gold, kind)
