"""The DuckDB library: built from the released folder, searched, and replaced under open readers."""

import subprocess
import sys
from dataclasses import replace

import duckdb
import pytest

from factory.errors import DataError
from factory.schemas import Template
from factory.storage import write_rows
from factory.templates.library import build_library, search


@pytest.fixture
def released(tmp_path, planner_kit):
    folder = tmp_path / "templates"
    write_rows(folder / "data" / "train-00000-of-00001.parquet", Template, planner_kit.library())
    return folder


def test_build_and_search(tmp_path, released):
    path = tmp_path / "library.duckdb"
    assert build_library(released, path) == 3
    hits = search(path, "multiply the groups", 5)
    assert hits[0].name == "equal groups"
    assert hits[0].tags == ("multiply", "groups")
    assert hits == sorted(hits, key=lambda hit: -hit.score)
    assert search(path, "Take away what?", 1)[0].name == "take away"
    assert search(path, "zebra", 5) == []
    with duckdb.connect(path, read_only=True) as connection:
        assert connection.execute("select count(*) from template_tags where tag = 'add'").fetchone() == (1,)
        assert connection.execute("select templates from tag_counts where tag = 'gain'").fetchone() == (1,)
    assert [file.name for file in tmp_path.iterdir() if "duckdb" in file.name] == ["library.duckdb"]


def test_a_query_is_a_value_not_sql(tmp_path, released):
    path = tmp_path / "library.duckdb"
    build_library(released, path)
    assert search(path, "'; drop table templates; --", 5) == []
    assert search(path, "groups", 5)


def test_an_old_reader_works_on_while_a_new_library_is_put_in_place(tmp_path, released, planner_kit):
    path = tmp_path / "library.duckdb"
    build_library(released, path)
    old = duckdb.connect(path, read_only=True)
    renamed = [replace(template, name=f"new {template.name}") for template in planner_kit.library()]
    write_rows(released / "data" / "train-00000-of-00001.parquet", Template, renamed)
    build_library(released, path)
    assert old.execute("select name from templates order by name").fetchone() == ("equal groups",)
    read = "import sys, pathlib, factory.templates.library as l; print(l.search(pathlib.Path(sys.argv[1]), 'groups')[0].name)"
    other = subprocess.run([sys.executable, "-c", read, str(path)], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "new equal groups"
    old.close()


def test_two_builds_in_another_process_while_reading(tmp_path, released):
    """A writer of a DuckDB file excludes readers; a builder of a new file must not."""
    path = tmp_path / "library.duckdb"
    build_library(released, path)
    build = "import sys; from pathlib import Path; from factory.templates.library import build_library as b; b(*map(Path, sys.argv[1:]))"
    with duckdb.connect(path, read_only=True):
        subprocess.run([sys.executable, "-c", build, str(released), str(path)], check=True)
    assert len(search(path, "groups", 3)) == 1


def test_errors_name_the_remedy(tmp_path):
    with pytest.raises(DataError, match="is missing: `dvc repro library`"):
        search(tmp_path / "none.duckdb", "groups")
    (tmp_path / "junk.duckdb").write_text("no database")
    with pytest.raises(DataError, match="not a template library"):
        search(tmp_path / "junk.duckdb", "groups")
    duckdb.connect(tmp_path / "other.duckdb").close()
    with pytest.raises(DataError, match="not a template library"):
        search(tmp_path / "other.duckdb", "groups")
