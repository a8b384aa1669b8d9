"""The command `factory`: look at what the line made, change profiles, search templates. `dvc repro` runs the line itself.

    factory status
    factory show restarts_r1 -n 2

Heavy modules are imported by the commands that need them, so that `--help` answers at once.
"""

import io
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.audit import audit
from factory.cli.grade import EPILOG, grade
from factory.cli.requests import requests
from factory.errors import DataError, FactoryError, explained

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.text import Text

    from factory.schemas import Row

COLOURS = {"continue": "bold green", "reflect": "bold yellow", "explore": "bold cyan"}

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Look at what the line made, change profiles, search templates. `dvc repro` runs the line.",
    epilog="Start with: factory status · factory show demonstrations -n 1 · factory profile list",
)  # fmt: skip
profile = typer.Typer(no_args_is_help=True, help="Whole params files: which one is in use, and putting another in its place.")
templates = typer.Typer(no_args_is_help=True, help="The template library, for people.")
app.add_typer(audit, name="audit")
app.add_typer(profile, name="profile")
app.add_typer(templates, name="templates")
app.add_typer(requests, name="requests")
app.command(epilog=EPILOG)(grade)


def console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def print_table(headers: list[str], rows: list[list[str]], title: str = "") -> None:
    """Columns of numbers align right. Cells are text, never markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, header in enumerate(headers):
        right = number > 0 and all(not row[number].strip("0123456789,. %") for row in rows)
        table.add_column(header, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table, soft_wrap=False)


@app.command(epilog="Examples: factory status · factory status --check")
def status(check: Annotated[bool, typer.Option("--check", help="Ask DVC which stages are stale (seconds).")] = False) -> None:
    """Every stage: rows, rejects, accept rate, seconds of its last run, and what its requests cost."""
    from factory.engines.ledger import stats
    from factory.engines.store import default_path
    from factory.params import load
    from factory.status import dollars, progress, stale

    params, outdated = load(), stale() if check else set()
    rows = []
    for item in progress(params):
        rate = "" if item.accepted is None else f"{100 * item.accepted:.1f} %"
        made = ", ".join(f"{count:,} {name}" for name, count in item.rows.items())
        note = "REFUSED by the gate" if item.refused else "stale" if item.stage in outdated else ""
        seconds = "" if item.seconds is None else f"{item.seconds:.1f}"
        rows.append([item.stage, made, "" if item.rejects is None else f"{item.rejects:,}", rate, seconds, note])
    print_table(["stage", "rows", "rejects", "accepted", "seconds", ""], rows)
    if usage := stats(default_path()):
        spent = dollars(params)
        cells = [
            [row.stage, f"{row.requests:,}", f"{row.prompt_tokens:,}", f"{row.completion_tokens:,}", f"{row.hits:,}", f"{row.seconds:,.0f}",
             f"{row.bytes / 1e6:.1f}", f"{spent[row.stage]:.2f}" if row.stage in spent else ""]
            for row in usage
        ]  # fmt: skip
        headers = ["stage", "requests", "tokens in", "tokens out", "from store", "seconds", "MB", "US$"]
        print_table(headers, cells, "Requests, over all runs")


def coloured(text: str) -> "Text":
    """Meta-action tokens in colour; control characters are shown, not obeyed."""
    from rich.text import Text

    from factory.coat.grammar import ACTIONS
    from factory.reports.readable import visible

    shown = Text(visible(text))
    for action, token in ACTIONS.items():
        shown.highlight_words([token], COLOURS[action])
    return shown


def table_named(name: str) -> "tuple[Path, type[Row]]":
    """Where a released dataset lies, else a table, and its row type. Raises DataError for a name that neither has."""
    from factory.errors import ParamsError
    from factory.gate.background import kind_of
    from factory.schemas import TABLES as ROW_TYPES
    from factory.storage import DATASETS, REJECTS, TABLES

    if name.startswith("rejects/"):
        return REJECTS / f"{name.removeprefix('rejects/')}.parquet", ROW_TYPES["rejects"]
    try:
        kind = kind_of(name)
    except ParamsError:
        there = sorted(path.stem for path in TABLES.glob("*.parquet")) or ["nothing yet, `dvc repro` makes tables"]
        raise DataError(f"no dataset or table {name!r}: there is {', '.join(there)}, and rejects/<stage>") from None
    folder = DATASETS / name
    return (folder if folder.is_dir() else TABLES / f"{name}.parquet"), ROW_TYPES[kind]


@app.command(
    epilog="Examples: factory show demonstrations -n 1 · factory show orm_pairs_r1 --id 77b0 · factory show rejects/demonstrations"
)
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
        raise DataError(f"{name} has {count:,} rows" + (f", none with an id that begins with {row}" if row else ""))
    output = console()
    for item in chosen:
        output.rule(f"{name} {item.id}", align="left")
        for column, text in fields_of(item, lineage=bool(row)):
            output.print(column, style="dim", markup=False, end="\n" if "\n" in text else ": ")
            output.print(coloured(text))
    output.print(f"{len(chosen):,} of {count:,} rows", style="dim")


@profile.command("list")
def profile_list() -> None:
    """The profiles, and which one params.yaml is."""
    from factory.params.profiles import current, names

    used = current()
    for name in names():
        typer.echo(f"{'*' if name == used else ' '} {name}")
    if used is None:
        typer.echo("params.yaml is none of them: `factory profile diff NAME` shows how it differs")


@profile.command("diff")
def profile_diff(name: Annotated[str, typer.Argument(help="A profile.")] = "laptop") -> None:
    """What `factory profile use NAME` would change in params.yaml."""
    from factory.params.profiles import difference

    typer.echo(difference(name) or f"params.yaml is the profile {name}")


@profile.command("use", epilog="Example: factory profile use satori-7b, then `dvc repro`")
def profile_use(
    name: Annotated[str, typer.Argument(help="A profile.")],
    force: Annotated[bool, typer.Option("--force", help="Lose edits of params.yaml that nothing holds.")] = False,
) -> None:
    """Put a profile over params.yaml. Refuses when that would lose edits."""
    from factory.params.profiles import current, use

    before = current()
    changed = use(name, force=force)
    back = f"factory profile use {before}" if before else "git checkout params.yaml"
    typer.echo(f"{changed}params.yaml is now the profile {name}; `dvc repro` builds it" if changed else f"params.yaml was {name} already")
    if changed:
        typer.echo(f"To go back: `{back}`, then `dvc repro`, which restores from its cache what it built before.")


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
        for column, text in fields_of(row, lineage=True):
            output.print(column, style="dim", markup=False, end="\n" if "\n" in text else ": ")
            output.print(coloured(text))


@app.command()
def timings() -> None:
    """Seconds and memory of each stage's last run, as a Markdown table for the docs; exit code 1 when one used more than it may."""
    from factory.params import load
    from factory.status import BOUND_MB, over_bound, timings_markdown

    params = load()
    typer.echo(timings_markdown(params))
    if over := over_bound(params):
        stages = ", ".join(f"{title} {peak:,} MB" for title, peak in over.items())
        raise DataError(f"more memory than the {BOUND_MB:,} MB that a stage of this line may use: {stages}")


def main() -> None:
    """The boundary: a user's mistake is one or two lines and exit code 1. What a terminal cannot write, it shows as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough: `factory show … | head`
    except FactoryError as error:
        fail(str(error))
    except (OSError, MemoryError) as error:
        fail(explained(error))


def fail(message: str) -> None:
    from factory.reports.readable import visible

    sys.exit(f"error: {visible(message)}")

