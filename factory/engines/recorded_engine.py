"""Answers that somebody else's models wrote, from a JSONL file: the same line of production on real solutions, without any model.

    {"question": "Janet’s ducks lay 16 eggs …", "ground_truth": "…",
     "6b_finetuning": {"is_correct": false, "solution": "… 16 - 3 = <<16-3=13>>13 ducks eggs left\\n…\\nA: 26"}, …}

A request is addressed by what is asked (the question `solve` in the role's prompts, white space aside); its ordinal picks the model. The
recorded solution is brought to our conventions: calculator annotations and special-looking tokens are removed, a last line `A: X` becomes
`\\boxed{X}`. A `.json` file holds judgements about solutions instead: they are addressed by the question `critique` (recorded_critics.py).
What the file does not say is not invented: there are no token ids and no token counts (0), and a solution without an answer line, which
broke off before its answer, has finish_reason "length".
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.engines.protocol import Completion, Request, failure
from factory.engines.recorded_critics import Judgements, read_judgements, surrogate
from factory.errors import EngineError
from factory.identity import digest, hash_files
from factory.language.prompting import Prompts
from factory.schemas import Conversation

CONVENTION = 1  # part of the model's revision: raise when `normalise` changes

_ANNOTATION = re.compile(r"<<[^<>\n]*(?:>>|\Z)")  # the last one may be cut off
_SPECIAL = re.compile(r"<\|[^|<>\n]*\|>")
_ANSWER = re.compile(r"\nA:[ \t]*(\S[^\n]*)\Z")


@dataclass(frozen=True)
class Recorded:
    """`solutions` and `labels`: question → model → recorded solution, and whether its authors graded it correct."""

    solutions: dict[str, dict[str, str]]
    labels: dict[str, dict[str, bool]]
    malformed: list[str]  # "file:line: reason"


class RecordedEngine:
    family = "recorded"

    def __init__(self, path: Path, models: Sequence[str], prompts: Prompts) -> None:
        """`models`: the keys of the file whose answers are read, in the order of the requests' ordinals; `prompts`: how the questions are
        asked. Raises EngineError for a missing file or a model that it does not hold."""
        self._judges = path.suffix == ".json"
        recorded = read_judgements(path, prompts) if self._judges else read_recorded(path)
        self.models, self.malformed, self.labels = tuple(models), recorded.malformed, recorded.labels
        if isinstance(recorded, Judgements):
            found = recorded.judgements
        else:
            found = {prompts.render("solve", problem=problem): answers for problem, answers in recorded.solutions.items()}
        known = sorted({model for answers in found.values() for model in answers})
        if not models or (unknown := sorted(set(models) - set(known))):
            wrong = f"lacks the models {', '.join(unknown)}" if models else "is named without models"
            raise EngineError(f"{path} {wrong}: name some of {', '.join(known)} in the role's `models`")
        self.model = f"{path.stem}@{digest(hash_files([path], path.parent), self.models, CONVENTION)[:20]}"
        self._by_prompt: dict[str, dict[str, dict[str, str]]] = {}  # without white space → with that which means something → answers
        for conversation, answers in found.items():
            prompt = _read(conversation)
            self._by_prompt.setdefault(_fold(prompt), {})[_indented(prompt)] = answers

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return [self._find(request) for request in requests]

    def _find(self, request: Request) -> Completion:
        if not (asked := _read(request.prompt)):
            return failure("recorded answers are found by what is asked, and this request asks nothing in words")
        if request.sampling.drawn:
            return failure("recorded answers have no token ids and log-probabilities: leave rollouts.drawn_tokens out")
        if not 0 <= request.ordinal < len(self.models):
            return failure(f"sample {request.ordinal} was asked for, {len(self.models)} models are recorded")
        alike = self._by_prompt.get(_fold(asked))
        if alike is None:
            return failure("the problem is not in the file of recorded answers")
        answers = next(iter(alike.values())) if len(alike) == 1 else alike.get(_indented(asked))
        if answers is None:
            return failure(f"{len(alike)} problems in the file of recorded answers differ from this one in white space only")
        solution = answers.get(self.models[request.ordinal])
        if solution is None:
            return failure(f"{self.models[request.ordinal]} has no recorded answer to the problem")
        text, complete = (solution, True) if self._judges else normalise(solution)
        return Completion(text=text, token_ids=(), finish_reason="stop" if complete else "length", prompt_tokens=0)


def normalise(solution: str) -> tuple[str, bool]:
    """A recorded solution in our conventions, and whether it came to an answer line."""
    text = _SPECIAL.sub("", _ANNOTATION.sub("", solution)).strip()
    boxed, answers = _ANSWER.subn(lambda found: f"\n\\boxed{{{found[1].strip()}}}", "\n" + text)
    return boxed[1:], bool(answers)


def read_recorded(path: Path) -> Recorded:
    """Every readable line; the others are named in `malformed`. Raises EngineError when the file is missing or has no readable line."""
    solutions: dict[str, dict[str, str]] = {}
    labels: dict[str, dict[str, bool]] = {}
    malformed = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise EngineError(f"recorded answers {path}: {error.strerror}: fetch the file or correct the role's `model`") from None
    for number, line in enumerate(lines, start=1):
        question, answers, reason = _parse(line)
        if not reason and question in solutions:
            reason = "its question stands in an earlier line too"
        if reason:
            malformed.append(f"{path}:{number}: {reason}")
            continue
        solutions[question] = {model: answer["solution"] for model, answer in answers.items()}
        labels[question] = {model: answer["is_correct"] for model, answer in answers.items()}
    if not solutions:
        raise EngineError(f"{path} holds no readable line of recorded answers ({malformed[0] if malformed else 'it is empty'})")
    return Recorded(solutions, labels, malformed)


def _parse(line: bytes) -> tuple[str, dict[str, dict], str | None]:
    """(question, model → {"solution", "is_correct"}, what is wrong)."""
    try:
        row = json.loads(line)
    except ValueError as error:
        return "", {}, f"no JSON ({error})"
    if not isinstance(row, dict) or not isinstance(row.get("question"), str):
        return "", {}, "no object with a text `question`"
    answers = {name: value for name, value in row.items() if isinstance(value, dict)}
    for name, value in answers.items():
        if not isinstance(value.get("solution"), str) or not isinstance(value.get("is_correct"), bool):
            return "", {}, f"{name} has no text `solution` or no true-or-false `is_correct`"
    if not answers:
        return "", {}, "no model's answer"
    return row["question"], answers, surrogate(row["question"], *answers, *(answer["solution"] for answer in answers.values()))


def _read(prompt: Conversation | tuple[int, ...]) -> str:
    """All that is said, each turn below its role; "" for token ids."""
    return "\n".join(f"{turn[0]}\n{turn[1]}" for turn in prompt if isinstance(turn, tuple))


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _indented(text: str) -> str:
    """NFC, without white space at the ends of lines and blank lines: two programs that differ in indentation are two."""
    return "\n".join(line for line in map(str.rstrip, unicodedata.normalize("NFC", text).splitlines()) if line)
