"""The reader of files where it is strict, as sources and benchmarks use it; tests/factory/cli/test_grade.py has the rest."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.errors import DataError
from factory.files import Record, opened_rows, row_reader
from factory.files.unpacking import ending

ROWS: list[dict[str, Any]] = [{"a": 1, "b": "x"}, {"a": 2, "b": "é"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def records(path: Path, kind: str = "", strict: bool = True) -> list[Record]:
    return [record for batch in row_reader(path, kind, strict).batches() for record in batch.records]


PACKED = gzip.compress(LINES * 99, mtime=0)  # it names tests, in every process alike


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refuse(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        records(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_endings() -> None:
    assert ending(Path("a.b.JSONL.GZ")) == ("json", ".gz")
    assert ending(Path("a.parquet.zst")) == ("", ".zst")
    assert ending(Path("a.txt")) == ending(Path("jsonl")) == ("", "")


def test_places_are_lines_in_text_and_numbers_elsewhere(tmp_path: Path) -> None:
    spaced = LINES.replace(b"\n", b"\n\n")
    assert [record.line for record in records(write(tmp_path / "a.jsonl", spaced))] == [1, 3]
    assert [record.line for record in records(write(tmp_path / "a.csv", 'a,b\n1,"x\ny"\n2,z\n'))] == [3, 4]
    assert [record.line for record in records(write(tmp_path / "a.json", json.dumps(ROWS, indent=1)))] == [1, 2]
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=1)
    assert [record.line for record in records(tmp_path / "a.parquet")] == [1, 2]


def test_the_first_bytes_go_before_the_ending(tmp_path: Path) -> None:
    with pa.output_stream(str(tmp_path / "c.jsonl.gz"), compression="zstd") as stream:
        stream.write(LINES)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "d.csv")
    for path in (write(tmp_path / "a.jsonl", gzip.compress(LINES)), write(tmp_path / "b.json", gzip.compress(json.dumps(ROWS).encode()))):
        assert [record.values for record in records(path)] == ROWS
    for path in (tmp_path / "c.jsonl.gz", tmp_path / "d.csv"):
        assert [record.values for record in records(path)] == ROWS


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.jsonl", b"PK\x03\x04rest", "is a zip archive: unpack it"), ("a.jsonl", b"BZh91AY", "is packed with bzip2"),
    ("a.csv.gz", b"\xfd7zXZ\x00\x00", "is packed with xz"), ("a.json", LINES.decode().encode("utf-16"), "is UTF-16: save it as UTF-8"),
    ("a.jsonl", LINES.decode().encode("utf-32"), "is UTF-32"), ("a.csv", "a,b\n1,2\n".encode("utf-16-be"), "is UTF-16 without a byte"),
    ("a.jsonl", PACKED[:-9], "cannot be unpacked"), ("a.jsonl", PACKED[:30] + b"x" * 40, "cannot be "),
    ("a.jsonl.zst", b"\x28\xb5\x2f\xfd\x00", "cannot be read"), ("a.parquet", LINES, "is not a readable Parquet file"),
    ("a.json", b'[{"a": 1}, {"a"', "is no JSON array"), ("a.json", b"[" * 100_000, "is no JSON array"),
    ("a.json", '[{"a": "é"}]'.encode("latin-1"), "is no JSON array ('utf-8' codec"), ("a.csv", b"a,a\n1,2\n", "two columns named 'a'"),
    ("a.csv", b'a,b\n"x"y,2\n', "line 2: "), ("a.txt", LINES, "has no ending that says how to read it"),
])  # fmt: skip
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    assert said in refuse(write(tmp_path / name, content))


def test_a_torn_first_line_is_one_row_of_many(tmp_path: Path) -> None:
    for torn in (b"[1, 2]\n", b'"b": 3}\n', b'[x"}\n', b"\xff\xfe{\n"[2:], b"[]\n"):
        found = records(write(tmp_path / "a.jsonl", torn + LINES))
        assert ([bool(record.broken) for record in found], found[1].values) == ([True, False, False], ROWS[0])


def test_where_strict_nothing_is_replaced_or_chosen(tmp_path: Path) -> None:
    bad = write(tmp_path / "a.jsonl", LINES + b'{"a": "\xff"}\n{"a": 1, "a": 2}\n{"a": {"b": 1, "b": 2}}\n')
    assert [record.broken for record in records(bad)] == ["", "", "not UTF-8", "an object with a key twice", ""]
    assert [record.values for record in records(bad, strict=False)[2:4]] == [{"a": "\ufffd"}, {"a": 2}]
    twice = write(tmp_path / "a.json", '[{"a": 1, "a": 2}, {"a": 3}]')
    assert [record.broken for record in records(twice)] == ["an object with a key twice", ""]
    cells = write(tmp_path / "a.csv", b"a,b\n1,\xe9\n2,\xc3\xa9\n")
    assert [record.broken for record in records(cells)] == ["not UTF-8", ""]
    assert records(cells)[0].values == {"malformed": '["1", "\ufffd"]'}
    assert records(cells, strict=False)[0].values == {"a": "1", "b": "\ufffd"}


def test_values_of_parquet_that_python_cannot_hold(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"ok"], pa.binary()).buffers())
    late = pa.array([2**62, 0], pa.timestamp("us"))
    nested = pa.ListArray.from_arrays([0, 1, 2], text)
    pq.write_table(pa.table({"text": text, "late": late, "nested": nested}), tmp_path / "a.parquet")
    first, second = records(tmp_path / "a.parquet")
    assert first.values == {"text": b"\xff", "late": None, "nested": None}
    assert (second.values["text"], second.values["nested"]) == ("ok", ["ok"])
    assert records(tmp_path / "a.parquet", strict=False)[0].values["text"] == "\ufffd"


@pytest.mark.parametrize("text", ["problem;answer\r\nWhat is 2,5 plus 1?;3,5\r\n",
                                  "sep=;\r\nproblem;answer\r\nWhat is 2,5 plus 1?;3,5\r\n",
                                  "problem\tanswer\nWhat is 2,5 plus 1?\t3,5\n",
                                  'problem, answer,,\n"What is 2,5 plus 1?","3,5",,\n'])  # fmt: skip
def test_csv_as_spreadsheets_write_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8-sig", newline="")
    with opened_rows(str(tmp_path / "a.csv")) as source:
        rows = [record.values for batch in source.reader.batches() for record in batch.records]
    assert rows == [{"problem": "What is 2,5 plus 1?", "answer": "3,5"}]


def test_narrow_floats_are_what_they_say(tmp_path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"a": pa.array([0.1, None, 2.5], pa.float32()), "b": pa.array(np.array([0.1, 7, 0.3], "float16"))}), tmp_path / "a.parquet"
    )
    with opened_rows(str(tmp_path / "a.parquet")) as source:
        rows = [tuple(record.values.values()) for batch in source.reader.batches() for record in batch.records]
    assert rows == [(0.1, 0.1), (None, 7.0), (2.5, 0.3)]
