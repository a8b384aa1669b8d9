"""The line's sections: its picture with counts, its stages, every dataset and table, what they cost.

list(the_line(params, graph))   → [Figure("<svg …>", …), Table(("stage", "rows", "rejects", "yield"), …), Fold("Rejects by reason", …)]
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.line import Stage, stages_of
from factory.params import Params
from factory.reports.accuracies import percent
from factory.reports.datasets import dataset_blocks
from factory.reports.drawing import Count, column, picture
from factory.reports.graph import Graph
from factory.reports.page import Block, Figure, Fold, Link, Prose, Table
from factory.reports.rejects import reasons_at
from factory.reports.scan import Scan
from factory.reports.usage import read_usage
from factory.storage import AUDITS, LOGS, REJECTS, TABLES, count_rows
from factory.tables import table_of

USAGE = LOGS / "demonstrations_usage.csv"
READ = 2  # rows of a table that is no dataset


def audit_of(name: str) -> dict[str, Any]:
    """The gate's document on a dataset, {} where it has not looked yet."""
    path = AUDITS / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise DataError(f"{path} is no JSON document ({error}): delete it and run the stage that writes it again") from None


def counts_of(params: Params, graph: Graph) -> dict[str, Count]:
    """By stage, from the footers of the files."""
    gated = {maker: name for name, maker in graph.gates.items()}
    found = {}
    for title, stage in graph.stages.items():
        rows = {name: count_rows(path) for name in stage.tables if (path := TABLES / f"{name}.parquet").exists()}
        rejects = REJECTS / f"{stage.rejects}.parquet"
        audit = audit_of(gated[title]) if title in gated else {}
        gate = "" if title not in gated else "not audited" if not audit else "passed" if audit["success"] else "refused"
        lost = count_rows(rejects) if stage.rejects and rejects.exists() else None
        index = "a search index" if title == "library" else ""
        found[title] = Count(rows, lost, gate, trains=not stage.tables and not index, makes=index)
    return found


def the_line(params: Params, graph: Graph) -> Iterator[Block]:
    counts = counts_of(params, graph)
    if not any(count.rows for count in counts.values()):
        return
    if graph.known:
        yield Figure(
            picture(graph, counts),
            "From the problems down: square boxes make rows, round ones models; the bar is what a stage kept of rows and rejects, a gate "
            "is Great Expectations' verdict on the dataset. Arrows that follow from others are left out.",
            wide=True,
            narrow=column(graph, counts),
        )
    rows, reasons = [], []
    for title, count in counts.items():
        stage = graph.stages[title]
        if count.rows:
            made = ", ".join(f"{number:,} {name}" for name, number in count.rows.items())
            lost = f"{count.rejects or 0:,}" if stage.rejects else ""
            rows.append((title, made, lost, percent(count.kept) if stage.rejects else "", count.gate))
        if found := reasons_at(REJECTS / f"{stage.rejects}.parquet") if stage.rejects else None:
            reasons += [(title, why, f"{number:,}") for why, number in found.shown.items()]
    table = Table(
        ("stage", "rows", "rejects", "yield", "gate"), tuple(rows), "Yield: rows of the first table of rows and rejects", fold=False
    )
    yield Fold(f"{len(rows)} stages that make rows, as a table", (table,))
    if reasons:
        yield Table(("stage", "reason", "rejects"), tuple(reasons), "Rejects by reason", fold=True)


# -- datasets and tables


def dataset_sections(params: Params, graph: Graph) -> Iterator[Block]:
    """A line each, then a part each."""
    there = [name for name in params.datasets if (TABLES / f"{name}.parquet").exists()]
    if not there:
        return
    rows, counts = [], counts_of(params, graph)
    for name in there:
        audit, maker = audit_of(name), _maker(params, name)
        held = sum(item["success"] for item in audit.get("findings", []))
        gate = ("passed" if audit["success"] else "REFUSED") if audit else "not audited"
        count = counts.get(maker.title) if maker else None
        kept = percent(count.kept) if count and maker and maker.tables[0] == name else ""
        number = f"{count_rows(TABLES / f'{name}.parquet'):,}"
        rows.append(
            (Link(name, f"dataset-{name}"), _brief(name), number, kept, gate, f"{held} of {len(audit['findings'])}" if audit else "")
        )
    yield Table(
        ("dataset", "what it is", "rows", "yield", "gate", "expectations hold"),
        tuple(rows),
        "Datasets, and the verdict of the gate on each",
        fold=False,
    )
    for name in there:
        audit = audit_of(name)
        yield from dataset_blocks(
            name, TABLES / f"{name}.parquet", audit or None, about=str(table_of(name).__doc__), facts=tuple(_facts(params, graph, name)),
            rejects=_rejects(params, name), rejecter=_titled(params, name), failing=AUDITS / f"{name}.parquet",
        )  # fmt: skip


def table_sections(params: Params, graph: Graph) -> Iterator[Block]:
    """Tables that are no datasets: problems, rollouts, judgements, trajectories, answers; each folded."""
    for stage in stages_of(params):
        for name in stage.tables:
            path = TABLES / f"{name}.parquet"
            if name not in params.datasets and path.exists():
                blocks = dataset_blocks(
                    name, path, about=str(table_of(name).__doc__), facts=tuple(_facts(params, graph, name)), rejects=_rejects(params, name),
                    rejecter=stage.title, read=READ, heading=False,
                )  # fmt: skip
                yield Fold(f"{name}: {count_rows(path):,} rows", tuple(blocks))


def _maker(params: Params, name: str) -> Stage | None:
    return next((stage for stage in stages_of(params) if name in stage.tables), None)


def _titled(params: Params, name: str) -> str:
    maker = _maker(params, name)
    return maker.title if maker else name


def _rejects(params: Params, name: str) -> Path | None:
    """Of the stage that makes a table, beside the first of its tables alone."""
    maker = _maker(params, name)
    return REJECTS / f"{maker.rejects}.parquet" if maker and maker.rejects and maker.tables[0] == name else None


def _brief(name: str) -> str:
    """The first sentence of the row type's docstring."""
    text = " ".join(str(table_of(name).__doc__).split()).replace("`", "")
    return text.replace("App. ", "App.\0").split(". ")[0].replace("\0", " ").rstrip(".")


def _facts(params: Params, graph: Graph, name: str) -> Iterator[tuple[str, str]]:
    """Lineage by the graph, and what the rows say of their cost."""
    maker = graph.maker(name)
    if maker is not None:
        yield "made by", maker.title
        if sources := graph.edges[maker.title]:
            yield "reads", ", ".join(sources)
        if behind := graph.behind(maker.title, through_models=False):
            yield "rows come from", ", ".join(behind)
    told = _spent(TABLES / f"{name}.parquet")
    if told["tokens"]:
        yield "tokens written", f"{told['tokens']:,} ({told['tokens'] / max(1, told['rows']):,.0f} a row)"
    if told["requests"]:
        yield "requests named by its rows", f"{told['requests']:,}"


def _spent(path: Path) -> Mapping[str, int]:
    """Rows of a table, tokens that its rows say were written, requests and calls that they name."""
    with Scan.of(path) as scan:
        parts = {"tokens": "sum(tokens)", "request_ids": "sum(len(request_ids))", "calls": "sum(calls)"}
        asked = [expression if column in scan.names else "0" for column, expression in parts.items()]
        tokens, requests, calls = scan.ask(f"SELECT {', '.join(asked)} FROM {{rows}}")[0]
        return {"rows": scan.rows, "tokens": int(tokens or 0), "requests": int(requests or 0), "calls": int(calls or 0)}


def cost(params: Params) -> Iterable[Block]:
    """Tokens and requests that the tables themselves tell, and the usage that stages log with their price."""
    rows = []
    for stage in stages_of(params):
        for name in stage.tables:
            path = TABLES / f"{name}.parquet"
            told = _spent(path) if path.exists() else {"rows": 0, "tokens": 0, "requests": 0, "calls": 0}
            if told["tokens"] or told["requests"] or told["calls"]:
                each = f"{told['tokens'] / told['rows']:,.1f}" if told["tokens"] and told["rows"] else ""
                numbers = (told["rows"], told["requests"] or told["calls"], told["tokens"])
                rows.append((name, *(f"{number:,}" if number else "" for number in numbers), each))
    if rows:
        yield Prose("What rows themselves say: requests that they name, and tokens that were written for them, of those that were kept.")
        yield Table(("table", "rows", "requests", "tokens written", "tokens a row"), tuple(rows), "Cost by table", fold=False)
    if USAGE.exists():
        usage = [
            (use.role, use.model, f"{use.requests:,}", f"{use.failed:,}", f"{use.prompt_tokens:,}", f"{use.completion_tokens:,}",
             "" if use.dollars is None else f"{use.dollars:.2f}")
            for use in read_usage(USAGE)
        ]  # fmt: skip
        headers = ("role", "model", "requests", "failed", "tokens in", "tokens out", "dollars")
        yield Table(headers, tuple(usage), "Demonstrations: what all candidates took, by role; a model that runs here has no price")
