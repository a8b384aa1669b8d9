"""`factory status`: every stage of the line, and what its requests cost.

factory status
factory status --check
"""

from typing import Annotated

import typer

from factory.cli.printing import print_table

EPILOG = "Examples: factory status · factory status --check"


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
