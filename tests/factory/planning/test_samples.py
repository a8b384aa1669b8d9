"""What `factory check` foresees of the stage `problems`: benchmarks that protect nothing, and too many rejected rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from factory.errors import DataError
from factory.params import load, parse
from factory.planning import benchmarks
from factory.planning.checks import checked
from factory.planning.findings import Finding
from factory.planning.history import History
from factory.planning.samples import MOST, sample
from pipelines import problems

Written = Callable[[dict[str, Any]], Path]
SOURCE = "problems.sources.mine"


def rows(path: str, *found: dict[str, Any]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")


def good() -> list[dict[str, Any]]:
    """The forty of the project."""
    return [json.loads(line) for line in Path("train.jsonl").read_text(encoding="utf-8").splitlines()]


def bad(count: int) -> list[dict[str, Any]]:
    return [{"question": f"Write about the number {number}.", "answer": "#### none"} for number in range(count)]


def of(found: list[Finding], key: str) -> Finding:
    (finding,) = [finding for finding in found if finding.key == key]
    return finding


@pytest.mark.parametrize(("content", "state", "says"), [
    ('{"question": "How many?"}\n', "ok", "bench.jsonl (26 bytes, 1 question)"),
    ('{"number": 3}\n', "wrong", "bench.jsonl has a question in none of its 1 rows"),
    ("no JSON at all\n", "wrong", "bench.jsonl"),
    ('{"question": "How many?"}\n{"question": 3}\n', "warning", "1 of 2 rows have none that can be read: they protect nothing"),
    ('{"question": "?"}\n{"number": 3}\n{"number": 4}\n', "wrong", "bench.jsonl has no question to read in 2 of 3 rows"),
    ("", "missing", "bench.jsonl: the file is empty"),
])  # fmt: skip
@pytest.mark.slow
def test_a_benchmark_is_read_as_the_line_reads_it(
    project: Path, written: Written, document: dict[str, Any], content: str, state: str, says: str
) -> None:
    Path("bench.jsonl").write_text(content, encoding="utf-8")
    document["problems"]["benchmarks"] = ["bench.jsonl"]
    finding = of(checked(written(document)), "problems.benchmarks.0")
    assert finding.state == state
    assert says in finding.said


@pytest.mark.parametrize(("count", "state"), [(30, None), (40, None), (41, "wrong")])
def test_what_is_foreseen_of_a_whole_file_is_what_the_stage_does(
    project: Path, written: Written, document: dict[str, Any], count: int, state: str | None
) -> None:
    """Forty good rows beside so many bad ones, at most half of which may be rejected."""
    rows("train.jsonl", *good(), *bad(count))
    params = load(written(document))
    found = {finding.key: finding for finding in sample(params, History()).faults}
    if state is None:
        assert not found
        problems.main(params)
        return
    assert found[SOURCE].state == state
    assert found[SOURCE].said.startswith("train.jsonl: 41 of its 81 rows are rejected, more than problems.max_reject_share 0.5 (41 × ")
    with pytest.raises(DataError, match="41 of 81 rows are rejected, more than"):
        problems.main(params)


def test_of_a_longer_file_it_is_a_warning(project: Path, document: dict[str, Any]) -> None:
    rows("train.jsonl", *bad(MOST - 20), *good())
    (finding,) = sample(parse(document), History()).faults
    assert (finding.state, finding.said.startswith("train.jsonl: 180 of its first 200 rows are rejected")) == ("warning", True)


def test_rows_that_a_benchmark_holds_count_too_but_not_in_an_audit(project: Path, document: dict[str, Any]) -> None:
    rows("bench.jsonl", *good()[:30])
    document["problems"]["benchmarks"] = ["bench.jsonl"]
    params = parse(document)
    held, _ = benchmarks.read(params)
    (finding,) = sample(params, History(), held).faults
    assert "30 of its 40 rows are rejected" in finding.said
    assert "contaminated: bench.jsonl" in finding.said
    assert not sample(params.model_copy(update={"purpose": "audit"}), History(), held).faults


def test_rows_that_say_the_same_are_no_bad_ones(project: Path, document: dict[str, Any]) -> None:
    rows("train.jsonl", *good()[:5] * 3)
    assert not sample(parse(document), History()).faults
