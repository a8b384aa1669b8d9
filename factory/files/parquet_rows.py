"""Parquet files. Text in them that is not UTF-8 comes as bytes where `strict`."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import DataError
from factory.files import batches
from factory.files.batches import Batch, Record


class ParquetReader:
    def __init__(self, path: Path, name: str, strict: bool) -> None:
        self.path, self.name, self.strict = path, name, strict
        with self._opened() as file:
            self.schema: pa.Schema = file.schema_arrow
            self.rows: int = file.metadata.num_rows
        self.header: tuple[str, ...] = tuple(self.schema.names)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(self.path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.name} is not a readable Parquet file: {str(error).splitlines()[0]}") from None

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        number = 0
        with self._opened() as file:
            size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups))
            rows = max(1, min(batches.ROWS, batches.BYTES * file.metadata.num_rows // max(1, size)))
            for part in file.iter_batches(rows, columns=None if wanted is None or tables else list(wanted)):
                names = [name for name in part.schema.names if wanted is None or name in wanted]
                columns = [_values(part.column(name), self.strict) for name in names]
                places = range(number + 1, number + part.num_rows + 1)
                records = [Record(dict(zip(names, row, strict=True)), line=at) for at, *row in zip(places, *columns, strict=True)]
                number += part.num_rows
                yield Batch(records, pa.Table.from_batches([part]) if tables else None)


def _values(column: pa.Array, strict: bool) -> list[Any]:
    if narrow := {pa.float16(): np.float16, pa.float32(): np.float32}.get(column.type):  # 0.1 is 0.1, not 0.10000000149
        return [None if value is None else float(str(narrow(value))) for value in column.to_pylist()]
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):  # text that is not UTF-8, which other writers let through; dates after the year 9999
        return [_value(scalar, strict) for scalar in column]


def _value(scalar: Any, strict: bool) -> Any:
    """The bytes of text that is not UTF-8 where `strict`; None for what has no value in Python."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        text = scalar.value if isinstance(scalar, pa.DictionaryScalar) else scalar
        if not isinstance(text, pa.StringScalar | pa.LargeStringScalar):
            return None
        content = text.as_buffer().to_pybytes()
        return content if strict else content.decode("utf-8", "replace")
