"""What the gate said of a dataset: failed expectations first with their rows, passed ones folded, then what was measured.

    list(audit_blocks(json.loads(…), Path("data/audits/restarts_r1.parquet")))   → [Table(… failed …), Fold("38 expectations passed", …), …]

An audit's `measures` and `columns` (statistics beyond form) and its extract of failing rows are shown where the gate wrote them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from factory.reports.page import Block, Fold, Plots, Sample, Table
from factory.reports.plots import ranged
from factory.reports.readable import fields_of_dict, visible
from factory.reports.scan import Scan, literal
from factory.words import amount

READ = 3  # failing rows of an expectation
LONGEST = 400  # characters of a failing value


def audit_blocks(audit: Mapping[str, Any], failing: Path | None = None) -> Iterator[Block]:
    findings = audit.get("findings", [])
    failed = [item for item in findings if not item["success"]]
    passed = [item for item in findings if item["success"]]
    if failed:
        rows = tuple((*_line(item), "FAILED" if item["critical"] else "warning") for item in failed)
        headers = ("expectation", "column", "rows that break it", "observed", "result")
        yield Table(headers, rows, f"{len(failed)} of {len(findings)} expectations failed", fold=False)
        yield from _rows(failing)
    if passed:
        weights = {True: "critical", False: "a warning"}
        rows = tuple((*_line(item)[:2], weights[item["critical"]], f"{item['of']:,}" if item["of"] else "") for item in passed)
        table = Table(("expectation", "column", "weight", "of"), rows, fold=False)
        yield Fold(f"{amount(len(passed), 'expectation')} passed (Great Expectations {audit.get('gx_version', '')})", (table,))
    yield from _measures(audit.get("measures"))
    if columns := tuple(_measured("", audit.get("columns"))):
        yield Fold("Columns, as the gate measured them", columns)


def _line(item: Mapping[str, Any]) -> tuple[str, ...]:
    broken = f"{item['unexpected']:,} of {item['of']:,}" if item["of"] else ""
    return item["says"], item["column"], broken, _short(str(item.get("observed", "")))


def _short(text: str) -> str:
    line = " ".join(visible(text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _rows(failing: Path | None) -> Iterator[Block]:
    """The first failing rows of each expectation, from the gate's extract."""
    if failing is None or not failing.exists():
        return
    with Scan.of(failing) as scan:
        if not {"id", "expectation", "value"} <= set(scan.names):
            return
        for expectation, count in scan.counts("expectation").items():
            told = "row" if "row" in scan.names else "NULL"
            query = f"SELECT id, value, {told} FROM {{rows}} WHERE expectation = {literal(str(expectation))} ORDER BY id LIMIT {READ}"
            samples = tuple(
                Sample(f"breaks it: {_short(str(value))}" if value else f"breaks it: {key}", tuple(_fields(key, row)))
                for key, value, row in scan.ask(query)
            )
            yield Fold(f"Rows that break “{_short(str(expectation))}”: {len(samples)} of {count:,}", samples)


def _fields(key: str, row: str | None) -> list[tuple[str, str]]:
    """Of a row as JSON; what is none is shown as it is."""
    try:
        found = json.loads(row or "{}")
    except ValueError:
        found = {"row": row}
    return fields_of_dict({"id": key} | (found if isinstance(found, dict) else {"row": row}), longest=LONGEST)


def _measures(told: Any) -> Iterator[Block]:
    """Measures with bounds as plots and a table of their own, others as they are."""
    ours = isinstance(told, list) and all(isinstance(item, Mapping) and {"name", "says", "value"} <= item.keys() for item in told)
    if not told or not ours:
        yield from _measured("Measures", told)
        return
    measured = [(item, item.get("bounds") or {}) for item in told]
    figures = [
        ranged(item["name"], item["value"], item.get("low"), item.get("high"), bounds.get("min_value"), bounds.get("max_value"))
        for item, bounds in measured
        if item["value"] is not None and bounds
    ]
    if figures:
        yield Plots(tuple(figures))
    rows = tuple(
        (item["name"], _short(item["says"]), _value(item["value"]), _interval(item.get("low"), item.get("high")),
         _interval(bounds.get("min_value"), bounds.get("max_value")), "passed" if item.get("success", True) else "warning",
         _value(item.get("counts") or None))
        for item, bounds in measured
    )  # fmt: skip
    headers = ("measure", "says", "value", "95 % interval", "should lie in", "result", "made of")
    yield Table(headers, rows, "Measures of the whole", fold=False)


def _interval(low: Any, high: Any) -> str:
    if low is None and high is None:
        return ""
    return f"up to {_value(high)}" if low is None else f"from {_value(low)}" if high is None else f"{_value(low)} to {_value(high)}"


def _measured(title: str, told: Any) -> Iterator[Block]:
    """A list or mapping of measures, whatever their fields, as a table."""
    rows: Sequence[Mapping[str, Any]]
    if isinstance(told, Mapping):
        rows = [{"name": name, **(value if isinstance(value, Mapping) else {"value": value})} for name, value in told.items()]
    elif isinstance(told, list):
        rows = [value if isinstance(value, Mapping) else {"value": value} for value in told]
    else:
        return
    if rows:
        headers = tuple(dict.fromkeys(name for row in rows for name in row))
        yield Table(headers, tuple(tuple(_value(row.get(name)) for name in headers) for row in rows), title)


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return _short(", ".join(f"{name} {_value(inner)}" for name, inner in value.items()))
    if isinstance(value, (list, tuple)):
        return _short(", ".join(map(_value, value)))
    return _short(str(value))
