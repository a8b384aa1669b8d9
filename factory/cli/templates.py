"""`factory templates`: the template library, for people.

factory templates search "money left" -k 3
factory templates show "put together"
"""

from typing import Annotated

import typer

from factory.cli.printing import console, print_fields, print_table
from factory.errors import DataError

templates = typer.Typer(no_args_is_help=True, help="The template library, for people.")


@templates.command("search", epilog='Example: factory templates search "money left" -k 3')
def templates_search(
    query: Annotated[str, typer.Argument(help="Words of a name, tag, description, scope or step.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 5,
) -> None:
    """The templates that fit your words best."""
    from factory.reports.readable import visible
    from factory.templates.library import LIBRARY, search

    hits = search(LIBRARY, query, k)
    if not hits:
        raise DataError(f"no template has a word of {query!r}: try other words, or `factory show templates`")
    cells = [[f"{hit.score:.2f}", visible(hit.name), visible(", ".join(hit.tags)), visible(hit.scope), hit.status] for hit in hits]
    print_table(["score", "name", "tags", "scope", "status"], cells)


@templates.command("show", epilog='Example: factory templates show "put together"')
def templates_show(name: Annotated[str, typer.Argument(help="A template's name.")]) -> None:
    """One template whole, with its evidence and lineage."""
    import difflib

    from factory.grading import normalise
    from factory.reports.readable import fields_of
    from factory.schemas import Template
    from factory.storage import DATASETS, read_rows

    rows = read_rows(DATASETS / "templates", Template)
    found = [row for row in rows if normalise(row.name) == normalise(name)]
    if not found:
        near = difflib.get_close_matches(name, sorted({row.name for row in rows}), n=3, cutoff=0.3)
        raise DataError(f"no template {name!r}" + (f": did you mean {', '.join(near)}?" if near else f" among {len(rows):,}"))
    output = console()
    for row in found:
        print_fields(output, fields_of(row, lineage=True))
