"""How `factory solve` shows traces: one whole, of many what came of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from factory.cli.printing import coloured, console, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from factory.templates.traces import Trace

STYLES = {"plain": "bold", "good": "bold green", "bad": "bold yellow"}


def show(trace: "Trace") -> None:
    from factory.reports.readable import visible
    from factory.reports.traces import ended, entries, models, took

    output = console()
    output.print(coloured(trace.problem))
    for entry in entries(trace):
        _print(output, entry.title, STYLES[entry.state])
        for line in filter(None, (entry.text,)):
            output.print(coloured("\n".join("  " + part for part in line.split("\n"))))
        if entry.told:
            output.print(f"  {entry.told}", style="dim", markup=False)
    _print(output, ended(trace), STYLES["good" if trace.ended.how == "answered" else "bad"])
    output.print(visible(f"{took(trace)}\n{models(trace)}"), style="dim", markup=False)


def _print(output: "Console", text: str, style: str) -> None:
    output.print()
    output.print(text, style=style, markup=False)


def summarise(traces: "Sequence[Trace]") -> None:
    """How many were answered and right, what it took, and why others were not."""
    from collections import Counter

    from factory.evaluation.statistics import wilson
    from factory.reports.readable import visible

    n, answered = len(traces), sum(trace.ended.how == "answered" for trace in traces)
    graded = [trace for trace in traces if trace.grade]
    right = sum(trace.grade["verdict"] == "correct" for trace in graded)
    cells = [["problems", f"{n:,}"], ["answered", f"{answered:,}"]]
    if graded:
        low, high = wilson(right, len(graded))
        cells.append([f"correct of {len(graded):,}", f"{right:,}, {right / len(graded):.1%} ({low:.1%} to {high:.1%})"])
    cells += [
        ["steps a problem", f"{sum(trace.totals.rounds for trace in traces) / n:.2f}"],
        ["requests a problem", f"{sum(trace.totals.requests for trace in traces) / n:.2f}"],
        ["tokens out a problem", f"{sum(trace.totals.tokens for trace in traces) / n:,.1f}"],
    ]
    did = Counter(event.choice for trace in traces for event in trace.events if event.kind == "adjust" and event.choice)
    cells += [[f"adjusted: {visible(choice)}", f"{count:,}"] for choice, count in did.most_common()]
    notes = Counter(f"{event.question or event.kind}: {event.note}" for trace in traces for event in trace.events if event.note)
    cells += [[visible(note), f"{count:,}"] for note, count in notes.most_common(8)]
    failed = Counter(trace.ended.reason for trace in traces if trace.ended.how == "failed")
    cells += [[f"failed: {visible(reason)}", f"{count:,}"] for reason, count in failed.most_common(8)]
    print_table(["", ""], cells)
