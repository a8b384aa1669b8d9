"""Row groups are read one at a time, in any columns and rows, and what holds none of the rows that are wanted is not read at all."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory import storage
from factory.arrays import rows_of
from factory.errors import DataError
from factory.language.conversation import said
from factory.row_groups import groups, read_group, rows_of_ids
from factory.schemas import Problem, Rollout
from factory.storage import read_rows, write_rows

TABLE = Path("rollouts.parquet")


def rollout(number: int) -> Rollout:
    return Rollout(
        id=f"{number:06d}", model="m@1", prompt_version="p@1", seed=number, round="r1", problem_id=f"p{number % 3}",
        prompt=said("user", "x"), completion=f"é {number}", steps=("a", "b"), answer=None, verdict="correct", finish_reason="stop",
        tokens=9,
    )  # fmt: skip


ROWS = [rollout(number) for number in range(0, 80, 2)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(storage, "GROUP_ROWS", 9)
    monkeypatch.setattr("factory.row_groups.FEW", 4)
    write_rows(TABLE, Rollout, ROWS)


def damage(path: Path, group: int) -> None:
    """Overwrite a row group's completions: whoever reads them gets an error."""
    content, footer = bytearray(path.read_bytes()), pq.read_metadata(path).row_group(group)
    chunk = next(part for part in map(footer.column, range(footer.num_columns)) if part.path_in_schema == "completion")
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(content)


def test_groups_are_counted_over_shards() -> None:
    assert [(group.number, group.rows, group.start) for group in groups(TABLE)] == [
        (0, 9, 0),
        (1, 9, 9),
        (2, 9, 18),
        (3, 9, 27),
        (4, 4, 36),
    ]
    for number, part in enumerate((ROWS[:20], ROWS[20:])):
        write_rows(Path(f"set/data/train-{number}.parquet"), Rollout, part)
    assert [(group.path.name, group.start) for group in groups(Path("set"))] == [
        ("train-0.parquet", 0), ("train-0.parquet", 9), ("train-0.parquet", 18), ("train-1.parquet", 20), ("train-1.parquet", 29),
        ("train-1.parquet", 38),
    ]  # fmt: skip


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.booleans(), min_size=9, max_size=9), st.integers(0, 3))
@pytest.mark.slow
def test_a_mask_picks_rows_in_the_order_of_the_columns_asked_for(keep: list[bool], number: int) -> None:
    found = [row for part in read_group(groups(TABLE)[number], Rollout, ["tokens", "id"], np.array(keep)) for row in part.to_pylist()]
    wanted = [row for row, kept in zip(ROWS[9 * number :], keep, strict=False) if kept]
    assert found == [{"tokens": 9, "id": row.id} for row in wanted]
    assert all(list(row) == ["tokens", "id"] for row in found)


def test_a_group_read_whole_holds_its_rows() -> None:
    columns = list(storage.field_types(Rollout))
    found = [row for group in groups(TABLE) for part in read_group(group, Rollout, columns) for row in rows_of(part, Rollout)]
    assert found == ROWS == read_rows(TABLE, Rollout)


def test_a_column_of_another_table_is_named() -> None:
    with pytest.raises(DataError, match=r"rollouts.parquet lacks the column problem"):
        next(read_group(groups(TABLE)[0], Problem, ["problem"]))
    other = storage.read_table(TABLE).set_column(0, "id", pa.array(range(40)))
    pq.write_table(other, "other.parquet")
    with pytest.raises(DataError, match="the column id is int64, expected string"):
        next(read_group(groups(Path("other.parquet"))[0], Rollout, ["id"]))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(-1, 82), max_size=12))
def test_rows_are_found_by_their_ids(numbers: set[int]) -> None:
    wanted = [row for row in ROWS if row.seed in numbers]
    table = rows_of_ids(
        TABLE, ["completion", "id"], (f"{number:06d}" for number in sorted(numbers, key=lambda n: random.Random(n).random()))
    )
    assert table.column_names == ["completion", "id"]
    assert table.to_pylist() == [{"completion": row.completion, "id": row.id} for row in wanted]


def test_groups_that_hold_none_of_the_ids_are_not_read() -> None:
    for number in (0, 2, 3):
        damage(TABLE, number)
    assert rows_of_ids(TABLE, ["completion"], [ROWS[9].id, ROWS[39].id, "000053"])["completion"].to_pylist() == ["é 18", "é 78"], (
        "53 lies between two ids of group 2"
    )
    with pytest.raises(DataError, match="not a readable Parquet file"):
        rows_of_ids(TABLE, ["completion"], [ROWS[0].id])
