"""Read problems from files, the Hub, or the procedural world.

    GSM8K's row {"question": "Janet's ducks …", "answer": "… 16 - 3 - 4 = <<16-3-4=9>>9 …\\n#### 18"} with
    {kind: file, columns: {problem: question, answer: answer, solution: answer}, answer_after: "####"}
    → Problem(answer="18", solution="… 16 - 3 - 4 = 9 …\\n\\\\boxed{18}", …)

A row that cannot be read becomes a reject with `file:line`; a file that cannot be read, or none of whose rows can, is an error.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from factory.errors import DataError
from factory.files import MALFORMED, Record, no_rows, row_reader
from factory.language.tokens.control import strays
from factory.params import Problems, Source
from factory.problems.hub import hub_rows
from factory.problems.records import DUPLICATE, Raw, from_records, mapped_columns, rejected
from factory.problems.world import draw_problems
from factory.schemas import Problem, Reject

__all__ = ["Read", "from_records", "read_problems", "read_raw", "reasons"]

_FORMATS = {"jsonl": "json", "json": "json", "csv": "csv", "tsv": "tsv", "parquet": "parquet"}  # kinds that say how to read a file
_LONGEST_SHOWN = 10_000  # characters of a line that is no row, in its reject


@dataclass(frozen=True)
class Read:
    """What a source gave: rows = problems + rejects. `unreadable` rows of the file are among the rejects."""

    source: Source
    problems: list[Problem]
    rejects: list[Reject]
    unreadable: int

    @property
    def rows(self) -> int:
        return len(self.problems) + len(self.rejects)

    def said(self) -> list[str]:
        """Lines for people: how many rows there were, and the control tokens that their texts spell."""
        why = f" ({reasons(self.rejects)})" if self.rejects else ""
        counts = f"{self.rows:,} rows, {self.unreadable:,} unreadable, {len(self.rejects) - self.unreadable:,} rejected{why}"
        lines = [f"problems: {self.source.name} ({self.source.path or 'drawn'}): {counts}"]
        spelled = [found for row in self.problems if (found := strays(f"{row.problem}\n{row.answer}\n{row.solution or ''}"))]
        if spelled:
            tokens = Counter(token for found in spelled for token in found).most_common(8)
            rows = f"{len(spelled):,} problem{'s spell' if len(spelled) > 1 else ' spells'}"
            names = ", ".join(f"{name} {count:,}" for name, count in tokens)
            lines.append(f"problems: {self.source.name}: {rows} control tokens ({names}): they are read as plain text")
        return lines


def reasons(rejects: Iterable[Reject]) -> str:
    """The four main ones, with their numbers."""
    counts = sorted(Counter(row.reason for row in rejects).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in counts[:4]) or "none"


def read_problems(params: Problems, seed: int) -> list[Read]:
    """What each source gave; the split of rows without one is not decided yet. No id stands twice: of sources that share rows the first has
    them, and the others' are rejects that name it."""
    read: list[Read] = []
    known: set[str] = set()
    for source in params.sources:
        found = _world(params, seed, source) if source.kind == "world" else _read(source)
        again = [row for row in found.problems if row.id in known]
        if again:
            own = [row for row in found.problems if row.id not in known]
            doubles = [rejected(source, Raw(source.path or source.kind, {"problem": row.problem}), DUPLICATE, row.id) for row in again]
            found = Read(source, own, found.rejects + doubles, found.unreadable)
        known.update(row.id for row in found.problems)
        read.append(found)
    return read


def _world(params: Problems, seed: int, source: Source) -> Read:
    if params.world is None:
        raise DataError(f"problems.sources has {source.name} of kind world, but there is no section problems.world: add its sizes")
    return Read(source, [replace(row, weight=source.weight) for row in draw_problems(params.world, seed)], [], 0)


def _read(source: Source) -> Read:
    rows = read_raw(source)
    problems, rejects = from_records(source, rows)
    assert len(rows) == len(problems) + len(rejects), (len(rows), len(problems), len(rejects))
    return Read(source, problems, rejects, sum(1 for row in rows if row.broken))


def read_raw(source: Source) -> list[Raw]:
    """The rows of a file or a Hub dataset. Raises DataError when it is missing or unreadable, none of its rows can be read, or none has a
    mapped column."""
    if source.path is None:
        raise DataError(f"problems.sources.{source.name} has no path: name the file, or the Hub dataset's id")
    columns, rows = _hub(source, source.path) if source.kind == "hub" else _file(source, Path(source.path))
    for ours, theirs in mapped_columns(source).items():
        if theirs not in columns:
            names = ", ".join(name.encode("unicode_escape").decode()[:60] for name in sorted(columns)[:40]) or "none"
            has = f"{source.path} has no column {theirs!r} for {ours}; it has {names}"
            raise DataError(f"{has}: correct problems.sources.{source.name}.columns")
    return rows


def _hub(source: Source, path: str) -> tuple[list[str], list[Raw]]:
    columns, rows = hub_rows(source, path)
    found = list(rows)
    if not found and set(columns) >= set(mapped_columns(source).values()):
        raise DataError(f"{path}@{source.revision} has no rows in its split {source.hub_split}")
    return columns, found


def _file(source: Source, path: Path) -> tuple[list[str], list[Raw]]:
    reader = row_reader(_existing(path), _FORMATS.get(source.kind, ""), strict=True)
    columns: dict[str, None] = dict.fromkeys(reader.header)
    rows: list[Raw] = []
    broken: Record | None = None
    for batch in reader.batches():
        for record in batch.records:
            at = f"{path}:{record.line}"
            if record.broken:
                broken = broken or record
                rows.append(Raw(at, {MALFORMED: str(record.values[MALFORMED])[:_LONGEST_SHOWN]}, record.broken))
            else:
                columns.update(dict.fromkeys(record.values))
                rows.append(Raw(at, record.values))
    if all(row.broken for row in rows):
        raise no_rows(f"{path} (problems.sources.{source.name})", len(rows), broken)
    return list(columns), rows


def _existing(path: Path) -> Path:
    """Raises DataError saying what is there instead."""
    if path.exists():
        return path
    folder = path.parent
    there = ", ".join(sorted(item.name for item in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
    raise DataError(f"{path} is missing; in {folder} there is: {there or 'nothing'}. Correct the path in params.yaml, or fetch the file")
