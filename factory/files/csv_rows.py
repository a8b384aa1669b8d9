"""CSV and TSV."""

import csv
import io
import itertools
import json
import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from factory.errors import DataError
from factory.files.batches import MALFORMED, NOT_UTF_8, Batch, Record, in_batches
from factory.files.unpacking import unpacked

_ESCAPED = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as `surrogateescape` keeps them


class CsvReader:
    """CSV or TSV whose first row names the columns; all cells are text. A CSV file may be cut by `;` or tabs, as spreadsheets
    write it. A short row lacks its last columns, a longer one is no row."""

    def __init__(self, path: Path, name: str, delimiter: str, strict: bool) -> None:
        csv.field_size_limit(sys.maxsize)
        self.path, self.name, self.delimiter, self.strict = path, name, delimiter, strict
        self.skipped = 0
        first = next(self._rows(), (0, [""]))[1]
        if first[0].lower().startswith("sep="):  # Excel's own line
            self.delimiter, self.skipped = first[0][4:5] or delimiter, 1
        elif len(first) == 1 and delimiter == ",":
            self.delimiter = next((other for other in ";\t" if other in first[0]), delimiter)
        header = [cell.strip() for cell in next(itertools.islice(self._rows(), self.skipped, None), (0, []))[1]]
        while header and not header[-1]:
            header.pop()
        self.header = tuple(header)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        with unpacked(self.path, self.name) as stream:
            errors = "surrogateescape" if self.strict else "replace"
            lines = io.TextIOWrapper(cast(Any, stream), encoding="utf-8", errors=errors, newline="")
            rows = csv.reader(cast(TextIO, lines), delimiter=self.delimiter, strict=True)
            try:
                yield from ((rows.line_num, row) for row in rows if row)
            except csv.Error as error:
                raise DataError(f"{self.name}, line {rows.line_num}: {error}. Quote the cell, and double the quotes in it") from None

    def batches(self, wanted: Collection[str] | None = None, tables: bool = False) -> Iterator[Batch]:
        rows = itertools.islice(self._rows(), self.skipped + 1, None)
        yield from in_batches((self._record(row, line), sum(map(len, row))) for line, row in rows)

    def _record(self, row: list[str], line: int) -> Record:
        while len(row) > len(self.header) and not row[-1]:
            row = row[:-1]
        broken = NOT_UTF_8 if self.strict and any(map(_ESCAPED.search, row)) else ""
        if len(row) > len(self.header):
            broken = "more cells than columns"
        if broken:
            cells = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            return Record({MALFORMED: cells}, broken=broken, line=line)
        return Record(dict(zip(self.header, row, strict=False)), line=line)
