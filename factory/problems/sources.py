"""Read problems from JSONL, Parquet, the Hub, or the procedural world.

    GSM8K's row {"question": "Janet's ducks …", "answer": "… 16 - 3 - 4 = <<16-3-4=9>>9 …\\n#### 18"} with
    {kind: jsonl, columns: {problem: question, answer: answer, solution: answer}, answer_after: "####"}
    → Problem(answer="18", solution="… 16 - 3 - 4 = 9 …\\n\\\\boxed{18}", …)

A row that cannot be read becomes a reject with `file:line`; a file that cannot be read is an error.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.grading import clean_gold
from factory.identity import row_id
from factory.params import Problems, Source
from factory.problems.world import draw_problems
from factory.schemas import AnswerKind, Problem, Reject, Split
from factory.storage import read_table, reject

STAGE = "problems"
MOST_DECIMALS = 30
SPACES_COUNT: tuple[AnswerKind, ...] = ("literal", "table")  # in their answers
NO_SPLIT: Split = "train"  # until `split.assign` has put the rows of sources without a split of their own
_CALCULATOR = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True)
class Raw:
    """One row as it stands in its file. `at` is `file:line`; `broken` says why there is no record."""

    at: str
    record: dict[str, Any]
    broken: str = ""


def normalise(text: str) -> str:
    """Unicode NFC, single spaces, no space around newlines, no blank lines."""
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFC", text).splitlines())
    return "\n".join(line for line in lines if line)


def read_problems(params: Problems, seed: int) -> tuple[list[Problem], list[Reject]]:
    """All sources' problems (the split of rows without one is not yet decided) and what could not be read."""
    problems: list[Problem] = []
    rejects: list[Reject] = []
    for source in params.sources:
        if source.kind == "world":
            if params.world is None:
                raise DataError(f"problems.sources has {source.name} of kind world, but there is no section problems.world: add its sizes")
            problems += draw_problems(params.world, seed)
            continue
        good, bad = from_records(source, read_raw(source))
        problems += good
        rejects += bad
    return problems, rejects


def read_raw(source: Source) -> list[Raw]:
    """The rows of a file or a Hub dataset. Raises DataError when it is missing, unreadable or empty, or no row has a mapped column."""
    if source.path is None:
        raise DataError(f"problems.sources.{source.name} has no path: name the file, or the Hub dataset's id")
    rows = list(_hub_rows(source, source.path)) if source.kind == "hub" else read_file(Path(source.path), source.kind)
    columns = sorted({name for row in rows for name in row.record})
    for ours, theirs in _columns(source).items():
        if columns and theirs not in columns:
            has = f"{source.path} has no column {theirs!r} for {ours}; it has {', '.join(columns)}"
            raise DataError(f"{has}: mend problems.sources.{source.name}.columns")
    return rows


def read_file(path: Path, kind: str) -> list[Raw]:
    """The rows of a `jsonl` or `parquet` file. Raises DataError when it is missing, unreadable or empty."""
    rows = list(_jsonl_rows(_existing(path)) if kind == "jsonl" else _parquet_rows(_existing(path)))
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows


def _existing(path: Path) -> Path:
    """Raises DataError saying what is there instead."""
    if path.is_file():
        return path
    folder = path.parent
    there = ", ".join(sorted(item.name for item in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
    raise DataError(f"{path} is missing; in {folder} there is: {there or 'nothing'}. Mend the path in params.yaml, or fetch the file")


def _columns(source: Source) -> dict[str, str]:
    return {"problem": "problem", "answer": "answer", **source.columns}


def _jsonl_rows(path: Path) -> Iterator[Raw]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            at = f"{path}:{number}"
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                yield Raw(at, {}, "malformed JSON")
                continue
            yield Raw(at, record) if isinstance(record, dict) else Raw(at, {}, "not a JSON object")


def _parquet_rows(path: Path) -> Iterator[Raw]:
    for number, record in enumerate(read_table(path).to_pylist(), start=1):
        yield Raw(f"{path}:{number}", record)


def _hub_rows(source: Source, name: str) -> Iterator[Raw]:
    if source.revision is None:
        raise DataError(f"problems.sources.{source.name} has no revision: name a commit of {name}, so that tomorrow's rows are today's")
    import datasets

    try:
        rows = datasets.load_dataset(name, revision=source.revision, split=source.hub_split)
    except (OSError, ValueError) as error:  # no network, no such dataset, revision or split
        raise DataError(f"{name}@{source.revision} cannot be loaded: {str(error).splitlines()[0]}") from None
    for number, record in enumerate(rows, start=1):
        yield Raw(f"{name}@{source.revision}:{number}", record)


def from_records(source: Source, rows: Iterable[Raw]) -> tuple[list[Problem], list[Reject]]:
    problems: dict[str, Problem] = {}
    rejects = []
    for row in rows:
        made = _problem(source, row)
        if isinstance(made, str):
            rejects.append(reject(STAGE, {"at": row.at, **row.record}, made))
        elif made.id in problems:
            rejects.append(reject(STAGE, {"at": row.at, **row.record}, "exact duplicate", made.id))
        else:
            problems[made.id] = made
    return list(problems.values()), rejects


def _problem(source: Source, row: Raw) -> Problem | str:
    """The problem, or why there is none (the same words for the same cause: rejects are counted by them)."""
    if row.broken:
        return row.broken
    fields: dict[str, str] = {}
    for ours, theirs in _columns(source).items():
        value = row.record.get(theirs)
        if value is None and ours in ("problem", "answer"):
            return f"no {theirs}"
        text = "" if value is None else str(value)
        fields[ours] = text.strip() if ours == "answer" and source.answer_kind in SPACES_COUNT else normalise(text)
    if source.answer_after:
        before, mark, after = fields["answer"].rpartition(source.answer_after)
        if not mark:
            return f"no {source.answer_after} in the answer"
        fields["answer"] = after.strip()
        if source.columns.get("solution") == _columns(source)["answer"]:
            fields["solution"] = before
    for ours in ("problem", "answer"):
        if not fields[ours]:
            return f"empty {ours}"
    fields["answer"], broken = clean_gold(fields["answer"], source.answer_kind)
    if broken:
        return broken
    decimals = fields.get("decimals") or None
    if decimals and not (decimals.isascii() and decimals.isdigit() and int(decimals) <= MOST_DECIMALS):
        return f"decimals is no whole number up to {MOST_DECIMALS}"
    solution = gold_solution(fields.get("solution", ""), fields["answer"])
    key = row_id("problem", source.name, fields["problem"], fields["answer"])
    return Problem(
        id=key, source=source.name, family=fields.get("family") or source.name, group="none", split=source.split or NO_SPLIT, instance=key,
        problem=fields["problem"], answer=fields["answer"], answer_kind=source.answer_kind,
        decimals=int(decimals) if decimals else None, solution=solution,
    )  # fmt: skip


def gold_solution(text: str, answer: str) -> str | None:
    """The steps without calculator annotations, the answer boxed in the last one; None for an empty text."""
    steps = normalise(_CALCULATOR.sub("", text))
    if not steps:
        return None
    return steps if r"\boxed{" in steps.splitlines()[-1] else f"{steps}\n\\boxed{{{answer}}}"
