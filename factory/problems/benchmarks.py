"""The questions and answers of a benchmark's file, whatever its format and whatever the column is called.

read_benchmark("gsm8k_test.jsonl")
    → BenchmarkTexts(texts=["Janet's ducks lay 16 eggs …", …], answers=["Janet sells … #### 18", …], rows=1319, unreadable=0)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.files import Record, no_rows, row_reader

QUESTION: tuple[tuple[str, ...], ...] = (
    ("problem",), ("body", "question"), ("passage", "question"), ("context", "question"), ("article", "question"), ("question",),
    ("prompt",), ("query",), ("instruction", "input"), ("instruction",), ("text",),
    ("code", "input"), ("input",), ("inputs",), ("messages",), ("conversations",), ("conversation",), ("example",),
)  # fmt: skip
"""Where a question may stand, capitals aside: the columns of a group together are one. A row may have several, of which all count."""
ANSWER = ("answer", "expected_answer", "final_answer", "gold", "target", "output", "label", "solution")
"""Where its answer may stand: the first that has text or a number. Without one the question alone is compared."""
USERS = ("user", "human")


@dataclass(frozen=True)
class BenchmarkTexts:
    """`answers`: one a text, "" where there is none. `rows`: of the file, `unreadable` ones among them: what is no row, or has no text
    where the others have their question."""

    texts: list[str]
    answers: list[str]
    rows: int
    unreadable: int


def read_benchmark(path: str) -> BenchmarkTexts:
    """JSONL, JSON arrays, CSV, TSV or Parquet, plain, .gz or .zst. Raises DataError when the file is missing or unreadable, or no row of it
    has a question: the message names its columns."""
    texts: list[str] = []
    answers: list[str] = []
    columns: dict[str, None] = {}
    rows = readable = 0
    broken: Record | None = None
    reader = row_reader(Path(path), strict=True, name=f"the benchmark {path}")
    for batch in reader.batches():
        for record in batch.records:
            rows += 1
            if record.broken:
                broken = broken or record
                continue
            columns.update(dict.fromkeys(record.values))
            found = _questions(record.values)
            readable += bool(found)
            texts += found
            answers += [_answer(record.values)] * len(found)
    if not columns:
        raise no_rows(f"the benchmark {path}", rows, broken)
    if not texts:
        known = ", ".join(dict.fromkeys(name for names in QUESTION for name in names))
        has = ", ".join(map(_shown, list(columns)[:40]))
        raise DataError(f"the benchmark {path} has a question in none of its {rows:,} rows: expected text in one of {known}; it has {has}")
    if 2 * readable < rows:
        raise DataError(f"the benchmark {path} has no question to read in {rows - readable:,} of {rows:,} rows: correct or convert it")
    return BenchmarkTexts(texts, answers, rows, rows - readable)


def _questions(values: Mapping[str, Any]) -> list[str]:
    """Of a question with its passage only both together."""
    used: set[str] = set()
    found: dict[str, None] = {}
    named = {str(name).strip().lower(): value for name, value in values.items()}
    for names in QUESTION:
        if all(name in named for name in names) and used.isdisjoint(names):
            parts = [_text(named[name]) for name in names]
            if all(parts) or (parts[0] and names[-1] == "input"):  # an instruction without an input is whole
                found["\n".join(filter(None, parts))] = None
                used.update(names)
    return list(found)


def _answer(values: Mapping[str, Any]) -> str:
    named = {str(name).strip().lower(): value for name, value in values.items()}
    found = (named[name] for name in ANSWER if isinstance(named.get(name), str | int | float))
    return next((text for value in found if (text := str(value).encode("utf-8", "replace").decode().strip())), "")


def _text(value: object) -> str:
    """Text, or what the users of a conversation say; "" for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().strip()
    turns = [value] if isinstance(value, Mapping) else value if isinstance(value, list) else []
    if turns and all(isinstance(turn, str) for turn in turns):  # the turns of MT-Bench
        return "\n".join(filter(None, map(_text, turns)))
    said = []
    for turn in turns:
        if isinstance(turn, Mapping) and str(turn.get("role") or turn.get("from")).lower() in USERS:
            content = turn["content"] if "content" in turn else turn.get("value")
            parts = content if isinstance(content, list) else [content]
            said += [_text(part.get("text") if isinstance(part, Mapping) else part) for part in parts if isinstance(part, Mapping | str)]
    return "\n".join(filter(None, said))


def _shown(name: str) -> str:
    return str(name).encode("unicode_escape").decode()[:60]
