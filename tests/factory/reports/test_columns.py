"""Distributions that SQL counts are those that Python counts, of any table: ours, other people's, empty ones."""

import math
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory import storage
from factory.errors import DataError
from factory.reports.columns import CELLS, KEPT, MANY, Actions, Categories, Numbers, actions, distributions, spark, written
from factory.reports.scan import Scan, one_database
from factory.schemas import Rollout, arrow_schema

TURN = pa.struct([("role", pa.string()), ("content", pa.string())])


def table(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=100)
    return path


def found(path: Path) -> dict[str, Numbers | Categories]:
    with Scan.of(path) as scan:
        return {part.name: part for part in distributions(scan)}


def test_scans_of_one_database_see_nothing_of_each_other_and_it_ends_with_them(tmp_path: Path) -> None:
    paths = [table(tmp_path / f"{name}.parquet", id=pa.array([name] * count)) for name, count in (("one", 1), ("two", 2))]
    with one_database():
        with Scan.of(paths[0]) as first, Scan.of(paths[1]) as second:
            for scan in (first, second):
                scan.ask("CREATE TEMP TABLE seen AS SELECT id FROM {rows}")
            assert [scan.ask("SELECT count(*) FROM seen") for scan in (first, second)] == [[(1,)], [(2,)]]
            (place,) = first.ask("SELECT current_setting('temp_directory')")[0]
            assert second.ask("SELECT current_setting('temp_directory')") == [(place,)]
        with Scan.of(paths[0]) as third, pytest.raises(DataError, match="cannot be read"):
            third.ask("SELECT * FROM seen")
        assert Path(place).is_dir()
    assert not Path(place).exists()
    with Scan.of(paths[0]) as alone:
        assert alone.ask("SELECT current_setting('temp_directory')") != [(place,)]


def test_lengths_are_characters_and_lists_are_items(tmp_path: Path) -> None:
    texts = [f"{'é' * number} {number}" for number in range(50)]
    prompts = [[{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c" * n}] for n in range(50)]
    path = table(
        tmp_path / "t.parquet", id=pa.array([str(n) for n in range(50)]), text=pa.array(texts),
        steps=pa.array([["a"] * (n % 3) for n in range(50)]), prompt=pa.array(prompts, pa.list_(TURN)), problem_id=pa.array(["p"] * 50),
    )  # fmt: skip
    parts = found(path)
    assert list(parts) == ["text", "steps", "prompt"]  # ids are links, not quantities
    assert parts["text"] == Numbers("text", "characters", dict(sorted(Counter(map(len, texts)).items())))
    assert parts["steps"] == Numbers("steps", "items", {0: 17, 1: 17, 2: 16})
    assert parts["prompt"].at(0.5) == 2 + 24  # the 25th of 50
    assert parts["prompt"].counts[2] == 1


def test_short_texts_with_few_values_are_categories_and_others_are_not(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.parquet", kind=pa.array(["a", "b", None, "a"] * 25), flag=pa.array([True, None, False, True] * 25),
        name=pa.array([f"n{n}" for n in range(100)]),
    )  # fmt: skip
    parts = found(path)
    assert parts["kind"] == Categories("kind", {"a": 50, "b": 25}, 25)
    assert parts["flag"] == Categories("flag", {"yes": 50, "no": 25}, 25)
    assert isinstance(parts["name"], Numbers)


def test_of_a_category_with_very_many_values_the_commonest_are_told_apart(tmp_path: Path) -> None:
    values = [f"m{n}" for n in range(KEPT + 50)] + ["m7"] * 10
    part = found(table(tmp_path / "t.parquet", model=pa.array(values)))["model"]
    assert isinstance(part, Categories)
    assert (len(part.counts), part.other, part.beyond, part.rows) == (KEPT, 50, 50, len(values))
    assert next(iter(part.counts.items())) == ("m7", 11)
    assert len(part.shown) == MANY
    assert sum(part.shown.values()) == len(values)


def test_numbers_that_are_none_or_not_finite_are_counted_apart(tmp_path: Path) -> None:
    part = found(table(tmp_path / "t.parquet", score=pa.array([1.5, None, math.nan, math.inf, 2.5, 1.5])))["score"]
    assert part == Numbers("score", "", {1.5: 2, 2.5: 1}, 3)
    assert part.mean == pytest.approx(5.5 / 3)
    empty = found(table(tmp_path / "u.parquet", score=pa.array([None, None], pa.float64())))["score"]
    assert (empty.rows, empty.none) == (0, 2)


def test_very_many_different_numbers_fall_into_cells(tmp_path: Path) -> None:
    part = found(table(tmp_path / "t.parquet", score=pa.array([n / 10_000 for n in range(10_001)])))["score"]
    assert len(part.counts) == CELLS
    assert part.rows == 10_001
    assert part.at(0.5) == pytest.approx(0.5, abs=1 / CELLS)


def test_a_table_without_rows_has_no_distribution(tmp_path: Path) -> None:
    pq.write_table(arrow_schema(Rollout).empty_table(), tmp_path / "t.parquet")
    assert found(tmp_path / "t.parquet") == {}
    with Scan.of(tmp_path / "t.parquet") as scan:
        assert actions(scan, "completion") is None


def test_ranks_are_nearest_ranks() -> None:
    part = Numbers("x", "", {1: 5, 2: 4, 10: 1})
    assert [part.at(share) for share in (0, 0.5, 0.51, 0.9, 0.91, 1)] == [1, 1, 2, 2, 10, 10]
    assert spark(Numbers("x", "", {0: 8, 11: 4})) == "█▁▁▁▁▁▁▁▁▁▁▅"
    assert [written(value) for value in (1234.0, 0.123456, -2, 1e-7)] == ["1,234", "0.1235", "-2", "1e-07"]


def test_meta_actions_by_times_and_rows(tmp_path: Path) -> None:
    texts = ["a<|reflect|>b<|reflect|>c<|explore|>", "plain", "<|reflect|>"]
    with Scan.of(table(tmp_path / "t.parquet", completion=pa.array(texts))) as scan:
        assert actions(scan, "completion") == Actions(
            "completion", {"continue": 0, "reflect": 3, "explore": 1}, {"continue": 0, "reflect": 2, "explore": 1}
        )
    with Scan.of(table(tmp_path / "u.parquet", completion=pa.array(["plain"]))) as scan:
        assert actions(scan, "completion") is None


def test_rows_are_picked_from_their_row_groups(small_line) -> None:
    path = storage.TABLES / "rollouts_r1.parquet"
    rows = storage.read_rows(path, Rollout)
    with Scan.of(path) as scan:
        assert [row["id"] for row in scan.some([5, 0, 5])] == [rows[0].id, rows[5].id]
        assert scan.some([10**9]) == []
    shards = Path("set/data")
    shards.mkdir(parents=True)
    for number in range(3):
        table(shards / f"{number}.parquet", id=pa.array([f"{number}-{row}" for row in range(150)]))
    with Scan.of(Path("set")) as scan:
        assert scan.rows == 450
        assert [row["id"] for row in scan.some([0, 149, 150, 449])] == ["0-0", "0-149", "1-0", "2-149"]


def test_a_file_that_is_no_parquet_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("no")
    with pytest.raises(DataError, match=r"t\.parquet is not a readable Parquet file"), Scan.of(tmp_path / "t.parquet"):
        pass
    with pytest.raises(DataError, match="is missing"), Scan.of(tmp_path / "u.parquet"):
        pass
