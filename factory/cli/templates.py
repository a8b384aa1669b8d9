"""`factory templates`: the template library, for people.

factory templates search "shared equally" -k 3
factory templates show "put together"
factory templates build mine.templates.parquet
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from factory.cli.printing import console, print_fields, print_table
from factory.errors import DataError
from factory.words import amount

templates = typer.Typer(no_args_is_help=True, help="The template library, for people.")
MATCHED = 4  # terms that are shown of a hit
By = Literal["name", "text", "hybrid"]
SEARCH = (
    'Examples: factory templates search "shared equally" -k 3 · '
    'factory templates search "the angles of a triangle" --library template_library.templates.parquet'
)
SHOW = 'Examples: factory templates show "put together" · factory templates show "Law of Sines" --library mine.templates.parquet'
BUILD = "Example: factory templates build template_library.templates.parquet, then duckdb -readonly template_library.duckdb"
LIBRARY_OPTION: Any = typer.Option(
    "--library", metavar="PATH", show_default=False,
    help="A library's .duckdb, a Parquet of templates (of an import, say) or a dataset's folder; without it the last run's.",
)  # fmt: skip


@templates.command("search", epilog=SEARCH)
def templates_search(
    query: Annotated[str, typer.Argument(help="A problem, words of a template, or a name as a plan writes it.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 5,
    by: Annotated[By, typer.Option(help="name: templates of that name first; text: by words; hybrid: by words and embeddings.")] = "text",
    embeddings: Annotated[str, typer.Option(help="Of a hybrid search: wordllama, a folder, or a name on the Hub.")] = "wordllama",
    everything: Annotated[bool, typer.Option("--all", help="Show the best even where the search would abstain.")] = False,
    library: Annotated[Path | None, LIBRARY_OPTION] = None,
) -> None:
    """The templates that fit best, how well, and the words that say so; none where nothing fits well enough."""
    from factory.reports.readable import visible
    from factory.templates.index import CONFIDENT, Index
    from factory.templates.library import LIBRARY

    encoder = None
    if by == "hybrid":
        from factory.engines.embeddings import encoder_of

        encoder = encoder_of(embeddings)
    with Index.open(library or LIBRARY) as index:
        find = index.lookup if by == "name" else index.search
        hits = find(query, k, confident=0, encoder=encoder)
        if not hits:
            raise DataError(f"no template has a word of {query[:60]!r}: try other words, or `factory show templates`")
        if hits[0].confidence < CONFIDENT and not everything:
            raise DataError(
                f"nothing fits well: the best, {visible(hits[0].name)!r}, has a confidence of {hits[0].confidence:.2f}, below {CONFIDENT}; "
                "try other words, or see the best with --all"
            )
        found = [(hit, index.template(hit.template_id)) for hit in hits]
    cells = [
        [
            f"{hit.score:.2f}", f"{hit.confidence:.2f}", visible(hit.name), visible(", ".join(template.tags)), template.status,
            visible(", ".join(f"{term} {part:.1f}" for term, part in hit.why[:MATCHED])),
        ]
        for hit, template in found
    ]  # fmt: skip
    print_table(["score", "confidence", "name", "tags", "status", "matched"], cells)


@templates.command("show", epilog=SHOW)
def templates_show(
    name: Annotated[str, typer.Argument(help="A template's name.")], library: Annotated[Path | None, LIBRARY_OPTION] = None
) -> None:
    """One template whole, with its evidence and lineage."""
    import difflib

    from factory.grading import normalise
    from factory.reports.readable import fields_of
    from factory.schemas import Template
    from factory.storage import DATASETS, read_rows
    from factory.templates.library import library_rows

    rows = library_rows(library) if library else read_rows(DATASETS / "templates", Template)
    found = [row for row in rows if normalise(row.name) == normalise(name)]
    if not found:
        near = difflib.get_close_matches(name, sorted({row.name for row in rows}), n=3, cutoff=0.3)
        raise DataError(f"no template {name!r}" + (f": did you mean {', '.join(near)}?" if near else f" among {len(rows):,}"))
    output = console()
    for row in found:
        print_fields(output, fields_of(row, lineage=True))


@templates.command("build", epilog=BUILD)
def templates_build(
    source: Annotated[Path, typer.Argument(metavar="PARQUET|DATASET", help="Templates as `import` or the line writes them.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Without it the source's name with .duckdb, here.")] = None,
) -> None:
    """A library as one DuckDB file: for SQL (docs/templates.md), and for searches of it that open at once. An older one is replaced whole,
    under its readers."""
    from factory.outputs import file_for
    from factory.templates.library import build_library, is_duckdb

    target = out or Path(f"{source.name.split('.')[0] or 'library'}.duckdb")
    if target.suffix != ".duckdb":
        raise DataError(f"--out is {target}: expected a name that ends in .duckdb")
    file_for(target, "--out")
    if target.exists() and not is_duckdb(target):
        raise DataError(f"{target} exists and is no DuckDB file: name another with --out")
    count = build_library(source, target)
    console().print(f"{amount(count, 'template')} in {target}: factory templates search … --library {target}", markup=False)
