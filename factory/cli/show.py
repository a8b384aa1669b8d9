"""`factory show`: readable rows of a dataset or table.

factory show restarts_r1 -n 2
factory show orm_pairs_r1 --id 77b0
"""

from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.printing import console, print_fields
from factory.errors import DataError, ParamsError
from factory.words import amount

if TYPE_CHECKING:
    from pathlib import Path

    from factory.schemas import Row

EPILOG = "Examples: factory show demonstrations -n 1 · factory show orm_pairs_r1 --id 77b0 · factory show rejects/demonstrations"


def show(
    name: Annotated[str, typer.Argument(help="A dataset, a table, or rejects/<stage>.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many rows.")] = 3,
    row: Annotated[str, typer.Option("--id", help="The row whose id begins so, with its lineage.")] = "",
) -> None:
    """Readable rows of a dataset or table, meta-action tokens in colour."""
    from factory.reports.readable import fields_of
    from factory.storage import count_rows, find_rows, rows_at, spread

    path, row_type = table_named(name)
    count = count_rows(path)
    chosen = rows_at(path, row_type, find_rows(path, row, n) if row else spread(count, n))
    if not chosen:
        raise DataError(f"{name} has {amount(count, 'row')}" + (f", none with an id that begins with {row}" if row else ""))
    output = console()
    for item in chosen:
        output.rule(f"{name} {item.id}", align="left")
        print_fields(output, fields_of(item, lineage=bool(row)))
    output.print(f"{len(chosen):,} of {amount(count, 'row')}", style="dim")


def table_named(name: str) -> "tuple[Path, type[Row]]":
    """Where a released dataset lies, else a table, and its row type. Raises DataError for a name that neither has."""
    from factory.gate.background import kind_of
    from factory.storage import DATASETS, REJECTS, TABLES
    from factory.tables import TABLES as ROW_TYPES

    if name.startswith("rejects/"):
        return REJECTS / f"{name.removeprefix('rejects/')}.parquet", ROW_TYPES["rejects"]
    try:
        kind = kind_of(name)
    except ParamsError:
        there = sorted(path.stem for path in TABLES.glob("*.parquet")) or ["nothing yet, `dvc repro` makes tables"]
        raise DataError(f"no dataset or table {name!r}: there is {', '.join(there)}, and rejects/<stage>") from None
    folder = DATASETS / name
    return (folder if folder.is_dir() else TABLES / f"{name}.parquet"), ROW_TYPES[kind]
