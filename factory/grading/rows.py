"""From the rows of a file to what is graded: which columns hold the texts, and what a value says.

columns = chosen(source, gold="", answer="", response="", kind="math", decimals=None)    → Columns(gold="answer", answer="completion", …)
grade_rows(grader, batch.records, columns)                                               → [Grade("correct", …), …], one a row
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from factory.errors import DataError
from factory.files import Record, Source
from factory.grading.grader import Grader, Task
from factory.grading.protocol import KINDS, Grade

GOLD = ("gold", "answer", "ground_truth", "target", "expected")
RESPONSE = ("response", "completion", "generated_text", "prediction", "output", "solution")


class Columns(NamedTuple):
    """Where a row's texts are. `extracted`: `answer` holds answers, no responses. `kinds`: a column, where `kind` is ""."""

    gold: str
    answer: str
    extracted: bool
    kind: str
    kinds: str
    decimals: int | None

    def needed(self) -> set[str]:
        return {self.gold, self.answer, self.kinds} - {""}

    def described(self) -> str:
        kind = f"kind {self.kind}" if self.kind else f"kinds {self.kinds}"
        exact = "" if self.decimals is None else f", {self.decimals} decimals"
        return f"gold {self.gold}, {'answer' if self.extracted else 'response'} {self.answer}, {kind}{exact}"


def chosen(source: Source, gold: str, answer: str, response: str, kind: str, decimals: int | None) -> Columns:
    """Raises DataError for a column that is not there."""
    has = f"it has {', '.join(source.columns[:40])}" + (f" and {len(source.columns) - 40} more" if len(source.columns) > 40 else "")
    for name in filter(None, (gold, answer, response)):
        if name not in source.columns:
            raise DataError(f"{source.name} has no column {name!r}; {has}")
    other = answer or response
    gold = gold or next((name for name in GOLD if name in source.columns and name != other), "")
    if not gold:
        raise DataError(f"{source.name} has none of the columns {', '.join(GOLD)}: name the gold answers with --gold; {has}")
    other = other or next((name for name in RESPONSE if name in source.columns and name != gold), "")
    if not other:
        named = "name the responses with --response, or extracted answers with --answer"
        raise DataError(f"{source.name} has none of the columns {', '.join(RESPONSE)}: {named}; {has}")
    if kind not in KINDS and kind not in source.columns:
        raise DataError(f"{kind!r} of --kind is none of {', '.join(KINDS)}, and no column of {source.name}; {has}")
    return Columns(gold, other, bool(answer), *((kind, "") if kind in KINDS else ("", kind)), decimals)


def grade_rows(grader: Grader, records: Sequence[Record], columns: Columns) -> list[Grade]:
    """One grade a row, in the order of the rows."""
    made = [prepared(record, columns) for record in records]
    tasks = [item for item in made if isinstance(item, Task)]
    graded = iter(grader.grade_answers(tasks) if columns.extracted else grader.grade_many(tasks))
    return [next(graded) if isinstance(item, Task) else item for item in made]


def prepared(record: Record, columns: Columns) -> Task | Grade:
    """What is to be graded, or the grade of a row without it."""
    if record.broken:
        return Grade("unparsable", record.broken)
    gold, answer = text_of(record.values.get(columns.gold)), text_of(record.values.get(columns.answer))
    kind = columns.kind or text_of(record.values.get(columns.kinds)).strip()
    if not gold.strip() or not answer.strip():
        return Grade("unparsable", "no answer" if gold.strip() else "no gold answer")
    for known in KINDS:
        if kind == known:
            return Task(answer, gold, known, columns.decimals)
    return Grade("unparsable", f"unknown kind {kind[:40]!r}" if kind else "no kind")


def text_of(value: object) -> str:
    """Missing values and NaN are ""; of a conversation its last content; lists, objects and truth values as Python writes them."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list) and value and all(isinstance(turn, dict) and {"role", "content"} <= turn.keys() for turn in value):
        content = value[-1]["content"]
        if isinstance(content, list):  # parts: {"type": "text", "text": …}
            return "".join(text_of(part.get("text")) for part in content if isinstance(part, dict))
        return text_of(content)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return repr(value) if isinstance(value, bool | list | dict) else str(value)
