"""The DuckDB library: built from the released folder in SQL, asked by people, and replaced under open readers."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.errors import DataError
from factory.schemas import Template
from factory.storage import write_rows
from factory.templates.index import Index
from factory.templates.library import build_library, is_duckdb, library_rows
from factory.templates.terms import TOKEN, terms, tokens

DOCS = Path(__file__).parents[3] / "docs/templates.md"
BUILD = "import sys; from pathlib import Path; from factory.templates.library import build_library as b; b(*map(Path, sys.argv[1:]))"
READ = "import sys, pathlib, factory.templates.index as i; print(i.Index.open(pathlib.Path(sys.argv[1])).lookup('groups')[0].name)"


@pytest.fixture
def released(tmp_path, planner_kit):
    folder = tmp_path / "templates"
    write_rows(folder / "data" / "train-00000-of-00001.parquet", Template, planner_kit.library())
    return folder


@pytest.mark.slow
def test_build_and_ask_in_sql(tmp_path, released):
    path = tmp_path / "library.duckdb"
    assert build_library(released, path) == 3
    with duckdb.connect(path, read_only=True) as connection:
        assert connection.execute("select count(*) from template_tags where tag = 'add'").fetchone() == (1,)
        assert connection.execute("select templates from tag_counts where tag = 'gain'").fetchone() == (1,)
        ranked = connection.execute("""
            select name from postings join terms using (term) join templates using (place)
            where term in (select term from lexicon where token in ('multiply', 'groups'))
            group by name order by sum(weight * idf) desc""").fetchall()
        assert ranked[0] == ("equal groups",)
    assert [file.name for file in tmp_path.iterdir() if "duckdb" in file.name] == ["library.duckdb"]


@pytest.mark.slow
def test_the_file_answers_as_an_index_in_memory_does(tmp_path, released, planner_kit):
    path = tmp_path / "library.duckdb"
    build_library(released, path)
    for query in ("multiply the groups", "Take away what?", "put together", "zebra"):
        with Index.open(path) as index:
            assert index.search(query, confident=0) == Index.of(planner_kit.library()).search(query, confident=0)


def test_sql_finds_the_tokens_that_python_finds(tmp_path):
    texts = [
        r"Solve \frac{x²+1}{2} ≥ √3, x∈[0,π], f'(x)=2sin2x, P(A∪B), C_5^2, aₙ=a₁+(n-1)d, log₂8, 5!, |x|<∞, //", "",
        "ÉCOLE Straße Ελλάδα число 数学题", "x²y ½kg Ⅷth İstanbul ﬁne sinus cosα tanx lim(x) since",
        "a'(b) '' \\ \\\\n 1st 2nd _a_ e^{-x} e^(2)", "🙂 a\u0301bc \u00a0nbsp\ttab",
    ]  # fmt: skip
    with duckdb.connect() as connection:
        for text in texts:
            assert connection.execute("select regexp_extract_all(lower(?), ?)", [text, TOKEN]).fetchone() == (tokens(text),)
    assert terms("f'(x) ≥ √2") == ["deriv", "function", "inequ", "root", "radic"]
    assert terms("multiplied multiplying") == terms("multiplies multiply")


@pytest.mark.slow
def test_an_old_reader_works_on_while_a_new_library_is_put_in_place(tmp_path, released, planner_kit):
    path = tmp_path / "library.duckdb"
    build_library(released, path)
    old = Index.open(path)
    renamed = [replace(template, name=f"new {template.name}") for template in planner_kit.library()]
    write_rows(released / "data" / "train-00000-of-00001.parquet", Template, renamed)
    build_library(released, path)
    assert old.search("equal groups", confident=0)[0].name == "equal groups"
    assert old.lookup("equal groups")[0].name == "equal groups"
    other = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "new equal groups"
    old.close()


@pytest.mark.slow
def test_a_build_in_another_process_while_reading(tmp_path, released):
    """A writer of a DuckDB file excludes readers; a builder of a new file must not."""
    path = tmp_path / "library.duckdb"
    build_library(released, path)
    with Index.open(path) as index:
        subprocess.run([sys.executable, "-c", BUILD, str(released), str(path)], check=True)
        assert len(index.search("groups", 3, confident=0)) == 1


def test_a_library_without_templates_finds_nothing(tmp_path):
    write_rows(tmp_path / "none" / "data" / "train-00000-of-00001.parquet", Template, [])
    assert build_library(tmp_path / "none", tmp_path / "library.duckdb") == 0
    with Index.open(tmp_path / "library.duckdb") as index:
        assert index.search("groups", confident=0) == index.lookup("groups") == []


@pytest.mark.slow
def test_a_library_is_read_and_searched_wherever_it_lies(tmp_path, released, planner_kit):
    path, table = tmp_path / "library.duckdb", released / "data/train-00000-of-00001.parquet"
    build_library(table, path)
    rows = sorted(planner_kit.library(), key=lambda row: row.id)
    assert library_rows(path) == library_rows(table) == library_rows(released) == rows
    assert [is_duckdb(one) for one in (path, table, released, tmp_path / "none")] == [True, False, False, False]
    found = [index.search("multiply the groups", confident=0) for index in (Index.open(path), Index.open(table), Index.open(released))]
    assert found[0] == found[1] == found[2]
    quarantined = [replace(row, status="quarantined") for row in rows]
    write_rows(table, Template, quarantined)
    assert Index.open(table, accepted=True).lookup("equal groups") == []


@pytest.mark.parametrize("made", ["missing", "a folder without", "neither DuckDB nor Parquet", "it lacks description"])
def test_what_is_no_library_is_named(tmp_path, made):
    path = tmp_path / "library.duckdb"
    if made == "a folder without":
        path.mkdir()
    elif made == "neither DuckDB nor Parquet":
        path.write_text('{"nm": "DUCK of a text"}')
    elif made == "it lacks description":
        pq.write_table(pa.table({"id": ["a"], "name": ["b"]}), path)
    with pytest.raises(DataError, match=made):
        build_library(path, tmp_path / "new.duckdb")
    with pytest.raises(DataError):
        library_rows(path)
    with pytest.raises(DataError):
        Index.open(path)
    assert not (tmp_path / "new.duckdb").exists()


@pytest.mark.slow
def test_the_examples_in_sql_find_something(tmp_path, released):
    """Templates of the kit have the names and tags of the laptop's, of which the page speaks."""
    build_library(released, tmp_path / "library.duckdb")
    (block,) = re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    queries = [query for query in block.split(";") if query.strip()]
    with duckdb.connect(tmp_path / "library.duckdb", read_only=True) as connection:
        counts = [len(connection.execute(query).fetchall()) for query in queries]
        tables = {name for (name,) in connection.execute("select table_name from information_schema.tables").fetchall()}
    assert len(counts) == 4
    assert all(counts), counts
    told = DOCS.read_text(encoding="utf-8").split("\nTables: ")[1].split("\n\n")[0]
    assert tables <= set(re.findall(r"`(\w+)`", told)), "every table of the file stands on the page"


@pytest.mark.slow
def test_errors_name_the_remedy(tmp_path, released):
    with pytest.raises(DataError, match=r"is missing: name a library, .*`dvc repro library`"):
        Index.open(tmp_path / "none.duckdb")
    (tmp_path / "junk.duckdb").write_text("no database")
    with pytest.raises(DataError, match="not a template library"):
        Index.open(tmp_path / "junk.duckdb")
    duckdb.connect(tmp_path / "other.duckdb").close()
    with pytest.raises(DataError, match="not a template library"):
        Index.open(tmp_path / "other.duckdb")
    build_library(released, tmp_path / "library.duckdb")
    with duckdb.connect(tmp_path / "library.duckdb") as connection:
        connection.execute("update collection set version = 1")
    with pytest.raises(DataError, match=r"of version 1, expected \d+ \(`dvc repro library` builds the line's, `factory "):
        Index.open(tmp_path / "library.duckdb")
