"""Foreign data through the gate's checks: what fails, what nobody can check, and what is no row; the page holds no markup of theirs."""

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from factory.errors import DataError
from factory.foreign.audit import Foreign, audit
from factory.foreign.telling import summary_blocks, write
from factory.gate.release import release
from factory.schemas import Reject
from factory.storage import DATASETS, TABLES, read_rows

GOOD = {"question": "12 + 7?", "response": "12 + 7 = 19\n\\boxed{19}", "gold": "19"}


def of(name: str, kind: str | None = None, **given: str) -> Foreign:
    return audit(str(name), kind=kind, given=given, steps=None)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)

    def written(rows: Iterable[Any], name: str = "theirs.jsonl") -> str:
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode("utf-8")
        Path(name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return name

    return written


def failed(found: Foreign) -> set[str]:
    return {finding.says for finding in found.audit.findings if not finding.success}


def unchecked(found: Foreign) -> dict[str, str]:
    return {item.says: item.reason for item in found.not_checked}


@pytest.mark.slow
def test_what_can_be_checked_is_and_what_cannot_is_told(file: Callable[..., str]) -> None:
    found = of(file([GOOD]), answer="gold")
    assert (found.kind, found.guessed, found.audit.success, found.table.num_rows) == ("distillation", True, True, 1)
    says = {finding.says for finding in found.audit.findings}
    assert "the completion is graded correct against the problem's answer" in says
    assert not says & set(unchecked(found)), "what is not checked is not counted as passed"
    assert "no problem behind the row stands (by id, instance or text) on both sides of the split" in unchecked(found)
    assert {"model", "request_ids", "seed"} <= set(found.absent)


@pytest.mark.slow
def test_an_answer_that_is_no_number_is_a_reject_with_its_reason(file: Callable[..., str]) -> None:
    rows = [f'{{"question": "{row}?", "response": "19", "gold": {gold}}}' for row, gold in enumerate(("19", "NaN", "1e999", "-Infinity"))]
    found = of(file(rows), answer="gold")
    assert found.table.num_rows == 1
    assert found.reasons == {"gold is NaN": 1, "gold is infinite": 2}
    assert [json.loads(item.row)["gold"] for item in found.rejects] == ["nan", "inf", "-inf"]


@pytest.mark.slow
def test_without_answers_nothing_is_called_right(file: Callable[..., str]) -> None:
    found = of(file([{"question": "12 + 7?", "response": "\\boxed{18}"}]))
    assert unchecked(found)["the completion is graded correct against the problem's answer"] == "no column gives the problem's answer"
    assert found.audit.success


@pytest.mark.slow
def test_a_wrong_answer_fails_with_its_row(file: Callable[..., str]) -> None:
    found = of(file([GOOD, {**GOOD, "response": "\\boxed{18}"}]), answer="gold")
    assert failed(found) == {"the completion is graded correct against the problem's answer"}
    assert not found.audit.success


@pytest.mark.slow
def test_records_that_are_no_rows_are_rejects_with_their_line(file: Callable[..., str], tmp_path: Path) -> None:
    found = of(file([GOOD, '{"question": "a', "[1]", {**GOOD, "question": None}]), answer="gold")
    assert found.reasons == {"malformed JSON": 1, "not a JSON object": 1, "question is empty": 1}
    assert found.lines == {"malformed JSON": 2, "not a JSON object": 3, "question is empty": 4}
    assert failed(found) == {"every record is a row of this kind"}
    write(tmp_path / "out", found)
    assert {row.reason for row in read_rows(tmp_path / "out/rejects.parquet", Reject)} == set(found.reasons)


@pytest.mark.slow
def test_every_failing_row_is_written(file: Callable[..., str], tmp_path: Path) -> None:
    found = of(file([{**GOOD, "response": f"{n}\\boxed{{18}}"} for n in range(5)]), answer="gold")
    write(tmp_path / "out", found)
    lines = pq.read_table(tmp_path / "out/failing.parquet").to_pylist()
    assert [line["expectation"] for line in lines] == ["the completion is graded correct against the problem's answer"] * 5
    assert {json.loads(line["row"])["id"] for line in lines} == set(found.table.column("id").to_pylist())


@pytest.mark.parametrize(("rows", "message"), [
    ([], "has no rows that can be read"), (["not json"], "has no rows that can be read"),
    ([{"question": None, "response": "1"}], r"none of 1 record is a row of distillation \(1 question is empty\)"),
])  # fmt: skip
def test_a_file_of_nothing_is_one_line(file: Callable[..., str], rows: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(file(rows))


@pytest.mark.parametrize(("name", "message"), [
    ("nowhere.jsonl", "is no file, no folder, no dataset of this line and no Hub id"), (".", "holds no Parquet shard"),
])  # fmt: skip
def test_a_name_of_nothing_is_one_line(file: Callable[..., str], name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of(name)
    with pytest.raises(DataError, match="--as dreams is no kind of rows"):
        of(file([GOOD]), "dreams")


@pytest.mark.slow
def test_csv_parquet_and_packed_files_are_read_alike(file: Callable[..., str], tmp_path: Path) -> None:
    import pyarrow as pa

    Path("theirs.csv").write_text("question,response,gold\n12 + 7?,\\boxed{19},19\n", encoding="utf-8")
    pq.write_table(pa.table({"question": ["12 + 7?"], "response": ["\\boxed{19}"], "gold": ["19"]}), "theirs.parquet")
    packed = file([{"question": "12 + 7?", "response": "\\boxed{19}", "gold": "19"}], "theirs.jsonl.gz")
    tables = [of(name, answer="gold").table for name in ("theirs.csv", "theirs.parquet", packed)]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


@pytest.mark.slow
def test_rows_that_say_the_same_are_counted_and_none_is_lost(file: Callable[..., str]) -> None:
    found = of(file([GOOD, GOOD, GOOD]), answer="gold")
    assert (found.table.num_rows, found.same) == (3, 2)
    assert failed(found) == {"no two rows say the same", "samples of one problem differ"}


@pytest.mark.slow
def test_an_id_that_stands_twice_fails(file: Callable[..., str]) -> None:
    assert "no id stands twice" in failed(of(file([{**GOOD, "id": "a"}, {**GOOD, "id": "a"}])))


@pytest.mark.slow
def test_labels_of_steps_are_checked_against_the_solution(file: Callable[..., str]) -> None:
    """Somebody else's process rewards, with the gold solution: the exact check needs a first wrong step, the others their form."""
    row = {"prompt": "12 + 7?", "completions": ["12 + 7 = 18", "\\boxed{18}"], "labels": [False, False]}
    found = of(file([row, {**row, "labels": [True]}]))
    assert found.kind == "process_rewards"
    assert failed(found) == {"there is a label for every step, and no step is blank"}
    assert "no column is first_wrong" in unchecked(found)["labels are true before the first wrong step and false from it on"]


@pytest.mark.slow
def test_a_released_folder_is_audited_as_what_it_says_it_is(small_line: Any) -> None:
    release("restarts_r1", small_line.params)
    found = of(str(DATASETS / "restarts_r1"))
    assert (found.kind, found.guessed) == ("restarts", False)
    assert found.audit.success
    assert unchecked(found)["D+ comes from right parents, D- from wrong ones, a teacher's from problems that no rollout solved"] == (
        "the rollouts that it was made of are not here"
    )


@pytest.mark.slow
def test_a_dataset_of_the_line_has_all_its_checks(small_line: Any) -> None:
    found = of("restarts_r1")
    assert (found.not_checked, found.audit.success) == ((), True)
    assert found.audit.rows == pq.read_metadata(TABLES / "restarts_r1.parquet").num_rows


@pytest.mark.slow
def test_the_page_and_the_terminal_escape_what_a_model_wrote(file: Callable[..., str], tmp_path: Path) -> None:
    evil = {**GOOD, "response": "<script>alert(1)</script>\u001b[31m\\boxed{18}"}
    found = of(file([evil]), answer="gold")
    write(tmp_path / "out", found)
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    told = json.dumps([str(block) for block in summary_blocks(found)])
    assert "\u001b" not in told
    assert "FAILED" in (tmp_path / "out/report.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "out/audit.json").read_text(encoding="utf-8"))["not_checked"]


@pytest.mark.slow
def test_a_folder_of_something_else_is_not_replaced(file: Callable[..., str], tmp_path: Path) -> None:
    found = of(file([GOOD]))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("all of it", encoding="utf-8")
    with pytest.raises(DataError, match="exists and is no audit"):
        write(tmp_path / "mine", found)
    write(tmp_path / "out", found)
    write(tmp_path / "out", found)


def test_every_check_of_the_gate_says_what_it_needs() -> None:
    """Each reads at least a column, the background or the row as a whole, in its own source or in that of what it calls."""
    from factory.foreign.checking import needs
    from factory.gate.table import TABLE

    whole = {"control_tokens_in_place", "marked_audit", "on_one_side"}
    for entry in TABLE:
        if entry.check:
            found = needs(entry.check)
            assert found.columns or entry.check.__name__ in whole, entry.check.__name__
            read = found.background | ({"templates"} if found.background & {"accepted", "accepted_names"} else set())
            assert set(entry.needs) - {"problems"} <= read, entry.check.__name__
    from factory.gate.checks import prefix_of_parent, signs_differ, split_is_train

    assert {"rollouts", "problems"} <= needs(prefix_of_parent).background
    assert needs(signs_differ).problem == {"answer"}
    assert "split" in needs(split_is_train).problem
