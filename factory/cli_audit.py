"""`factory audit`: what the demonstrations are, and how far a critic can be trusted.

factory audit demonstrations
factory audit critics --data ../shared/data
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factory.errors import DataError

if TYPE_CHECKING:
    from factory.audit.page import Block

ELSEWHERE = Path(__file__).parents[2] / "shared" / "data"

audit = typer.Typer(no_args_is_help=True, help="What the demonstrations are, and how far a critic can be trusted.")
Markdown = Annotated[bool, typer.Option("--markdown", help="As Markdown, for the docs.")]


def show(title: str, blocks: "Iterable[Block]", markdown: bool) -> None:
    """Tables and sentences; figures are the report's."""
    from factory.audit.page import Prose, Section, Table
    from factory.audit.page import markdown as written
    from factory.audit.readable import visible
    from factory.cli import print_table

    found = tuple(blocks)
    if markdown:
        typer.echo(written(title, "", [Section("Tables", found)]))
        return
    for block in found:
        if isinstance(block, Prose):
            typer.echo(visible(block.text) + "\n")
        elif isinstance(block, Table):
            print_table(list(block.headers), [[visible(cell) for cell in row] for row in block.rows], visible(block.caption))


@audit.command("demonstrations", epilog="Examples: factory audit demonstrations · factory audit demonstrations --markdown")
def demonstrations_(markdown: Markdown = False) -> None:
    """The demonstrations here: type mix, words, actions, lead-ins, yield and rejects, what hints give away, tokens and cost per row.

    Reads data/tables, data/rejects and data/logs of the working directory. A low entropy of lead-ins or a type that is missing shows in
    what a tuned model says; a reason with many rejects says which critic or prompt to mend first. The report has the same with charts.
    """
    from factory.audit.demonstrations import demonstrations
    from factory.audit.report import critics

    blocks = list(demonstrations())
    if not blocks:
        raise DataError(f"no demonstrations in {Path.cwd()}: `dvc repro demonstrations` makes them")
    show("Demonstrations", [*critics(), *blocks], markdown)


@audit.command("critics", epilog="Examples: factory audit critics · factory audit critics --data ../shared/data --markdown")
def critics_(
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of public data: recorded/, gsm8k/. Without it COAT_DATA, or ../shared/data.")
    ] = None,
    markdown: Markdown = False,
) -> None:
    """Critics on real solutions that people have labelled: coverage, agreement, false accepts, false alarms, the wrong step named right.

    `reference` compares a solution's equations with the gold solution's, `arithmetic` only checks that they hold; both are free. Claude and
    GPT-3.5 are recorded judgements of MR-GSM8K, asked through the engine `recorded`: their yield and rejects by reason follow. Low coverage
    says that a free critic is not enough for such problems; false accepts, that wrong solutions would be taught as right.
    """
    from factory.audit.calibration import calibration

    folder = data or Path(os.environ.get("COAT_DATA", ELSEWHERE))
    if not (folder / "recorded").is_dir():
        raise DataError(f"{folder}/recorded is no folder: say where the public data is with --data or COAT_DATA")
    show("Critics", calibration(folder), markdown)
