"""What several commands print with: tables, rows with COAT tokens in colour, one line for an error.

    print_table(["stage", "rows"], [["corpus", "1,200"], ["plans", "80"]])

    stage     rows
    ────────────────
    corpus   1,200
    plans       80

Rich is imported by the functions that need it, so that `--help` answers at once.
"""

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

COLOURS = {"continue": "bold green", "reflect": "bold yellow", "explore": "bold cyan"}


def console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def print_table(headers: list[str], rows: list[list[str]], title: str = "") -> None:
    console().print(build_table(headers, rows, title), soft_wrap=False)


def build_table(headers: list[str], rows: list[list[str]], title: str = "") -> "Table":
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
    return table


def coloured(text: str) -> "Text":
    """Meta-action tokens in colour; control characters are shown, not obeyed."""
    from rich.text import Text

    from factory.coat.grammar import ACTIONS
    from factory.reports.readable import visible

    shown = Text(visible(text))
    for action, token in ACTIONS.items():
        shown.highlight_words([token], COLOURS[action])
    return shown


def print_fields(output: "Console", fields: "Iterable[tuple[str, str]]") -> None:
    """`column: text`, or the text below its column when it has several lines."""
    for column, text in fields:
        output.print(column, style="dim", markup=False, end="\n" if "\n" in text else ": ")
        output.print(coloured(text))


def fail(message: str) -> NoReturn:
    """Ends the process with exit code 1 and the message on standard error."""
    from factory.reports.readable import visible

    sys.exit(f"error: {visible(message)}")
