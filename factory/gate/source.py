"""The rows that are audited, in parts: of a Parquet file or dataset folder its row groups, which processes read on their own; of a table
in memory slices. Nothing holds them all.

    source = Source(Path("data/tables/restarts_r1.parquet"))
    source.parts         → (Part(path=…, group=0, start=0, rows=50000), …)
    next(source.batches(source.parts[0], ["id", "prefix"]))      → a RecordBatch of at most 1,000 rows
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from factory.processes import cores
from factory.row_groups import groups
from factory.storage import parquet, parts, shards

MANY = 100_000  # rows for which further processes are started: they take two seconds
BATCH = 1_000  # rows that stand in memory as Python objects
SLICE = 50_000


@dataclass(frozen=True)
class Part:
    """`rows` rows from row `start` of the whole on: row group `group` of the file, or a slice of the table where there is no file."""

    path: Path | None
    group: int
    start: int
    rows: int


class Source:
    """Raises DataError where a file is missing or damaged, when it is opened or when it is read."""

    def __init__(self, rows: pa.Table | Path) -> None:
        self.table = rows if isinstance(rows, pa.Table) else None
        self.schema: pa.Schema = rows.schema if isinstance(rows, pa.Table) else pa.schema([])
        found: list[tuple[Path | None, int, int]] = []
        if isinstance(rows, pa.Table):
            found = [(None, number, min(SLICE, rows.num_rows - first)) for number, first in enumerate(range(0, rows.num_rows, SLICE))]
        else:
            with parquet(shards(rows)[-1]) as file:
                self.schema = file.schema_arrow
            found = [(group.path, group.number, group.rows) for group in groups(rows)]
        starts = itertools.accumulate((count for _, _, count in found), initial=0)
        self.parts = tuple(Part(path, group, start, count) for (path, group, count), start in zip(found, starts) if count)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    def processes(self, asked: int | None) -> int:
        """How many read it: `asked`, or one a core where there is much to do. A table in memory has one reader."""
        if self.table is not None or len(self.parts) < 2:
            return 1
        return asked or (cores() if self.rows >= MANY else 1)

    def batches(self, part: Part, columns: Sequence[str], size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """The part's rows in their order, with these columns in this order."""
        if part.path is None:
            assert self.table is not None
            for batch in self.table.select(list(columns)).slice(part.start, part.rows).to_batches(size):
                yield batch
            return
        with parquet(part.path) as file:
            for batch in parts(file, list(columns), part.group, size):
                yield batch.select(list(columns))

    def column(self, name: str) -> Iterator[pa.Array]:
        """One column alone, in pieces."""
        return (batch.column(0) for part in self.parts for batch in self.batches(part, [name], SLICE))

    def between(self, start: int, end: int, columns: Sequence[str]) -> pa.Table:
        """Rows `start` to `end` - 1, in memory."""
        pieces = []
        for part in self.parts:
            place = part.start
            if part.start + part.rows <= start or part.start >= end:
                continue
            for batch in self.batches(part, columns, SLICE if len(self.parts) == 1 else 5 * BATCH):
                first, last = max(start - place, 0), min(end - place, batch.num_rows)
                if first < last:
                    pieces.append(batch.slice(first, last - first))
                place += batch.num_rows
        return pa.Table.from_batches(pieces, pa.schema([self.schema.field(name) for name in columns]))

    def records(self, positions: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """(position, row) of these positions in their order; parts without one are not read."""
        wanted = sorted(set(positions))
        for part in self.parts:
            held = wanted[bisect.bisect_left(wanted, part.start) : bisect.bisect_left(wanted, part.start + part.rows)]
            place = part.start
            for batch in self.batches(part, self.schema.names) if held else ():
                inside = held[bisect.bisect_left(held, place) : bisect.bisect_left(held, place + batch.num_rows)]
                if inside:
                    yield from zip(inside, batch.take(pa.array([position - place for position in inside])).to_pylist())
                place += batch.num_rows
                if place > held[-1]:
                    break
