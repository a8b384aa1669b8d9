"""What may not be published is refused in one line, before the Hub hears of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from factory.errors import FactoryError, GateError, ParamsError
from factory.lock import read_lock
from factory.publish.checks import left_over

DATASETS = Path("data/datasets")
AUDIT = "data/audits/plans_sft.json"
PLANS = "data/datasets/plans_sft/manifest.json"
WORDS = {"collection": "coat-laptop", "notice": "", "licence": "apache-2.0", "licences": {}}


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1  # of a page: the footer is whole
    path.write_bytes(content)


def _params(old: str, new: str) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")


CASES: dict[str, tuple[Callable[[object], object], tuple[str, ...]]] = {
    "unaudited": (lambda line: Path(AUDIT).unlink(), ("dataset plans_sft is unaudited", "dvc repro release@plans_sft")),
    "failed": (lambda line: line.rewrite(AUDIT, success=False), ("plans_sft failed its audit", AUDIT)),
    "broken audit": (lambda line: Path(AUDIT).write_text("{", encoding="utf-8"), ("cannot be read", "dvc repro release@plans_sft")),
    "not released": (lambda line: shutil.rmtree(DATASETS / "plans_sft"), ("manifest.json is missing", "dvc repro release@plans_sft")),
    "half a manifest": (lambda line: line.rewrite(PLANS, rows="651"), ("has no rows", "release@plans_sft")),
    "no licence": (lambda line: line.rewrite(AUDIT, release={**WORDS, "licence": None}), (AUDIT, "under which licence", "makes it again")),
    "audit data": (lambda line: line.rewrite(PLANS, purpose="audit"), ("dataset plans_sft is benchmark data", "take it off")),
    "audit of audit data": (lambda line: line.rewrite(AUDIT, purpose="audit"), ("is benchmark data",)),
    "a line for audits": (lambda line: _params("purpose: train", "purpose: audit"), ("purpose: audit", "benchmark data is not published")),
    "other rows": (lambda line: line.rewrite(PLANS, rows=5), ("speak of other rows", "release@plans_sft")),
    "changed bytes": (lambda line: _flip(next(DATASETS.glob("plans_sft/data/*.parquet"))), ("plans_sft/data/train", "bytes changed")),
    "another shard": (
        lambda line: shutil.copy(DATASETS / "templates/data/train-00000-of-00001.parquet", DATASETS / "plans_sft/data/train-2.parquet"),
        ("dataset plans_sft holds 7 rows", "manifest says 6"),
    ),
    "another licence since": (lambda line: _params("licence: apache-2.0", "licence: mit"), ("under other words", "dvc repro release@")),
    "licences that do not mix": (
        lambda line: line.rewrite(AUDIT, release={**WORDS, "licences": {"apache-2.0": 4, "cc-by-nc-4.0": 2}}),
        ("dataset plans_sft has 2 rows under 'cc-by-nc-4.0'", "commercial", "leave those rows out"),
    ),
    "a secret in the params": (lambda line: _params("seed: 1\n", f"seed: 1 # hf_{'a' * 34}\n"), ("lineage/params.yaml", "token")),
    "the token of this user": (lambda line: _params("seed: 1\n", f"seed: 1 # hf_{'x' * 34}\n"), ("lineage/params.yaml", "token")),
    "a password in an address": (lambda line: _params("seed: 1\n", "seed: 1 # http://me:word@host/v1\n"), ("token or password",)),
    "no lock": (lambda line: Path("dvc.lock").unlink(), ("dvc.lock is missing", "dvc repro")),
    "no lock of dvc": (lambda line: Path("dvc.lock").write_text("stages: 3", encoding="utf-8"), ("dvc.lock is no lock of DVC",)),
    "no graph": (lambda line: Path("dvc.yaml").unlink(), ("dvc.yaml is missing", "restore it")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow
def test_what_may_not_be_published_is_refused_and_nothing_is_sent(line, hub, case: str) -> None:
    corrupt, says = CASES[case]
    corrupt(line)
    with pytest.raises(FactoryError) as caught:
        line.send()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for words in says:
        assert words in message
    assert "hf_" not in message
    assert hub.log == []
    assert not Path("data/published.json").exists()


@pytest.mark.parametrize(
    ("stage", "dataset"),
    [("release@plans_sft", "plans_sft"), ("rollouts@r1", "orm_pairs_r1"), ("problems", "corpus"), ("ppo@r1", "distillation_r1")],
)
@pytest.mark.slow
def test_a_dataset_is_stale_when_anything_that_it_came_out_of_is(line, hub, stage: str, dataset: str) -> None:
    with pytest.raises(GateError, match=rf"^dataset {dataset} is stale: {stage} would run again; `dvc repro release@{dataset}` first$"):
        line.send(stale=lambda: {stage})
    assert hub.log == []


@pytest.mark.slow
def test_what_no_dataset_came_out_of_may_be_stale(line, hub) -> None:
    (outcome,) = line.send(stale=lambda: {"evaluate", "report", "planner_adjust"})
    assert outcome.commit == hub.repos["org/coat"].branches["main"]


def test_folders_of_an_earlier_line_are_left_out(line, hub) -> None:
    assert left_over(line.params) == []
    for name in ("restarts_r9", "plans_old"):
        shutil.copytree(DATASETS / "plans_sft", DATASETS / name)
    assert left_over(line.params) == [DATASETS / "plans_old", DATASETS / "restarts_r9"]
    line.send()
    assert {path.split("/")[1] for path in hub.files("org/coat") if path.startswith("data/")} == set(line.params.datasets)


@pytest.mark.slow
def test_a_stale_or_unknown_model_is_refused(line, hub) -> None:
    with pytest.raises(GateError, match="model planner_dpo is stale: planner_dpo would run again"):
        line.send(models=("planner_dpo",), stale=lambda: {"planner_dpo"})
    with pytest.raises(GateError, match="--models planer: no stage of this line made data/models/planer; it made base, "):
        line.send(models=("planer",))
    assert hub.log == []


def test_a_name_that_no_hub_takes_is_refused_before_anything_is_compared(line, hub) -> None:
    with pytest.raises(ParamsError, match="--revision 'a b': expected the name of a branch"):
        line.send(revision="a b")
    with pytest.raises(ParamsError, match="--language 'english': expected a code of ISO 639"):
        line.send(language="english")
    with pytest.raises(GateError, match="--models planer: no stage"):
        line.send(models=("planer",), stale=lambda: pytest.fail("DVC compared every file before the model's name was looked at"))
    assert hub.log == []


@pytest.mark.parametrize("repo", ["coat", "org/coat/more", "org/", "http://hub/org/coat", "org/co at", "../..", "org/.coat", "org/a--b"])
def test_a_repository_has_an_organisation_and_a_name(line, hub, repo: str) -> None:
    with pytest.raises(ParamsError, match="expected organisation/name"):
        line.send(repo=repo)
    assert hub.log == []


def test_stages_of_former_lines_in_the_lock_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.write_text(
        "stages:\n  old: {cmd: x, outs: [{path: data/tables/a.parquet, md5: 1}]}\n  new: {cmd: x, outs: []}\n", encoding="utf-8"
    )
    assert list(read_lock({"new", "later"}, path)) == ["new"]
