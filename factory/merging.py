"""The table that `write_rows` would write, of rows that come in any order and need not fit into memory: the same bytes.

    with scratch("restarts_r1") as folder:
        runs = [run for found in mapped(partial(made, folder), batches) for run in found]     # made: spill(folder, Restart, rows), …
        merge(TABLES / "restarts_r1.parquet", Restart, runs)

Each batch is sorted and kept as a file, a run, by whichever process made it. Of all rows together only ids and sizes are in memory, about
60 bytes a row: from them the row groups are known before any is read, and each is put together from its part of every run. An external
merge sort (Knuth, TAOCP 3, §5.4) with the order computed first.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.errors import DataError
from factory.identity import row_id
from factory.schemas import Reject, Row
from factory.storage import REJECTS, bounds, to_table, write_groups

SCRATCH = Path(".factory/scratch")
PIECE = 1 << 16  # bytes of a run that are read at once at least: of each run a row group needs a few
A = TypeVar("A")
B = TypeVar("B")
LZ4, PLAIN = pa.ipc.IpcWriteOptions(compression="lz4"), pa.ipc.IpcWriteOptions()


@dataclass(frozen=True)
class Run:
    """Rows in a file, sorted by id: small enough to travel between processes. `piece`: rows a record batch. `sizes`: characters a row."""

    path: Path
    piece: int
    ids: pa.Array
    sizes: np.ndarray


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder for what a stage sets aside, gone when the block ends; what a killed run left under this name goes first (a stage's lock
    keeps other writers out)."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    for left in SCRATCH.glob(f"{name}.*"):
        shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=SCRATCH))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def spill(folder: Path, row_type: type[Row], rows: Iterable[Row], *, packed: bool = True) -> Run:
    """Some rows as a run. Raises DataError as `to_table` does. Rejects may be identical. `packed` False: twice the disk, for a third of the
    time that a run takes to be written and read."""
    if row_type is not Reject:
        return spill_table(folder, to_table(row_type, rows), packed=packed)
    return spill_table(folder, _with_twins(rows), packed=packed)


def _with_twins(rejects: Iterable[Row]) -> pa.Table:
    """Identical rejects stand side by side: they are numbered when all are known."""
    given = list(rejects)
    distinct = {row.id: row for row in given}
    table = to_table(Reject, distinct.values()).combine_chunks()
    if len(distinct) == len(given):
        return table
    ids = pa.array(sorted(row.id for row in given))
    return table.take(pc.index_in(ids, table["id"]))


def spill_table(folder: Path, table: pa.Table, *, packed: bool = True) -> Run:
    """A table that is sorted by id as a run."""
    batch = one_batch(table)
    piece = max(1, PIECE * batch.num_rows // max(batch.nbytes, 1))
    handle, name = tempfile.mkstemp(suffix=".arrow", dir=folder)
    os.close(handle)
    with pa.OSFile(name, "wb") as stream, pa.ipc.new_file(stream, batch.schema, options=LZ4 if packed else PLAIN) as writer:
        for start in range(0, batch.num_rows, piece):
            writer.write_batch(batch[start : start + piece])
    return Run(Path(name), piece, batch["id"], sum(map(characters, batch.columns), np.zeros(batch.num_rows, np.int64)))


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table of less than 2 GiB a column in one piece, whether or not it has rows."""
    columns = (column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.combine_chunks().columns)
    return pa.RecordBatch.from_arrays([*columns], schema=table.schema)


def characters(column: pa.Array) -> np.ndarray:
    """Per value what `write_rows` counts for a row group: the characters of texts, also in lists and turns, 8 for any other value."""
    if pa.types.is_string(column.type):
        return pc.fill_null(pc.utf8_length(column), 8).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_struct(column.type):
        return sum(map(characters, column.flatten()), np.zeros(len(column), np.int64))
    if pa.types.is_list(column.type):
        total = np.concatenate([[0], np.cumsum(characters(column.flatten()))])
        ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))
        found = np.diff(total[np.concatenate([[0], ends]).astype(np.int64)])
        return np.where(column.is_null().to_numpy(zero_copy_only=False), 8, found)
    return np.full(len(column), 8, np.int64)


def merge(path: Path, row_type: type[Row], runs: Sequence[Run]) -> int:
    """All rows of the runs as the table at `path`; returns how many. Raises DataError when an id stands twice."""
    ids = _ids(runs)
    order = pc.sort_indices(ids).to_numpy().astype(np.int64)
    if (twin := _twins(ids, order)).size:
        raise DataError(f"{row_type.__name__}: id {ids[order[twin[0]]]} stands twice")
    return _write(path, row_type, runs, ids, order)


def merge_rejects(stage: str, runs: Sequence[Run]) -> int:
    """`data/rejects/<stage>.parquet`, as `write_rejects` writes it: identical rejects are numbered apart."""
    ids = _ids(runs)
    order = pc.sort_indices(ids).to_numpy().astype(np.int64)
    if (twins := _twins(ids, order)).size:
        texts, number = ids.to_pylist(), dict[str, int]()
        for place in order[twins]:
            number[texts[place]] = number.get(name := texts[place], 1) + 1
            texts[place] = row_id(name, number[name])
        ids = pa.array(texts, pa.large_string())
        order = pc.sort_indices(ids).to_numpy().astype(np.int64)
    return _write(REJECTS / f"{stage}.parquet", Reject, runs, ids, order)


def _ids(runs: Sequence[Run]) -> pa.Array:
    return pa.concat_arrays([pa.array([], pa.large_string()), *(run.ids.cast(pa.large_string()) for run in runs)])


def _twins(ids: pa.Array, order: np.ndarray) -> np.ndarray:
    """Where in the order an id stands that stood before."""
    inorder = ids.take(pa.array(order))
    return np.flatnonzero(pc.equal(inorder[1:], inorder[:-1]).to_numpy(zero_copy_only=False)) + 1


def _write(path: Path, row_type: type[Row], runs: Sequence[Run], ids: pa.Array, order: np.ndarray) -> int:
    sizes = np.concatenate([np.zeros(0, np.int64), *(run.sizes for run in runs)])[order]
    starts = np.cumsum([0, *(len(run.ids) for run in runs)])

    def group(part: tuple[int, int]) -> pa.Table:
        places = order[slice(*part)]
        if not len(places):
            return to_table(row_type, [])
        table = _gathered(runs, starts, places)  # under the ids that twins have now
        return table.set_column(0, table.schema.field(0), ids.take(pa.array(places)).cast(pa.string()))

    return write_groups(path, row_type, _ahead(group, bounds(sizes)))


def _ahead(function: Callable[[A], B], given: Iterable[A]) -> Iterator[B]:
    """One result is made while the one before is used."""
    with ThreadPoolExecutor(1) as other:
        waiting: Future[B] | None = None
        for argument in given:
            following = other.submit(function, argument)
            if waiting:
                yield waiting.result()
            waiting = following
        if waiting:
            yield waiting.result()


def _gathered(runs: Sequence[Run], starts: np.ndarray, places: np.ndarray) -> pa.Table:
    """The rows that stand there, counted over all runs, in this order and in one chunk."""
    by_run = np.argsort(places)
    inside = places[by_run]
    numbers = np.searchsorted(starts, inside, "right") - 1
    parts = [_picked(runs[number], inside[numbers == number] - starts[number]) for number in np.unique(numbers)]
    return pa.concat_tables(parts).combine_chunks().take(pa.array(np.argsort(by_run)))


def _picked(run: Run, places: np.ndarray) -> pa.Table:
    """Rows of a run at rising places, of whose pieces only those are read that hold one."""
    pieces = np.unique(places // run.piece)
    with pa.OSFile(str(run.path)) as stream:
        reader = pa.ipc.open_file(stream)
        table = pa.Table.from_batches([reader.get_batch(int(piece)) for piece in pieces]).combine_chunks()
    return table.take(pa.array(np.searchsorted(pieces, places // run.piece) * run.piece + places % run.piece))
