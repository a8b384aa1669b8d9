"""The gate reads a table in parts: whatever the parts and processes are, the audit, the extract and the shards say the same."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory import storage
from factory.errors import DataError, GateError
from factory.gate import columns as columns_module
from factory.gate import release as release_module
from factory.gate.expectations import validate
from factory.gate.extract import SCHEMA, write_extract
from factory.gate.gather import gather
from factory.gate.kept import Folder, keep
from factory.gate.release import release
from factory.gate.source import Source
from factory.identity import row_id
from factory.publish.checks import passed
from factory.schemas import Demonstration, OrmPair, Restart, Rollout

RESTARTS = Path("data/tables/restarts_r1.parquet")


def regrouped(path: Path, rows: int) -> None:
    """The same table in row groups of so many rows."""
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=rows, compression="zstd", write_page_checksum=True)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def extract_of(dataset: str) -> list[dict]:
    table = pq.read_table(storage.AUDITS / f"{dataset}.parquet")
    assert table.schema.equals(SCHEMA)
    return table.to_pylist()


@pytest.mark.slow
def test_audit_extract_and_shards_have_the_same_bytes_with_one_and_with_two_processes(small_line, monkeypatch) -> None:
    monkeypatch.setattr(release_module, "SHARD", 300)
    regrouped(RESTARTS, 3)
    rows = storage.read_rows(RESTARTS, Restart)
    foreign = [replace(row, prompt=(*row.prompt[:-1], row.prompt[-1]._replace(content=row.prompt[-1].content + "</s>"))) for row in rows]
    small_line.write("restarts_r1", Restart, foreign)
    regrouped(RESTARTS, 3)
    found = []
    for processes in (1, 2):
        audit = release("restarts_r1", small_line.params, processes)
        found.append({**files(storage.DATASETS / "restarts_r1"), **files(storage.AUDITS)})
        assert sorted(path for path in found[-1] if path.endswith(".parquet")) == [
            *(f"data/train-{number:05d}-of-00004.parquet" for number in range(4)), "restarts_r1.parquet",
        ]  # fmt: skip
    assert found[0] == found[1]
    assert [row["id"] for row in extract_of("restarts_r1")] == [row.id for row in rows]
    assert audit.rows == len(rows)


@pytest.mark.slow
def test_several_shards_are_one_dataset_for_all_who_read_it(small_line, monkeypatch, tmp_path) -> None:
    from datasets import load_dataset

    release("orm_pairs_r1", small_line.params)
    (whole,) = storage.shards(storage.DATASETS / "orm_pairs_r1")
    one = pq.read_table(whole)
    path = storage.TABLES / "orm_pairs_r1.parquet"
    regrouped(path, 2)
    monkeypatch.setattr(release_module, "SHARD", 1)
    release("orm_pairs_r1", small_line.params)
    folder = storage.DATASETS / "orm_pairs_r1"
    shards, rows = storage.shards(folder), storage.read_rows(path, OrmPair)
    count = -(-len(rows) // 2)
    assert [shard.name for shard in shards] == [f"train-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
    assert count > 1
    assert pa.concat_tables([pq.read_table(shard) for shard in shards]).equals(one)
    assert storage.read_rows(folder, OrmPair) == rows
    assert storage.count_rows(folder) == len(rows)
    assert load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache")).num_rows == len(rows)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["sha256"] == {shard.name: hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards}
    assert passed("orm_pairs_r1").sha256 == manifest["sha256"]


def test_shards_end_where_row_groups_do_and_hold_no_more_than_they_may(small_line) -> None:
    regrouped(RESTARTS, 2)
    source = Source(RESTARTS)
    assert release_module.cuts(source, Restart, 1 << 30) == [0, source.rows]
    assert release_module.cuts(source, Restart, 1) == list(range(0, source.rows + 1, 2))
    bounds = release_module.cuts(source, Restart, 700)
    assert bounds[0] == 0
    assert bounds[-1] == source.rows
    assert set(bounds) <= set(range(0, source.rows + 1, 2))
    assert 2 < len(bounds) < source.rows // 2


@pytest.mark.slow
def test_every_row_that_breaks_an_expectation_stands_in_the_extract_warnings_too(small_line) -> None:
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    broken = [replace(row, completion=row.completion.replace("explore", "ponder"), critique="It ends in </s>.") for row in rows]
    many = [replace(row, id=row_id(row.id, number)) for row in broken for number in range(9)]
    small_line.write("demonstrations", Demonstration, many)
    regrouped(storage.TABLES / "demonstrations.parquet", 7)
    with pytest.raises(GateError) as caught:
        release("demonstrations", small_line.params)
    message = str(caught.value)
    assert "all of them are in data/audits/demonstrations.parquet" in message
    document = json.loads((storage.AUDITS / "demonstrations.json").read_text())
    assert document["extract"] == "data/audits/demonstrations.parquet"
    assert "positions" not in document
    lines = extract_of("demonstrations")
    failed = [one for one in document["findings"] if not one["success"] and one["of"]]
    assert {one["says"] for one in failed if not one["critical"]} >= {"no two rows say the same"}
    for finding in failed:
        held = [line for line in lines if line["expectation"] == finding["says"]]
        assert len(held) == finding["unexpected"] > 20, finding["says"]
        assert {line["critical"] for line in held} == {finding["critical"]}
    assert len(lines) == sum(one["unexpected"] for one in failed)
    (first, *_) = [line for line in lines if line["expectation"] == "the completion has no token but the meta-actions"]
    assert first["column"] == "completion"
    assert first["value"] == next(row for row in many if row.id == first["id"]).completion
    assert json.loads(first["row"])["critique"] == "It ends in </s>."
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)


@pytest.mark.slow
def test_an_extract_is_written_and_empty_where_nothing_fails(small_line) -> None:
    audit = release("distillation_r1", small_line.params)
    assert all(one.success for one in audit.findings)
    assert extract_of("distillation_r1") == []


@pytest.mark.slow
def test_a_table_in_memory_and_a_file_are_audited_alike(small_line, tmp_path) -> None:
    regrouped(RESTARTS, 5)
    background = gather("restarts_r1", small_line.params)
    small_line.change("restarts_r1", Restart, prefix="9 + 9 = 99\n<|reflect|>")
    lying, held = RESTARTS, storage.read_table(RESTARTS)
    first, second = validate("restarts_r1", lying, background), validate("restarts_r1", held, background)
    assert first == second
    assert not first.success
    assert write_extract(tmp_path / "a.parquet", lying, first) == write_extract(tmp_path / "b.parquet", held, second) > 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.slow
def test_a_null_in_one_part_of_many_is_found(small_line) -> None:
    table = pq.read_table(RESTARTS)
    records = table.to_pylist()
    records[-1]["prefix"] = None
    schema = pa.schema([field.with_nullable(True) for field in table.schema])
    pq.write_table(pa.Table.from_pylist(records, schema=schema), RESTARTS, row_group_size=3)
    with pytest.raises(GateError, match="prefix is never null' fails on 1 of 12 rows"):
        release("restarts_r1", small_line.params, 2)
    (line,) = extract_of("restarts_r1")
    assert line["id"] == records[-1]["id"]


def test_characters_of_texts_lists_and_conversations_are_counted() -> None:
    texts = pa.array([["ab", "é"], [], None, ["x"]])
    turns = pa.array([[{"role": "user", "content": "abc"}, {"role": "assistant", "content": "é"}], []])
    assert columns_module.lengths(pa.array(["né", "", None])).to_pylist() == [2, 0, None]
    assert columns_module.lengths(texts).to_pylist() == [3, 0, None, 1]
    assert columns_module.lengths(texts.slice(3)).to_pylist() == [1]
    assert columns_module.lengths(turns).to_pylist() == [4, 0]
    assert columns_module.lengths(pa.array([[1, 2], []])).to_pylist() == [2, 0]


@pytest.mark.slow
def test_rows_that_nobody_named_are_not_kept_and_those_kept_are_what_they_were(small_line) -> None:
    path = storage.TABLES / "rollouts_r1.parquet"
    regrouped(path, 2)
    rows = storage.read_rows(path, Rollout)
    wanted = {rows[1].id, rows[4].id, "nowhere"}
    for processes in (1, 2):
        kept = keep(Folder(Path("data/audits"), f"x{processes}"), "rollouts", path, Rollout, ("completion", "steps"), wanted,
                    processes=processes)  # fmt: skip
        assert list(kept) == sorted(wanted - {"nowhere"})
        assert (kept[rows[4].id].completion, kept[rows[4].id].steps) == (rows[4].completion, rows[4].steps)
        for absent in ("nowhere", rows[0].id, "", rows[1].id + "0", None):
            assert absent not in kept
    rates = keep(Folder(Path("data/audits"), "y"), "rates", path, Rollout, ["pass_rate"], {rows[0].problem_id}, by="problem_id")
    assert dict(rates) == {rows[0].problem_id: rows[0].pass_rate}
    assert keep(Folder(Path("data/audits"), "z"), "rollouts", path, Rollout, ["verdict"], ()).get(rows[0].id) is None
    with pytest.raises(DataError, match=r"rollouts_r1\.parquet lacks the column nothing"):
        keep(Folder(Path("data/audits"), "w"), "rollouts", path, Rollout, ["nothing"], wanted)


@pytest.mark.slow
def test_what_is_kept_beside_the_audits_goes_with_the_process(small_line) -> None:
    release("restarts_r1", small_line.params)
    assert {path.name for path in storage.AUDITS.iterdir()} == {"restarts_r1.json", "restarts_r1.parquet"}


@pytest.mark.slow
def test_a_kill_in_the_middle_leaves_nothing_half_and_the_next_run_clears_up(small_line) -> None:
    rows = storage.read_rows(RESTARTS, Restart)
    small_line.write("restarts_r1", Restart, [replace(row, id=row_id(row.id, number)) for row in rows for number in range(2_000)])
    regrouped(RESTARTS, 1_000)
    command = [sys.executable, "-m", "pipelines.release", "restarts_r1"]
    for _ in range(2):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not list(storage.AUDITS.glob(".restarts_r1.kept.*/problems/ids.npy")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        assert not (storage.AUDITS / "restarts_r1.json").exists()
        assert not (storage.DATASETS / "restarts_r1").exists()
        assert len(list(storage.AUDITS.glob(".restarts_r1.kept.*"))) == 1
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert {path.name for path in storage.AUDITS.iterdir()} == {"restarts_r1.json", "restarts_r1.parquet"}
    assert storage.count_rows(storage.DATASETS / "restarts_r1") == 24_000
