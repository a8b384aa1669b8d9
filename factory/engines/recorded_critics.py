"""Judgements that somebody else's models wrote about solutions, from a JSON list: a critic of the engine `recorded`.

    [{"question": "Bob is 75 miles ahead of Tom, …", "ground_truth_solution": "… <<75/15=5>>5 hours …\\n#### 5", "ground_truth_answer": 5,
      "model_output_steps": ["Step 1:  We know that …", …], "error_reason_correctness": "incorrect",
      "claude2_eval_output": {"response": "Step-by-step Evaluation: … Final Judgement: incorrect\\n\\nFirst Error Step: 1\\n\\n…"}, …}, …]

A judgement is addressed by what the question `critique` says of its problem, gold solution and attempt; the key before `_eval_output` names
the model (`claude2`). The response is given as it was written; `labels` say whether people found the named reason right.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import EngineError
from factory.language.prompting import Prompts
from factory.schemas import Conversation

_OUTPUT = "_eval_output"
_NUMBER = re.compile(r"-?\$?[\d,]*\.?\d+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LABEL = {"correct": True, "incorrect": False, "wrong": False}


@dataclass(frozen=True)
class Judgements:
    """`judgements` and `labels`: conversation → model → what it said, and whether the reason that it names is right."""

    judgements: dict[Conversation, dict[str, str]]
    labels: dict[Conversation, dict[str, bool]]
    malformed: list[str]  # "file:row: reason"


def gold_answer(value: str | float) -> str | None:
    """None for what is no number: some rows hold `Let's think step by step.`"""
    return str(value) if _NUMBER.fullmatch(str(value)) else None


def gold_solution(text: str, answer: str | None) -> str:
    """GSM8K's gold solution in our conventions: the answer is boxed in the last line, which was `#### X`."""
    lines = [line for line in text.rpartition("####")[0 if "####" in text else 2].split("\n") if line.strip()]
    return "\n".join(lines if answer is None else [*lines, f"\\boxed{{{answer}}}"])


def surrogate(*texts: str) -> str | None:
    """The fault of texts with half a character, `\\ud83d`: they cannot be encoded as UTF-8, so no answer with it can be stored."""
    found = next(filter(None, map(_SURROGATE.search, texts)), None)
    return f"it holds the lone surrogate {found.group()!a}, which is no character" if found else None


def critique_prompt(prompts: Prompts, problem: str, gold: str, steps: Sequence[str]) -> Conversation:
    """What an llm critic is asked about a whole attempt, to be answered in words."""
    return prompts.render("critique", problem=problem, solution=gold, steps=steps, json=False)


def read_judgements(path: Path, prompts: Prompts) -> Judgements:
    """Every readable row; the others are named in `malformed`. Raises EngineError when the file is missing or has no readable row."""
    judgements: dict[Conversation, dict[str, str]] = {}
    labels: dict[Conversation, dict[str, bool]] = {}
    malformed = []
    for number, row in enumerate(_rows(path), start=1):
        reason = _fault(row)
        prompt = () if reason else _prompt(prompts, row)
        if not reason and prompt in judgements:
            reason = "its question and steps stand in an earlier row too"
        if reason:
            malformed.append(f"{path}:row {number}: {reason}")
            continue
        said = {name.removesuffix(_OUTPUT): value["response"] for name, value in row.items() if name.endswith(_OUTPUT)}
        judgements[prompt] = said
        labels[prompt] = {name: _LABEL[row["error_reason_correctness"]] for name in said if row.get("error_reason_correctness") in _LABEL}
    if not judgements:
        raise EngineError(f"{path} holds no readable row of judgements ({malformed[0] if malformed else 'it is empty'})")
    return Judgements(judgements, labels, malformed)


def _rows(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_bytes())
    except OSError as error:
        raise EngineError(f"recorded judgements {path}: {error.strerror}: fetch the file or correct the role's `model`") from None
    except ValueError as error:
        raise EngineError(f"{path} is no JSON document ({error}): fetch the file again") from None
    if not isinstance(rows, list):
        raise EngineError(f"{path} is no JSON list of judged solutions: solutions themselves are read from a .jsonl file")
    return rows


def _prompt(prompts: Prompts, row: dict[str, Any]) -> Conversation:
    gold = gold_solution(row["ground_truth_solution"], gold_answer(row["ground_truth_answer"]))
    return critique_prompt(prompts, row["question"], gold, [step.strip() for step in row["model_output_steps"] if step.strip()])


def _fault(row: Any) -> str | None:
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("question", "ground_truth_solution")):
        return "no object with a text `question` and `ground_truth_solution`"
    steps = row.get("model_output_steps")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        return "no list of text `model_output_steps`"
    if not isinstance(row.get("ground_truth_answer"), str | int | float):
        return "no `ground_truth_answer`"
    said = [value for name, value in row.items() if name.endswith(_OUTPUT)]
    if not said or not all(isinstance(value, dict) and isinstance(value.get("response"), str) for value in said):
        return "no `…_eval_output` with a text `response`"
    return surrogate(row["question"], row["ground_truth_solution"], *steps, *row, *(value["response"] for value in said))
