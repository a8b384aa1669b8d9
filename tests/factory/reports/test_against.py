"""What changed against another revision, on a real repository of git and DVC: two runs of a small line, compared by lock and cache."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import chdir
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from typer.testing import CliRunner

from factory import storage
from factory.cli.main import app
from factory.errors import DataError
from factory.params import load
from factory.rejects import reject, write_rejects
from factory.reports.against import against_sections
from factory.reports.compared import compare, moved
from factory.reports.page import Fold, Plots, Section, Table, html
from factory.reports.revision import Revision
from factory.schemas import Demonstration, Reject, Restart

ROOT = Path(__file__).parents[3]
ATTACK = "<script>alert(1)</script>"


def git(*words: str) -> str:
    return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True, capture_output=True, text=True).stdout


def commit(message: str) -> None:
    """What a run of the line leaves: outs in the cache, hashes in dvc.lock, both metrics and lock in git."""
    with Repo(".") as repo:
        repo.commit(force=True)
    git("add", "-A")
    git("commit", "-qm", message)


@pytest.fixture(scope="module")
def committed(written_line, tmp_path_factory):
    """A line of two stages whose tables are outs, its first revision committed; and its params."""
    folder = tmp_path_factory.mktemp("committed")
    shutil.copytree(written_line.root, folder, dirs_exist_ok=True)
    with chdir(folder):
        return folder, commit_first()


def commit_first() -> dict:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    names = (*(f"restarts_{name}" for name in params["rounds"]), "demonstrations")
    for name in names:
        write_rejects(name, [])
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    write_rejects("demonstrations", [reject("demonstrations", row, "still wrong") for row in rows[:2]])
    for path in [*storage.TABLES.glob("*.parquet")]:
        if path.stem not in names:
            path.unlink()
    outs = ["data/tables/restarts_${key}.parquet", "data/rejects/restarts_${key}.parquet"]
    line = {
        "stages": {
            "restarts": {
                "foreach": "${rounds}",
                "do": {"cmd": "echo ${key}", "params": ["seed"], "outs": outs},
            },
            "demonstrations": {"cmd": "echo", "outs": ["data/tables/demonstrations.parquet", "data/rejects/demonstrations.parquet"]},
        }
    }  # fmt: skip
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    Path("dvc.yaml").write_text(yaml.safe_dump(line), encoding="utf-8")
    Path("data/evaluation").mkdir(parents=True, exist_ok=True)
    metrics = {"models": {"base": {"heldout": {"pass@1": 0.4, "ci95": [0.3, 0.5], "n": 10, "groups": {}}}}}
    Path("data/evaluation/metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    git("init", "-q", ".")
    with Repo.init(".") as repo, repo.config.edit() as config:
        config["core"]["analytics"] = False
    commit("first")
    return params


@pytest.fixture
def repository(committed, written_line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A copy of that repository for one test."""
    folder, params = committed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return written_line, deepcopy(params)


def changed(params: dict) -> None:
    """One restart says something else under its id, one went and two came; a reject more; a param and an accuracy differ."""
    path = storage.TABLES / "restarts_r1.parquet"
    first, second, *rest = storage.read_rows(path, Restart)
    came = [replace(second, id=f"new{number}", prefix=ATTACK * 30) for number in range(2)]
    storage.write_rows(path, Restart, [replace(first, backtrack=first.backtrack + 7), *rest, *came])
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    write_rejects("demonstrations", [reject("demonstrations", row, "still wrong") for row in rows[:3]])
    params["restarts"]["per_sign"] += 1
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    document = json.loads(Path("data/evaluation/metrics.json").read_text(encoding="utf-8"))
    document["models"]["base"]["heldout"]["pass@1"] = 0.5
    Path("data/evaluation/metrics.json").write_text(json.dumps(document), encoding="utf-8")


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def row(rows: Sequence[tuple[str, ...]], name: str) -> tuple[str, ...]:
    return next(line for line in rows if line[0] == name)


@pytest.mark.slow
def test_rows_yields_rejects_metrics_and_params_that_differ(repository) -> None:
    line, params = repository
    changed(params)
    sections = {section.title: section for section in against_sections(load(), Revision.of("HEAD"))}
    assert list(sections) == ["What changed", "Rows", "Yields", "Rejects", "Tables", "Metrics", "Params"]
    before = len(line.problems) and storage.count_rows(storage.TABLES / "restarts_r1.parquet") - 1
    assert tables(sections["Rows"])[0].rows == (("restarts_r1", f"{before}", f"{before + 1}", "2", "1", "1", "+1"),)
    assert tables(sections["Yields"])[0].rows == (("demonstrations", "2", "3", "75.0 %", "66.7 %", "-8.3"),)
    assert tables(sections["Rejects"])[0].rows == (("demonstrations", "still wrong", "2", "3", "+1"),)
    assert tables(sections["Metrics"])[0].rows == (("models.base.heldout.pass@1", "0.4", "0.5", "+0.1"),)
    per_sign = params["restarts"]["per_sign"]
    assert tables(sections["Params"])[0].rows == (("restarts.per_sign", f"{per_sign - 1}", f"{per_sign}"),)
    heading, *_ = sections["Tables"].headings
    assert heading.text == "restarts_r1"
    (columns,) = tables(sections["Tables"])
    assert columns.rows == (("backtrack", "1"),)
    plots = next(block for block in sections["Tables"].blocks if isinstance(block, Plots))
    assert any("prefix, characters" in figure.caption for figure in plots.figures)
    assert all('class="before"' in figure.svg for figure in plots.figures)
    folds = [block.title for block in sections["Tables"].blocks if isinstance(block, Fold)]
    assert folds == ["Distributions in numbers", "Rows added: 2 of 2", "Rows removed: 1 of 1", "Rows changed: 1 of 1"]
    page = html("t", "", list(sections.values()))
    assert "<script" not in page
    assert "backtrack, before" in page


def test_against_itself_nothing_differs(repository) -> None:
    first, rows = against_sections(load(), Revision.of("HEAD"))
    assert first.blocks[0].text.startswith("coat-laptop as it lies here, against HEAD")
    assert "0 of 4 tables that both have differ" in first.blocks[0].text
    assert [block.text.split(":")[0] for block in rows.blocks] == ["Row for row the same"]


@pytest.mark.slow
def test_stages_say_whether_code_params_or_data_changed(repository) -> None:
    _, params = repository
    changed(params)
    params["seed"] = 2
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    commit("second")
    sections = {section.title: section for section in against_sections(load(), Revision.of("HEAD~1"))}
    (table,) = tables(sections["Stages"])
    assert row(table.rows, "restarts@r1") == ("restarts@r1", "", "seed", "", "data/tables/restarts_r1.parquet")
    assert row(table.rows, "demonstrations") == ("demonstrations", "", "", "", "data/rejects/demonstrations.parquet")


def test_a_table_that_only_one_side_has(repository) -> None:
    (storage.TABLES / "demonstrations.parquet").unlink()
    sections = {section.title: section for section in against_sections(load(), Revision.of("HEAD"))}
    assert row(tables(sections["Rows"])[0].rows, "demonstrations") == ("demonstrations", "6", "", "", "", "", "only before")


def test_the_command_writes_a_page_and_says_the_same_on_the_terminal(repository) -> None:
    _, params = repository
    changed(params)
    done = CliRunner().invoke(app, ["report", "--against", "HEAD", "--out", "compared"])
    assert done.exit_code == 0, done.output
    assert "1 of 4 tables that both have differ (2 rows came, 1 went, 1 say something else under the same id)" in " ".join(
        done.output.split()
    )
    assert "restarts.per_sign" in done.output
    assert "<h3" in Path("compared/against.html").read_text(encoding="utf-8")
    assert "### restarts_r1" in Path("compared/against.md").read_text(encoding="utf-8")
    assert git("status", "--porcelain", "--", "data").split() == ["M", "data/evaluation/metrics.json"]  # nothing was checked out


@pytest.mark.slow
def test_what_is_not_there_is_said_with_what_to_do(repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="nonsense is no revision of git here"):
        Revision.of("nonsense")
    with pytest.raises(DataError, match="--help is no revision"):
        Revision.of("--help")
    cached = Revision.of("HEAD").file("data/tables/demonstrations.parquet")
    assert cached is not None
    cached.chmod(0o644)
    cached.unlink()
    changed(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
    with pytest.raises(DataError, match=r"data/tables/demonstrations\.parquet of HEAD \(md5 \w+\) is not in DVC's cache, .*--partial"):
        against_sections(load(), Revision.of("HEAD"))
    sections = {section.title: section for section in against_sections(load(), Revision.of("HEAD"), partial=True)}
    assert "Not compared, since DVC's cache lacks them: data/tables/demonstrations.parquet" in sections["What changed"].blocks[1].text
    assert row(tables(sections["Rows"])[0].rows, "demonstrations")[-1] == "not in the cache"
    git("rm", "-q", "--cached", "dvc.lock")
    git("commit", "-qm", "without a lock")
    with pytest.raises(DataError, match=r"HEAD has no dvc\.lock"):
        against_sections(load(), Revision.of("HEAD"))
    shutil.rmtree(".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(DataError, match="is in no repository of git"):
        Revision.of("HEAD")


def test_columns_that_came_and_went_do_not_make_every_row_another(small_line) -> None:
    import pyarrow.parquet as pq

    path = storage.TABLES / "restarts_r1.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["round"]).append_column("extra", table.column("round")), "later.parquet")
    found = compare(path, Path("later.parquet"))
    assert (found.added, found.removed, found.changed) == (0, 0, 0)
    assert (found.new, found.gone) == (("extra",), ("round",))
    assert not found.same
    assert moved(path, Path("later.parquet")) == []


def test_a_table_without_rows_can_be_compared(small_line) -> None:
    path = storage.REJECTS / "none.parquet"
    storage.write_rows(path, Reject, [])
    storage.write_rows(Path("one.parquet"), Reject, [Reject(id="a", stage="s", parent_id=None, reason="r", row="{}")])
    found = compare(path, Path("one.parquet"))
    assert (found.before, found.now, found.added) == (0, 1, 1)
    assert compare(path, path).same
    assert moved(path, Path("one.parquet")) == []
