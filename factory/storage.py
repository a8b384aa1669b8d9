"""Reading and writing tables of rows. Parquet, sorted by id, whole or not at all, the same bytes every time.

write_rows(Path("data/tables/problems.parquet"), Problem, rows)
problems = read_rows(Path("data/tables/problems.parquet"), Problem)
"""

import contextlib
import dataclasses
import glob
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import DataError
from factory.identity import row_id
from factory.schemas import R, Reject, Row, arrow_schema, choices, field_types

TABLES = Path("data/tables")
DATASETS = Path("data/datasets")
MODELS = Path("data/models")
LOGS = Path("data/logs")
REJECTS = Path("data/rejects")
AUDITS = Path("data/audits")


def _make_room(path: Path) -> None:
    """The folder of `path`, without what a killed run left half-written under this name (a stage's lock keeps other writers out)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` only when the block succeeds (fsync, rename)."""
    _make_room(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that replaces `path` only when the block succeeds."""
    _make_room(path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def to_table(row_type: type[Row], rows: Iterable[Row]) -> pa.Table:
    """An Arrow table sorted by id. Raises DataError on a duplicate id or a value outside its column's choices."""
    records = sorted((dataclasses.asdict(row) for row in rows), key=lambda record: record["id"])
    for before, after in itertools.pairwise(records):
        if before["id"] == after["id"]:
            raise DataError(f"{row_type.__name__}: id {after['id']} stands twice")
    for name, hint in field_types(row_type).items():
        if allowed := choices(hint):
            for record in records:
                if record[name] not in allowed:
                    raise DataError(f"{row_type.__name__} {record['id']}: {name} is {record[name]!r}, expected one of {', '.join(allowed)}")
    return pa.Table.from_pylist(records, schema=arrow_schema(row_type))


def write_rows(path: Path, row_type: type[Row], rows: Iterable[Row]) -> int:
    """Write rows as Parquet at `path`; returns how many."""
    table = to_table(row_type, rows)
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return table.num_rows


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Raises DataError when the file is missing, not Parquet, or lacks one of `columns`."""
    if not path.exists():
        raise DataError(f"{path} is missing: `dvc repro` makes it")
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}") from None
    if missing := [name for name in columns or () if name not in table.column_names]:
        raise DataError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    return table.select(list(columns)) if columns else table


def read_rows(path: Path, row_type: type[R]) -> list[R]:
    """All rows of a table, in id order. `path` is a Parquet file, or a dataset folder with Parquet shards under `data/`."""
    types = field_types(row_type)
    files = sorted(path.glob("data/*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no Parquet shard under data/: `dvc repro release@{path.name}` makes it")
    rows: list[R] = []
    for file in files:
        for record in read_table(file, list(types)).to_pylist():
            values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
            rows.append(row_type(**values))
    return sorted(rows, key=lambda row: row.id)


def reject(stage: str, row: Row | dict[str, Any], reason: str, parent_id: str | None = None) -> Reject:
    """A row that the stage will not let through, with its reason (short, countable: the same words for the same cause)."""
    record = dataclasses.asdict(row) if isinstance(row, Row) else row
    text = json.dumps(record, ensure_ascii=False, sort_keys=True, default=str)
    return Reject(id=row_id("reject", stage, reason, parent_id, text), stage=stage, parent_id=parent_id, reason=reason, row=text)


def write_rejects(stage: str, rejects: Iterable[Reject]) -> int:
    """`data/rejects/<stage>.parquet`, an out of the stage. Identical rejects are numbered apart, never dropped."""
    seen: dict[str, int] = {}
    numbered: list[Reject] = []
    for item in rejects:
        seen[item.id] = seen.get(item.id, 0) + 1
        numbered.append(item if seen[item.id] == 1 else dataclasses.replace(item, id=row_id(item.id, seen[item.id])))
    return write_rows(REJECTS / f"{stage}.parquet", Reject, numbered)


def write_json(path: Path, document: object) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, sort_keys=False, ensure_ascii=False) + "\n")
