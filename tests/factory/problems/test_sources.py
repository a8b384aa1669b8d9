"""Readers: what cannot be read becomes a reject with its place, what is missing altogether is an error that helps."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.errors import DataError
from factory.params import Problems, Source
from factory.problems.sources import Read, read_problems
from factory.rejects import write_rejects
from factory.schemas import Problem, Reject
from factory.storage import read_rows

GSM8K = {"columns": {"problem": "question", "answer": "answer", "solution": "answer"}, "answer_after": "####"}
ROW = {
    "question": "A robe takes 2 bolts and half that.  How many?",
    "answer": "It takes 2/2=<<2/2=1>>1 bolt\nSo 2+1=<<2+1=3>>3 bolts\n#### 3",
}


def load(*sources: Source) -> list[Read]:
    params = Problems(
        sources=list(sources), split_shares={"train": 1.0}, benchmarks=[], near_duplicate=0.9, contamination_ngram=8, max_reject_share=0.5
    )
    return read_problems(params, seed=1)


def read(path: Path, **source: Any) -> tuple[list[Problem], list[Reject]]:
    found = load(Source(**{"name": "s", "kind": "file", "path": str(path), **source}))[0]
    return found.problems, found.rejects


def reasons_of(path: Path, **source: Any) -> list[str]:
    return [row.reason for row in read(path, **source)[1]]


def jsonl(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), encoding="utf-8")
    return path


def test_gsm8k_row(tmp_path: Path) -> None:
    problems, rejects = read(jsonl(tmp_path / "a.jsonl", ROW), **GSM8K)
    assert rejects == []
    assert problems[0].problem == ROW["question"]
    assert problems[0].answer == "3"
    assert problems[0].solution == "It takes 2/2=1 bolt\nSo 2+1=3 bolts\n\\boxed{3}"


def test_bad_rows_are_rejected_with_their_place_and_the_rest_survives(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", ROW, '{"question": "cut o', "[1, 2]", {"question": "No answer?"}, {"question": " ", "answer": "#### 3"},
        {"question": "No mark?", "answer": "3"}, {"question": "Words?", "answer": "#### many"}, ROW,
        {"question": "Last?", "answer": "#### 1,000"},
    )  # fmt: skip
    problems, rejects = read(path, **GSM8K)
    assert [problem.answer for problem in problems] == ["3", "1,000"]
    places = {json.loads(row.row)["at"].rsplit(":", 1)[1]: row.reason for row in rejects}
    assert places == {
        "2": "malformed JSON", "3": "not a JSON object", "4": "no answer", "5": "empty problem", "6": "no #### in the answer",
        "7": "the answer is no number", "8": "exact duplicate",
    }  # fmt: skip
    assert str(path) in rejects[0].row


def test_missing_file_says_what_is_there(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", ROW)
    with pytest.raises(DataError, match=r"test\.jsonl is missing; in .* there is: train\.jsonl.*params\.yaml"):
        read(tmp_path / "test.jsonl", **GSM8K)


def test_missing_column_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column .problem. for problem; it has answer, question: correct problems\.sources\.s\.columns"):
        read(jsonl(tmp_path / "a.jsonl", ROW))


def test_empty_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        read(jsonl(tmp_path / "a.jsonl"))


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": ["One?", "Two?", None], "answer": [1, 2, 3]}), path)
    problems, rejects = read(path, answer_kind="number", split="heldout")
    assert [(row.problem, row.answer, row.split) for row in problems] == [("One?", "1", "heldout"), ("Two?", "2", "heldout")]
    assert problems[0].solution is None
    assert rejects[0].reason == "no problem"
    assert json.loads(rejects[0].row)["at"] == f"{path}:3"
    broken = tmp_path / "b.parquet"
    broken.write_bytes(b"PAR?")
    with pytest.raises(DataError, match="not a readable Parquet"):
        read(broken)


def test_every_file_says_how_many_rows_it_gave(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", ROW, "{torn", {"question": "No answer?"}, {**ROW, "question": "Another?"}, "[]")
    (found,) = load(Source(name="s", kind="jsonl", path=str(path), **GSM8K))
    assert (found.rows, found.unreadable, len(found.problems), len(found.rejects)) == (5, 2, 2, 3)
    why = "malformed JSON 1, no answer 1, not a JSON object 1"
    assert found.said() == [f"problems: s ({path}): 5 rows, 2 unreadable, 1 rejected ({why})"]


@pytest.mark.parametrize(
    "line", ['{"problem": "torn', "just text", "\ufffd\x01\x02", "[1, 2]", '{"problem": "a", "problem": "b", "answer": "1"}']
)
def test_a_file_without_a_readable_row_is_an_error_that_names_it(tmp_path: Path, line: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", line, line)
    with pytest.raises(DataError, match=r"a\.jsonl \(problems\.sources\.s\) has no rows that can be read \(of 2; row 1 is ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["file", "jsonl", "parquet"])
def test_content_and_ending_decide_how_a_file_is_read(tmp_path: Path, kind: str) -> None:
    rows = [{"problem": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    table = "problem,answer\n" + "".join(f"{row['problem']},{row['answer']}\n" for row in rows)
    files = {
        "bom.jsonl": b"\xef\xbb\xbf" + lines.encode(), "array.json": json.dumps(rows).encode(),
        "array.jsonl": json.dumps(rows, indent=1).encode(),
        "packed.jsonl.gz": gzip.compress(lines.encode()), "wrong_name.jsonl": gzip.compress(lines.encode()),
        "table.csv": table.encode(), "crlf.csv": b"\xef\xbb\xbf" + table.replace("\n", "\r\n").encode(),
        "table.tsv": table.replace(",", "\t").encode(),
        "crlf.jsonl": lines.replace("\n", "\r\n").encode(), "packed.csv.gz": gzip.compress(table.encode()),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "really_parquet.jsonl")
    with pa.output_stream(str(tmp_path / "zstd.jsonl"), compression="zstd") as stream:
        stream.write(lines.encode())
    for path in sorted(tmp_path.iterdir()):
        problems, rejects = read(path, kind=kind)
        assert ([row.answer for row in problems], rejects) == (["1", "2", "3"], []), path.name


def test_a_kind_says_how_to_read_a_name_without_an_ending(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("problem;answer\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no ending that says how to read it"):
        read(tmp_path / "rows.txt")
    for kind, text in {
        "jsonl": '{"problem": "One?", "answer": 1}',
        "csv": "problem,answer\nOne?,1",
        "tsv": "problem\tanswer\nOne?\t1",
    }.items():
        (tmp_path / "rows.txt").write_text(text, encoding="utf-8")
        assert [row.answer for row in read(tmp_path / "rows.txt", kind=kind)[0]] == ["1"]


def test_text_that_is_not_utf_8_is_counted_never_changed(tmp_path: Path) -> None:
    good, bad = '{"problem": "caf\u00e9 1?", "answer": 1}\n', '{"problem": "caf\u00e9 2?", "answer": 2}\n'
    (tmp_path / "a.jsonl").write_bytes(good.encode() + bad.encode("latin-1"))
    (tmp_path / "a.csv").write_bytes("problem,answer\ncaf\u00e9 1?,1\n".encode() + "caf\u00e9 2?,2\n".encode("latin-1"))
    for name in ("a.jsonl", "a.csv"):
        problems, rejects = read(tmp_path / name)
        assert ([row.problem for row in problems], [row.reason for row in rejects]) == (["caf\u00e9 1?"], ["not UTF-8"])
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff 3?"], pa.binary()).buffers())
    pq.write_table(pa.table({"problem": pa.chunked_array([broken, ["fine?"]]), "answer": [1, 2]}), tmp_path / "a.parquet")
    assert reasons_of(tmp_path / "a.parquet") == ["problem is bytes, not text"]


BAD_ROWS: dict[str, str] = {
    '{"problem": "half \\ud83d?", "answer": "1"}': "problem has a lone surrogate, which is no character",
    '{"problem": "a\\u0000b?", "answer": "1"}': "problem has a NUL character",
    '{"problem": "a?", "answer": "\\udfff"}': "answer has a lone surrogate, which is no character",
    '{"problem": "a?", "answer": ' + "9" * 5000 + "}": "JSON that is too long or too deep",
    '{"problem": "a?", "answer": "1", "x": ' + "[" * 200_000 + "]" * 200_000 + "}": "JSON that is too long or too deep",
    '{"problem": "a?", "answer": NaN}': "answer is NaN",
    '{"problem": "a?", "answer": -Infinity}': "answer is infinite",
    '{"problem": "a?", "answer": 1e999}': "answer is infinite",
    '{"problem": "a?", "answer": ["7", "8"]}': "answer is a list of 2 values",
    '{"problem": "a?", "answer": {"value": 7}}': "answer is an object",
    '{"problem": "a?", "answer": [[7]]}': "answer is a list in a list",
    '{"problem": "a?", "answer": []}': "answer is an empty list",
    '{"problem": {"text": "a?"}, "answer": 7}': "problem is an object",
    '{"problem": "a?", "answer": 7, "solution": {"a": 1}}': "solution is an object",
    '{"problem": "a?", "answer": 7, "problem": "b?"}': "an object with a key twice",
    '{"problem": "\\u200b\\u2060", "answer": 7}': "empty problem",
    '{"problem": "a?\\n<|reflect|>b", "answer": 7}': "problem has a meta-action token at the start of a line",
    '{"problem": "a?\\u2028  <|explore|>b", "answer": 7}': "problem has a meta-action token at the start of a line",
    '{"problem": "a?", "answer": 7, "solution": "<|continue|>3+4"}': "solution has a meta-action token at the start of a line",
}


def test_one_bad_row_is_a_reject_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nested = '{"problem": "deep?", "answer": "x", "more": ' + "[" * 400 + "]" * 400 + "}"
    path = jsonl(tmp_path / "a.jsonl", *BAD_ROWS, nested, {"problem": "Good?", "answer": 1})
    problems, rejects = read(path, columns={"solution": "solution"})
    assert [row.problem for row in problems] == ["Good?"]
    assert [row.reason for row in rejects] == [*BAD_ROWS.values(), "the answer is no number"]
    monkeypatch.chdir(tmp_path)
    write_rejects("problems", rejects)
    again = read_rows(Path("data/rejects/problems.parquet"), Reject)
    assert {json.loads(row.row)["at"] for row in again} == {f"{path}:{n}" for n in range(1, len(BAD_ROWS) + 2)}
    assert {json.loads(row.row)["source"] for row in again} == {"s"}


def test_one_bad_element_of_an_array_is_a_reject(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '[{"problem": "a?", "answer": 1}, 7, {"problem": "b?", "answer": ' + "9" * 5000 + '}, {"problem": "\\ud800"}]'
    )
    problems, rejects = read(tmp_path / "a.json")
    assert [row.problem for row in problems] == ["a?"]
    assert rejects[0].reason == "not a JSON object"
    assert [json.loads(row.row)["at"].rsplit(":", 1)[1] for row in rejects] == ["2", "3", "4"]


def test_a_record_with_columns_of_our_names_keeps_its_place(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", {"problem": "One?", "answer": "many", "at": "home", "source": "web"}, {"problem": "Two?", "answer": 2}
    )
    row = json.loads(read(path)[1][0].row)
    assert (row["at"], row["source"], row["row"]["at"], row["row"]["source"]) == (f"{path}:1", "s", "home", "web")


def test_control_tokens_are_counted_and_said(tmp_path: Path) -> None:
    rows = ["Say <|endoftext|> twice: <|endoftext|>.", "What is </s> in HTML?", "Put <|reflect|> here.", "a < b > c [1]"]
    (found,) = load(Source(name="s", kind="file", path=str(jsonl(tmp_path / "a.jsonl", *({"problem": row, "answer": 1} for row in rows)))))
    assert [row.problem for row in found.problems] == rows
    assert found.said()[1] == (
        "problems: s: 3 problems spell control tokens (<|endoftext|> 2, </s> 1, <|reflect|> 1): they are read as plain text"
    )
    (clean,) = load(Source(name="s", kind="file", path=str(jsonl(tmp_path / "b.jsonl", {"problem": "1?", "answer": 1}))))
    assert len(clean.said()) == 1


def test_of_equal_rows_the_same_one_stays_whatever_their_order(tmp_path: Path) -> None:
    rows = [{"problem": "One?", "answer": "1", "solution": text} for text in ("", "b", "a", "c", None)]
    kept = set()
    for order in (rows, rows[::-1], rows[2:] + rows[:2]):
        problems, rejects = read(jsonl(tmp_path / "a.jsonl", *order), columns={"solution": "solution"})
        assert [row.reason for row in rejects] == ["exact duplicate"] * 4
        assert {row.parent_id for row in rejects} == {problems[0].id}
        kept.add(problems[0])
    assert len(kept) == 1
    assert kept.pop().solution is not None


def test_sources_that_share_rows_lose_none(tmp_path: Path) -> None:
    """Names are unique in the params; where they are not, rows still have a survivor."""
    rows = [{"problem": f"What is {n} + 1?", "answer": n + 1} for n in range(4)]
    paths = [jsonl(tmp_path / "a.jsonl", *rows[:3]), jsonl(tmp_path / "b.jsonl", *rows[1:]), jsonl(tmp_path / "c.jsonl", *rows)]
    found = load(*(Source(name="s", kind="file", path=str(path)) for path in paths))
    assert [(len(part.problems), len(part.rejects), part.rows) for part in found] == [(3, 0, 3), (1, 2, 3), (0, 4, 4)]
    ids = {row.id for part in found for row in part.problems}
    assert len(ids) == 4
    assert {row.parent_id for part in found for row in part.rejects} <= ids
