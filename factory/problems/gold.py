"""Gold solutions: worked, without calculator annotations, with the answer boxed in the last line.

gold_solution("16 - 3 - 4 = <<16-3-4=9>>9 eggs", "9")         → "16 - 3 - 4 = 9 eggs\\n\\\\boxed{9}"
stated_answer("… so \\\\boxed{7}.", "number")                  → "7", which contradicts an answer column that says 8
"""

import re

from factory.grading import extract
from factory.problems.values import normalise
from factory.schemas import AnswerKind, Rule

CONTRADICTION = "solution ends in another answer"
_CALCULATOR = re.compile(r"<<[-+*/().,\d \t%$=]*>>")
_MARKED: tuple[Rule, ...] = ("box", "hash", "tag", "final_answer")
_PLAIN_TEXT: tuple[AnswerKind, ...] = ("text", "table")  # `the answer is` has no clear end in them


def gold_solution(text: str, answer: str) -> str | None:
    """The solution, at most one blank line between its paragraphs, the answer boxed in its last line; None for an empty text."""
    steps = re.sub(r"\n(?:[ \t]*\n)+", "\n\n", normalise(_CALCULATOR.sub("", text)).strip("\n"))
    if not steps.strip():
        return None
    return steps if r"\boxed{" in steps.splitlines()[-1] else f"{steps}\n\\boxed{{{answer}}}"


def stated_answer(text: str, kind: AnswerKind) -> str | None:
    """The answer that a solution states as its own: in a box, behind `####` or a tag, as `the final answer is …`, or in its last two lines
    as `the answer is …`. Its last number is no statement."""
    if found := extract(text, _MARKED, kind):
        return found.text
    end = "\n".join([line for line in text.splitlines() if line.strip()][-2:])
    found = None if kind in _PLAIN_TEXT else extract(end, ("answer_is",), kind)
    return found.text if found else None
