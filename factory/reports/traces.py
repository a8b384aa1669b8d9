"""A trace for people: the same entries on a terminal and on one self-contained HTML page.

    list(entries(trace))   → [Entry("plan", "multiply groups then add (…)", "planner · propose · 412 tokens in, 14 out"),
                              Entry("step 1 · template", "multiply groups then add (…)", "score 5.20"), …]
    page([trace])          → "<!doctype html>…": escaped, light and dark, without a script

What models wrote is data: control characters are shown, and the page escapes everything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from factory.reports.readable import visible
from factory.templates.traces import Event, Trace
from factory.words import amount

FOLDER = Path(__file__).parent
TITLES = {
    "plan": "plan", "retrieve": "template", "instantiate": "done", "evaluate": "evaluated", "adjust": "adjusted", "conclude": "answer",
}  # fmt: skip
DONE = {
    "keep": "kept", "redo": "to be done again", "fetch": "to be done with another template", "revise": "the rest of the plan is revised",
    "stop": "no further step",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """`told`: what it took, or why. `state`: plain, good or bad."""

    title: str
    text: str
    told: str = ""
    state: str = "plain"


def entries(trace: Trace) -> Iterator[Entry]:
    """What happened, in order."""
    for event in trace.events:
        title = TITLES.get(event.kind, event.kind) if event.kind != "adjust" or not event.role else "plan, revised"
        where = f"step {event.place} · " if event.place and event.kind not in ("plan", "conclude") else ""
        yield Entry(where + title, visible(_text(event)), visible(_told(event)), _state(event))


def _text(event: Event) -> str:
    if event.kind == "retrieve":
        return f"{event.planned} → {event.name}" if event.name and event.name != event.planned else event.planned
    if event.kind == "adjust" and not event.role:
        return DONE.get(event.choice, event.choice)
    if event.kind == "evaluate" and event.choice:
        return f"{event.choice}: {event.remark}" if event.remark else event.choice
    return event.text.strip()


def _told(event: Event) -> str:
    parts = [f"score {event.score:.2f}"] if event.kind == "retrieve" and event.template else []
    if event.role:
        parts += [event.role, event.question, f"{event.prompt_tokens:,} tokens in, {event.tokens:,} out"]
    parts += [event.note] if event.note else []
    return " · ".join(parts)


def _state(event: Event) -> str:
    if event.note or event.choice in ("redo", "fetch"):
        return "bad"
    return "good" if event.choice in ("keep", "stop") else "plain"


def ended(trace: Trace) -> str:
    """How it ended, in one line."""
    ran_out = f" after its {trace.ended.ran_out} had run out" if trace.ended.ran_out else ""
    if trace.ended.how == "failed":
        return visible(f"no answer{ran_out}: {trace.ended.reason}")
    verdict = f", {trace.grade['verdict']} (gold {trace.grade['gold']})" if trace.grade else ""
    return visible(f"answer {trace.answer}{verdict}{ran_out}")


def took(trace: Trace) -> str:
    totals = trace.totals
    seconds = f", {trace.measured['seconds']:.1f} s" if "seconds" in trace.measured else ""
    tokens = f"{amount(totals.prompt_tokens, 'token')} in, {totals.tokens:,} out"
    return f"{amount(totals.rounds, 'step')} carried out, {amount(totals.requests, 'request')}, {tokens}{seconds}"


def models(trace: Trace) -> str:
    found = ", ".join(f"{role} {model}" for role, model in dict(trace.asked.get("models", {})).items())
    library = dict(trace.asked.get("library", {}))
    return visible(f"{found}; library {library.get('version', '')} of {library.get('templates', '?')} templates")


@cache
def _page() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    return environment.get_template("trace.html.j2")


def page(traces: Sequence[Trace]) -> str:
    """One HTML page of one or many traces."""
    shown = [
        {
            "id": trace.id, "problem": visible(trace.problem), "entries": list(entries(trace)), "ended": ended(trace), "took": took(trace),
            "models": models(trace), "good": trace.ended.how == "answered" and trace.grade.get("verdict", "correct") == "correct",
        }
        for trace in traces
    ]  # fmt: skip
    return _page().render(traces=shown)
