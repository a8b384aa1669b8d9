"""Tables that need not fit into memory, read a row group at a time: some columns, some rows, in any process.

    groups(TABLES / "rollouts_r1.parquet")[2]                        → Group(path, number=2, rows=19800, start=39600)
    read_group(group, Rollout, ["id", "completion"], mask)           → record batches of the rows that the mask names
    rows_of_ids(TABLES / "rollouts_r1.parquet", ["id", "verdict"], ids)    → a table, of the row groups that hold them

What is written of rows that were read so: `factory/merging.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from factory.schemas import Row
from factory.storage import FEW, GROUP_ROWS, checked, chosen, parquet, parts, shards


class Group(NamedTuple):
    """A row group: what a process reads at once. `start`: the position of its first row in the table."""

    path: Path
    number: int
    rows: int
    start: int


def groups(path: Path) -> list[Group]:
    """The row groups of a table or dataset in their order, from the footers."""
    found: list[Group] = []
    for file in shards(path):
        with parquet(file) as opened:
            for number in range(opened.num_row_groups):
                start = found[-1].start + found[-1].rows if found else 0
                found.append(Group(file, number, opened.metadata.row_group(number).num_rows, start))
    return found


def read_group(group: Group, row_type: type[Row], columns: Sequence[str], keep: np.ndarray | None = None) -> Iterator[pa.RecordBatch]:
    """These columns of one row group, some rows at once, in the order of `columns`. `keep`: a mask of its rows, those that are wanted;
    what holds none of them is skipped. Raises DataError as `iter_rows` does."""
    with parquet(group.path) as file:
        names, offset = checked(file, group.path, row_type, columns).names, 0
        for part in parts(file, names, group.number, FEW):
            wanted = None if keep is None else keep[offset : offset + part.num_rows]
            offset += part.num_rows
            if wanted is None:
                yield part.select(list(columns))
            elif wanted.any():
                yield part.filter(pa.array(wanted)).select(list(columns))


def rows_of_ids(path: Path, columns: Sequence[str], ids: Iterable[str]) -> pa.Table:
    """These columns of the rows with these ids, in the order of the files; ids that no row has are passed over. Of a sorted table only the
    row groups are read whose first and last id have one of them between them, and of those without one only the ids."""
    wanted = pa.array(sorted(set(ids)), pa.string())
    found: list[pa.Table] = []
    for file in shards(path):
        with parquet(file) as opened:
            schema = chosen(opened, file, columns)
            found.append(schema.empty_table())
            for group in range(opened.num_row_groups):
                if _may_hold(opened.metadata.row_group(group), wanted):
                    keep = pa.chunked_array([pc.is_in(part["id"], wanted) for part in parts(opened, ["id"], group, GROUP_ROWS)], pa.bool_())
                    if pc.any(keep).as_py():
                        table = pa.Table.from_batches(parts(opened, schema.names, group, GROUP_ROWS), schema)
                        found.append(table.filter(keep))
    return pa.concat_tables(found).select(list(columns))


def _may_hold(group: pq.RowGroupMetaData, ids: pa.Array) -> bool:
    """Whether one of the sorted ids lies between a row group's first and last."""
    known = next(column.statistics for column in map(group.column, range(group.num_columns)) if column.path_in_schema == "id")
    if known is None or not known.has_min_max:
        return True
    names = ids.to_numpy(zero_copy_only=False)
    return bool(np.searchsorted(names, known.min, "left") < np.searchsorted(names, known.max, "right"))
