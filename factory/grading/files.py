"""Rows to grade, from JSONL, JSON arrays, CSV, TSV and Parquet, plain, .gz or .zst, in batches that fit in memory.

    with opened_rows("answers.jsonl.gz") as source:       # "-": JSONL from standard input
        source.columns, source.rows, source.broken        → ("gold", "response"), 1319, 1
        for batch in source.reader.batches(): batch.records → [Record({"gold": "18", …}, '{"gold": …}'), …]

A line that is no row stays in its place as Record({"malformed": line}, broken="malformed JSON"). A file that cannot be read is a DataError.
"""

import contextlib
import csv
import gzip
import io
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TextIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import DataError

ROWS, BYTES = 10_000, 64 << 20  # of one batch, at most
MALFORMED = "malformed"  # the column of what is no row
ENDINGS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}
PACKED = (".gz", ".zst")
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_BOM = b"\xef\xbb\xbf"


class Record(NamedTuple):
    """`text`: the row's line in a JSONL file, else "". `broken`: why it is no row, else ""."""

    values: dict[str, Any]
    text: str = ""
    broken: str = ""


class Batch(NamedTuple):
    """`table`: the rows as they stand in a Parquet file, with all their columns."""

    records: list[Record]
    table: pa.Table | None = None


class Reader(Protocol):
    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        """All rows in their order. `wanted`: the columns that the records need, None for all. `tables`: with `Batch.table`."""
        ...


class Source(NamedTuple):
    """A file whose rows are counted and whose columns are known. `broken`: how many rows are none. `schema`: a Parquet file's."""

    name: str
    reader: Reader
    columns: tuple[str, ...]
    rows: int
    broken: int
    schema: pa.Schema | None = None


def ending(path: Path) -> tuple[str, str]:
    """("json", "csv", "tsv", "parquet" or "" for no ending that is known; ".gz", ".zst" or "")."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    kind = ENDINGS.get(suffixes[-1], "") if suffixes else ""
    return ("" if kind == "parquet" and packed else kind), packed


@contextlib.contextmanager
def opened_rows(name: str) -> Iterator[Source]:
    """Raises DataError when there is no such file, it cannot be read, or it has no rows."""
    if name != "-":
        yield _source(name, Path(name))
        return
    with tempfile.NamedTemporaryFile(prefix="factory-grade-", suffix=".jsonl") as copy:  # it is read twice
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield _source("standard input", Path(copy.name))


def _source(name: str, path: Path) -> Source:
    if not path.is_file():
        there = "is no file: give what it says to factory grade -" if path.exists() else "is missing: correct its name"
        raise DataError(f"{name} {'is a folder: name a file in it' if path.is_dir() else there}")
    kind = ending(path)[0]
    if not kind:
        known = f"{', '.join(ENDINGS)}, and with .gz or .zst behind it, except for Parquet"
        raise DataError(f"{name} has no ending that says how to read it: expected {known}")
    reader: Reader = (
        _Parquet(path, name)
        if kind == "parquet"
        else _Csv(path, name, "\t" if kind == "tsv" else ",")
        if kind in ("csv", "tsv")
        else _json(path, name)
    )
    source = reader.source() if isinstance(reader, _Parquet) else _scanned(name, reader)
    if not source.rows:
        raise DataError(f"{name} has no rows: is it the file that you mean?")
    if source.broken == source.rows:
        expected = "no more cells than columns" if isinstance(reader, _Csv) else "a JSON object a line, or an array of objects"
        raise DataError(f"{name} has no rows: expected {expected}. Is its ending right?")
    if doubled := sorted({column for column in source.columns if source.columns.count(column) > 1}):
        raise DataError(f"{name} has two columns named {doubled[0]!r}: rename one")
    return source


def _scanned(name: str, reader: "Reader") -> Source:
    columns: dict[str, None] = dict.fromkeys(reader.header) if isinstance(reader, _Csv) else {}
    rows = broken = 0
    for batch in reader.batches():
        rows += len(batch.records)
        for record in batch.records:
            if record.broken:
                broken += 1
            elif not record.values.keys() <= columns.keys():
                columns.update(dict.fromkeys(record.values))
    return Source(name, reader, tuple(reader.header if isinstance(reader, _Csv) else columns), rows, broken)


@contextlib.contextmanager
def _unpacked(path: Path, name: str) -> Iterator[BinaryIO]:
    """The bytes without a byte order mark. Raises DataError for what cannot be unpacked or is not UTF-8 at all."""
    packed = ending(path)[1]
    try:
        with contextlib.ExitStack() as stack:
            if packed == ".gz":
                stream = cast(BinaryIO, stack.enter_context(gzip.open(path)))
            elif packed == ".zst":
                stream = cast(BinaryIO, io.BufferedReader(stack.enter_context(pa.input_stream(str(path), compression="zstd"))))
            else:
                stream = cast(BinaryIO, stack.enter_context(path.open("rb")))
            start = cast(io.BufferedReader, stream).peek(4)
            if encoding := _OTHER_ENCODINGS.get(start[:2]):
                raise DataError(f"{name} is {encoding}: save it as UTF-8")
            if start.startswith(_BOM):
                stream.read(len(_BOM))
            yield stream
    except (EOFError, zlib.error) as error:
        raise DataError(f"{name} cannot be unpacked: {error}. Fetch or pack it again") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from None


def _in_batches(records: Iterable[tuple[Record, int]]) -> Iterator[Batch]:
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


def _json(path: Path, name: str) -> "Reader":
    """One object a line, or one array of objects, which is read whole."""
    with _unpacked(path, name) as stream:
        start = b""
        while not start.strip() and (line := stream.readline(1 << 16)):
            start = line
        if not start.lstrip().startswith(b"["):
            return _Lines(path, name)
    with _unpacked(path, name) as stream:
        try:
            items = json.loads(stream.read().decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} begins with [ and is no JSON array ({error}): correct it, or write one object a line") from None
    return _Array(items)


class _Lines:
    """JSONL. Blank lines are no rows."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        with _unpacked(self.path, self.name) as stream:
            texts = (line.decode("utf-8", "replace").strip() for line in stream)
            yield from _in_batches((_parsed(text), len(text)) for text in texts if text)


def _parsed(line: str) -> Record:
    try:
        values = json.loads(line)
    except json.JSONDecodeError:
        return Record({MALFORMED: line}, broken="malformed JSON")
    except (ValueError, RecursionError):  # a whole number of thousands of digits, brackets in thousands of brackets
        return Record({MALFORMED: line}, broken="JSON that is too long or too deep")
    return Record(values, line) if isinstance(values, dict) else Record({MALFORMED: line}, broken="not a JSON object")


class _Array:
    """One JSON array."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        yield from _in_batches(
            (Record(item) if isinstance(item, dict) else Record({MALFORMED: json.dumps(item)}, broken="not a JSON object"), 1)
            for item in self.items
        )


class _Csv:
    """CSV or TSV whose first row names the columns; all cells are text. A short row lacks its last columns, a longer one is no row."""

    def __init__(self, path: Path, name: str, delimiter: str) -> None:
        csv.field_size_limit(sys.maxsize)
        self.path, self.name, self.delimiter = path, name, delimiter
        self.header: list[str] = next(self._rows(), [])

    def _rows(self) -> Iterator[list[str]]:
        with _unpacked(self.path, self.name) as stream:
            lines = io.TextIOWrapper(cast(Any, stream), encoding="utf-8", errors="replace", newline="")
            rows = csv.reader(cast(TextIO, lines), delimiter=self.delimiter, strict=True)
            try:
                yield from (row for row in rows if row)
            except csv.Error as error:
                raise DataError(f"{self.name}, line {rows.line_num}: {error}. Quote the cell, and double the quotes in it") from None

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        rows = self._rows()
        next(rows, None)
        yield from _in_batches((self._record(row), sum(map(len, row))) for row in rows)

    def _record(self, row: list[str]) -> Record:
        if len(row) > len(self.header):
            return Record({MALFORMED: json.dumps(row, ensure_ascii=False)}, broken="more cells than columns")
        return Record(dict(zip(self.header, row, strict=False)))


class _Parquet:
    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    @contextlib.contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(self.path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.name} is not a readable Parquet file: {str(error).splitlines()[0]}") from None

    def source(self) -> Source:
        with self._opened() as file:
            return Source(self.name, self, tuple(file.schema_arrow.names), file.metadata.num_rows, 0, file.schema_arrow)

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        with self._opened() as file:
            size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
            rows = max(1, min(ROWS, BYTES * file.metadata.num_rows // max(1, size)))
            for part in file.iter_batches(rows, columns=None if wanted is None or tables else list(wanted)):
                names = [name for name in part.schema.names if wanted is None or name in wanted]
                columns = [_values(part.column(name)) for name in names]
                records = [Record(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
                yield Batch(records, pa.Table.from_batches([part]) if tables else None)


def _values(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist()
    except UnicodeDecodeError:  # text that is not UTF-8, which other writers let through
        return [None if value is None else value.decode("utf-8", "replace") for value in column.cast(pa.large_binary()).to_pylist()]
