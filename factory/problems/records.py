"""One row of a source → a problem, or a reject with its reason.

    Raw("train.jsonl:7", {"question": "Janet's ducks …", "answer": "… #### 18"})    → Problem(answer="18", …)
    Raw("train.jsonl:8", {"question": "How many?", "answer": ["7", "8"]})           → Reject(reason="answer is a list of 2 values", …)

A reject keeps its source, its place and its row: {"source": "gsm8k", "at": "train.jsonl:8", "row": {…}}.
"""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from factory.grading import SHARED, Task, clean_gold
from factory.identity import digest, row_id
from factory.language.tokens.control import placed
from factory.params import Source
from factory.problems.gold import CONTRADICTION, gold_solution, stated_answer
from factory.problems.values import BadRow, literal_of, normalise, table_of, text_of
from factory.rejects import reject
from factory.schemas import AnswerKind, Problem, Reject, Split

STAGE = "problems"
DUPLICATE = "exact duplicate"
MOST_DECIMALS = 30
MISSING = ("nan", "none", "null", "n/a", "<na>", "notfound")  # as a whole text
_LETTER = re.compile(r"\(?[A-Z]\)?")  # a choice: its solution may state the value instead
_LETTERED = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{\s*\(?[A-Z]\)")  # a choice and its value in one box
SPACES_COUNT: tuple[AnswerKind, ...] = ("literal", "table")  # in their answers
NO_SPLIT: Split = "train"  # until `split.assign` has put the rows of sources without a split of their own


@dataclass(frozen=True)
class Raw:
    """One row as it stands in its file. `at` is `file:line`; `broken` says why there is no record."""

    at: str
    record: dict[str, Any]
    broken: str = ""


class _Made(NamedTuple):
    """`stated`: the answer that the solution states, None without one."""

    row: Raw
    problem: Problem
    stated: str | None


def mapped_columns(source: Source) -> dict[str, str]:
    """Our names → the source's."""
    return {"problem": "problem", "answer": "answer", **source.columns}


def from_records(source: Source, rows: Iterable[Raw]) -> tuple[list[Problem], list[Reject]]:
    """The problems, each once, whatever the order of the rows, and the rows that are none."""
    made: list[_Made] = []
    rejects: list[Reject] = []
    for row in rows:
        try:
            made.append(_made(source, row))
        except BadRow as error:
            rejects.append(rejected(source, row, str(error)))
    same: dict[str, list[_Made]] = defaultdict(list)
    for item, contradicts in zip(made, _contradictions(made), strict=True):
        if contradicts:
            rejects.append(rejected(source, item.row, CONTRADICTION))
        else:
            same[item.problem.id].append(item)
    for items in same.values():
        if len(items) > 1:
            items.sort(key=_preference)
            rejects += [rejected(source, item.row, DUPLICATE, items[0].problem.id) for item in items[1:]]
    return [items[0].problem for items in same.values()], rejects


def rejected(source: Source, row: Raw, reason: str, parent_id: str | None = None) -> Reject:
    return reject(STAGE, {"source": source.name, "at": row.at, "row": row.record}, reason, parent_id)


def _preference(made: _Made) -> tuple[bool, str]:
    """Of equal problems one with a solution stays, and always the same."""
    return made.problem.solution is None, digest(dataclasses.asdict(made.problem))


def _contradictions(made: list[_Made]) -> list[bool]:
    """Whether each solution states another answer than its problem has."""
    doubtful = [item for item in made if item.stated is not None and item.stated != item.problem.answer]
    doubtful = [item for item in doubtful if item.problem.answer_kind not in ("number", "math") or not _is_choice(item)]
    grades = SHARED.grade_answers([Task.of(item.problem, item.stated or "") for item in doubtful])
    wrong = {id(item) for item, grade in zip(doubtful, grades, strict=True) if grade.verdict == "wrong"}
    return [id(item) in wrong for item in made]


def _is_choice(item: _Made) -> bool:
    return bool(_LETTER.fullmatch(item.problem.answer) or _LETTERED.match(item.stated or ""))


def _made(source: Source, row: Raw) -> _Made:
    """Raises BadRow."""
    if row.broken:
        raise BadRow(row.broken)
    columns = mapped_columns(source)
    values = {ours: row.record.get(theirs) for ours, theirs in columns.items()}
    values |= {ours: None for ours, value in values.items() if ours not in ("problem", "answer") and value != value}  # NaN is missing
    for ours in ("problem", "answer"):
        if values[ours] is None:
            raise BadRow(f"no {columns[ours]}")
    problem = normalise(text_of(values["problem"], "problem", "user") or "")
    answer, before = _answer(source, values["answer"])
    for ours, text in (("problem", problem), ("answer", answer)):
        if not any(letter.isprintable() and not letter.isspace() for letter in text):
            raise BadRow(f"empty {ours}")
        if text.strip().lower() in MISSING and (ours == "problem" or source.answer_kind in ("number", "math")):
            raise BadRow(f"{ours} is a word for a missing value")
    answer, unreadable = clean_gold(answer, source.answer_kind)
    if unreadable:
        raise BadRow(unreadable)
    worked = before if source.answer_after and columns.get("solution") == columns["answer"] else values.get("solution")
    text = text_of(worked, "solution", "assistant") or ""
    solution = gold_solution(text, answer)
    for ours, written in (("problem", problem), ("answer", answer), ("solution", solution or "")):
        if placed("\n".join(line.lstrip() for line in written.splitlines())):
            raise BadRow(f"{ours} has a meta-action token at the start of a line")
    family = _one_spaced(text_of(values.get("family"), "family") or "") or source.name
    group = _one_spaced(text_of(values.get("group"), "group") or "") or "none"
    key = row_id("problem", source.name, problem, answer)
    made = Problem(
        id=key, source=source.name, family=family, group=group, split=source.split or NO_SPLIT, instance=key, problem=problem,
        answer=answer, answer_kind=source.answer_kind, decimals=_decimals(values.get("decimals")), solution=solution,
        weight=source.weight,
    )  # fmt: skip
    return _Made(row, made, stated_answer(text, source.answer_kind) if text else None)


def _answer(source: Source, value: object) -> tuple[str, str]:
    """(the answer, what stands before its mark). Raises BadRow."""
    kind = source.answer_kind
    text = literal_of(value, "answer") if kind == "literal" else table_of(value, "answer") if kind == "table" else None
    text = text_of(value, "answer", "assistant") or "" if text is None else text
    before, mark, after = text.rpartition(source.answer_after) if source.answer_after else ("", "", text)
    if source.answer_after and not mark:
        raise BadRow(f"no {source.answer_after} in the answer")
    return after.strip() if kind in SPACES_COUNT else _one_spaced(after), before


def _one_spaced(text: str) -> str:
    """NFC, single spaces, no blank lines."""
    lines = (" ".join(line.split()) for line in normalise(text).split("\n"))
    return "\n".join(line for line in lines if line)


def _decimals(value: object) -> int | None:
    text = (text_of(value, "decimals") or "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4 and int(text) <= MOST_DECIMALS):
        raise BadRow(f"decimals is no whole number up to {MOST_DECIMALS}")
    return int(text)
