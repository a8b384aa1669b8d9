"""A library's changelog, and the rows of a revision from DVC's cache or from git."""

import hashlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.schemas import Template
from factory.storage import write_rows
from factory.templates.versions import LIBRARY, changelog, rows_at_revision


def test_what_came_went_changed_and_moved(planner_kit):
    old = planner_kit.library()
    add, take, groups = old
    newer = replace(add, id="n", name="join", steps=(*add.steps, "Check it."), parents=(add.id,), version=2)
    same_name = replace(take, id="m", tags=("subtract", "minus"))
    log = changelog(old, [newer, same_name, replace(groups, status="retired"), planner_kit.template("share", id="x")])
    assert [row.name for row in log.added] == ["share"]
    assert log.removed == []
    assert [(change.after.name, change.fields) for change in log.changed] == [
        ("join", {"name": "put together → join", "steps": "+ Check it.", "version": "1 → 2"}),
        ("take away", {"tags": "- loss; + minus"}),
    ]
    assert [change.fields for change in log.moved] == [{"status": "accepted → retired"}]
    assert (len(log.statuses), log.same) == (1, 0)
    assert next(iter(log.lines())) == "+ share (add, gain) [accepted]"


def test_nothing_changed_and_everything_went(planner_kit):
    rows = planner_kit.library()
    assert changelog(rows, rows).same == 3
    assert list(changelog(rows, rows).lines()) == []
    assert [row.name for row in changelog(rows, []).removed] == ["equal groups", "put together", "take away"]


def test_two_rows_of_one_name_stand_in_one_pair_each(planner_kit):
    old = [planner_kit.template(id="a"), planner_kit.template(id="b")]
    log = changelog(old, [planner_kit.template(id="c"), planner_kit.template(id="d"), planner_kit.template(id="e")])
    assert (len(log.changed), len(log.added), log.removed) == (2, 1, [])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planner_kit) -> Path:
    """A repository with DVC's cache, whose only commit has the kit's library in its lock, and tracks another with git itself."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    write_rows(LIBRARY, Template, planner_kit.library())
    digest = hashlib.md5(LIBRARY.read_bytes()).hexdigest()
    kept = Path(".dvc/cache/files/md5") / digest[:2] / digest[2:]
    kept.parent.mkdir(parents=True)
    shutil.copy(LIBRARY, kept)
    Path(".dvc/config").write_text("", encoding="utf-8")
    Path(".gitignore").write_text("/data\n/.dvc/cache\n", encoding="utf-8")
    Path("dvc.lock").write_text(
        f"schema: '2.0'\nstages:\n  templates:\n    cmd: x\n    outs:\n    - path: {LIBRARY}\n      md5: {digest}\n",
        encoding="utf-8",
    )
    write_rows(Path("mine.parquet"), Template, planner_kit.library()[:1])
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *words], check=True)
    return kept


@pytest.mark.slow
def test_rows_of_a_revision(repository: Path, planner_kit):
    by_id = sorted(planner_kit.library(), key=lambda row: row.id)
    assert rows_at_revision("HEAD") == by_id
    assert rows_at_revision("HEAD", Path("mine.parquet")) == planner_kit.library()[:1]
    with pytest.raises(DataError, match=r"v9 is no revision of git here"):
        rows_at_revision("v9")
    with pytest.raises(DataError, match=r"nor does its .* name it"):
        rows_at_revision("HEAD", Path("data/other.parquet"))
    repository.unlink()
    with pytest.raises(DataError, match=r"is not in DVC's cache.*dvc fetch data/tables/templates.parquet") as caught:
        rows_at_revision("HEAD")
    assert "\n" not in str(caught.value)
