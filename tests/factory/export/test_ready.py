"""What may not be handed on is refused in one line that says what to do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory.errors import DataError, GateError
from factory.export.ready import ready
from factory.export.rows import USES, use_of


def change(path: str, **values: object) -> None:
    file = Path(path)
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def test_a_released_dataset_is_ready(handed_on: Any) -> None:
    found = ready("restarts_r1")
    assert (found.kind, found.rows, found.licence) == ("restarts", 12, "apache-2.0")


def test_an_unknown_name_lists_what_there_is(handed_on: Any) -> None:
    with pytest.raises(DataError, match="no dataset 'nothing': there is adjustments, corpus, "):
        ready("nothing")


def test_what_is_not_released_names_the_stage_that_releases_it(handed_on: Any) -> None:
    Path("data/datasets/plans_sft/manifest.json").unlink()
    with pytest.raises(GateError, match=r"data/datasets/plans_sft/manifest\.json is missing: `dvc repro release@plans_sft` makes it"):
        ready("plans_sft")


def test_what_failed_its_audit_is_refused(handed_on: Any) -> None:
    change("data/audits/plans_sft.json", success=False)
    with pytest.raises(GateError, match=r"dataset plans_sft failed its audit: data/audits/plans_sft\.json says which rows"):
        ready("plans_sft")


def test_what_was_never_audited_is_refused(handed_on: Any) -> None:
    Path("data/audits/plans_sft.json").unlink()
    with pytest.raises(GateError, match="dataset plans_sft is unaudited"):
        ready("plans_sft")


def test_benchmark_data_is_refused(handed_on: Any) -> None:
    change("data/datasets/plans_sft/manifest.json", purpose="audit")
    with pytest.raises(GateError, match=r"dataset plans_sft is benchmark data \(purpose audit\): it trains nothing"):
        ready("plans_sft")


def test_a_shard_that_is_not_the_one_that_passed_is_refused(handed_on: Any) -> None:
    change("data/datasets/plans_sft/manifest.json", sha256="0" * 64)
    with pytest.raises(GateError, match=r"data/datasets/plans_sft/data/train-00000-of-00001\.parquet is not what passed the gate"):
        ready("plans_sft")


def test_rows_that_neither_manifest_nor_audit_knows_are_refused(handed_on: Any) -> None:
    change("data/audits/plans_sft.json", rows=5)
    with pytest.raises(GateError, match=r"dataset plans_sft: .*manifest\.json and its audit speak of other rows"):
        ready("plans_sft")


def test_every_dataset_of_the_line_has_a_use_but_templates(handed_on: Any) -> None:
    for name in handed_on.params.datasets:
        if name == "templates":
            with pytest.raises(GateError, match="export structure or plans"):
                use_of(ready(name), "trl")
        else:
            assert use_of(ready(name), "trl") in set(USES.values())


@pytest.mark.parametrize(
    ("target", "name", "reason"),
    [
        ("verl", "orm_pairs_r1", "verl trains no reward model and no DPO: export pairs to trl or openrlhf"),
        ("verl", "corpus", "a corpus is plain text"), ("verifiers", "demonstrations", "takes prompts whose answer can be checked"),
        ("verifiers", "trajectory_pairs", "export pairs to trl or openrlhf"),
        *((target, "process_rewards", f"{target} trains no process reward model: export labelled steps to trl")
          for target in ("verl", "openrlhf", "verifiers")),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_what_a_trainer_cannot_read_is_refused_with_the_reason(handed_on: Any, target: str, name: str, reason: str) -> None:
    with pytest.raises(GateError, match=reason):
        use_of(ready(name), target)


@pytest.mark.slow
def test_a_dataset_behind_a_changed_stage_is_stale(handed_on: Any) -> None:
    """By DVC itself, in a line of two stages: the table's stage depends on a file that has changed since."""
    Path("source.txt").write_text("1", encoding="utf-8")
    copy = "import shutil; shutil.copytree('kept', 'data/datasets/plans_sft')"
    table = {"cmd": "echo made", "deps": ["source.txt"], "outs": [{"data/tables/plans_sft.parquet": {"persist": True}}]}
    release = {"cmd": f'{sys.executable} -c "{copy}"', "deps": ["data/tables/plans_sft.parquet"], "outs": ["data/datasets/plans_sft"]}
    line = {"stages": {"plans": {"foreach": {"sft": 1}, "do": table}, "release": {"foreach": {"plans_sft": 1}, "do": release}}}
    Path("dvc.yaml").write_text(yaml.safe_dump(line), encoding="utf-8")
    Path("data/datasets/plans_sft").rename("kept")
    for words in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], check=True, capture_output=True)
    assert ready("plans_sft").rows == 6
    Path("source.txt").write_text("2", encoding="utf-8")
    with pytest.raises(GateError, match="dataset plans_sft is stale: plans@sft would run again; `dvc repro release@plans_sft` first"):
        ready("plans_sft")
    with pytest.raises(GateError, match=r"dataset demonstrations is in no dvc\.lock: `dvc repro release@demonstrations` makes it"):
        ready("demonstrations")
