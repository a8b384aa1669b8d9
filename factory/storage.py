"""Reading and writing tables of rows. Parquet, sorted by id, whole or not at all, the same bytes every time.

    write_rows(Path("data/tables/problems.parquet"), Problem, rows)
    problems = read_rows(Path("data/tables/problems.parquet"), Problem)
    count_rows(Path("data/tables/problems.parquet"))                     → 4000, from the footer
    rows_at(Path("data/tables/problems.parquet"), Problem, [0, 2000])    → two rows, of the row groups that hold them

A path is a Parquet file, or a dataset folder with Parquet shards under `data/`. Row groups are bounded, because Arrow cannot read a list
column of 2 GiB in one; pages carry checksums, so that a damaged file is an error and never other rows. What does not fit into memory is
read a row group at a time by `factory/row_groups.py` and written by `factory/merging.py`. How a row becomes columns is `factory/arrays.py`.
"""

import contextlib
import errno
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.arrays import array, rows_of
from factory.errors import DataError
from factory.schemas import Conversation, R, Row, arrow_schema, arrow_type, field_types, released_answers
from factory.whole import restored, whole_file

TABLES = Path("data/tables")
DATASETS = Path("data/datasets")
MODELS = Path("data/models")
LOGS = Path("data/logs")
REJECTS = Path("data/rejects")
AUDITS = Path("data/audits")

GROUP_ROWS = 50_000  # a row group ends at so many rows or characters: at most 512 MiB, four bytes a character
GROUP_CHARACTERS = 128 << 20
FEW = 1024  # rows decoded at once to pick some of them


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


def _tables(row_type: type[Row], rows: Iterable[Row]) -> Iterator[pa.Table]:
    """Row groups sorted by id."""
    ordered = sorted(rows, key=lambda row: row.id)
    for before, after in itertools.pairwise(ordered):
        if before.id == after.id:
            raise DataError(f"{row_type.__name__}: id {after.id} stands twice")
    types = field_types(row_type)
    for start, end in bounds([_size(row) for row in ordered]):
        group = ordered[start:end]
        yield pa.table([array(group, name, hint) for name, hint in types.items()], schema=arrow_schema(row_type))


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
    files = [path] if path.suffix == ".parquet" or not restored(path).is_dir() else sorted(path.glob("data/*.parquet"))
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


def _rows(file: pq.ParquetFile, path: Path, row_type: type[R], group: int, batch: int) -> Iterator[list[R]]:
    """The rows of one row group, `batch` at once."""
    schema = checked(file, path, row_type, field_types(row_type))
    for part in parts(file, schema.names, group, batch):
        yield rows_of(part, row_type)


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
