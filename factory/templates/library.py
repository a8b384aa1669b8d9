"""The template library as one DuckDB file: `data/library.duckdb`, built in SQL from the released Parquet, for people and for `Index`.

    build_library(Path("data/datasets/templates"), Path("data/library.duckdb"))    → 14
    library_rows(Path("data/library.duckdb"))                                      → [Template(…), …], of a table or dataset as well

    templates             place (0 … in the order of the ids) and the columns of `Template`
    texts                 place, id, name, text: all that is searched of a template
    template_tags         template_id, tag; tag_counts, a view: tag, templates
    names                 name (case and white space folded), place
    terms                 term, templates (that have it), idf
    postings              term, place, weight, in this order: a score is weight × idf, summed over the terms of a query
    lexicon               token, term: how each word and sign was read
    shapes, collection    what `Shapes` and `Index` need to know of the whole library

A weight is BM25's saturated frequency, tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / average)), where what stands in the steps counts
`STEPS`. Tokens are counted `CHUNK` templates at a time, and what is larger than `MEMORY` goes through a file.

Run: python -m pipelines.library. Source: papers/reasonflux, "Retrieval"; the weights were chosen by cross-validation (docs/benchmarks.md).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from factory.arrays import values_of
from factory.errors import DataError
from factory.schemas import Template, arrow_schema, field_types
from factory.storage import parquet, read_rows, shards
from factory.templates.shapes import Shapes, written
from factory.templates.terms import TOKEN, read
from factory.whole import whole_file

if TYPE_CHECKING:
    import duckdb

LIBRARY = Path("data/library.duckdb")
VERSION = 2  # of the tables: a reader of another version asks for a new build
BUILD = "`dvc repro library` builds the line's, `factory templates build` one of any table of templates"
K1 = 2.0
B = 0.75
STEPS = 0.3  # what a word counts in the steps: they are three times as long as the rest, and much of them is common to all templates
CHUNK = 50_000
SAMPLE = 4_000  # templates whose grams are counted
MEMORY = "2500MB"

LABEL = "concat_ws(' ', name, array_to_string(tags, ' '), description, scope)"
TEXT = f"concat_ws(' ', {LABEL}, array_to_string(steps, ' '))"


def build_library(dataset: Path, path: Path) -> int:
    """Build a new file and rename it over `path`: readers of the old one keep what they opened. Returns how many templates. Raises
    DataError for what is no table or dataset of templates."""
    import duckdb

    if kind_of(dataset) != "parquet":
        raise DataError(f"{dataset} is no table of templates: name a Parquet file or a dataset's folder")
    files = [str(file) for file in shards(dataset)]
    for file in files:
        with parquet(Path(file)) as opened:
            if missing := sorted(set(field_types(Template)) - set(opened.schema_arrow.names)):
                raise DataError(f"{file} holds no templates, it lacks {', '.join(missing)}: `factory templates import` takes other rows")
    with whole_file(path) as temporary:
        temporary.unlink()  # DuckDB refuses an empty file
        with duckdb.connect(temporary, config={"memory_limit": MEMORY, "temp_directory": f"{temporary}.tmp"}) as connection:
            connection.read_parquet(files).create_view("rows")
            count = fill(connection, "rows")
            connection.execute("drop view rows")
    return count


def kind_of(path: Path) -> Literal["duckdb", "parquet"]:
    """What a library lies in; a dataset's folder is Parquet. Raises DataError for what is missing, and for anything else."""
    if path.is_dir():
        if any(path.glob("data/*.parquet")):
            return "parquet"
        raise DataError(f"{path} is a folder without data/*.parquet: name a dataset of templates, a Parquet file, or a library's .duckdb")
    if not path.is_file():
        raise DataError(f"{path} is missing: name a library, its .duckdb, a Parquet file or a dataset's folder ({BUILD})")
    if is_duckdb(path):
        return "duckdb"
    if _start(path).startswith(b"PAR1"):
        return "parquet"
    raise DataError(f"{path} is not a template library, neither DuckDB nor Parquet: `factory templates import` makes one of others")


def is_duckdb(path: Path) -> bool:
    """By the mark behind its checksum, before the number of its format: no text has both."""
    start = _start(path) if path.is_file() else b""
    return start[8:12] == b"DUCK" and b"\0" in start[12:]


def _start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(20)


def library_rows(path: Path) -> list[Template]:
    """All templates of a library by id: of its DuckDB file, of a table, or of a dataset's folder. Raises DataError for anything else."""
    import duckdb

    if kind_of(path) == "parquet":
        return read_rows(path, Template)
    try:
        with duckdb.connect(path, read_only=True) as connection:
            return rows_of(connection)
    except duckdb.Error as error:
        raise DataError(f"{path} is not a template library: {str(error).splitlines()[0]} ({BUILD})") from None


def fill(connection: "duckdb.DuckDBPyConnection", rows: str) -> int:
    """Make the library's tables from `rows`, a table or view with the columns of `Template`. Returns how many templates."""
    columns = ", ".join(arrow_schema(Template).names)
    connection.execute(f"""
        create table templates as select (row_number() over (order by id) - 1)::integer as place, {columns} from {rows} order by id;
        create table texts as select place, id, name, {TEXT} as text from templates order by place;
        create table template_tags as select id as template_id, unnest(tags) as tag from templates order by all;
        create view tag_counts as select tag, count(*) as templates from template_tags group by tag order by all;
        create table names as
            select rtrim(trim(regexp_replace(lower(name), '[\\s\\p{{Z}}]+', ' ', 'g')), '.') as name, place from templates order by all""")
    (count,) = connection.execute("select count(*) from templates").fetchone() or (0,)
    _count_tokens(connection, count)
    _make_postings(connection, count)
    _make_shapes(connection, count)
    return count


def rows_of(connection: "duckdb.DuckDBPyConnection", template_id: str | None = None) -> list[Template]:
    """The templates of a library by id, or the one of this id: [] where there is none."""
    types = field_types(Template)
    where, values = ("where id = ?", [template_id]) if template_id is not None else ("", [])
    rows = connection.execute(f"select {', '.join(types)} from templates {where} order by id", values).fetchall()
    columns = [values_of([row[place] for row in rows], hint) for place, hint in enumerate(types.values())]
    return [Template(**dict(zip(types, row))) for row in zip(*columns, strict=True)]


def _count_tokens(connection: "duckdb.DuckDBPyConnection", count: int) -> None:
    """counts (place, term, weight), and the lexicon, to which every chunk adds the tokens that it is the first to have."""
    connection.execute(
        "create table lexicon (token varchar, term varchar); create temp table counts (place integer, term varchar, tf float)"
    )
    for start in range(0, count, CHUNK):
        inside = f"from templates where place between {start} and {start + CHUNK - 1}"
        connection.execute(
            f"""create or replace temp table part as
                select place, token, sum(weight)::float as tf from (
                    select place, unnest(regexp_extract_all(lower({LABEL}), $pattern)) as token, 1.0::float as weight {inside}
                    union all
                    select place, unnest(regexp_extract_all(lower(array_to_string(steps, ' ')), $pattern)), {STEPS}::float {inside})
                group by place, token""",
            {"pattern": TOKEN},
        )
        new = connection.execute("select distinct token from part where token not in (select token from lexicon) order by token").fetchall()
        _extend(connection, [token for (token,) in new])
        connection.execute("insert into counts select place, term, sum(tf) from part join lexicon using (token) group by place, term")
    connection.execute("drop table if exists part")


def _extend(connection: "duckdb.DuckDBPyConnection", found: list[str]) -> None:
    import pyarrow as pa

    pairs = [{"token": token, "term": term} for token in found for term in read(token)]
    new = pa.Table.from_pylist(pairs, pa.schema([("token", pa.string()), ("term", pa.string())]))
    connection.register("new", new)
    connection.execute("insert into lexicon select * from new")
    connection.unregister("new")


def _make_postings(connection: "duckdb.DuckDBPyConnection", count: int) -> None:
    connection.execute(f"""
        create temp table lengths as
            select place, ({K1} * (1 - {B} + {B} * sum(tf) / avg(sum(tf)) over ()))::float as norm from counts group by place;
        create table postings as
            select term, place, (tf * {K1 + 1} / (tf + norm))::float as weight from counts join lengths using (place) order by term, place;
        drop table counts;
        drop table lengths;
        create table terms as
            select term, count(*)::integer as templates, ln(1 + ({count} - count(*) + 0.5) / (count(*) + 0.5)) as idf
            from postings group by term order by term""")


def _make_shapes(connection: "duckdb.DuckDBPyConnection", count: int) -> None:
    import pyarrow as pa

    every = max(1, -(-count // SAMPLE))
    texts = connection.execute(f"select text from texts where place % {every} = 0 order by place").fetchall()
    shapes = Shapes.of([written(text) for (text,) in texts])
    connection.register("new", pa.table({"gram": shapes.grams, "idf": shapes.idf}))
    connection.execute("create table shapes as select gram, idf from new order by gram")
    connection.unregister("new")
    connection.execute(
        """create table collection as
           select $version::integer as version, $count::integer as templates, $rarest as rarest, $average as average""",
        {"version": VERSION, "count": count, "rarest": shapes.rarest, "average": shapes.average},
    )
