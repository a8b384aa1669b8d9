"""Shards: as the gate wrote them, or cut where ids pass a fraction of their range."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.errors import GateError
from factory.identity import row_id
from factory.publish.checks import Released
from factory.publish.shards import _count, shards_of

ROWS = 6000


def made(folder: Path, numbers: range, files: int = 1, also: int = 0) -> Released:
    """Rows of about 600 characters that no compression makes small, sorted by id."""
    ids = sorted(row_id("shard", number) for number in (*numbers, *([also] if also else [])))
    texts = ["".join(hashlib.sha256(f"{key}{part}".encode()).hexdigest() for part in range(9)) for key in ids]
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("text", pa.string())], {"huggingface": "{}"})
    table = pa.Table.from_arrays([pa.array(ids), pa.array(texts)], schema=schema)
    folder.mkdir(parents=True)
    paths = [folder / f"train-{number:05}-of-{files:05}.parquet" for number in range(files)]
    for number, path in enumerate(paths):
        pq.write_table(table.slice(number * len(ids) // files, len(ids) // files), path)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return Released("plans", "plans", "coat", "train", len(ids), "", "mit", {}, {}, {}, tuple(paths), hashes, {})


def test_few_small_files_go_as_they_passed_the_gate(tmp_path: Path) -> None:
    item = made(tmp_path / "a", range(ROWS))
    (shard,) = shards_of(item, tmp_path / "staging")
    assert (shard.path, shard.file) == ("data/plans/train-00000-of-00001.parquet", item.shards[0])
    assert shard.sha256 == hashlib.sha256(shard.file.read_bytes()).hexdigest()
    assert not (tmp_path / "staging").exists()


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.slow
def test_a_large_one_is_cut_into_a_power_of_two_by_id_and_loses_nothing(tmp_path: Path, files: int) -> None:
    item = made(tmp_path / "a", range(ROWS), files)
    shards = shards_of(item, tmp_path / "staging", aim=500_000)
    assert [shard.path for shard in shards] == [f"data/plans/train-{number:05}-of-00008.parquet" for number in range(8)]
    assert pa.concat_tables(pq.read_table(shard.file) for shard in shards) == pa.concat_tables(map(pq.read_table, item.shards))
    assert max(shard.size for shard in shards) < 1.3 * min(shard.size for shard in shards)
    assert pq.read_schema(shards[0].file).metadata[b"huggingface"] == b"{}"


def test_rows_that_are_not_sorted_by_id_are_refused_and_leave_no_shard(tmp_path: Path) -> None:
    item = made(tmp_path / "a", range(ROWS), files=2)
    turned = replace(item, shards=item.shards[::-1])
    with pytest.raises(GateError, match="is not sorted by id: `dvc repro -f release@"):
        shards_of(turned, tmp_path / "staging", aim=700_000)
    assert list((tmp_path / "staging").iterdir()) == []


def test_many_small_files_become_few(tmp_path: Path) -> None:
    item = made(tmp_path / "a", range(ROWS), files=40)
    assert len(shards_of(item, tmp_path / "staging", aim=4_000_000)) == 1


def test_the_same_rows_give_the_same_bytes_and_a_cut_that_is_whole_is_kept(tmp_path: Path) -> None:
    item = made(tmp_path / "a", range(ROWS))
    first = shards_of(item, tmp_path / "one", aim=700_000)
    before = [shard.file.stat().st_ino for shard in first]
    assert [shard.sha256 for shard in shards_of(item, tmp_path / "two", aim=700_000)] == [shard.sha256 for shard in first]
    assert [shard.file.stat().st_ino for shard in shards_of(item, tmp_path / "one", aim=700_000)] == before


@pytest.mark.slow
def test_a_row_more_changes_one_shard(tmp_path: Path) -> None:
    old = shards_of(made(tmp_path / "a", range(ROWS)), tmp_path / "staging", aim=700_000)
    new = shards_of(made(tmp_path / "b", range(ROWS + 1)), tmp_path / "staging", aim=700_000)
    assert sum(one.sha256 != other.sha256 for one, other in zip(old, new, strict=True)) == 1


def found_again(old: bytes, new: bytes) -> float:
    """The share of 200 samples of 64 bytes, at even distances, that stand somewhere in the new file."""
    samples = [old[at : at + 64] for at in range(0, len(old) - 64, len(old) // 200)]
    return sum(sample in new for sample in samples) / len(samples)


@pytest.mark.slow
def test_pages_are_cut_by_content_so_that_a_row_more_leaves_them_as_they_were(tmp_path: Path) -> None:
    early = next(number for number in range(40_000, 80_000) if row_id("shard", number) < "02")
    items = [made(tmp_path / "a", range(40_000)), made(tmp_path / "b", range(40_000), also=early)]
    shards = [shards_of(item, tmp_path / "staging", aim=11_000_000)[0] for item in items]
    assert {shard.file.parent.parent.name for shard in shards} == {"staging"}
    assert found_again(*(shard.file.read_bytes() for shard in shards)) > 0.6
    for item, name in zip(items, "ab", strict=True):  # the same rows, pages cut by size
        pq.write_table(pq.read_table(item.shards[0]), tmp_path / f"{name}.parquet", compression="zstd")
    assert found_again((tmp_path / "a.parquet").read_bytes(), (tmp_path / "b.parquet").read_bytes()) < 0.2


def test_numbers_of_shards_are_powers_of_two() -> None:
    assert [_count(size, 100) for size in (1, 100, 101, 200, 201, 400, 401)] == [1, 1, 2, 2, 4, 4, 8]
