"""Columns of Parquet tables by SQL: counts and few rows, never a table as Python objects.

    with Scan.of(Path("data/tables/rollouts_r1.parquet")) as scan:
        scan.rows                                      → 3600
        scan.counts("length(completion)")              → Counter({118: 41, 121: 40, …}), None: where it is null
        scan.some([0, 1800], ["id", "completion"])     → [{"id": "0006…", "completion": "…"}, …]

Memory is bounded: DuckDB spills beside the temporary files of the machine, and nothing depends on the order in which its threads meet rows.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import DataError
from factory.storage import count_rows, shards

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "1500MB"
FETCHED = 4096  # rows of an answer
FEW = 256  # rows decoded at once to pick some of them


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_OPEN: "list[DuckDBPyConnection]" = []  # the one that a report holds


@contextmanager
def connected() -> "Iterator[DuckDBPyConnection]":
    """A connection with bounded memory, whose spilled data end with it; inside of `one_database`, a cursor of that one."""
    if _OPEN:
        with _OPEN[-1].cursor() as cursor:
            yield cursor
        return
    import duckdb  # here: what a stage froze before it ran, DuckDB would call leaked when the stage ends

    with tempfile.TemporaryDirectory() as folder:
        connection = duckdb.connect(
            config={"memory_limit": MEMORY, "threads": 2, "temp_directory": folder, "preserve_insertion_order": False}
        )
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def one_database() -> Iterator[None]:
    """All scans inside share a database: to open one takes 10 ms, and a report scans each table several times."""
    with connected() as connection:
        _OPEN.append(connection)
        try:
            yield
        finally:
            _OPEN.remove(connection)


@dataclass(frozen=True)
class Scan:
    """A table: one file, or the shards of a dataset."""

    connection: "DuckDBPyConnection"
    files: tuple[Path, ...]
    schema: pa.Schema
    rows: int

    @classmethod
    @contextmanager
    def of(cls, path: Path) -> "Iterator[Scan]":
        """Raises DataError for a file that is missing or no readable Parquet file, now or in any question."""
        files = tuple(shards(path))
        rows = count_rows(path)
        with connected() as connection:
            yield cls(connection, files, pq.read_schema(files[0]), rows)

    @property
    def source(self) -> str:
        return f"read_parquet([{', '.join(literal(str(file)) for file in self.files)}])"

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """`{rows}` in the query stands for the table."""
        import duckdb

        try:
            return self.connection.execute(query.replace("{rows}", self.source)).fetchall()
        except duckdb.Error as error:
            raise self._unreadable(error) from None

    def each(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The same, some thousand rows of the answer in memory at once."""
        import duckdb

        try:
            answer = self.connection.execute(query.replace("{rows}", self.source))
            while rows := answer.fetchmany(FETCHED):
                yield from rows
        except duckdb.Error as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(f"{self.files[0]} cannot be read ({str(error).splitlines()[0][:200]}): make it again")

    def counts(self, expression: str, where: str = "true") -> Counter[Any]:
        """How many rows have each value of a SQL expression."""
        return Counter(dict(self.ask(f"SELECT {expression} AS value, count(*) FROM {{rows}} WHERE {where} GROUP BY ALL ORDER BY ALL")))

    def some(self, positions: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows that stand there, counted from 0; row groups without one are not read."""
        wanted, found, start = sorted(set(positions)), list[dict[str, Any]](), 0
        for path in self.files:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    end = start + file.metadata.row_group(group).num_rows
                    inside = [position - start for position in wanted if start <= position < end]
                    found += _picked(file, group, inside, columns) if inside else []
                    start = end
        return found


def _picked(file: pq.ParquetFile, group: int, inside: list[int], columns: Sequence[str] | None) -> list[dict[str, Any]]:
    found, offset = [], 0
    for batch in file.iter_batches(FEW, row_groups=[group], columns=columns):
        found += [batch.slice(place - offset, 1).to_pylist()[0] for place in inside if offset <= place < offset + batch.num_rows]
        offset += batch.num_rows
        if offset > inside[-1]:
            break
    return found
