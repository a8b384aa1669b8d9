"""`factory templates`: found by their words, shown whole, near names suggested, built for SQL; of the line and of anybody's library."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from factory import storage
from factory.gate.release import release
from factory.schemas import Template
from factory.templates.library import LIBRARY, build_library

pytestmark = pytest.mark.slow


def test_templates_are_searched_and_shown(small_line, ask: Callable[..., str], run: Callable[..., subprocess.CompletedProcess]) -> None:
    release("templates", small_line.params)
    build_library(storage.DATASETS / "templates", LIBRARY)
    assert "put together" in ask("templates", "search", "joined amounts")
    output = ask("templates", "show", "Put Together")
    assert "Take the result so far.\nAdd the next number." in output
    assert "solve_rate: 0.5" in output
    assert "did you mean put together?" in run("templates", "show", "put togethr", cwd=small_line.root).stderr
    assert "no template has a word of 'zzz'" in run("templates", "search", "zzz", cwd=small_line.root).stderr
    shutil.rmtree(storage.DATASETS / "templates")
    assert "error: " in run("templates", "show", "put together", cwd=small_line.root).stderr


@pytest.mark.slow
def test_an_imports_parquet_is_searched_shown_and_built(
    tmp_path: Path, planner_kit, run: Callable[..., subprocess.CompletedProcess]
) -> None:
    storage.write_rows(tmp_path / "mine.templates.parquet", Template, sorted(planner_kit.library(), key=lambda row: row.id))
    answer = run("templates", "build", "mine.templates.parquet", cwd=tmp_path)
    assert answer.stdout.startswith("3 templates in mine.duckdb: ")
    for library in ("mine.templates.parquet", "mine.duckdb"):
        assert "equal groups" in run("templates", "search", "the groups", "--all", "--library", library, cwd=tmp_path).stdout
        assert "Multiply" in run("templates", "show", "Equal groups", "--library", library, cwd=tmp_path).stdout
    assert run("templates", "build", "mine.duckdb", cwd=tmp_path).stderr.startswith("error: mine.duckdb is no table of templates")
    (tmp_path / "notes.duckdb").write_text("mine")
    assert (
        "is no DuckDB file: name another"
        in run("templates", "build", "mine.templates.parquet", "--out", "notes.duckdb", cwd=tmp_path).stderr
    )
    assert (tmp_path / "notes.duckdb").read_text() == "mine"
    assert "ends in .duckdb" in run("templates", "build", "mine.templates.parquet", "--out", "x.db", cwd=tmp_path).stderr
