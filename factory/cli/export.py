"""`factory export`: a released dataset as a trainer reads it, with our grader as its reward.

factory export --to trl demonstrations --out exports/demonstrations
factory export --to verl restarts_r1 --out exports/restarts --tokenizer data/models/base
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from factory.words import amount

EPILOG = """
Examples to imitate (demonstrations, distillation, plans …), pairs (orm_pairs, trajectory_pairs), prompts with a checkable answer
(restarts) and steps with labels (process_rewards). The folder gets the data, reward.py (for prompts) and a README that says how to start
the trainer; it appears whole or not at all, and replaces an earlier export only. Refused: what is not released, failed its audit, is
stale, or is benchmark test data.

\b
Examples:
  factory export --to trl orm_pairs_r1 --out exports/pairs
  factory export --to verl restarts_r1 --out exports/verl --tokenizer data/models/format_tuned
  factory export --to verifiers restarts_r1 --out exports/environment
"""


class Target(StrEnum):
    trl = "trl"
    verl = "verl"
    openrlhf = "openrlhf"
    verifiers = "verifiers"


def export(
    dataset: Annotated[str, typer.Argument(help="A released dataset.")],
    to: Annotated[Target, typer.Option("--to", help="The trainer.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write.", show_default=False)],
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="FOLDER", help="The model to be trained: prompts that begin the answer become its text."),
    ] = None,
) -> None:
    """A released dataset in the columns and files of TRL, verl, OpenRLHF or verifiers, with our grader as the reward they call."""
    from factory.export.write import export as write

    told = write(dataset, to.value, out, tokenizer)
    text = ", prompts as text" if told.written_out else ""
    typer.echo(f"{amount(told.rows, 'row')} of {dataset} for {to.value} in {out} ({told.use}{text}): {', '.join(told.files)}")
