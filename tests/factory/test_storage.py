"""Outputs appear whole or not at all, in one order, with the same bytes; what can be written can be read, and what is damaged is said."""

import gzip
import itertools
import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory import storage
from factory.errors import DataError
from factory.gate.release import conversational
from factory.language.conversation import said
from factory.rejects import reject
from factory.schemas import (
    CorpusText,
    Demonstration,
    Example,
    Message,
    OrmPair,
    Reject,
    Restart,
    Rollout,
    Row,
    Trajectory,
    TrajectoryPair,
    Verdict,
    arrow_schema,
    choices,
    field_types,
)
from factory.storage import count_rows, find_rows, iter_rows, read_rows, read_table, rows_at, spread, to_table, write_rows

TABLE = Path("rollouts.parquet")
VALUES = {  # one of each kind of column
    str: "x", str | None: None, int: 3, int | None: None, float: 0.5, float | None: None, bool: True, tuple[str, ...]: ("a", ""),
    tuple[Verdict, ...]: ("wrong",), tuple[float, ...]: (0.0, 1.0), tuple[int, ...]: (0, 4),
}  # fmt: skip


def rollout(number: int, size: int = 200) -> Rollout:
    text = "".join(random.Random(number).choices("abcdefgh é∑", k=size))
    return Rollout(
        id=f"{number:06d}", model="m@1", prompt_version="p@1", seed=number, round="r1", problem_id="p", prompt=said("user", text[:20]),
        completion=text,
        steps=(text[: size // 2], text[size // 2 :]), answer=None if number % 2 else "7", verdict="correct", finish_reason="stop", tokens=9,
        logprob=-1.5,
    )  # fmt: skip


def groups(path: Path) -> list[pq.RowGroupMetaData]:
    footer = pq.read_metadata(path)
    return [footer.row_group(number) for number in range(footer.num_row_groups)]


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


def test_missing_files_and_columns_say_what_and_where() -> None:
    with pytest.raises(DataError, match=r"none.parquet is missing: `dvc repro`"):
        read_table(Path("none.parquet"))
    write_rows(Path("a.parquet"), Reject, rejects("a"))
    with pytest.raises(DataError, match="lacks the column problem"):
        read_table(Path("a.parquet"), ["problem"])
    Path("bad.parquet").write_text("no parquet", encoding="utf-8")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(Path("bad.parquet"))


# -- what can be written can be read


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> list[Rollout]:
    """A table of 40 rows in groups of at most 9 rows and 2,000 characters."""
    monkeypatch.setattr(storage, "GROUP_ROWS", 9)
    monkeypatch.setattr(storage, "GROUP_CHARACTERS", 2_000)
    monkeypatch.setattr(storage, "FEW", 4)
    rows = [rollout(number, size=20 if number < 25 else 300) for number in range(40)]
    write_rows(TABLE, Rollout, rows)
    return rows


@pytest.mark.slow
def test_row_groups_are_bounded_in_rows_and_characters(small_groups: list[Rollout]) -> None:
    sizes = [group.num_rows for group in groups(TABLE)]
    assert sum(sizes) == 40
    assert sizes[:2] == [9, 9]
    assert set(sizes[4:-1]) == {2}  # two of these long rows have 1,500 characters, three would have 2,300
    assert read_rows(TABLE, Rollout) == list(iter_rows(TABLE, Rollout)) == small_groups


def test_a_row_larger_than_a_group_stands_alone(small_groups: list[Rollout]) -> None:
    rows = [rollout(1, 10), rollout(2, 9_000), rollout(3, 10)]
    write_rows(TABLE, Rollout, rows)
    assert [group.num_rows for group in groups(TABLE)] == [1, 1, 1]
    assert read_rows(TABLE, Rollout) == rows


def test_no_rows_are_a_table_too() -> None:
    assert write_rows(TABLE, Rollout, []) == count_rows(TABLE) == 0
    assert read_rows(TABLE, Rollout) == rows_at(TABLE, Rollout, [0]) == []
    assert to_table(Rollout, []).schema == read_table(TABLE).schema == arrow_schema(Rollout)


@pytest.mark.slow
def test_the_groups_of_a_large_table_are_bounded() -> None:
    few_long = [rollout(number, 2_000) for number in range(100)]
    rows = [replace(few_long[number % 100], id=f"{number:06d}") for number in range(90_000)]  # 360 million characters
    write_rows(TABLE, Rollout, rows)
    for group in groups(TABLE):
        assert group.num_rows <= storage.GROUP_ROWS
        assert group.total_byte_size <= 4 * storage.GROUP_CHARACTERS
    assert len(groups(TABLE)) == 3
    assert all(map(Rollout.__eq__, iter_rows(TABLE, Rollout), rows))
    write_rows(TABLE, Reject, rejects(*(f"{number:06d}" for number in range(120_000))))
    assert [group.num_rows for group in groups(TABLE)] == [50_000, 50_000, 20_000]


# -- reading less


def corrupt(path: Path, group: int, column: str) -> None:
    """Overwrite a column's pages of one row group: whoever reads them gets an error."""
    content, footer = bytearray(path.read_bytes()), pq.read_metadata(path).row_group(group)
    chunk = next(footer.column(n) for n in range(footer.num_columns) if footer.column(n).path_in_schema.split(".")[0] == column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(content)


def test_only_the_columns_asked_for_are_read() -> None:
    write_rows(TABLE, Rollout, [rollout(number) for number in range(20)])
    corrupt(TABLE, 0, "completion")
    assert read_table(TABLE, ["tokens", "id"]).column_names == ["tokens", "id"]
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_table(TABLE, ["id", "completion"])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_rows(TABLE, Rollout)


def test_only_the_row_groups_that_hold_the_rows_are_read(small_groups: list[Rollout]) -> None:
    for group in range(1, len(groups(TABLE)) - 1):
        corrupt(TABLE, group, "prompt")
    assert count_rows(TABLE) == 40
    assert rows_at(TABLE, Rollout, [39, 0, 8, 8]) == [small_groups[0], small_groups[8], small_groups[39]]
    assert find_rows(TABLE, "00003", 3) == [30, 31, 32]
    with pytest.raises(DataError, match="not a readable Parquet file"):
        rows_at(TABLE, Rollout, [9])


def test_rows_are_picked_over_shards_and_batches(small_groups: list[Rollout]) -> None:
    for number, part in enumerate((small_groups[:11], small_groups[11:12], small_groups[12:])):
        write_rows(Path(f"set/data/train-{number}.parquet"), Rollout, part)
    for positions in ([0, 10, 11, 12, 39], [40, 99], [], range(40)):
        wanted = [small_groups[position] for position in positions if position < 40]
        assert rows_at(Path("set"), Rollout, positions) == wanted
    Path("set").rename(".set.aside.part")  # as a kill leaves a dataset that was being replaced
    assert (count_rows(Path("set")), find_rows(Path("set"), "000039", 5)) == (40, [39])
    assert (spread(10, 3), spread(2, 3), spread(0, 3)) == ([0, 3, 6], [0, 1], [])


# -- damaged files


def damaged() -> Iterator[bytes]:
    """20 truncations, 40 flipped bits (half of them in the footer), and bytes that are no Parquet at all."""
    good, rng = TABLE.read_bytes(), random.Random(3)
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    yield from (good[: len(good) * part // 20] for part in range(20))
    for start, end in ((0, footer), (footer, len(good))):
        for _ in range(20):
            at = rng.randrange(start, end)
            yield good[:at] + bytes([good[at] ^ (1 << rng.randrange(8))]) + good[at + 1 :]
    yield from (gzip.compress(good), good[:-1], good + b"x", b"PAR1", b"PAR1PAR1", bytes(4096), '{"id": "é"}\n'.encode() * 500)


@pytest.mark.slow
def test_a_damaged_file_is_an_error_or_the_same_rows() -> None:
    rows = [rollout(number) for number in range(60)]
    write_rows(TABLE, Rollout, rows)
    told = []
    for content in damaged():
        TABLE.write_bytes(content)
        for read in (read_rows, lambda path, kind: rows_at(path, kind, range(60)), lambda path, kind: list(iter_rows(path, kind))):
            try:
                assert read(TABLE, Rollout) == rows
            except DataError as error:
                told.append(str(error))
    assert len(told) > 3 * 40
    assert all(text.startswith("rollouts.parquet") and len(text.splitlines()) == 1 for text in told)


@pytest.mark.slow
def test_no_flipped_bit_of_a_file_gives_other_rows() -> None:
    rows = [rollout(number, 40) for number in range(12)]
    write_rows(TABLE, Rollout, rows)
    good = TABLE.read_bytes()
    for at in range(0, len(good), 3):
        TABLE.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :])
        try:
            assert read_rows(TABLE, Rollout) == rows, at
        except DataError:
            continue


def test_what_is_no_file_is_said() -> None:
    TABLE.mkdir()
    for read in (read_table, count_rows, lambda path: read_rows(path, Rollout)):
        with pytest.raises(DataError, match="is a folder or device, expected a Parquet file"):
            read(TABLE)
        with pytest.raises(DataError, match=r"is missing: `dvc repro`"):
            read(TABLE / "x.parquet")
    Path("file").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="is missing"):
        count_rows(Path("file/x.parquet"))
    with pytest.raises(DataError, match="is a folder or device"):
        read_table(Path("/dev/null"))
    Path("set/data").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no Parquet shard"):
        count_rows(Path("set"))


def test_a_file_that_may_not_be_read_is_no_damage(other_user: None) -> None:
    with pytest.raises(DataError, match=r"cannot be read: permission denied; give this user the right to read it"):
        read_table(TABLE)


@pytest.fixture
def other_user(tmp_path: Path) -> Iterator[None]:
    """A table that this user may not read; root may read everything, so the test runs as nobody then."""
    write_rows(TABLE, Reject, rejects("a"))
    TABLE.chmod(0)
    if os.geteuid():
        yield
        return
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_column_twice_or_of_another_type_is_refused() -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["1"]), pa.array(["2"])], names=["id", "id"]), TABLE)
    with pytest.raises(DataError, match="has the column id twice"):
        read_table(TABLE)
    for column, values, found in (
        ("tokens", ["9"], "string, expected int64"),
        ("steps", ["a"], "string, expected list"),
        ("answer", [b"a"], "binary"),
    ):
        table = to_table(Rollout, [rollout(1)])
        pq.write_table(table.set_column(table.schema.get_field_index(column), column, pa.array(values)), TABLE)
        with pytest.raises(DataError, match=f"the column {column} is {found}"):
            read_rows(TABLE, Rollout)


def test_text_that_is_no_utf8_is_refused() -> None:
    broken = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"id": broken, "stage": broken, "parent_id": broken, "reason": broken, "row": broken}), TABLE)
    for read in (read_table, lambda path: read_rows(path, Reject)):
        with pytest.raises(DataError, match="not a readable Parquet file"):
            read(TABLE)


def test_names_with_dots_and_other_writers_groups_are_read() -> None:
    pq.write_table(pa.table({"a.b": [1, 2], "a": [3, 4], "é": ["x", "y"]}), TABLE, row_group_size=1)
    assert read_table(TABLE, ["é", "a.b"]).to_pydict() == {"é": ["x", "y"], "a.b": [1, 2]}
    assert read_table(TABLE, ["a"]).to_pydict() == {"a": [3, 4]}


# -- rows that cannot be written


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("completion", "a\ud83db", "completion is 'a\\\\ud83db': half of a surrogate pair"),
        ("steps", ("fine", "\udfff"), "steps is .*: half of a surrogate pair"),
        ("answer", "\udc80", "answer is .*: half of a surrogate pair"),
        ("tokens", 10**5000, "tokens is 0x.*: expected int64"),
        ("seed", 2**63, "seed is 0x8000000000000000: expected int64"),
        ("tokens", 1.5, "tokens is 1.5: expected int64"),
        ("steps", "abc", "steps is 'abc': expected list"),
        ("completion", None, "completion is None: a value must be there"),
        ("completion", {"role": "user"}, "completion is .*: expected string"),
        ("verdict", "maybe", "verdict is 'maybe': expected one of correct, wrong"),
        ("logprob", "much", "logprob is 'much': expected double"),
        ("prompt", "Tom has 12.", "prompt is 'Tom has 12.': expected a conversation: Messages of system, user or assistant with words"),
        ("prompt", None, "prompt is None: expected a conversation"),
        ("prompt", ("user", "Tom has 12."), "prompt is .*: expected a conversation"),
        ("prompt", ({"role": "user", "content": "Tom has 12."},), "prompt is .*: expected a conversation"),
        ("prompt", Message("user", "Tom has 12."), "prompt is .*: expected a conversation"),
        ("prompt", (Message("user", 12),), "prompt is .*: expected .*"),
        ("prompt", (Message("user", None),), "prompt is .*: expected .*"),
        ("prompt", (Message("user", "Tom"), Message("assistant", "a\ud83db")), "prompt is .*: half of a surrogate pair"),
        ("prompt", (Message("\udfff", "Tom"),), "prompt is .*: expected a conversation"),
    ],
    ids=itertools.count(),
)
def test_a_row_that_cannot_be_written_is_named(column: str, value: object, reason: str) -> None:
    rows = [rollout(1), replace(rollout(2), **{column: value}), rollout(3)]
    with pytest.raises(DataError, match=f"^Rollout 000002: {reason}"):
        write_rows(TABLE, Rollout, rows)
    assert not TABLE.exists()
    written = reject("rollouts", rows[1], "cannot be written")
    assert write_rows(TABLE, Reject, [written]) == 1
    assert json.loads(read_rows(TABLE, Reject)[0].row)["id"] == "000002"


def test_text_with_nulls_and_marks_comes_back_as_it_was() -> None:
    texts = ["a\0b", "\ufeffx", "\r\n\x1b[0m", "\u2028", "😀", "\ufffe", "e\u0301"]
    rows = [CorpusText(id=str(n), role="r", family="f", instance="i", prompt=text, completion="") for n, text in enumerate(texts)]
    write_rows(TABLE, CorpusText, rows)
    assert [row.prompt for row in read_rows(TABLE, CorpusText)] == texts


CONVERSATIONS = (
    said("user", ""),
    said("user", "Tom has 12. é∑ 😀\n\n"),
    (Message("system", "Be terse."), Message("user", "1 + 2?"), Message("assistant", "3\n<|reflect|>")),
    tuple(Message("user" if turn % 2 else "assistant", f"{turn}") for turn in range(40)),
    said("user", "{% block system %}[system]\n\0\u2028"),
)


@pytest.mark.parametrize("rows", [1, 7])
def test_conversations_come_back_as_they_were(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "GROUP_ROWS", rows)
    written = [replace(rollout(number), prompt=prompt) for number, prompt in enumerate(CONVERSATIONS)]
    write_rows(TABLE, Rollout, written)
    for found in (read_rows(TABLE, Rollout), list(iter_rows(TABLE, Rollout)), rows_at(TABLE, Rollout, range(9))):
        assert found == written
        assert all(isinstance(turn, Message) for row in found for turn in row.prompt)
    assert pq.read_table(TABLE).column("prompt")[1].as_py() == [{"role": "user", "content": "Tom has 12. é∑ 😀\n\n"}]


@pytest.mark.parametrize("row_type", [Demonstration, Example, OrmPair, Restart, Rollout, Trajectory, TrajectoryPair])
def test_the_released_form_reads_back_to_the_same_rows(row_type: type[Row]) -> None:
    hints = {name: hint for name, hint in field_types(row_type).items() if name != "prompt"}
    filled = {name: choices(hint)[0] if choices(hint) else VALUES[hint] for name, hint in hints.items()}
    answers = [name for name in ("completion", "chosen", "rejected") if name in filled]
    texts = ["", "a\n<|reflect|>b\n\n", "é😀"]
    rows = [
        row_type(**{**filled, **dict.fromkeys(answers, text), "id": f"{n}", "prompt": CONVERSATIONS[n + 1]}) for n, text in enumerate(texts)
    ]
    released = conversational(to_table(row_type, rows), row_type)
    pq.write_table(released, TABLE)
    assert read_rows(TABLE, row_type) == list(iter_rows(TABLE, row_type)) == rows
    for name in answers if row_type is not Rollout else ():
        assert released.column(name).to_pylist() == [[{"role": "assistant", "content": text}] for text in texts]
