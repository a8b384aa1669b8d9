"""What is said of an instantiated step, read: keep it, do it again, fetch another template, revise the rest of the plan, or stop.

    read_choice('{"remark": "3 * 4 is 12.", "choice": "keep"}')          → Evaluation("keep", "3 * 4 is 12.")
    read_choice("fetch: these are groups, not a sum.")                   → Evaluation("fetch", "these are groups, not a sum.")
    read_choice("These are groups, not a sum.\\nChoice: fetch another")   → the same, with a capital
    read_choice("12 + 7 is not 18.")                                     → Evaluation("redo", "12 + 7 is not 18."): a verification
    read_choice("Hm.")                                                   → None

A model that knows only how to verify (the laptop's) keeps what it approves and has the rest done again. Nothing is guessed: two different
choices in one answer are none. Source: papers/reasonflux, "Inference scaling" steps 4 and 5.
"""

import json
import re
from dataclasses import dataclass
from typing import Literal, get_args

from factory.coat.demonstrations.reading import read_verification
from factory.language.documents import objects_in

Choice = Literal["keep", "redo", "fetch", "revise", "stop"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
LONGEST = 20_000  # characters of an answer that are worth reading
MOST_REMARK = 400  # characters of a remark that are kept

EVALUATION_SCHEMA = json.dumps({
    "type": "object",
    "properties": {"remark": {"type": "string", "minLength": 1, "maxLength": 300}, "choice": {"enum": list(CHOICES)}},
    "required": ["remark", "choice"],
    "additionalProperties": False,
})  # fmt: skip

_WORDS: dict[Choice, str] = {  # how models write them
    "keep": r"keep(?: it| the step)?|continue|go on|proceed|next(?: step)?",
    "redo": r"redo|do (?:it|the step) again|repeat|retry|again",
    "fetch": r"fetch(?: another(?: template)?)?|(?:an)?other(?: template)?|replace(?: the template)?",
    "revise": r"revise(?: the (?:rest|plan|rest of the plan))?|change(?: the (?:rest|plan|rest of the plan))?|replan",
    "stop": r"stop|done|finished?",
}
_LABEL = re.compile(r"^[\W_]*(?:choice|decision|action|verdict)\b[\W_]*[:=]\s*(?P<word>.+)$", re.IGNORECASE | re.MULTILINE)
_FIRST = re.compile(r"\A[\W_]*(?P<word>[A-Za-z ]{2,40}?)[*_\s]*(?::|\s[-–—])\s*(?P<remark>\S.*)", re.DOTALL)
_KEYS = ("choice", "decision", "action", "verdict")
_REMARKS = ("remark", "reason", "explanation", "comment", "why")


@dataclass(frozen=True)
class Evaluation:
    """`remark`: why, as the model said it."""

    choice: Choice
    remark: str


def read_choice(text: str) -> Evaluation | None:
    """JSON, a labelled line, one word, or a verification; None where no choice, or more than one, is made. Never raises."""
    if not text.strip() or len(text) > LONGEST:
        return None
    for document in objects_in(text):
        fields = {key.lower(): value for key, value in document.items()}
        said = next((fields[key] for key in _KEYS if isinstance(fields.get(key), str)), None)
        if isinstance(said, str):
            choice = _choice(said)
            remark = next((fields[key] for key in _REMARKS if isinstance(fields.get(key), str)), "")
            return Evaluation(choice, _short(str(remark))) if choice else None
    labelled = list(_LABEL.finditer(text))
    if labelled:
        choices = {_choice(match["word"]) for match in labelled}
        choice = choices.pop() if len(choices) == 1 else None
        return Evaluation(choice, _short(_LABEL.sub("", text))) if choice else None
    if choice := _choice(text):
        first = _FIRST.match(text)
        return Evaluation(choice, _short(first["remark"].splitlines()[0]) if first else "")
    verified = read_verification(text)
    if verified.approves is None:
        return None
    return Evaluation("keep" if verified.approves else "redo", _short(verified.remark))


def _choice(words: str) -> Choice | None:
    """The choice that these words name and nothing else; what stands behind a comma or full stop is a reason."""
    bare = re.split(r"[.,;:(\n–—]|\s-\s", words.strip().strip("*_`\"' ").lower(), maxsplit=1)[0].strip("*_`\"' ")
    return next((choice for choice, pattern in _WORDS.items() if re.fullmatch(pattern, bare)), None)


def _short(remark: str) -> str:
    return " ".join(remark.split())[:MOST_REMARK]
