"""Rows of files, from JSONL, JSON arrays, CSV, TSV and Parquet, plain, .gz or .zst, in batches that fit in memory.

    with opened_rows("answers.jsonl.gz") as source:       # "-": JSONL from standard input
        source.columns, source.rows, source.broken        → ("gold", "response"), 1319, 1
        for batch in source.reader.batches(): batch.records → [Record({"gold": "18", …}, '{"gold": …}', line=1), …]
    reader = row_reader(Path("train.jsonl"), strict=True) → the same without counting first

A line that is no row stays in its place as Record({"malformed": line}, broken="malformed JSON"). A file that cannot be read is a DataError.
Where `strict`, text that is not UTF-8 and an object with a key twice are broken too; else U+FFFD stands for such text, and the last value
counts.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from factory.errors import DataError
from factory.files.batches import MALFORMED, Batch, Reader, Record
from factory.files.csv_rows import CsvReader
from factory.files.json_rows import json_reader
from factory.files.parquet_rows import ParquetReader
from factory.files.unpacking import ENDINGS, PARQUET, ending, first_bytes

__all__ = ["ENDINGS", "MALFORMED", "Batch", "Reader", "Record", "Source", "ending", "no_rows", "opened_rows", "row_reader"]


class Source(NamedTuple):
    """A file whose rows are counted and whose columns are known. `broken`: how many rows are none. `schema`: a Parquet file's."""

    name: str
    reader: Reader
    columns: tuple[str, ...]
    rows: int
    broken: int
    schema: pa.Schema | None = None


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


def row_reader(path: Path, kind: str = "", strict: bool = False, name: str = "") -> Reader:
    """The reader for what a file is: Parquet by its first bytes, else by its ending, else by `kind` (json, csv, tsv or parquet).

    Raises DataError when there is no such file, nothing says how to read it, or two of its columns have one name."""
    name = name or str(path)
    if not path.is_file():
        there = "is no file: save what it says in one" if path.exists() else "is missing: correct its name"
        raise DataError(f"{name} {'is a folder: name a file in it' if path.is_dir() else there}")
    kind = "parquet" if first_bytes(path, name).startswith(PARQUET) else ending(path)[0] or kind
    if not kind:
        known = f"{', '.join(ENDINGS)}, and with .gz or .zst behind it, except for Parquet"
        raise DataError(f"{name} has no ending that says how to read it: expected {known}")
    reader: Reader
    if kind == "parquet":
        reader = ParquetReader(path, name, strict)
    elif kind in ("csv", "tsv"):
        reader = CsvReader(path, name, "\t" if kind == "tsv" else ",", strict)
    else:
        reader = json_reader(path, name, strict)
    if doubled := sorted({column for column in reader.header if reader.header.count(column) > 1}):
        raise DataError(f"{name} has two columns named {doubled[0]!r}: rename one")
    return reader


def no_rows(name: str, rows: int, first: Record | None) -> DataError:
    """The error of a file none of whose rows can be read. `first`: one of them."""
    if not rows or first is None:
        return DataError(f"{name} has no rows: is it the file that you mean?")
    expected = "no more cells than columns" if "cells" in first.broken else "a JSON object a line, or an array of objects"
    found = f"row {first.line} is {first.broken}: {str(first.values.get(MALFORMED, ''))[:40].encode('unicode_escape').decode()!r}"
    return DataError(f"{name} has no rows that can be read (of {rows:,}; {found}): expected {expected}. Is its ending right?")


def _source(name: str, path: Path) -> Source:
    reader = row_reader(path, name=name)
    if isinstance(reader, ParquetReader):
        source, broken = Source(name, reader, reader.header, reader.rows, 0, reader.schema), None
    else:
        source, broken = _scanned(name, reader)
    if source.broken == source.rows:
        raise no_rows(name, source.rows, broken)
    return source


def _scanned(name: str, reader: Reader) -> tuple[Source, Record | None]:
    """With the first row that is none."""
    columns: dict[str, None] = dict.fromkeys(reader.header)
    rows = broken = 0
    first = None
    for batch in reader.batches():
        rows += len(batch.records)
        for record in batch.records:
            if record.broken:
                broken += 1
                first = first or record
            elif not record.values.keys() <= columns.keys():
                columns.update(dict.fromkeys(record.values))
    return Source(name, reader, reader.header or tuple(columns), rows, broken), first
