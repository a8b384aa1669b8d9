"""The template library as one DuckDB file for people: `data/library.duckdb`, built from the released Parquet, searched read-only.

    build_library(Path("data/datasets/templates"), Path("data/library.duckdb"))
    search(Path("data/library.duckdb"), "money left", 5)
    → [Hit(score=2.31, name="give away", tags=("subtract", "left"), scope="Something leaves a collection.", status="accepted"), …]

Tables: templates, template_tags (template_id, tag), postings (id, term, weight); view tag_counts. The search indexes name, tags,
description, scope and steps: a person's words are rarely the name.

Run: python -m pipelines.library. Source: papers/reasonflux, "Retrieval".
"""

from dataclasses import dataclass
from pathlib import Path

from factory.errors import DataError
from factory.schemas import Template
from factory.storage import read_rows, to_table, whole_file
from factory.templates.retrieve import postings_sql, scores_sql

LIBRARY = Path("data/library.duckdb")

_SEARCHED = """select id, concat_ws(' ', name, array_to_string(tags, ' '), description, scope, array_to_string(steps, ' ')) as text
               from templates"""


@dataclass(frozen=True)
class Hit:
    score: float
    name: str
    tags: tuple[str, ...]
    scope: str
    status: str


def build_library(dataset: Path, path: Path) -> int:
    """Build a new file and rename it over `path`: readers of the old one keep what they opened. Returns how many templates."""
    import duckdb

    table = to_table(Template, read_rows(dataset, Template))
    with whole_file(path) as temporary:
        temporary.unlink()  # DuckDB refuses an empty file
        with duckdb.connect(temporary) as connection:
            connection.register("rows", table)
            connection.execute("create table templates as select * from rows order by id")
            connection.execute("create table template_tags as select id as template_id, unnest(tags) as tag from templates order by all")
            connection.execute("create view tag_counts as select tag, count(*) as templates from template_tags group by tag order by all")
            connection.execute(f"create temp view searched as {_SEARCHED}")
            connection.execute(f"create table postings as {postings_sql('searched')}")
    return table.num_rows


def search(path: Path, query: str, k: int = 5) -> list[Hit]:
    """The k best templates for a person's words, best first; [] when no word is known. Raises DataError without a readable library."""
    import duckdb

    if not path.exists():
        raise DataError(f"{path} is missing: `dvc repro library` builds it")
    try:
        with duckdb.connect(path, read_only=True) as connection:
            ranked = connection.execute(
                f"""select score, name, tags, scope, status
                    from ({scores_sql("(select 0 as query, ? as text)", "postings")}) join templates using (id)
                    order by score desc, id limit ?""",
                [query, k],
            ).fetchall()
    except (duckdb.IOException, duckdb.CatalogException) as error:
        raise DataError(f"{path} is not a template library: {str(error).splitlines()[0]} (`dvc repro library` builds it)") from None
    return [Hit(score, name, tuple(tags), scope, status) for score, name, tags, scope, status in ranked]
