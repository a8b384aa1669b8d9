"""The columns that a dataset is judged by: the answers of its checks, and of its own columns what an expectation needs of them.

    columns, whole = columns_of(source, Restart, "restarts", background, ["buffer", "prefix.hash", "prefix_of_parent"])
    columns["prefix.hash"]      → ChunkedArray of 64-bit hashes, as long as the table

`<column>` is the value itself, `.there` 1 or null, `.hash` 64 bits of it (two of a million texts are taken for one with odds of 10^-7),
`.length` its characters: of a conversation or list those of all its texts. Long texts stay where they are. Row groups are read by as many
processes as there are cores; columns come in the order of the rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from factory.arrays import rows_of
from factory.gate.background import Background
from factory.gate.leakage import hashed
from factory.gate.source import Part, Source
from factory.gate.table import checks_of
from factory.processes import mapped
from factory.schemas import Row, arrow_schema, field_types


@dataclass(frozen=True)
class Work:
    """What a process does to a part."""

    source: Source
    row_type: type[Row]
    kind: str
    background: Background
    reads: tuple[str, ...]

    def __call__(self, part: Part) -> dict[str, list[pa.Array]]:
        """Column → its pieces. A piece without answers (of checks, hashes) is of rows with nulls where none may be."""
        types, functions = field_types(self.row_type), checks_of(self.kind)
        found: dict[str, list[pa.Array]] = {name: [] for name in self.reads}
        for batch in self.source.batches(part, list(types)):
            whole = all(field.nullable or batch.column(field.name).null_count == 0 for field in arrow_schema(self.row_type))
            rows = rows_of(batch, self.row_type) if whole and any(name in functions for name in self.reads) else []
            for name in self.reads:
                if name not in functions:
                    found[name].append(derived(batch, name))
                elif whole:
                    found[name].append(pa.array([functions[name](row, self.background) for row in rows]))
        return {name: [pa.concat_arrays(pieces)] if pieces else [] for name, pieces in found.items()}


def columns_of(
    source: Source, row_type: type[Row], kind: str, background: Background, reads: Iterable[str], processes: int | None = None
) -> tuple[dict[str, pa.ChunkedArray], bool]:
    """The columns of all rows, and whether no null stands where none may (else there are no answers of checks)."""
    work = Work(source, row_type, kind, background, tuple(dict.fromkeys(reads)))
    pieces = list(mapped(work, source.parts, source.processes(processes)))
    functions = checks_of(kind)
    columns = {name: _joined([array for piece in pieces for array in piece[name]], name) for name in work.reads}
    whole = all(len(columns[name]) == source.rows for name in work.reads if name in functions)
    return {name: column for name, column in columns.items() if len(column) == source.rows}, whole


def _joined(arrays: Sequence[pa.Array], name: str) -> pa.ChunkedArray:
    return pa.chunked_array(arrays) if arrays else pa.chunked_array([], _empty(name))


def _empty(name: str) -> pa.DataType:
    return {"hash": pa.uint64(), "length": pa.int64(), "there": pa.int8()}.get(name.partition(".")[2], pa.null())


def derived(batch: pa.RecordBatch, name: str) -> pa.Array:
    """`prompt.length` of a batch."""
    own, _, what = name.partition(".")
    column = batch.column(own)
    if what == "there":
        return pa.array(np.ones(len(column), np.int8), mask=column.is_null().to_numpy(zero_copy_only=False))
    if what == "length":
        return lengths(column)
    if what == "hash":
        return pa.array([None if value is None else hashed(_bytes(value)) for value in column.to_pylist()], pa.uint64())
    return column


def _bytes(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else orjson.dumps(value)


def lengths(column: pa.Array) -> pa.Array:
    """Characters of each value; of a list or conversation those of all its texts, of other values 0."""
    if pa.types.is_string(column.type):
        return pc.utf8_length(column).cast(pa.int64())
    if not pa.types.is_list(column.type):
        return pa.array(np.zeros(len(column), np.int64))
    inner = column.flatten()
    texts = inner.field("content") if pa.types.is_struct(inner.type) else inner
    if not pa.types.is_string(texts.type):
        return pc.list_value_length(column).cast(pa.int64())
    each = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False)
    ends = np.append(0, np.cumsum(each))
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    stops = np.cumsum(sizes)
    return pa.array(ends[stops] - ends[stops - sizes], pa.int64(), mask=column.is_null().to_numpy(zero_copy_only=False))


def statistics(columns: dict[str, pa.ChunkedArray], row_type: type[Row]) -> dict[str, dict[str, Any]]:
    """Column → n, nulls, smallest, median, 95th percentile and largest: of numbers their values, of texts their characters (whole numbers
    and lists of them: how many)."""
    found: dict[str, dict[str, Any]] = {}
    for name, kind in ((field.name, field.type) for field in arrow_schema(row_type)):
        text = pa.types.is_string(kind) or pa.types.is_list(kind)
        column = columns.get(f"{name}.length" if text else name)
        if column is None or not (text or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            continue
        values = column.drop_null().to_numpy()
        of = "values" if not text else "characters" if _says(kind) else "items"
        found[name] = {"of": of, "n": len(values), "nulls": column.null_count, **_quantiles(values)}
    return found


def _says(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_struct(kind.value_type) or pa.types.is_string(kind.value_type)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values) or not len(values := values[np.isfinite(values)]):
        return {}
    low, middle, high, most = np.percentile(values, [0, 50, 95, 100])
    return {key: float(f"{value:.6g}") for key, value in (("min", low), ("median", middle), ("p95", high), ("max", most))}
