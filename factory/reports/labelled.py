"""Real solutions with people's labels: is it right, and if not, which step is the first wrong one. What critics are calibrated against.

    read_labelled(Path("../shared/data"))["mrgsm8k_Claude"].rows[0]
    → Labelled(source="mrgsm8k_Claude", at="mrgsm8k_Claude.json:row 1", problem="Bob is 75 miles ahead of Tom, …", gold="… \\\\boxed{5}",
               steps=("Step 1:  We know that the distance …", …, "Step 4: #### 2.8"), right=False, first_wrong=1, …)

Mr-Ben (Zeng et al. 2024) and BIG-Bench-Mistake (Tyen et al. 2024) label the first wrong step and bring no gold solution; MR-GSM8K (Zeng et
al. 2023) brings both; GSM8K's samples (Cobbe et al. 2021) say right or wrong only. What cannot be read is named, `file:line: reason`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.coat import grammar
from factory.coat.demonstrations.equations import evaluate
from factory.engines.recorded_critics import gold_answer, gold_solution
from factory.engines.recorded_engine import normalise, read_recorded
from factory.errors import DataError
from factory.schemas import AnswerKind

_HEAD = re.compile(r"s?tep (\d+|n) *:", re.IGNORECASE)  # some lines lost their first letter
_END = re.compile(r"(?:Solution|Final Step):")
_BRACKET = re.compile(r"\([^()]*\)")


@dataclass(frozen=True)
class Labelled:
    """`steps` as they are written. `first_wrong` counts from 1; None: no step is wrong, or (right is False) nobody said which."""

    source: str
    at: str
    problem: str
    gold: str | None
    answer: str | None
    answer_kind: AnswerKind
    steps: tuple[str, ...]
    right: bool
    first_wrong: int | None

    def __post_init__(self) -> None:
        if not self.steps or not all(step.strip() for step in self.steps):
            raise DataError("an empty solution or step")
        if self.right and self.first_wrong is not None:
            raise DataError(f"a right solution whose step {self.first_wrong} is wrong")
        if self.first_wrong is not None and not 1 <= self.first_wrong <= len(self.steps):
            raise DataError(f"its first wrong step is {self.first_wrong} of {len(self.steps)}")


@dataclass(frozen=True)
class Source:
    """One file's rows, and what is malformed: `file:line: reason`."""

    rows: tuple[Labelled, ...]
    malformed: tuple[str, ...]


def read_labelled(data: Path) -> dict[str, Source]:
    """Source by name. Raises DataError for a file that is missing or no JSON."""
    recorded = data / "recorded"
    found = {name: _read(recorded / file, name, parse) for name, (file, parse) in _FILES.items()}
    return found | {"gsm8k samples": _gsm8k(data / "gsm8k")}


def _read(path: Path, name: str, parse: Callable[[str, str, Mapping[str, Any]], Labelled]) -> Source:
    rows, malformed = [], []
    for at, record in records(path):
        try:
            if not isinstance(record, dict):
                raise DataError(record if isinstance(record, str) else f"no object but {type(record).__name__}")
            rows.append(parse(name, at, record))
        except DataError as error:
            malformed.append(f"{at}: {error}")
    return Source(tuple(rows), tuple(malformed))


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise DataError(f"{path}: {reason}: name the folder of public data with --data or COAT_DATA") from None


def records(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, record) of JSON lines, of a JSON list, or of a JSON object of lists (Mr-Ben); a line that is no JSON comes as its reason."""
    text = text_of(path)
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                yield f"{path.name}:{number}", json.loads(line)
            except ValueError as error:
                yield f"{path.name}:{number}", f"no JSON ({error})"
        return
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: no JSON ({error.msg}): fetch the file again") from None
    groups = whole.items() if isinstance(whole, dict) else [("row", [item]) for item in whole]
    row = 0
    for _, group in groups:
        for record in group if isinstance(group, list) else [group]:
            row += 1
            yield f"{path.name}:row {row}", record


def _field(record: Mapping[str, Any], key: str, kind: type | tuple[type, ...] = str) -> Any:
    value = record.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"its `{key}` is {json.dumps(value)[:40]}")
    return value


def _lines(record: Mapping[str, Any], key: str) -> list[str]:
    value = _field(record, key, list)
    if not all(isinstance(line, str) for line in value):
        raise DataError(f"its `{key}` holds something else than text")
    return [line.strip() for line in value if line.strip()]


def _wrong(record: Mapping[str, Any], key: str, words: Mapping[str, bool]) -> bool:
    value = _field(record, key)
    if value not in words:
        raise DataError(f"its `{key}` is {value!r}: expected {' or '.join(words)}")
    return not words[value]


def _step(record: Mapping[str, Any], key: str) -> int:
    value = _field(record, key, (str, int))
    if not str(value).isdecimal():
        raise DataError(f"its `{key}` is {value!r}: expected a number")
    return int(value)


def mrben(source: str, at: str, record: Mapping[str, Any]) -> Labelled:
    """Lines that begin `Step k:` in their order are steps, what follows belongs to them; the labelled step is such a number."""
    steps: list[str] = []
    for line in _lines(record, "Model_Solution_Steps"):
        head = _HEAD.match(line)
        if not steps or _END.match(line) or (head and head[1] in ("n", "N", str(len(steps) + 1))):
            steps.append(line)
        else:
            steps[-1] += f"\n{line}"
    wrong = _wrong(record, "Model_Solution_Correctness", {"correct": True, "incorrect": False})
    first = _step(record, "Model_Solution_First_Error_Step") if wrong else None
    problem = f"{_field(record, 'Question')}\n{_field(record, 'Options')}"
    gold = _field(record, "Ground_Truth_Analysis").strip() or None
    return Labelled(source, at, problem, gold, _field(record, "Ground_Truth_Answer"), "choice", tuple(steps), not wrong, first)


def bbmistake(source: str, at: str, record: Mapping[str, Any]) -> Labelled:
    """`mistake_index` counts from 0, null: no step is wrong. Arithmetic brings its own gold solution: its brackets, worked out."""
    index = record.get("mistake_index", "")
    first = None if index is None else _field(record, "mistake_index", int) + 1
    problem, target = _field(record, "input"), _field(record, "target")
    gold = worked_out(problem)
    kind: AnswerKind = "number" if gold else "choice"
    answer = target if gold else target.strip("()")
    return Labelled(source, at, problem, gold, answer, kind, tuple(_lines(record, "steps")), first is None, first)


def worked_out(problem: str) -> str | None:
    """`((2 + 3) * -4) =` → `(2 + 3) = 5`, `(5 * -4) = -20`, `\\boxed{-20}`; None when it is no arithmetic."""
    text, lines = problem.strip().removesuffix("="), []
    while match := _BRACKET.search(text):
        value = evaluate(match.group())
        if value is None:
            return None
        lines.append(f"{match.group()} = {value}")
        text = text[: match.start()] + str(value) + text[match.end() :]
    value = evaluate(text)
    return None if value is None or not lines else "\n".join([*lines, f"\\boxed{{{value}}}"])


def mrgsm8k(source: str, at: str, record: Mapping[str, Any]) -> Labelled:
    """Reversed questions have an empty gold solution, or one without an answer that can be read."""
    wrong = _wrong(record, "model_output_solution_correctness", {"correct": True, "wrong": False})
    first = _step(record, "model_output_solution_first_error_step") if wrong else None
    answer = gold_answer(_field(record, "ground_truth_answer", (str, int, float)))
    gold = gold_solution(_field(record, "ground_truth_solution"), answer)
    steps = tuple(_lines(record, "model_output_steps"))
    return Labelled(source, at, _field(record, "question"), gold, answer, "number", steps, not wrong, first)


_FILES = {
    "mrben math": ("mrben_math.json", mrben),
    "mrben physics": ("mrben_physics.json", mrben),
    "bbmistake arithmetic": ("bbmistake_multistep_arithmetic.jsonl", bbmistake),
    "bbmistake objects": ("bbmistake_tracking_shuffled_objects.jsonl", bbmistake),
    "mrgsm8k Claude": ("mrgsm8k_Claude.json", mrgsm8k),
    "mrgsm8k GPT3_5": ("mrgsm8k_GPT3_5.json", mrgsm8k),
}


def _gsm8k(folder: Path) -> Source:
    """Every model's solution beside the test set's gold solution; the label says right or wrong only."""
    path, gold = folder / "example_model_solutions.jsonl", {}
    for at, record in records(folder / "test.jsonl"):
        if not isinstance(record, dict):
            raise DataError(f"{folder}/{at}: {record}: fetch the file again")
        gold[_field(record, "question")] = _field(record, "answer")
    text_of(path)
    recorded = read_recorded(path)
    rows, malformed = [], list(recorded.malformed)
    for question, answers in recorded.solutions.items():
        for model, solution in sorted(answers.items()):
            at = f"{path.name}:{model}: {question[:40]}"
            if question not in gold:
                malformed.append(f"{at}: test.jsonl has no gold solution")
                continue
            answer = gold[question].rpartition("####")[2].strip()
            text = gold_solution(gold[question], answer)
            steps = tuple(line for line in grammar.split_steps(normalise(solution)[0]) if line.strip())
            try:
                rows.append(Labelled("gsm8k samples", at, question, text, answer, "number", steps, recorded.labels[question][model], None))
            except DataError as error:
                malformed.append(f"{at}: {error}")
    return Source(tuple(rows), tuple(malformed))
