"""Questions of benchmarks: whatever the format and the column, and never none without a word."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.errors import DataError
from factory.problems.benchmarks import read_benchmark

QUESTIONS = ["How many eggs are left?", "What is 7 times 8?"]


def jsonl(path: Path, *rows: object) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def refuse(path: str) -> str:
    with pytest.raises(DataError) as caught:
        read_benchmark(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"the benchmark {path} ")
    return str(caught.value)


@pytest.mark.parametrize("column", ["problem", "Question", "prompt", "query", "input", "text", "instruction", "inputs", "PROBLEM"])
def test_every_usual_column(tmp_path: Path, column: str) -> None:
    path = jsonl(tmp_path / "b.jsonl", *({"id": n, column: text, "answer": "7"} for n, text in enumerate(QUESTIONS)))
    found = read_benchmark(path)
    assert (found.texts, found.rows, found.unreadable) == (QUESTIONS, 2, 0)


def test_columns_that_are_the_question_together(tmp_path: Path) -> None:
    rows = [
        {"Body": "Ann has 3 eggs.", "Question": "How many?"},
        {"instruction": "Add.", "input": "3 4"}, {"instruction": "Count.", "input": ""},
        {"code": "def f(x): …", "input": "[1]", "output": "2"}, {"code": "solution()", "text": "Write a program."},
    ]  # fmt: skip
    assert read_benchmark(jsonl(tmp_path / "b.jsonl", *rows)).texts == [
        "Ann has 3 eggs.\nHow many?", "Add.\n3 4", "Count.", "def f(x): …\n[1]", "Write a program.",
    ]  # fmt: skip


def test_conversations(tmp_path: Path) -> None:
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many?"}
    rows: list[object] = [
        {"messages": [system, user]}, {"prompt": [user, {"role": "assistant", "content": "7"}, {"role": "user", "content": "And now?"}]},
        {"conversations": [{"from": "human", "value": "Where?"}]},
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": "When?"}]}]},
        {"prompt": ["First turn?", "Second turn?"]}, {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
    ]  # fmt: skip
    found = read_benchmark(jsonl(tmp_path / "b.jsonl", *rows))
    assert found.texts == ["How many?", "How many?\nAnd now?", "Where?", "When?", "First turn?\nSecond turn?"]
    assert (found.rows, found.unreadable) == (6, 1)


def test_formats(tmp_path: Path) -> None:
    rows = [{"question": text} for text in QUESTIONS]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    for name, content in {
        "bom.jsonl": b"\xef\xbb\xbf" + lines, "a.json": json.dumps(rows, indent=1).encode(), "a.jsonl.gz": gzip.compress(lines),
        "packed.jsonl": gzip.compress(lines), "a.csv": "question\n{}\n{}\n".format(*QUESTIONS).encode(),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        assert read_benchmark(str(path)).texts == QUESTIONS, path.name


def test_rows_without_a_question_are_counted(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "b.jsonl",
        '{"question": "torn',
        {"question": " "},
        {"question": 7},
        {"other": "x"},
        "[1]",
        *({"question": f"Whole {n}?"} for n in range(5)),
    )
    found = read_benchmark(path)
    assert (found.texts, found.rows, found.unreadable) == ([f"Whole {n}?" for n in range(5)], 10, 5)
    assert "in 5 of 9 rows" in refuse(jsonl(tmp_path / "c.jsonl", *[{"q": 1}] * 5, *({"question": f"Whole {n}?"} for n in range(4))))


def test_a_row_may_have_several_questions(tmp_path: Path) -> None:
    rows = [
        {"prompt": "You are a helpful assistant.", "messages": [{"role": "User", "content": "How many?"}]},
        {"problem": "algebra/0.json", "question": "How far?"}, {"passage": "Bob has 17.", "question": "How much?"},
    ]  # fmt: skip
    texts = read_benchmark(jsonl(tmp_path / "b.jsonl", *rows)).texts
    assert {"How many?", "How far?", "Bob has 17.\nHow much?"} <= set(texts)
    assert "How much?" not in texts, "a question belongs to its passage"


def test_no_question_is_an_error_that_says_what_there_is(tmp_path: Path) -> None:
    assert "has a question in none of its 1 rows: expected text in one of problem, " in refuse(
        jsonl(tmp_path / "a.jsonl", {"q\ud800": "How?"})
    )
    assert refuse(jsonl(tmp_path / "b.jsonl", {"frage": "Wie?", "id": 1})).endswith("it has frage, id")
    assert "it has question" in refuse(jsonl(tmp_path / "c.jsonl", {"question": ""}, {"question": None}))
    assert "row 1 is malformed JSON: '{\"question\":'" in refuse(jsonl(tmp_path / "d.jsonl", '{"question": '))
    assert "has no rows" in refuse(jsonl(tmp_path / "e.jsonl"))
    assert "is missing" in refuse(str(tmp_path / "none.jsonl"))
    (tmp_path / "f.jsonl").write_text(json.dumps({"question": "How?"}), encoding="utf-16")
    assert "is UTF-16" in refuse(str(tmp_path / "f.jsonl"))
    (tmp_path / "g.jsonl").write_bytes(json.dumps({"question": "How?"}).encode("utf-16-le"))
    assert "is UTF-16 without a byte order mark" in refuse(str(tmp_path / "g.jsonl"))
    (tmp_path / "h.jsonl.gz").write_bytes(gzip.compress(b'{"question": "How?"}\n' * 1000)[:-12])
    assert "cannot be unpacked" in refuse(str(tmp_path / "h.jsonl.gz"))
