"""What every reader gives: rows in batches that fit in memory.

Record({"gold": "18", "response": "…"}, '{"gold": "18", …}', line=1)
Record({"malformed": '{"gold": "1'}, broken="malformed JSON", line=2)
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

ROWS, BYTES = 10_000, 64 << 20  # of one batch, at most
MALFORMED = "malformed"  # the column of what is no row
NOT_UTF_8 = "not UTF-8"


class Record(NamedTuple):
    """`text`: the row's line in a JSONL file, else "". `broken`: why it is no row, else "". `line`: its (last) line in JSONL and CSV, else
    its number, from 1."""

    values: dict[str, Any]
    text: str = ""
    broken: str = ""
    line: int = 0


class Batch(NamedTuple):
    """`table`: the rows as they stand in a Parquet file, with all their columns."""

    records: list[Record]
    table: pa.Table | None = None


class Reader(Protocol):
    """`header`: the columns where the file names them, () where only its rows do."""

    header: tuple[str, ...]

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        """All rows in their order. `wanted`: the columns that the records need, None for all. `tables`: with `Batch.table`."""
        ...


def in_batches(records: Iterable[tuple[Record, int]]) -> Iterator[Batch]:
    """Records come with their sizes."""
    found: list[Record] = []
    size = 0
    for record, length in records:
        found.append(record)
        size += length
        if len(found) == ROWS or size > BYTES:
            yield Batch(found)
            found, size = [], 0
    if found:
        yield Batch(found)
