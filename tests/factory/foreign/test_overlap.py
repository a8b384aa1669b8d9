"""Foreign problems beside benchmarks and beside each other: warnings that name rows and evidence."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from factory.errors import DataError
from factory.foreign.audit import Foreign, audit
from factory.foreign.overlap import LIKE, SAME, UNNAMED
from factory.foreign.telling import summary_blocks, write

DUCKS = "Janet's ducks lay 16 eggs per day and she eats 3 for breakfast every morning. How many eggs does she sell at the market?"
BUS = "A bus with 45 seats makes 6 trips every single day of the week. How many people can ride on it from Monday until Sunday?"
ROWS = [
    {"question": f"Solve the following problem step by step. {DUCKS} Answer with a number.", "answer": "13"},
    {"question": BUS, "answer": "1890"},
    {"question": BUS.replace("until Sunday", "to Sunday").replace("single day", "day"), "answer": "1890"},
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines("theirs.jsonl", ROWS)
    lines("ducks.jsonl", [{"question": DUCKS, "answer": "13"}])


def lines(name: str, rows: list[dict[str, Any]]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def of(*against: str, name: str = "theirs.jsonl", **more: Any) -> Foreign:
    return audit(name, kind=None, given={}, steps=None, against=against, **more)


def warned(found: Foreign) -> dict[str, int]:
    return {finding.says: finding.unexpected for finding in found.audit.findings if not finding.success}


def test_a_question_of_a_benchmark_is_a_warning_with_its_row_and_the_question_as_evidence() -> None:
    found = of("ducks.jsonl")
    assert warned(found)["no problem is a question of ducks.jsonl"] == 1
    assert found.audit.success, "no critical expectation failed"
    (matched,) = found.matched
    assert (matched.benchmark, matched.question, matched.answer, matched.evidence) == ("ducks.jsonl", DUCKS, "13", "verbatim")
    row = found.table.filter(found.table.column("id").to_numpy(zero_copy_only=False) == matched.id).to_pylist()[0]
    assert row["problem"] == ROWS[0]["question"]
    assert found.document()["matched"][0]["question"] == DUCKS
    assert any(DUCKS[:40] in str(block) for block in summary_blocks(found))


def test_a_row_that_overlaps_stands_among_the_failing_ones(tmp_path: Path) -> None:
    found = of("ducks.jsonl")
    write(tmp_path / "out", found)
    failing = pq.read_table(tmp_path / "out/failing.parquet").to_pylist()
    assert [line["id"] for line in failing if line["expectation"] == "no problem is a question of ducks.jsonl"] == [found.matched[0].id]
    assert "Janet" in (tmp_path / "out/index.html").read_text(encoding="utf-8")


def test_without_a_benchmark_it_is_told_that_none_was_named() -> None:
    assert UNNAMED in {item.reason for item in of().not_checked}


@pytest.mark.slow
def test_the_benchmarks_of_the_params_here_count_unless_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    params = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text(encoding="utf-8"))
    params["problems"]["benchmarks"] = ["ducks.jsonl"]
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    lines("bus.jsonl", [{"question": BUS, "answer": "1890"}])
    assert "no problem is a question of ducks.jsonl" in warned(of())
    assert "no problem is a question of bus.jsonl" in warned(of("bus.jsonl"))
    assert "no problem is a question of ducks.jsonl" not in warned(of("bus.jsonl"))


def test_a_near_duplicate_names_the_row_that_it_is_like() -> None:
    lines("theirs.jsonl", [{"question": BUS, "answer": "1890"}, {"question": BUS.replace("A bus", "The bus"), "answer": "1890"}])
    Path("params.yaml").unlink(missing_ok=True)
    found = of()
    (finding,) = [item for item in found.audit.findings if item.says == LIKE]
    assert (finding.unexpected, finding.critical) == (1, False)
    (example,) = finding.examples
    assert example[1].removeprefix("like ") in found.table.column("id").to_pylist()


def test_one_text_with_two_answers_is_told_with_both_rows() -> None:
    lines("theirs.jsonl", [{"question": BUS, "answer": "1890"}, {"question": BUS, "answer": "12"}])
    assert warned(of())[SAME] == 2


def test_rows_of_one_problem_are_all_warned_of_and_are_no_duplicates_of_each_other() -> None:
    lines("solved.jsonl", [{"question": DUCKS, "response": f"{n}\\boxed{{13}}", "answer": "13"} for n in range(3)])
    found = of("ducks.jsonl", name="solved.jsonl")
    assert found.kind == "distillation"
    assert warned(found)["no problem is a question of ducks.jsonl"] == 3
    assert LIKE not in warned(found)


def test_texts_without_a_problem_are_not_compared() -> None:
    lines("texts.jsonl", [{"text": DUCKS, "role": "compute"}])
    found = audit("texts.jsonl", kind="corpus", given={}, steps=None, against=["ducks.jsonl"])
    assert {item.reason for item in found.not_checked if item.says == LIKE} == {"no column of corpus is a problem"}


def test_a_benchmark_that_is_missing_is_an_error() -> None:
    with pytest.raises(DataError, match=r"the benchmark gone\.jsonl is missing"):
        of("gone.jsonl")


@pytest.mark.slow
def test_how_many_processes_work_changes_no_byte(tmp_path: Path) -> None:
    rows = [{"question": f"{BUS} ({n % 4500})", "answer": str(n % 7)} for n in range(5_000)]
    lines("many.jsonl", rows)
    for name, processes in (("one", 1), ("two", 2)):
        write(tmp_path / name, of("ducks.jsonl", name="many.jsonl", processes=processes))
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
