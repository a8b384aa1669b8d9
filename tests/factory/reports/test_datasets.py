"""A dataset's part of the report: ours and other people's, without rows, with failed expectations and with measures."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory import storage
from factory.gate.release import release
from factory.rejects import reject, write_rejects
from factory.reports.audits import audit_blocks
from factory.reports.datasets import dataset_blocks
from factory.reports.line import audit_of
from factory.reports.page import Facts, Fold, Heading, Plots, Prose, Sample, Section, Table, html, markdown
from factory.reports.rejects import MOST, reject_blocks
from factory.schemas import Demonstration, Reject, Restart, arrow_schema

FINDING = {
    "type": "expect_x", "column": "prefix", "says": "the prefix is one", "critical": True, "success": False, "unexpected": 3, "of": 9,
    "observed": "", "examples": [],
}  # fmt: skip
AUDIT = {
    "success": False, "gx_version": "1.24.1", "findings": [FINDING, FINDING | {"success": True, "says": "there are rows"}],
    "measures": [
        {"name": "length_auc", "says": "length says nothing", "value": 0.71, "low": 0.69, "high": 0.73, "counts": {"pairs": 900},
         "bounds": {"min_value": 0.35, "max_value": 0.65}, "success": False},
        {"name": "repeated", "says": "few are", "value": 0.2, "low": None, "high": None, "bounds": {"max_value": 0.5}, "success": True},
        {"name": "none", "says": "nothing to measure", "value": None, "bounds": {"max_value": 0.5}, "success": True},
    ],
    "columns": {"prefix": {"median": 111.5, "most": 559}},
}  # fmt: skip


def kinds(blocks: list) -> list[str]:
    return [block.kind for block in blocks]


@pytest.mark.slow
def test_a_dataset_of_the_line_in_reading_order(small_line) -> None:
    release("restarts_r1", small_line.params)
    path = storage.TABLES / "restarts_r1.parquet"
    blocks = list(
        dataset_blocks("restarts_r1", path, audit_of("restarts_r1"), about=str(Restart.__doc__), facts=(("made by", "restarts@r1"),))
    )
    heading, about, facts, plots, *rest = blocks
    assert (heading.text, heading.anchor, heading.mark) == ("restarts_r1", "dataset-restarts_r1", "passed")
    assert about.code
    assert about.text.startswith("A start state of PPO")
    assert isinstance(facts, Facts)
    told = dict(facts.pairs)
    assert told["rows"] == f"{storage.count_rows(path):,}"
    assert told["made by"] == "restarts@r1"
    assert isinstance(plots, Plots)
    assert any(figure.caption.startswith("buffer") for figure in plots.figures)
    assert next(block.title for block in rest if isinstance(block, Fold)) == "Columns in numbers"
    assert isinstance(rest[-1] if isinstance(rest[-1], Sample) else rest[-2], Sample)


def test_a_file_that_nobody_here_made_needs_no_row_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["a" * n for n in range(1, 40)], "label": ["x", "y", "x"] * 13}), tmp_path / "theirs.parquet")
    blocks = list(dataset_blocks("theirs", tmp_path / "theirs.parquet"))
    assert kinds(blocks) == ["heading", "facts", "plots", "fold", "sample", "fold"]
    assert dict(blocks[1].pairs) == {"rows": "39"}
    assert [figure.caption.split(":")[0] for figure in blocks[2].figures] == ["question, characters", "label"]


def test_a_dataset_without_rows_says_so(tmp_path: Path) -> None:
    pq.write_table(arrow_schema(Restart).empty_table(), tmp_path / "empty.parquet")
    blocks = list(dataset_blocks("empty", tmp_path / "empty.parquet"))
    assert kinds(blocks) == ["heading", "facts"]
    assert dict(blocks[1].pairs) == {"rows": "0"}


def test_failed_expectations_stand_first_with_their_rows_and_measures_follow(tmp_path: Path) -> None:
    lines = [(f"{n}", FINDING["says"], True, f"value {n}", json.dumps({"id": f"{n}", "prefix": f"<i>{n}"})) for n in range(5)]
    names = ("id", "expectation", "critical", "value", "row")
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*lines, strict=True)), strict=True))), tmp_path / "x.parquet")
    failed, rows, passed, plots, measures, columns = audit_blocks(AUDIT, tmp_path / "x.parquet")
    assert failed.rows == (("the prefix is one", "prefix", "3 of 9", "", "FAILED"),)
    assert rows.title == "Rows that break “the prefix is one”: 3 of 5"
    assert rows.blocks[0].fields == (("id", "0"), ("prefix", "<i>0"))
    assert passed.title == "1 expectation passed (Great Expectations 1.24.1)"
    assert [figure.caption for figure in plots.figures] == ["length_auc: 0.71", "repeated: 0.2"]
    assert measures.rows == (
        ("length_auc", "length says nothing", "0.71", "0.69 to 0.73", "0.35 to 0.65", "warning", "pairs 900"),
        ("repeated", "few are", "0.2", "", "up to 0.5", "passed", ""), ("none", "nothing to measure", "", "", "up to 0.5", "passed", ""),
    )  # fmt: skip
    assert columns.blocks[0].rows == (("prefix", "111.5", "559"),)
    assert [block.kind for block in audit_blocks(AUDIT)] == ["table", "fold", "plots", "table", "fold"]  # without an extract
    strange = {"success": True, "findings": [], "measures": {"entropy": 0.5, "top": {"value": 3, "of": [1, 2]}}}
    (table,) = audit_blocks(strange)
    assert table.rows == (("entropy", "0.5", ""), ("top", "3", "1, 2"))


def test_rejects_by_reason_and_a_row_of_each(small_line) -> None:
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    write_rejects("x", [reject("x", row, f"{'a' if n < 4 else 'b'}") for n, row in enumerate(rows)])
    table, fold = reject_blocks(storage.REJECTS / "x.parquet", "x")
    assert table.rows == (("a", "4", "66.7 %"), ("b", "2", "33.3 %"))
    assert [block.title for block in fold.blocks] == ["rejected: a", "rejected: b"]
    assert "completion" in dict(fold.blocks[0].fields)
    assert list(reject_blocks(storage.REJECTS / "none.parquet", "none")) == []


def test_of_very_many_reasons_those_that_differ_behind_a_colon_are_one(tmp_path: Path) -> None:
    rows = [
        Reject(id=f"{n:04}", stage="s", parent_id=None, reason=f"near duplicate: {n}" if n % 2 else f"odd {n}", row="no JSON")
        for n in range(60)
    ]
    storage.write_rows(tmp_path / "r.parquet", Reject, rows)
    table, fold = reject_blocks(tmp_path / "r.parquet", "s")
    assert table.rows[0] == ("near duplicate", "30", "50.0 %")
    assert len(table.rows) == MOST + 1
    assert table.rows[-1][0] == "19 other reasons"
    assert fold.blocks[0].fields == (("row", "no JSON"),)


def test_whatever_a_model_wrote_is_text_on_the_page(small_line) -> None:
    attack = "</dd></details><script>alert(1)</script><svg onload=alert(1)>\"'`<|reflect|>\\boxed{<b>}"
    small_line.change("restarts_r1", Restart, prefix=attack, round=attack)
    rows = storage.read_rows(storage.TABLES / "restarts_r1.parquet", Restart)
    write_rejects("restarts_r1", [reject("restarts", row, attack) for row in rows[:1]])
    blocks = tuple(dataset_blocks("restarts_r1", storage.TABLES / "restarts_r1.parquet", rejects=storage.REJECTS / "restarts_r1.parquet"))
    page = html("t", "", [Section("x", blocks)])
    assert "<script" not in page
    assert "<svg onload" not in page
    assert '<mark class="act reflect">&lt;|reflect|&gt;</mark>' in page
    assert '<mark class="box">\\boxed{&lt;b&gt;}</mark>' in page
    assert "<script" not in "\n".join(line for line in markdown("t", "", [Section("x", blocks)]).split("\n") if not line.startswith("    "))


def test_prose_of_a_docstring_shows_its_code() -> None:
    page = html("t", "", [Section("x", (Prose("`a<b` is `c", code=True), Heading("h", "h"), Table(("n",), (("1",),))))])
    assert "<p>a&lt;b is c</p>" in page  # a backtick that nothing closes is none
    assert "<code>a&lt;b</code>" in html("t", "", [Section("x", (Prose("`a<b` is", code=True),))])
    assert "`a&lt;b`" not in markdown("t", "", [Section("x", (Prose("`a<b` is", code=True),))])
