"""A dataset, or any table of rows, as a part of the report: what it is, rows, distributions, expectations, rejects, rows to read.

    list(dataset_blocks("restarts_r1", Path("data/tables/restarts_r1.parquet"), audit, about=Restart.__doc__, …))
    → [Heading("restarts_r1", "dataset-restarts_r1", "passed"), Prose("A start state of PPO …"), Facts(…), Plots(…), Fold("Columns …"), …]

It needs only a Parquet file (or a dataset folder with shards) and, where there is one, the gate's document: data that others made too.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from factory.coat.grammar import ACTIONS
from factory.reports.audits import audit_blocks
from factory.reports.columns import Actions, Categories, Distribution, Numbers, actions, distributions, spark, written
from factory.reports.page import Block, Facts, Figure, Fold, Heading, Plots, Prose, Sample, Table
from factory.reports.plots import plot
from factory.reports.readable import fields_of_dict, visible
from factory.reports.rejects import reject_blocks
from factory.reports.scan import Scan
from factory.storage import spread

READ = 3  # rows of each dataset
LONGEST = 4000  # characters of a column of a row to read
TEXTS = ("completion", "chosen", "rejected", "prefix", "text")  # in which meta-actions are counted
LINEAGE = ("model", "prompt_version", "round", "source", "licence")  # told as facts, not drawn


def dataset_blocks(
    name: str, path: Path, audit: Mapping[str, Any] | None = None, *, about: str = "", facts: Sequence[tuple[str, str]] = (),
    rejects: Path | None = None, rejecter: str = "", failing: Path | None = None, read: int = READ, heading: bool = True,
) -> Iterator[Block]:  # fmt: skip
    """`audit`: the gate's document; `about`: the row type's docstring; `facts`: lineage and cost, as the caller knows them; `failing`: the
    gate's extract of rows that break an expectation. Raises DataError for a path that holds no readable Parquet."""
    if heading:
        yield Heading(name, f"dataset-{name}", ("passed" if audit["success"] else "REFUSED") if audit else "")
    if about:
        yield Prose(" ".join(about.split()), code=True)
    with Scan.of(path) as scan:
        found = list(distributions(scan))
        acted = [done for column in TEXTS if column in scan.names and _text(scan, column) and (done := actions(scan, column))]
        samples = [
            Sample(f"{name} {number} of {scan.rows:,}", tuple(fields_of_dict(row, longest=LONGEST)))
            for number, row in enumerate(scan.some(spread(scan.rows, read)), start=1)
        ]
        yield Facts((("rows", f"{scan.rows:,}"), *_told(audit), *_lineage(found), *facts))
    yield from _drawn(found, acted)
    yield from column_tables(found, acted)
    if audit:
        yield from audit_blocks(audit, failing)
    if rejects:
        yield from reject_blocks(rejects, rejecter or name)
    yield from samples[:1]
    if samples[1:]:
        yield Fold(f"More rows to read: {len(samples) - 1}", tuple(samples[1:]))


def _text(scan: Scan, column: str) -> bool:
    return str(scan.schema.field(column).type) in ("string", "large_string")


def _told(audit: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if audit:
        failed = [item for item in audit["findings"] if not item["success"]]
        critical = sum(item["critical"] for item in failed)
        warned = f"; {len(failed) - critical} of the others only warn" if len(failed) > critical else ""
        yield "gate", f"{len(audit['findings']) - len(failed)} of {len(audit['findings'])} expectations hold{warned}"


def _lineage(found: Sequence[Distribution]) -> Iterator[tuple[str, str]]:
    """Models, prompts, sources, licences; and columns that say the same in every row."""
    for part in found:
        if part.name in LINEAGE and isinstance(part, Categories):
            items = [f"{visible(value)}{'' if part.constant else f' ({count:,})'}" for value, count in part.shown.items()]
            if items:
                yield part.name.replace("_version", ""), ", ".join(items)
    same = [(part.name, _only(part)) for part in found if part.name not in LINEAGE and part.constant and part.rows and not part.none]
    if same:
        yield "in every row", ", ".join(f"{name} {value}" for name, value in same)
    if empty := [part.name for part in found if not part.rows]:
        yield "nowhere filled", ", ".join(empty)


def _only(part: Distribution) -> str:
    if isinstance(part, Numbers):
        return f"{written(next(iter(part.counts)))} {part.unit}".strip()
    return visible(next(iter(part.counts))) or "empty"


def _interesting(part: Distribution) -> bool:
    return part.name not in LINEAGE and not part.constant


def _drawn(found: Sequence[Distribution], acted: Sequence[Actions]) -> Iterator[Block]:
    figures: list[Figure] = [figure for part in found if _interesting(part) and (figure := plot(part))]
    figures += [figure for done in acted if (figure := plot(Categories(f"rows of {done.name} with", dict(done.rows))))]
    if figures:
        yield Plots(tuple(figures))


def column_tables(found: Sequence[Distribution], acted: Sequence[Actions] = ()) -> Iterator[Block]:
    """What the plots show, in numbers."""
    numbers = [part for part in found if isinstance(part, Numbers) and part.counts]
    groups = [part for part in found if isinstance(part, Categories) and _interesting(part)]
    tables: list[Block] = []
    if numbers:
        headers = ("column", "in", "rows", "none", "least", "5 %", "median", "mean", "95 %", "most", "shape")
        tables.append(
            Table(headers, tuple(_line(part) for part in numbers), "Shape: from the least value to the 99th percentile", fold=False)
        )
    if groups:
        rows = tuple(
            (part.name, visible(value), f"{count:,}", f"{100 * count / part.rows:.1f} %")
            for part in groups
            for value, count in part.shown.items()
        )
        tables.append(Table(("column", "value", "rows", "share"), rows, fold=False))
    if acted:
        rows = tuple((done.name, ACTIONS[name], f"{done.times[name]:,}", f"{done.rows[name]:,}") for done in acted for name in ACTIONS)
        tables.append(Table(("column", "meta-action", "times", "rows with it"), rows, fold=False))
    if tables:
        yield Fold("Columns in numbers", tuple(tables))


def _line(part: Numbers) -> tuple[str, ...]:
    least, most = min(part.counts), max(part.counts)
    values = (least, part.at(0.05), part.at(0.5), round(part.mean, 4 if abs(part.mean) < 10 else 1), part.at(0.95), most)
    return (part.name, part.unit, f"{part.rows:,}", f"{part.none:,}", *map(written, values), spark(part))
