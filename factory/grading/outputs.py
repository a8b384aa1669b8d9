"""Write graded rows: the rows as they stood, with columns behind them, whole or not at all.

    with written("graded.jsonl", source, ("verdict", "reason")) as write:
        write(batch, [("correct", ""), …])        # a row of JSONL is copied to the letter: {"gold": 1.50, "verdict": "correct", …

What a format cannot hold is changed: NaN to null in JSON, lists and objects to JSON text in CSV, columns of mixed values to text
in Parquet, lone surrogates to their escapes in CSV and Parquet.
"""

import contextlib
import csv
import gzip
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from factory.files import MALFORMED, Batch, Source, ending
from factory.whole import whole_file

Added = Sequence[str | None]  # the values of the columns that are added
TEXT = pa.string()
MIXED = (pa.ArrowException, OverflowError, ValueError, TypeError)  # what Arrow raises for values of several types
Write = Callable[[Batch, Sequence[Added]], None]


@contextlib.contextmanager
def written(out: str, source: Source, names: Sequence[str]) -> Iterator[Write]:
    """A function that writes batches to `out`, by its ending; "-" is JSONL on standard output. `names`: the columns that are added."""
    if out == "-":
        yield _json_lines(sys.stdout.buffer, names)
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    kind, packed = ending(path)
    columns = [*source.columns, *([MALFORMED] if source.broken and MALFORMED not in source.columns else [])]
    with whole_file(path) as temporary:
        if kind == "parquet":
            schema = _parquet_schema(source, columns, names)
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                yield _tables(writer, schema, names)
            return
        with _packing(temporary, packed) as stream:
            yield _json_lines(stream, names) if kind == "json" else _cells(stream, columns, names, "\t" if kind == "tsv" else ",")


@contextlib.contextmanager
def _packing(path: Path, packed: str) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as stack:
        if packed == ".zst":
            yield cast(BinaryIO, stack.enter_context(pa.output_stream(str(path), compression="zstd")))
            return
        stream = stack.enter_context(path.open("wb"))
        if packed == ".gz":  # without a name and a time: the same bytes every time
            stream = cast(Any, stack.enter_context(gzip.GzipFile("", "wb", 6, stream, mtime=0)))
        yield stream


def _json_lines(stream: BinaryIO, names: Sequence[str]) -> Write:
    def write(batch: Batch, added: Sequence[Added]) -> None:
        lines = []
        for record, values in zip(batch.records, added, strict=True):
            more = dict(zip(names, values, strict=True))
            if record.text:  # an object, as it was written
                head = record.text[:-1].rstrip() + (", " if record.values else "")
                lines.append(head.encode() + to_json(more)[1:])
            else:
                lines.append(to_json({**record.values, **more}))
        stream.write(b"\n".join(lines) + b"\n")

    return write


def to_json(value: object) -> bytes:
    """One line of UTF-8; lone surrogates as escapes, NaN and infinities as null."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        value = _finite(value)
        text = json.dumps(value, ensure_ascii=False, default=_plain)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=_plain).encode()


def _plain(value: object) -> str:
    """Dates, decimals and bytes of Parquet files."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _cells(stream: BinaryIO, columns: Sequence[str], names: Sequence[str], delimiter: str) -> Write:
    def put(rows: Iterable[Sequence[str]]) -> None:
        page = io.StringIO(newline="")
        minimal = csv.writer(page, lineterminator="\n", delimiter=delimiter)
        quoted = csv.writer(page, lineterminator="\n", delimiter=delimiter, quoting=csv.QUOTE_ALL)
        for row in rows:
            (quoted if any("\r" in cell for cell in row) else minimal).writerow(row)
        stream.write(page.getvalue().encode("utf-8", "backslashreplace"))

    def write(batch: Batch, added: Sequence[Added]) -> None:
        pairs = zip(batch.records, added, strict=True)
        put([*(_cell(record.values.get(column)) for column in columns), *(value or "" for value in values)] for record, values in pairs)

    put([[*columns, *names]])
    return write


def _cell(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return to_json(value).decode() if isinstance(value, dict | list | tuple | bool) else _plain(value)


def _tables(writer: pq.ParquetWriter, schema: pa.Schema, names: Sequence[str]) -> Write:
    own = pa.schema(list(schema)[: -len(names)])

    def write(batch: Batch, added: Sequence[Added]) -> None:
        table = batch.table
        if table is None:
            values = ([record.values.get(field.name) for record in batch.records] for field in own)
            table = pa.Table.from_arrays([_array(column, field.type) for column, field in zip(values, own, strict=True)], schema=own)
        for name, column in zip(names, zip(*added, strict=True), strict=True):
            table = table.append_column(pa.field(name, TEXT), [_array(column, TEXT)])
        writer.write_table(table)

    return write


def _parquet_schema(source: Source, columns: Sequence[str], names: Sequence[str]) -> pa.Schema:
    """The schema of a Parquet file; else types that hold every value: text where there are no others."""
    more = [pa.field(name, TEXT) for name in names]
    if source.schema is not None:
        return pa.schema([*source.schema, *more], source.schema.metadata)
    types: dict[str, pa.DataType] = dict.fromkeys(columns, pa.null())
    for batch in source.reader.batches():
        for column, known in types.items():
            if known != TEXT:
                types[column] = _widened(known, [record.values.get(column) for record in batch.records])
    for batch in source.reader.batches():  # once more: a type that grew may not hold what came before
        for column, known in types.items():
            if known != TEXT and not _holds(known, [record.values.get(column) for record in batch.records]):
                types[column] = TEXT
    return pa.schema([*(pa.field(column, kind) for column, kind in types.items()), *more])


def _widened(known: pa.DataType, values: Sequence[object]) -> pa.DataType:
    """A type for these values too, TEXT if there is none but that."""
    try:
        pair = [pa.schema([("", kind)]) for kind in (known, _array(values, None).type)]
        found = pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except MIXED:
        return TEXT
    return TEXT if "struct<>" in str(found) else found  # Parquet has no empty objects


def _holds(kind: pa.DataType, values: Sequence[object]) -> bool:
    try:
        _array(values, kind)
    except MIXED:
        return False
    return True


def _array(values: Sequence[object], kind: pa.DataType | None) -> pa.Array:
    if kind == TEXT:
        values = [value if value is None or isinstance(value, str) else to_json(value).decode() for value in values]
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([_encodable(value) for value in values], kind)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
