"""What `factory solve` says of many problems: how many were answered and right, what it took, and why others were not."""

from collections import Counter
from typing import TYPE_CHECKING

from factory.evaluation.statistics import wilson
from factory.reports.readable import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from factory.templates.traces import Trace


def summary(traces: "Sequence[Trace]") -> list[list[str]]:
    """Rows of two cells: how many were answered and right, what it took, and why others were not."""
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
    return cells
