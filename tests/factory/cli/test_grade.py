"""`factory grade`: every format in and out, the rows in their order, mistakes in one line, exit codes."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from factory.cli import grade as grade_command
from factory.cli.main import app
from factory.errors import DataError
from factory.files import batches
from factory.grading import rows
from factory.grading.protocol import ALL_RULES, KINDS

ROWS: list[dict[str, Any]] = [
    {"id": "a", "gold": "18", "response": r"so \boxed{18}"},
    {"id": "b", "gold": "work #### 1,234", "response": r"so \boxed{1235}"},
    {"id": "c", "gold": "2", "response": "The answer is 2."},
    {"id": "d", "gold": "", "response": r"\boxed{2}"},
    {"id": "e", "gold": "2", "response": None},
    {"id": "f", "gold": "3", "response": 'é "quoted", \\boxed{\\frac{6}{2}}\nand\ta\rline'},
]
VERDICTS = ["correct", "wrong", "unparsable", "unparsable", "unparsable", "correct"]
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".jsonl.zst", ".csv.gz", ".csv.zst")


class Said(NamedTuple):
    code: int
    out: str
    err: str


def ask(*words: object, code: int = 0, given: bytes | None = None) -> Said:
    answer = CliRunner().invoke(app, ["grade", *map(str, words)], input=given, catch_exceptions=False)
    assert answer.exit_code == code, answer.output
    return Said(answer.exit_code, answer.stdout, answer.stderr)


def refuse(*words: object) -> str:
    """The error of a file that cannot be graded: one line."""
    with pytest.raises(DataError) as caught:
        ask(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def misuse(*words: object) -> str:
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", ask(*words, code=2).err).split())


def write(path: Path, items: list[dict[str, Any]]) -> Path:
    """Rows as JSONL, JSON, CSV, TSV or Parquet, packed or not."""
    text = "".join(json.dumps(item) + "\n" for item in items).encode()
    if ".json" in path.suffixes:
        text = json.dumps(items, indent=1).encode()
    if ".csv" in path.suffixes or ".tsv" in path.suffixes:
        page = io.StringIO(newline="")
        table = csv.DictWriter(page, list(items[0]), delimiter="\t" if ".tsv" in path.suffixes else ",")
        table.writeheader()
        table.writerows(items)
        text = page.getvalue().encode()
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(items), path)
    elif path.suffix == ".zst":
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(text)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            text = stream.read().decode()
    else:
        text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    if ".csv" in path.suffixes or ".tsv" in path.suffixes:
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if ".tsv" in path.suffixes else ","))
    return [json.loads(line) for line in text.splitlines()]


def lines(path: Path, *texts: str | bytes) -> Path:
    path.write_bytes(b"".join((text if isinstance(text, bytes) else text.encode()) + b"\n" for text in texts))
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_is_read(tmp_path: Path, ending: str) -> None:
    out = tmp_path / "graded.jsonl"
    said = ask(write(tmp_path / f"answers{ending}", ROWS), "--out", out)
    graded = read(out)
    assert [row["id"] for row in graded] == [row["id"] for row in ROWS]
    assert [row["verdict"] for row in graded] == VERDICTS
    assert [list(row)[-4:] for row in graded] == [["verdict", "reason", "extracted", "rule"]] * len(ROWS)
    assert graded[1]["reason"] == "different values"
    assert [row["reason"] for row in graded[2:5]] == ["no answer was found", "no gold answer", "no answer"]
    assert (graded[5]["extracted"], graded[5]["rule"]) == (r"\frac{6}{2}", "box")
    assert graded[5]["response"] == ROWS[5]["response"]
    assert "6 rows in" in said.out


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("source", [".jsonl", ".csv", ".parquet"])
def test_every_format_is_written(tmp_path: Path, source: str, ending: str) -> None:
    out = tmp_path / "new folder" / f"graded{ending}"
    ask(write(tmp_path / f"answers{source}", ROWS), "--out", out)
    graded = read(out)
    assert [row["verdict"] for row in graded] == VERDICTS
    for before, after in zip(ROWS, graded, strict=True):
        assert list(after) == ["id", "gold", "response", "verdict", "reason", "extracted", "rule"]
        assert {name: after[name] or "" for name in before} == {name: value or "" for name, value in before.items()}
    assert list(out.parent.iterdir()) == [out]


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "answers.jsonl", ROWS)
    for ending in (".jsonl.gz", ".parquet", ".csv"):
        first, second = tmp_path / f"first{ending}", tmp_path / f"second{ending}"
        ask(path, "--out", first)
        ask(path, "--out", second)
        assert first.read_bytes() == second.read_bytes()


def test_rows_of_jsonl_are_copied_to_the_letter(tmp_path: Path) -> None:
    texts = [
        '{"gold":1.50 , "response": "\\boxed{1.5}", "x": NaN, "gold": 1.50}',
        "{ }",
        '{"gold": "\\ud800", "response": "\\u0000\\boxed{\\ud800}"}',
    ]
    texts = [text.replace("\\boxed", "\\\\boxed") for text in texts]
    out = tmp_path / "graded.jsonl"
    ask(lines(tmp_path / "answers.jsonl", *texts), "--out", out)
    found = out.read_bytes().decode().splitlines()
    assert [line.startswith(text.rstrip(" }")) for line, text in zip(found, texts, strict=True)] == [True] * 3
    assert [json.loads(line)["verdict"] for line in found] == ["correct", "unparsable", "correct"]
    assert json.loads(found[1]) == {"verdict": "unparsable", "reason": "no gold answer", "extracted": None, "rule": None}


def test_a_line_that_is_no_row_stays_in_its_place(tmp_path: Path) -> None:
    bad = '{"gold": "1", "response": "…'
    deep = "[" * 100_000
    path = lines(
        tmp_path / "answers.jsonl", json.dumps(ROWS[0]), bad, "", "17", deep, b'{"gold": "1", "response": "\\\\boxed{1} \xff"}', ""
    )
    ask(path, "--out", tmp_path / "graded.jsonl")
    graded = read(tmp_path / "graded.jsonl")
    assert [row["verdict"] for row in graded] == ["correct", "unparsable", "unparsable", "unparsable", "correct"]
    assert graded[1] == {"malformed": bad, "verdict": "unparsable", "reason": "malformed JSON", "extracted": None, "rule": None}
    assert (graded[2]["malformed"], graded[2]["reason"]) == ("17", "not a JSON object")
    assert (graded[3]["malformed"], graded[3]["reason"]) == (deep, "JSON that is too long or too deep")
    for ending in (".csv", ".parquet"):
        ask(path, "--out", tmp_path / f"graded{ending}")
        again = read(tmp_path / f"graded{ending}")
        assert [row["malformed"] or "" for row in again] == ["", bad, "17", deep, ""]
        assert [row["verdict"] for row in again] == [row["verdict"] for row in graded]


def test_a_byte_order_mark_is_none_of_the_text(tmp_path: Path) -> None:
    for ending in (".jsonl", ".csv", ".json"):
        path = write(tmp_path / f"answers{ending}", ROWS)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        ask(path, "--out", tmp_path / "graded.jsonl")
        assert [row["verdict"] for row in read(tmp_path / "graded.jsonl")] == VERDICTS
        assert "\ufeff" not in (tmp_path / "graded.jsonl").read_text()
    path.write_bytes(json.dumps(ROWS).encode("utf-16"))
    assert "is UTF-16: save it as UTF-8" in refuse(path)


def test_surrogates_nul_and_nan_are_read_and_written(tmp_path: Path) -> None:
    odd: list[dict[str, Any]] = [
        {"gold": "\ud800", "response": "\\boxed{1\x00}", "x": [{"y": "\udfff"}]},
        {"gold": float("nan"), "response": "\\boxed{1}", "x": [float("inf")]},
        {"gold": 1, "response": "\\boxed{1}", "x": {}},
    ]
    for source in (".jsonl", ".json"):
        for ending in (".jsonl", ".csv", ".parquet"):
            ask(write(tmp_path / f"answers{source}", odd), "--out", tmp_path / f"graded{ending}")
            graded = read(tmp_path / f"graded{ending}")
            assert [row["verdict"] for row in graded] == ["unparsable", "unparsable", "correct"]
            assert graded[1]["reason"] == "no gold answer"
    assert graded[0]["gold"] == "\\ud800"
    assert json.loads(graded[0]["x"]) == [{"y": "\udfff"}]
    pq.write_table(
        pa.table({"gold": [float("nan"), 1.0], "response": ["\\boxed{1}"] * 2, "raw": [b"\xff", b"b"]}), tmp_path / "answers.parquet"
    )
    for ending in (".jsonl", ".csv"):
        ask(tmp_path / "answers.parquet", "--out", tmp_path / f"graded{ending}")
        assert [row["verdict"] for row in read(tmp_path / f"graded{ending}")] == ["unparsable", "correct"]


def test_text_of_a_parquet_file_that_is_no_utf_8_is_read(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff \\boxed{1}"], pa.binary()).buffers())
    pq.write_table(pa.table({"gold": ["1"], "response": broken}), tmp_path / "answers.parquet")
    assert "Accuracy 100.00 % of 1 row," in ask(tmp_path / "answers.parquet").out


def test_parquet_keeps_its_types_and_metadata(tmp_path: Path) -> None:
    table = pa.table(
        {
            "gold": pa.array([1, 2], pa.int32()), "response": pa.array(["\\boxed{1}", "\\boxed{3}"]).dictionary_encode(),
            "ids": pa.array([[1], [2, 3]], pa.list_(pa.int16())), "at": pa.array([1, 2], pa.timestamp("ms")), "a.b": pa.array(["x", "y"]),
            "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int8())), "n": pa.array([1, 2], pa.decimal128(5, 2)),
        },
    ).replace_schema_metadata({"huggingface": "{}"})  # fmt: skip
    pq.write_table(table, tmp_path / "answers.parquet")
    ask(tmp_path / "answers.parquet", "--out", tmp_path / "graded.parquet")
    graded = pq.read_table(tmp_path / "graded.parquet")
    assert graded.drop(["verdict", "reason", "extracted", "rule"]).equals(table)
    assert graded.schema.metadata[b"huggingface"] == b"{}"
    assert graded.column("verdict").to_pylist() == ["correct", "wrong"]
    ask(tmp_path / "answers.parquet", "--out", tmp_path / "graded.jsonl")
    assert read(tmp_path / "graded.jsonl")[1] == {
        "gold": 2, "response": "\\boxed{3}", "ids": [2, 3], "at": "1970-01-01 00:00:00.002000", "a.b": "y", "map": [], "n": "2.00",
        "verdict": "wrong", "reason": "different values", "extracted": "3", "rule": "box",
    }  # fmt: skip


def test_parquet_of_jsonl_has_types_that_hold_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ROWS", 1)
    more: list[dict[str, Any]] = [
        {"n": 1, "big": 2**60 + 1, "mixed": 1, "nested": [{"role": "user", "content": "q"}], "huge": 1, "late": None, "no": {}},
        {"n": 2, "big": 0.5, "mixed": "x", "nested": [], "huge": 2**70, "late": None, "no": {}},
        {"n": None, "big": None, "mixed": [1], "nested": None, "huge": 3, "late": True, "no": None},
    ]
    ask(write(tmp_path / "answers.jsonl", [{**ROWS[0], **row} for row in more]), "--out", tmp_path / "graded.parquet")
    table = pq.read_table(tmp_path / "graded.parquet")
    assert table.column("n").to_pylist() == [1, 2, None]
    assert table.column("big").to_pylist() == [str(2**60 + 1), "0.5", None]
    assert table.column("mixed").to_pylist() == ["1", "x", "[1]"]
    assert table.column("nested").to_pylist() == [[{"role": "user", "content": "q"}], [], None]
    assert table.column("huge").to_pylist() == ["1", str(2**70), "3"]
    assert table.column("late").to_pylist() == [None, None, True]
    assert table.column("no").to_pylist() == ["{}", "{}", None]


def test_values_that_are_no_text(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": r"\boxed{1}"}, {"role": "assistant", "content": r"\boxed{2}"}]
    parts = [{"role": "assistant", "content": [{"type": "text", "text": r"\boxed"}, {"type": "image"}, {"type": "text", "text": "{2}"}]}]
    told: list[tuple[object, object, str]] = [
        (2, turns, "math"),
        (2.0, parts, "math"),
        ([1, 2], "\\boxed{[1, 2]}", "literal"),
        (True, "\\boxed{True}", "literal"),
    ]
    given = [{"gold": gold, "response": response, "kind": kind} for gold, response, kind in told]
    for ending in (".jsonl", ".json"):
        ask(write(tmp_path / f"answers{ending}", given), "--kind", "kind", "--out", tmp_path / "graded.jsonl")
        assert [row["verdict"] for row in read(tmp_path / "graded.jsonl")] == ["correct"] * 4
    write(tmp_path / "answers.parquet", [{"gold": "2", "response": turns}])
    assert "Accuracy 100.00 % of 1 row," in ask(tmp_path / "answers.parquet").out


def test_kinds_by_column(tmp_path: Path) -> None:
    kinds = ["choice", "text", "sums", None, " math "]
    given = [{"gold": "A", "response": r"\boxed{(A)}", "task": kind} for kind in kinds]
    ask(write(tmp_path / "answers.jsonl", given), "--kind", "task", "--out", tmp_path / "graded.jsonl")
    graded = read(tmp_path / "graded.jsonl")
    assert [row["verdict"] for row in graded] == ["correct", "wrong", "unparsable", "unparsable", "correct"]
    assert [row["reason"] for row in graded[2:4]] == ["unknown kind 'sums'", "no kind"]
    message = refuse(tmp_path / "answers.jsonl", "--kind", "sums")
    assert "'sums' of --kind is none of number, math" in message
    assert message.endswith("it has gold, response, task")


def test_columns_are_found_or_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"question": "q", "answer": "work #### 2", "solution": r"\boxed{2}", "guess": "2", "other": "3"}])
    assert "gold answer, response solution, kind math, rules box" in ask(path).out
    assert "gold answer, answer guess, kind number" in ask(path, "--answer", "guess", "--kind", "number").out
    assert "gold other, response guess" in ask(path, "--gold", "other", "--response", "guess").out
    write(tmp_path / "b.jsonl", [{"answer": r"\boxed{2}", "target": "2"}])
    assert "gold target, answer answer" in ask(tmp_path / "b.jsonl", "--answer", "answer").out
    assert "has no column 'gold'; it has question, answer, solution, guess, other" in refuse(path, "--gold", "gold")
    assert "none of the columns response" in refuse(tmp_path / "b.jsonl")
    assert "--answer; it has answer, target" in refuse(tmp_path / "b.jsonl")
    write(tmp_path / "c.jsonl", [{f"c{number}": 1 for number in range(50)}])
    assert "none of the columns gold, answer" in refuse(tmp_path / "c.jsonl")
    assert refuse(tmp_path / "c.jsonl").endswith("c38, c39 and 10 more")


def test_extracted_answers_need_no_rule(tmp_path: Path) -> None:
    given = [{"gold": gold, "answer": answer} for gold, answer in (("1/2", "0.5"), ("1", "2"), ("1", ""), ("1/2", "0.5"))]
    said = ask(write(tmp_path / "a.csv", given), "--answer", "answer", "--out", tmp_path / "graded.jsonl")
    graded = read(tmp_path / "graded.jsonl")
    assert [row["verdict"] for row in graded] == ["correct", "wrong", "unparsable", "correct"]
    assert (graded[0]["extracted"], graded[0]["rule"]) == ("0.5", None)
    assert "rules" not in said.out
    assert "answer found by" not in said.out


def test_rules_decide_where_the_answer_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"gold": "2", "response": text} for text in (r"\boxed{2}", "#### 2", "The answer is 2.", "?")])
    said = ask(path)
    assert "In 3 responses the rules box found no answer: --rules all looks in more places." in said.out
    assert "no answer was found" in said.out
    assert "Accuracy 25.00 % of 4 rows, failures counted as wrong; 100.00 % of the 1 answer that could be judged" in said.out
    assert "Accuracy 50.00 %" in ask(path, "--rules", "hash, box").out
    said = ask(path, "--rules", "all")
    assert "Accuracy 75.00 %" in said.out
    assert "--rules all" not in said.out
    assert [line.split()[:2] for line in said.out.splitlines() if "100.00 %" in line][:3] == [
        ["box", "1"],
        ["hash", "1"],
        ["answer_is", "1"],
    ]


def test_decimals_are_a_tolerance_of_the_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"gold": "1/3", "response": r"\boxed{0.33}"}])
    assert "different values" in ask(path).out
    assert "2 decimals" in ask(path, "--decimals", "2").out
    assert "Accuracy 100.00 %" in ask(path, "--decimals", "2").out


@pytest.mark.slow
def test_the_summary_tells_intervals_reasons_and_computer_algebra(tmp_path: Path) -> None:
    given = [{"gold": r"\sin^2 x + \cos^2 x + x", "response": r"\boxed{x + 1}"}, {"gold": "1", "response": "\\boxed{\x1b[31m?}"}]
    said = ask(write(tmp_path / "a.jsonl", [*given, *({"gold": str(n), "response": rf"\boxed{{{n}}}"} for n in range(98))]))
    assert re.search(r"correct +99 +99\.00 % +94\.55 to 99\.82 %", said.out)
    assert re.search(r"unparsable .+ 1 +2\n", re.sub(" +\n", "\n", said.out))
    assert "\x1b" not in said.out
    assert re.search(r"rows/s; [01] needed computer algebra", said.out)


@pytest.mark.slow
def test_unusable_files_are_refused_in_a_line(tmp_path: Path) -> None:
    assert "is missing: correct its name" in refuse(tmp_path / "none.jsonl")
    assert "is a folder" in refuse(tmp_path)
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is no file: save what it says in one" in refuse(tmp_path / "pipe.jsonl")
    assert "has no ending that says how to read it" in refuse(lines(tmp_path / "a.txt", "{}"))
    assert "has no ending that says how to read it" in refuse(lines(tmp_path / "a.parquet.gz", "{}"))
    for ending in (".jsonl", ".json", ".csv", ".jsonl.gz"):
        path = tmp_path / f"empty{ending}"
        path.write_bytes(gzip.compress(b"\n") if ending.endswith("gz") else b"\n")
        assert "has no rows" in refuse(path)
    assert "has no rows" in refuse(lines(tmp_path / "a.json", "[]"))
    assert "has no rows" in refuse(lines(tmp_path / "a.csv", "gold,response"))
    pq.write_table(pa.table({"gold": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert "has no rows" in refuse(tmp_path / "a.parquet")
    assert "expected a JSON object a line, or an array of objects" in refuse(lines(tmp_path / "a.jsonl", "gold,response", "1,2"))
    assert "begins with [ and is no JSON array" in refuse(lines(tmp_path / "a.json", '[{"gold": 1},'))
    assert "is not a readable Parquet file" in refuse(lines(tmp_path / "b.parquet", "PAR1"))
    assert "two columns named 'gold'" in refuse(lines(tmp_path / "a.csv", "gold,gold", "1,2"))
    assert "a.csv, line 3: " in refuse(lines(tmp_path / "a.csv", "gold,response", '1,"2', "3,4"))
    whole = gzip.compress(json.dumps(ROWS).encode() * 50)
    for name, content in (("a.jsonl.gz", whole[:-20]), ("b.jsonl.gz", b"no gzip"), ("a.jsonl.zst", b"no zstd")):
        (tmp_path / name).write_bytes(content)
        assert refuse(tmp_path / name).startswith(f"{tmp_path / name} cannot be ")


def test_ragged_rows_of_csv(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.csv", "gold,response", "1", r"1,\boxed{1},more", r"1,\boxed{1}")
    ask(path, "--out", tmp_path / "graded.jsonl")
    graded = read(tmp_path / "graded.jsonl")
    assert [row["reason"] for row in graded] == ["no answer", "more cells than columns", ""]
    assert json.loads(graded[1]["malformed"]) == ["1", r"\boxed{1}", "more"]


def test_a_clash_of_columns_suggests_a_prefix(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*ROWS, {**ROWS[0], "rule": "x"}])
    message = refuse(path, "--out", tmp_path / "out.jsonl")
    assert message.endswith("has a column 'rule' already: name ours apart, as with --prefix graded_")
    assert not (tmp_path / "out.jsonl").exists()
    ask(path)  # nothing is added
    ask(path, "--out", tmp_path / "out.jsonl", "--prefix", "graded_")
    assert read(tmp_path / "out.jsonl")[-1]["graded_rule"] == "box"
    assert read(tmp_path / "out.jsonl")[-1]["rule"] == "x"


def test_wrong_usage_exits_with_two(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    assert "'bax' is none of all, box" in misuse(path, "--rules", "box,bax")
    assert "leave out --response" in misuse(path, "--answer", "a", "--response", "b")
    assert "leave out --rules" in misuse(path, "--answer", "a", "--rules", "box")
    assert "cannot be the gold answers and the others" in misuse(path, "--gold", "gold", "--answer", "gold")
    assert "no file with one of the endings" in misuse(path, "--out", tmp_path / "a.txt")
    assert "is the file that is graded" in misuse(path, "--out", path)
    assert "--fail-under" in misuse(path, "--fail-under", "80")
    assert "--workers" in misuse(path, "--workers", "0")
    ask(code=2)


def test_too_few_correct_rows_exit_with_three(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    ask(path, "--fail-under", "0.33")
    said = ask(path, "--fail-under", "0.5", "--out", tmp_path / "out.csv", code=3)
    assert "33.33 % of the rows are correct, fewer than the 50 % of --fail-under" in said.err
    assert len(read(tmp_path / "out.csv")) == 6


def test_a_failed_run_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = lines(tmp_path / "out.jsonl", "old")
    monkeypatch.setattr(rows, "grade_rows", lambda *_: (_ for _ in ()).throw(DataError("no")))
    refuse(write(tmp_path / "a.jsonl", ROWS), "--out", out)
    assert out.read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out.jsonl"]


@pytest.mark.slow
def test_standard_input_to_standard_output(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    command = [sys.executable, "-m", "factory.cli", "grade", "-", "--out", "-"]
    answer = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert [json.loads(line)["verdict"] for line in answer.stdout.splitlines()] == VERDICTS
    assert b"Accuracy 33.33 %" in answer.stderr
    assert b"standard input: gold gold" in answer.stderr
    answer = subprocess.run([*command, "--gold", "x"], input=path.read_bytes(), capture_output=True, check=False)
    assert (answer.returncode, answer.stdout) == (1, b"")
    assert answer.stderr.decode() == "error: standard input has no column 'x'; it has id, gold, response\n"
    pipe = f"{sys.executable} -m factory.cli grade {path} --out - 2> {tmp_path}/said | head -1"
    assert subprocess.run(["bash", "-c", pipe], capture_output=True, check=False).stdout.count(b"\n") == 1
    assert "Traceback" not in (tmp_path / "said").read_text()


def test_help_teaches() -> None:
    said = " ".join(ask("--help").out.split())
    for words in ("Exit codes: 0 graded", "3 fewer correct rows than --fail-under", "zcat answers.jsonl.gz | factory grade - --out -"):
        assert words in said
    assert ", ".join(rows.GOLD) == grade_command.GOLD
    assert ", ".join(rows.RESPONSE) == grade_command.RESPONSE
    for name in (*ALL_RULES, *KINDS):
        assert name in said


def test_progress_is_plain_lines_where_there_is_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    assert ask(path).err == ""
    monkeypatch.setattr(grade_command, "QUIET", 0.0)
    monkeypatch.setattr(grade_command, "SLICE", 4)
    assert re.fullmatch(r"4 of 6 rows graded, [\d,]+ rows/s, 0 s left\n", ask(path).err)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_twenty_thousand_rows_in_bounded_time_and_memory(tmp_path: Path, ending: str) -> None:
    """In a process of its own: 100 MB of text, of which a batch at a time is held."""
    path = write(
        tmp_path / f"answers{ending}", [{"id": n, "gold": n, "response": f"{'step ' * 1000}\\boxed{{{n}}}"} for n in range(20_000)]
    )
    code = (
        "import resource, sys; from factory.cli.main import app; import factory.grading.outputs; from factory.files import batches\n"
        "batches.BYTES = 8 << 20; before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "app(sys.argv[1:], standalone_mode=False); print('grew', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    started = time.monotonic()
    command = [sys.executable, "-c", code, "grade", str(path), "--out", str(tmp_path / f"graded{ending}")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"})
    assert time.monotonic() - started < 60
    assert "Accuracy 100.00 % of 20,000 rows" in answer.stdout
    assert int(answer.stdout.split("grew")[1]) < 150_000, "kB: the file has 100 MB"
    assert [int(row["id"]) for row in read(tmp_path / f"graded{ending}")] == list(range(20_000))
