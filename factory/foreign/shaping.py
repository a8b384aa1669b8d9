"""Records of somebody else's as a table of our rows, in as many processes as there are cores. How many decides no byte.

    pieces(Shape("problems", {"problem": "question", "answer": "answer"}, "line"), records)
    → Piece(table=…, problems={"2f0c…": Problem(…)}, rejects=[Reject(reason="malformed JSON", …)], marked=True), …

The process that reads the records goes on reading while others shape what it has read.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa

from factory.files.batches import Record
from factory.foreign.reading import Shaper, Unfit, table_of_rows
from factory.language.steps import By
from factory.processes import workers
from factory.rejects import reject
from factory.schemas import Problem, Reject

BATCH = 5_000  # records that a process shapes at once
BATCHES = 8  # read before the first of them is waited for


@dataclass(frozen=True)
class Shape:
    """What a process needs to make a Shaper."""

    kind: str
    columns: Mapping[str, str]
    steps: By
    turns: str | None = None

    def shaper(self) -> Shaper:
        return Shaper(self.kind, self.columns, self.steps, self.turns)


@dataclass(frozen=True)
class Piece:
    """`problems`: of the rows, by id; `marked`: whether answers stood behind GSM8K's mark."""

    table: pa.Table
    problems: dict[str, Problem]
    rejects: list[Reject]
    marked: bool


@dataclass(frozen=True)
class Shaped(Piece):
    """All of it. `same`: rows that say what another row says, which are numbered apart where ids are made of what they say."""

    same: int


def shaped(shape: Shape, records: Iterator[Record], processes: int | None = None) -> Shaped:
    """All records, sorted by id."""
    tables, problems, rejects, marked = list[pa.Table](), dict[str, Problem](), list[Reject](), False
    for piece in pieces(shape, records, processes):
        tables.append(piece.table)
        for key, problem in piece.problems.items():
            problems.setdefault(key, problem)
        rejects += piece.rejects
        marked |= piece.marked
    table, same = pa.concat_tables(tables), 0
    if "id" not in shape.columns:
        table, same = _numbered(table)
    return Shaped(table.combine_chunks().sort_by("id"), problems, rejects, marked, same)


def pieces(shape: Shape, records: Iterator[Record], processes: int | None = None) -> Iterator[Piece]:
    """In the order of the records."""
    with workers(processes) as each:
        waiting: Iterator[Piece] = iter(())
        while batches := list(islice(_batches(records), BATCHES)):
            ahead = each(partial(_piece, shape), batches)
            yield from waiting
            waiting = ahead
        yield from waiting


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    while batch := list(islice(records, BATCH)):
        yield batch


def _piece(shape: Shape, records: list[Record]) -> Piece:
    shaper, rows, problems, rejects = shape.shaper(), list[dict[str, Any]](), dict[str, Problem](), list[Reject]()
    for record in records:
        reason = record.broken
        if not reason:
            try:
                found = shaper.row(record.values)
            except Unfit as error:
                reason = str(error)
            else:
                rows.append(found.values)
                if found.problem:
                    problems.setdefault(found.problem.id, found.problem)
                continue
        rejects.append(reject("audit", {"line": record.line, **record.values}, reason, None))
    return Piece(table_of_rows(shape.kind, rows), problems, rejects, shaper.marked)


def _numbered(table: pa.Table) -> tuple[pa.Table, int]:
    """Two rows that say the same are two rows: the second one's id ends in -2. And how many there are besides the first of each."""
    counts, ids = Counter[str](), list[str]()
    for key in table.column("id").to_pylist():
        counts[key] += 1
        ids.append(f"{key}-{counts[key]}" if counts[key] > 1 else key)
    at = table.schema.get_field_index("id")
    return table.set_column(at, table.schema.field(at), pa.array(ids, pa.string())), sum(counts.values()) - len(counts)
