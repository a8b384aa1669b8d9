"""Great Expectations over a dataset: structure from the row type, all else from `table`.

    validate("restarts_r1", Path("data/tables/restarts_r1.parquet"), gather("restarts_r1", params))
    → Audit(dataset="restarts_r1", rows=1000, findings=(Finding(says="the prefix is a prefix of …", success=False, unexpected=3, …), …))

Great Expectations sees the columns that its expectations read (`columns`), never the texts, and measures as a table of one row. A critical
expectation that fails closes the gate.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from factory.errors import DataError
from factory.gate.background import Background, kind_of
from factory.gate.columns import columns_of, statistics
from factory.gate.measures import Measured
from factory.gate.source import Source
from factory.gate.table import BETWEEN, DISTINCT, IN_SET, LENGTHS, TOGETHER, UNIQUE, Entry, held_to, suite
from factory.schemas import Row, arrow_schema, choices, field_types, nullable
from factory.tables import row_type_of

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 3
COLUMNS = "expect_table_columns_to_match_set"
UNTOLD = ("seed", "model", "prompt_version", "round", "licence")
SHORT = 100  # characters of a value in a message
NEEDED = {UNIQUE: "hash", TOGETHER: "hash", DISTINCT: "hash", LENGTHS: "length", "expect_column_values_to_not_be_null": "there"}


@dataclass(frozen=True)
class Finding:
    """One expectation's result. `unexpected` of `of` rows break it (0 of 0: it is about the whole table); `examples`: (id, short value), of
    the column `shows`; `kwargs`: Great Expectations'."""

    type: str
    column: str
    says: str
    critical: bool
    success: bool
    unexpected: int
    of: int
    observed: str
    examples: tuple[tuple[str, str], ...]
    shows: str = ""
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """A measure of the whole, with its 95 % interval and the bounds that it should lie in; `counts`: what it is made of."""

    name: str
    says: str
    value: float | None
    low: float | None
    high: float | None
    bounds: dict[str, float]
    success: bool
    counts: dict[str, int]


@dataclass(frozen=True)
class Audit:
    """`columns`: statistics of each column; `extract`: the file with all rows that break an expectation, "" before it is written.
    `positions`: of each finding the rows that break it, counted from 0; no part of the document."""

    dataset: str
    table: str
    purpose: str
    rows: int
    success: bool  # no critical expectation failed
    gx_version: str
    findings: tuple[Finding, ...]
    measures: tuple[Measure, ...] = ()
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    extract: str = ""
    positions: tuple[tuple[int, ...], ...] = field(default=(), repr=False, compare=False)

    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.critical and not finding.success]

    def document(self) -> dict[str, Any]:
        found = asdict(replace(self, positions=()))
        del found["positions"]
        return found


def shaped(source: Source, row_type: type[Row], where: str) -> None:
    """Raises DataError for a missing column or a wrong type: rows of another shape cannot be audited."""
    expected = arrow_schema(row_type)
    if missing := [name for name in expected.names if name not in source.schema.names]:
        raise DataError(f"{where} lacks the column {', '.join(missing)}: rebuild it, or add the column to its stage's rows")
    for item in expected:
        if (found := source.schema.field(item.name).type) != item.type:
            raise DataError(f"{where}: column {item.name} is {found}, expected {item.type}")


def structural(row_type: type[Row]) -> list[Entry]:
    """Expectations that follow from the row type: columns, no nulls, unique ids, values of `Literal` columns, at least one row."""
    types = field_types(row_type)
    found = [
        _entry("expect_table_row_count_to_be_between", "there is at least one row", min_value=1),
        _entry(COLUMNS, "all columns are there", column_set=list(types), exact_match=False),
        _entry(UNIQUE, "no id stands twice", column="id"),
    ]
    for name, hint in types.items():
        if not nullable(hint):
            found.append(_entry("expect_column_values_to_not_be_null", f"{name} is never null", column=name))
        if allowed := choices(hint):
            found.append(_entry(IN_SET, f"{name} is one of {', '.join(allowed)}", column=name, value_set=list(allowed)))
    return found


def _entry(kind: str, says: str, **kwargs: Any) -> Entry:
    return Entry(kind, frozenset(), says, True, kwargs)


def needed(entry: Entry, row_type: type[Row]) -> dict[str, str]:
    """Column of an expectation → the column of the frame that it is judged by: a hash stands for a text that has to be unique."""
    types = field_types(row_type)
    return {name: f"{name}.{NEEDED[entry.type]}" if name in types and entry.type in NEEDED else name for name in entry.columns}


def validate(dataset: str, rows: pa.Table | Path, background: Background, processes: int | None = None) -> Audit:
    """Audit a table, in memory or where it lies: one that lies is read in parts, by as many `processes` as there are cores when None. A
    table with nulls where none may be gets the structural expectations only: its rows have no meaning to check.

    Raises DataError for another shape than the row type's.
    """
    kind, source = kind_of(dataset), Source(rows)
    row_type = row_type_of(kind, source.schema.names)
    shaped(source, row_type, dataset)
    held = held_to(kind, row_type)
    frames, meanings = structural(row_type), suite(held, background.purpose)
    known = {*field_types(row_type), *(entry.check.__name__ for entry in meanings if entry.check)}
    if strangers := [name for entry in meanings if not entry.measure for name in entry.columns if name not in known]:
        raise DataError(f"factory/gate/table.py names the column {strangers[0]} for {kind}, which has none of that name")
    reads = [name for entry in (*frames, *meanings) if not entry.measure for name in needed(entry, row_type).values()]
    reads += [name for entry in meanings for name in entry.reads] + _described(row_type)
    columns, whole = columns_of(source, row_type, held, background, reads, processes)
    wanted = [*frames, *(entry for entry in meanings if whole and not entry.measure)]
    frame = _frame(columns, {name for entry in wanted for name in needed(entry, row_type).values()}, row_type, source.rows)
    version, results = _run(frame, [_judged(entry, row_type) for entry in wanted])
    measured = [(entry, entry.measure(columns)) for entry in meanings if whole and entry.measure]
    _, verdicts = _run(_one_row(measured), [_judged(entry, row_type) for entry, _ in measured]) if measured else ("", [])

    positions = [tuple(result["result"].get("unexpected_index_list") or ()) for result in results]
    failed = {number for number, result in enumerate(results) if not result["success"]}
    examples = _examples(source, {number: positions[number][:EXAMPLES] for number in failed})
    findings = [_finding(entry, result, row_type, examples.get(number, ())) for number, (entry, result) in enumerate(zip(wanted, results))]
    findings += [_measure_finding(entry, found, result) for (entry, found), result in zip(measured, verdicts)]
    return Audit(
        dataset, kind, background.purpose, source.rows, not any(finding.critical and not finding.success for finding in findings), version,
        tuple(findings), tuple(_measure(entry, found, result) for (entry, found), result in zip(measured, verdicts)),
        statistics(columns, row_type),
        positions=tuple(held if number in failed else () for number, held in enumerate([*positions, *((),) * len(measured)])),
    )  # fmt: skip


def _described(row_type: type[Row]) -> list[str]:
    """Columns whose statistics are told: numbers, and the lengths of texts that are no ids, names or labels."""
    found = []
    for item in arrow_schema(row_type):
        if pa.types.is_integer(item.type) or pa.types.is_floating(item.type):
            found.append(item.name)
        elif not item.name.endswith(("id", "ids")) and item.name != "parents" and not choices(field_types(row_type)[item.name]):
            found += [f"{item.name}.length"] if pa.types.is_string(item.type) or pa.types.is_list(item.type) else []
    return [name for name in found if name.partition(".")[0] not in UNTOLD]


def _frame(columns: Mapping[str, pa.ChunkedArray], names: set[str], row_type: type[Row], rows: int) -> "pd.DataFrame":
    """What Great Expectations sees, with empty columns for those that are only there."""
    import pandas as pd

    held = {name: columns[name].to_pandas() for name in sorted(names)}
    seen = pd.DataFrame(held, index=pd.RangeIndex(rows))
    for name in field_types(row_type):
        if name not in seen:
            seen[name] = pd.Series(pd.NA, index=seen.index, dtype="boolean")
    return seen


def _one_row(measured: Sequence[tuple[Entry, Measured]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({entry.columns[0]: [found.value] for entry, found in measured}, dtype="float64")


def _judged(entry: Entry, row_type: type[Row]) -> dict[str, Any]:
    """The expectation on the frame's columns."""
    names, kwargs = needed(entry, row_type), dict(entry.kwargs)
    if "column" in kwargs:
        kwargs["column"] = names[kwargs["column"]]
    if "column_list" in kwargs:
        kwargs["column_list"] = [names[name] for name in kwargs["column_list"]]
    return {"type": BETWEEN if entry.type == LENGTHS else entry.type, "kwargs": kwargs}


def _run(frame: "pd.DataFrame", wanted: Sequence[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Great Expectations' version, and its results in the order of `wanted`. Raises DataError when one could not be computed."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("audit").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    numbered = [{**item, "meta": {"number": number}} for number, item in enumerate(wanted)]
    expectations = gx.ExpectationSuite(name="audit", expectations=numbered)
    answer = batch.validate(expectations, result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False})
    results: dict[int, dict[str, Any]] = {}
    for result in answer.results:
        document: Any = result.to_json_dict()
        if document["exception_info"].get("raised_exception", True):
            raise DataError(f"Great Expectations could not compute {document['expectation_config']}: {document['exception_info']}")
        results[document["expectation_config"]["meta"]["number"]] = document
    return gx.__version__, [results[number] for number in range(len(wanted))]


def _examples(source: Source, positions: Mapping[int, Sequence[int]]) -> dict[int, list[dict[str, Any]]]:
    """Finding's number → its first rows."""
    records = dict(source.records(place for places in positions.values() for place in places))
    return {number: [records[place] for place in places] for number, places in positions.items()}


def _finding(entry: Entry, result: dict[str, Any], row_type: type[Row], examples: Sequence[Mapping[str, Any]]) -> Finding:
    found, shown = result["result"], shown_column(entry, row_type)
    value = found.get("observed_value")
    if entry.type == COLUMNS:
        value = [name for name in value or () if name in field_types(row_type)]  # the frame has others beside them
    observed = "" if value is None else short(value)
    return Finding(
        type=entry.type, column=", ".join(entry.columns), says=entry.says, critical=entry.critical, success=result["success"],
        unexpected=found.get("unexpected_count", 0), of=found.get("element_count", 0), observed=observed,
        examples=tuple(dict.fromkeys((str(row["id"]), short(row.get(shown, ""))) for row in examples if row.get("id") is not None)),
        shows=shown, kwargs=dict(entry.kwargs),
    )  # fmt: skip


def shown_column(entry: Entry, row_type: type[Row]) -> str:
    """The column that a report shows of a bad row, "" for none."""
    return next((name for name in (entry.shows, *entry.columns, "name", "text", "prompt") if name in field_types(row_type)), "")


def _bounds(entry: Entry) -> dict[str, float]:
    return {name: value for name, value in entry.kwargs.items() if name in ("min_value", "max_value")}


def _measure(entry: Entry, found: Measured, result: Mapping[str, Any]) -> Measure:
    counts = dict(found.counts)
    return Measure(entry.columns[0], entry.says, found.value, found.low, found.high, _bounds(entry), result["success"], counts)


def _measure_finding(entry: Entry, found: Measured, result: Mapping[str, Any]) -> Finding:
    value = "nothing to measure" if found.value is None else f"{found.value:g}"
    interval = "" if found.low is None else f" [{found.low:g}, {found.high:g}]"
    return Finding(
        BETWEEN, entry.columns[0], entry.says, entry.critical, result["success"], 0, 0, value + interval, (), "", dict(entry.kwargs)
    )


def short(value: object) -> str:
    """One line of at most `SHORT` characters, control characters escaped."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return line if len(line) <= SHORT else line[: SHORT - 1] + "…"
