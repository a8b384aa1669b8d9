"""`factory status`: every stage of the line, what its requests cost, and what trains now.

factory status
factory status --check
factory status --watch
"""

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.printing import build_table, print_table

if TYPE_CHECKING:
    from factory.live import Run

EPILOG = "Examples: factory status · factory status --check · factory status --watch"
TRAINING = ["training", "step", "", "now", "so far", "tokens/s", "time left", "last step", ""]
LEVELS = "▁▂▃▄▅▆▇█"


def status(
    check: Annotated[bool, typer.Option("--check", help="Ask DVC which stages are stale (seconds).")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow what trains now, until Ctrl-C or until nothing does.")] = False,
) -> None:
    """Every stage: rows, rejects, accept rate, seconds of its last run, what its requests cost; and what trains now."""
    if watch:
        return follow()
    from factory.engines.ledger import stats
    from factory.engines.store import default_path
    from factory.live import runs
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
    if training := runs():
        print_table(TRAINING, [_cells(run) for run in training], "Training now")


def follow(every: float = 2.0) -> None:
    """Redraw a terminal; where there is none, print a table whenever something changed. Ends with the last of the runs."""
    from rich.console import Console
    from rich.live import Live

    from factory.live import runs

    screen = Live(console=Console(highlight=False), auto_refresh=False) if sys.stdout.isatty() else None
    seen: set[str] = set()
    shown: list[tuple[str, int, bool]] = []
    try:
        with screen or nullcontext():
            while True:
                found = runs(ended=seen)
                seen |= {run.name for run in found}
                state = [(run.name, run.step, run.running) for run in found]
                if screen and found:
                    screen.update(build_table(TRAINING, [_cells(run) for run in found]), refresh=True)
                elif state != shown:
                    print_table(TRAINING, [_cells(run) for run in found])
                    sys.stdout.flush()
                shown = state
                if not any(run.running for run in found):
                    break
                time.sleep(every)
    except KeyboardInterrupt:
        return
    if not seen:
        print("nothing is training")


def _cells(run: "Run") -> list[str]:
    note = "" if run.running else "done" if run.step >= run.total else "stopped"
    left = _duration(run.left) if run.left is not None and run.running else ""
    value = f"{run.measure} {run.value:.4g}" if run.measure and run.value is not None else ""
    share = f"{100 * run.step / run.total:.0f} %" if run.total else ""
    rate = "" if run.tokens_per_second is None else f"{run.tokens_per_second:,.0f}"
    ago = f"{_duration(max(0.0, time.time() - run.updated))} ago"
    return [run.name, f"{run.step:,}/{run.total:,}", share, value, sparkline(run.curve), rate, left, ago, note]


def sparkline(values: tuple[float, ...]) -> str:
    """`█▆▅▃▂▂▁▁`: the lowest value is the lowest block; digits where the terminal knows no blocks."""
    if not values:
        return ""
    levels = LEVELS if (sys.stdout.encoding or "").lower().startswith("utf") else "01234567"
    low, high = min(values), max(values)
    return "".join(levels[round((value - low) / (high - low) * 7) if high > low else 3] for value in values)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
