"""Outputs appear whole or not at all, in one order, with the same bytes; what a killed run left is swept away."""

from pathlib import Path

import pytest

from factory.errors import DataError
from factory.schemas import Reject
from factory.storage import read_rows, read_table, reject, whole_file, whole_folder, write_rejects, write_rows


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rejects(*names: str) -> list[Reject]:
    return [Reject(id=name, stage="s", parent_id=None, reason="r", row="{}") for name in names]


def test_rows_are_sorted_and_bytes_do_not_depend_on_the_order_given() -> None:
    write_rows(Path("a.parquet"), Reject, rejects("b", "a", "c"))
    write_rows(Path("b.parquet"), Reject, rejects("c", "b", "a"))
    assert Path("a.parquet").read_bytes() == Path("b.parquet").read_bytes()
    assert [row.id for row in read_rows(Path("a.parquet"), Reject)] == ["a", "b", "c"]


def test_a_duplicate_id_is_refused() -> None:
    with pytest.raises(DataError, match="id a stands twice"):
        write_rows(Path("a.parquet"), Reject, rejects("a", "a"))
    assert not Path("a.parquet").exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else() -> None:
    Path("x").write_text("old")
    with pytest.raises(IsADirectoryError), whole_file(Path("x")) as temporary:
        temporary.write_text("half" * len(Path("/").read_bytes()))
    assert [path.name for path in Path().iterdir()] == ["x"]
    assert Path("x").read_text() == "old"


def test_what_a_killed_run_left_is_swept_away() -> None:
    Path(".m.abc.part").mkdir()
    Path(".m.abc.part/half").write_text("h")
    Path(".other.abc.part").mkdir()
    with whole_folder(Path("m")) as folder:
        (folder / "weights").write_text("w")
    assert sorted(path.name for path in Path().iterdir()) == [".other.abc.part", "m"]
    assert (Path("m") / "weights").read_text() == "w"


def test_missing_files_and_columns_say_what_and_where() -> None:
    with pytest.raises(DataError, match=r"none.parquet is missing: `dvc repro`"):
        read_table(Path("none.parquet"))
    write_rows(Path("a.parquet"), Reject, rejects("a"))
    with pytest.raises(DataError, match="lacks the column problem"):
        read_table(Path("a.parquet"), ["problem"])
    Path("bad.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(Path("bad.parquet"))


def test_identical_rejects_are_numbered_apart() -> None:
    one = reject("s", {"text": "x"}, "too long")
    assert write_rejects("s", [one, one, one]) == 3
    assert {row.reason for row in read_rows(Path("data/rejects/s.parquet"), Reject)} == {"too long"}
