"""Reading and writing tables of rows. Parquet, sorted by id, whole or not at all, the same bytes every time.

    write_rows(Path("data/tables/problems.parquet"), Problem, rows)
    problems = read_rows(Path("data/tables/problems.parquet"), Problem)
    count_rows(Path("data/tables/problems.parquet"))                     → 4000, from the footer
    rows_at(Path("data/tables/problems.parquet"), Problem, [0, 2000])    → two rows, of the row groups that hold them

A path is a Parquet file, or a dataset folder with Parquet shards under `data/`. Row groups are bounded, because Arrow cannot read a list
column of 2 GiB in one; pages carry checksums, so that a damaged file is an error and never other rows. What does not fit into memory is
read a row group at a time by `factory/row_groups.py` and written by `factory/merging.py`.
"""

import base64
import contextlib
import dataclasses
import datetime
import errno
import glob
import itertools
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import DataError
from factory.identity import row_id
from factory.schemas import (
    TURNS,
    Conversation,
    Message,
    R,
    Reject,
    Row,
    arrow_schema,
    arrow_type,
    choices,
    field_types,
    nullable,
    released_answers,
)

TABLES = Path("data/tables")
DATASETS = Path("data/datasets")
MODELS = Path("data/models")
LOGS = Path("data/logs")
REJECTS = Path("data/rejects")
AUDITS = Path("data/audits")

GROUP_ROWS = 50_000  # a row group ends at so many rows or characters: at most 512 MiB, four bytes a character
GROUP_CHARACTERS = 128 << 20
FEW = 1024  # rows decoded at once to pick some of them
DEEPEST = 100  # levels of a rejected row; what lies deeper is named, not written


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


def _size(row: Row) -> int:
    """Characters of the texts of a row, 8 for every other value."""
    return sum(map(_characters, vars(row).values()))


def _characters(value: object) -> int:
    if isinstance(value, tuple):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 8


def bounds(sizes: Sequence[int] | np.ndarray) -> Iterator[tuple[int, int]]:
    """Where the row groups of rows with so many characters begin and end; a row that alone is too large stands alone. No rows are one
    empty group."""
    total = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    start, end = 0, 0
    while end < len(sizes) or end == 0:
        within = int(np.searchsorted(total, total[start] + GROUP_CHARACTERS, "right")) - 1
        end = min(max(within, start + 1), start + GROUP_ROWS, len(sizes))
        yield start, end
        if start == end:
            return
        start = end


def _fault(value: Any, hint: Any) -> str:
    """Why a value cannot stand in a column, "" when it can. Arrow alone would cut 1.5 to 1 and take "abc" for a list of letters."""
    kind = arrow_type(hint)
    if hint == Conversation:
        if not _is_conversation(value):
            return "expected a conversation: Messages of system, user or assistant with words"
        value = [turn._asdict() for turn in value]
    if value is None:
        return "" if nullable(hint) else "a value must be there"
    if (allowed := choices(hint)) and value not in allowed:
        return f"expected one of {', '.join(allowed)}"
    if (pa.types.is_integer(kind) and isinstance(value, float)) or (pa.types.is_list(kind) and not isinstance(value, (tuple, list))):
        return f"expected {kind}"
    try:
        pa.array([value], kind)
    except UnicodeEncodeError:
        return "half of a surrogate pair, which is no character"
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        return f"expected {kind}"
    return ""


def _is_conversation(value: object) -> bool:
    return (
        isinstance(value, tuple) and bool(value)
        and all(isinstance(turn, Message) and turn.role in TURNS and isinstance(turn.content, str) for turn in value)
    )  # fmt: skip


def _column(rows: Sequence[Row], name: str, hint: Any) -> pa.Array:
    """Raises DataError with the first row whose value the column cannot hold."""
    values, kind, allowed = [getattr(row, name) for row in rows], arrow_type(hint), choices(hint)
    suspicious = {float} if pa.types.is_integer(kind) else {str} if pa.types.is_list(kind) else set()
    with contextlib.suppress(AttributeError, ValueError, TypeError, OverflowError, pa.ArrowException):
        if hint == Conversation and not all(map(_is_conversation, values)):
            raise ValueError
        given = [[turn._asdict() for turn in value] for value in values] if hint == Conversation else values
        array = pa.array(given, kind)
        if not (
            suspicious & set(map(type, values)) or (array.null_count and not nullable(hint)) or (allowed and not set(values) <= {*allowed})
        ):
            return array
    row, fault = next((row, fault) for row in rows if (fault := _fault(getattr(row, name), hint)))
    raise DataError(f"{type(row).__name__} {row.id}: {name} is {_shortly(getattr(row, name))}: {fault}")


def _shortly(value: object) -> str:
    """At most 60 characters; a huge number has a text of its own only in base 16."""
    text = hex(value) if isinstance(value, int) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _tables(row_type: type[Row], rows: Iterable[Row]) -> Iterator[pa.Table]:
    """Row groups sorted by id."""
    ordered = sorted(rows, key=lambda row: row.id)
    for before, after in itertools.pairwise(ordered):
        if before.id == after.id:
            raise DataError(f"{row_type.__name__}: id {after.id} stands twice")
    types = field_types(row_type)
    for start, end in bounds([_size(row) for row in ordered]):
        group = ordered[start:end]
        yield pa.table([_column(group, name, hint) for name, hint in types.items()], schema=arrow_schema(row_type))


def to_table(row_type: type[Row], rows: Iterable[Row]) -> pa.Table:
    """An Arrow table sorted by id. Raises DataError on a duplicate id or a value that its column cannot hold."""
    return pa.concat_tables(_tables(row_type, rows))


def write_rows(path: Path, row_type: type[Row], rows: Iterable[Row]) -> int:
    """Write rows as Parquet at `path`; returns how many. Raises as `to_table` does."""
    return write_groups(path, row_type, _tables(row_type, rows))


def write_groups(path: Path, row_type: type[Row], tables: Iterable[pa.Table]) -> int:
    """Tables that are a row group each, sorted by id from the first to the last, with one chunk a column; returns how many rows."""
    count = 0
    with (
        whole_file(path) as temporary,
        pq.ParquetWriter(temporary, arrow_schema(row_type), compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in tables:
            writer.write_table(table, row_group_size=GROUP_ROWS)
            count += table.num_rows
    return count


@contextlib.contextmanager
def parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file; whatever is wrong with it, now or while it is read, is a DataError that names it."""
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is a folder or device, expected a Parquet file")
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            footer = file.metadata  # has no checksum; asking a damaged one for its columns would end the process
            if sum(footer.row_group(number).num_rows for number in range(footer.num_row_groups)) != footer.num_rows:
                raise pa.ArrowInvalid("its row groups have not as many rows as the file")
            yield file
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} is missing: `dvc repro` makes it") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)):
            raise
        if isinstance(error, PermissionError):
            raise DataError(f"{path} cannot be read: permission denied; give this user the right to read it") from None
        reason = (str(error).splitlines() or ["damaged"])[0][:200]
        raise DataError(f"{path} is not a readable Parquet file ({reason}): restore it or make it again") from None


def chosen(file: pq.ParquetFile, path: Path, columns: Iterable[str] | None) -> pa.Schema:
    """The part of the file's schema with these columns, all when None, in the file's order."""
    there = file.schema_arrow.names
    if twice := sorted({name for name in there if there.count(name) > 1}):
        raise DataError(f"{path} has the column {', '.join(twice)} twice")
    wanted = there if columns is None else list(columns)
    if missing := [name for name in wanted if name not in there]:
        raise DataError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(there)}")
    return pa.schema([field for field in file.schema_arrow if field.name in wanted], file.schema_arrow.metadata)


def parts(file: pq.ParquetFile, columns: list[str], group: int, batch: int) -> Iterator[pa.RecordBatch]:
    """One row group, at most `batch` rows at once. Raises ArrowInvalid for text that is no UTF-8 and when rows are missing."""
    left = file.metadata.row_group(group).num_rows
    for part in file.iter_batches(batch, row_groups=[group], columns=columns):
        part.validate(full=True)
        left -= part.num_rows
        yield part
    if left:
        raise pa.ArrowInvalid(f"row group {group} has not as many rows as the footer says")


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Only `columns` are read. Raises DataError when the file is missing, not readable as Parquet, or lacks one of `columns`."""
    with parquet(path) as file:
        schema = chosen(file, path, columns)
        groups = (parts(file, schema.names, group, GROUP_ROWS) for group in range(file.num_row_groups))
        table = pa.Table.from_batches(itertools.chain.from_iterable(groups), schema)
    return table.select(list(columns)) if columns is not None else table


def shards(path: Path) -> list[Path]:
    """The Parquet files of a table or dataset folder. Raises DataError for a folder that has none."""
    files = [path] if path.suffix == ".parquet" or not path.is_dir() else sorted(path.glob("data/*.parquet"))
    if not files:
        raise DataError(f"{path} holds no Parquet shard under data/: `dvc repro release@{path.name}` makes it")
    return files


def count_rows(path: Path) -> int:
    """Rows of a table or dataset, from the footers."""
    total = 0
    for file in shards(path):
        with parquet(file) as opened:
            total += opened.metadata.num_rows
    return total


def checked(file: pq.ParquetFile, path: Path, row_type: type[Row], columns: Iterable[str]) -> pa.Schema:
    """As `chosen`; raises DataError for a column of another type than a table of `row_type`, or its released form, has."""
    types, schema = field_types(row_type), chosen(file, path, columns)
    released = {name for name in released_answers(row_type) if name in schema.names and schema.field(name).type == arrow_type(Conversation)}
    for field in schema:
        if field.type != (kind := arrow_type(types[field.name])) and field.name not in released:
            raise DataError(f"{path}: the column {field.name} is {field.type}, expected {kind}: `dvc repro` makes the table again")
    return schema


def rows_of(part: pa.RecordBatch, row_type: type[R]) -> list[R]:
    """The rows of a batch that has all columns of their type."""
    types = field_types(row_type)
    released = {name for name in released_answers(row_type) if part.schema.field(name).type == arrow_type(Conversation)}
    columns = [values_of(part.column(name).to_pylist(), "released" if name in released else hint) for name, hint in types.items()]
    return [row_type(**dict(zip(types, values))) for values in zip(*columns, strict=True)]


def _rows(file: pq.ParquetFile, path: Path, row_type: type[R], group: int, batch: int) -> Iterator[list[R]]:
    """The rows of one row group, `batch` at once."""
    schema = checked(file, path, row_type, field_types(row_type))
    for part in parts(file, schema.names, group, batch):
        yield rows_of(part, row_type)


def values_of(values: list[Any], hint: Any) -> Iterable[Any]:
    """A column's values as a row holds them. `hint` "released": conversations of one message, of which the row holds the words."""
    if hint == "released":
        return [None if turns is None else "".join(turn["content"] or "" for turn in turns) for turns in values]
    if hint == Conversation:
        return [turns if turns is None else tuple(Message(**turn) for turn in turns) for turns in values]
    return [value if value is None else tuple(value) for value in values] if pa.types.is_list(arrow_type(hint)) else values


def iter_rows(path: Path, row_type: type[R]) -> Iterator[R]:
    """All rows of a table or dataset in the order of its files, one row group in memory. Raises DataError as `read_table` does."""
    for file in shards(path):
        with parquet(file) as opened:
            for group in range(opened.num_row_groups):
                for rows in _rows(opened, file, row_type, group, GROUP_ROWS):
                    yield from rows


def read_rows(path: Path, row_type: type[R]) -> list[R]:
    """All rows of a table or dataset, in id order."""
    return sorted(iter_rows(path, row_type), key=lambda row: row.id)


def rows_at(path: Path, row_type: type[R], positions: Iterable[int]) -> list[R]:
    """The rows that stand there, counted from 0 in the order of the files. Row groups without one are not read."""
    wanted, found, start = sorted(set(positions)), list[R](), 0
    for file in shards(path):
        with parquet(file) as opened:
            for group in range(opened.num_row_groups):
                end = start + opened.metadata.row_group(group).num_rows
                inside = [position - start for position in wanted if start <= position < end]
                offset = 0
                for rows in _rows(opened, file, row_type, group, FEW) if inside else ():
                    found += [rows[position - offset] for position in inside if offset <= position < offset + len(rows)]
                    offset += len(rows)
                    if offset > inside[-1]:
                        break
                start = end
    return found


def spread(count: int, n: int) -> list[int]:
    """At most n positions at even distances among `count` rows: ids are hashes, so this is a fair draw."""
    return list(range(0, count, max(1, count // n)))[:n]


def find_rows(path: Path, prefix: str, n: int) -> list[int]:
    """Positions of the first n rows whose id begins so. Reads ids alone."""
    ids = itertools.chain.from_iterable(read_table(file, ["id"]).column("id").to_pylist() for file in shards(path))
    return list(itertools.islice((position for position, found in enumerate(ids) if found.startswith(prefix)), n))


def _plain(value: object, depth: int = 0) -> object:
    """The value in what JSON has, nothing lost where it can be said: bytes are text or base64, dates ISO 8601, huge integers base 16."""
    if depth > DEEPEST:
        return f"(nested deeper than {DEEPEST})"
    if isinstance(value, Message):
        return value._asdict()
    if isinstance(value, dict):
        return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode("utf-8")
        return f"base64:{base64.b64encode(value).decode('ascii')}"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, int) and value.bit_length() > 14_000:  # Python writes no more than 4,300 digits
        return hex(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _storable(text: str) -> str:
    """Half a surrogate pair becomes its escape, which in JSON is the same text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def reject(stage: str, row: Row | dict[str, Any], reason: str, parent_id: str | None = None) -> Reject:
    """A row that the stage will not let through, with its reason (short, countable: the same words for the same cause). Any row can be
    written as one."""
    record = _plain(dataclasses.asdict(row) if isinstance(row, Row) else row)
    text = _storable(json.dumps(record, ensure_ascii=False, sort_keys=True))
    reason, parent_id = _storable(reason), None if parent_id is None else _storable(parent_id)
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
        temporary.write_text(_storable(json.dumps(document, indent=2, sort_keys=False, ensure_ascii=False)) + "\n", encoding="utf-8")
