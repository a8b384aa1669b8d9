"""Great Expectations over a dataset: structure from the row type, meaning from `checks.py`, suites kept by hand in `suites/*.json`.

    validate("restarts_r1", table, gather("restarts_r1", params))
    → Audit(dataset="restarts_r1", rows=1000, findings=(Finding(says="the prefix is a prefix of …", success=False, unexpected=3, …), …))

A suite file has no ids (Great Expectations would renew them at every save):
{"expectations": [{"type": …, "kwargs": …, "meta": {"critical": true, "says": …, "shows": …}}]}. `shows` is the column that a
report shows of an offending row. A critical expectation that fails closes the gate.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from factory.errors import DataError
from factory.gate.background import Background, kind_of
from factory.gate.checks import checks_of
from factory.schemas import Row, arrow_schema, choices, field_types, nullable
from factory.storage import values_of
from factory.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd

SUITES = Path(__file__).parent / "suites"
EXAMPLES = 3
SHORT = 100  # characters of a value in a message


@dataclass(frozen=True)
class Finding:
    """One expectation's result. `unexpected` of `of` rows break it (0 of 0: it is about the whole table); `examples`: (id, short value)."""

    type: str
    column: str
    says: str
    critical: bool
    success: bool
    unexpected: int
    of: int
    observed: str
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Audit:
    dataset: str
    table: str
    purpose: str
    rows: int
    success: bool  # no critical expectation failed
    gx_version: str
    findings: tuple[Finding, ...]

    def failures(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.critical and not finding.success]

    def document(self) -> dict[str, Any]:
        return asdict(self)


def rows_of(table: pa.Table, row_type: type[Row], where: str) -> list[Row]:
    """Raises DataError for a missing column or a wrong type: rows of another shape cannot be audited."""
    expected = arrow_schema(row_type)
    if missing := [name for name in expected.names if name not in table.column_names]:
        raise DataError(f"{where} lacks the column {', '.join(missing)}: rebuild it, or add the column to its stage's rows")
    for field in expected:
        if table.schema.field(field.name).type != field.type:
            raise DataError(f"{where}: column {field.name} is {table.schema.field(field.name).type}, expected {field.type}")
    columns = [values_of(table.column(name).to_pylist(), hint) for name, hint in field_types(row_type).items()]
    return [row_type(**dict(zip(expected.names, values, strict=True))) for values in zip(*columns, strict=True)]


def structural(row_type: type[Row]) -> list[dict[str, Any]]:
    """Expectations that follow from the row type: columns, no nulls, unique ids, values of `Literal` columns, at least one row."""
    types = field_types(row_type)
    found = [
        _expectation("expect_table_row_count_to_be_between", "there is at least one row", min_value=1),
        _expectation("expect_table_columns_to_match_set", "all columns are there", column_set=list(types), exact_match=False),
        _expectation("expect_column_values_to_be_unique", "no id stands twice", column="id"),
    ]
    for name, hint in types.items():
        if not nullable(hint):
            found.append(_expectation("expect_column_values_to_not_be_null", f"{name} is never null", column=name))
        if allowed := choices(hint):
            says = f"{name} is one of {', '.join(allowed)}"
            found.append(_expectation("expect_column_values_to_be_in_set", says, column=name, value_set=list(allowed)))
    return found


def _expectation(kind: str, says: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "meta": {"critical": True, "says": says}}


def suite(name: str) -> list[dict[str, Any]]:
    """The hand-kept expectations of a table. Raises DataError without a file: a gate that nobody wrote must not stand open."""
    path = SUITES / f"{name}.json"
    if not path.exists():
        raise DataError(f"no suite for the table {name}: write {path.name} in factory/gate/suites, or take it off the params' datasets")
    return json.loads(path.read_text())["expectations"]


def columns_of(expectation: Mapping[str, Any]) -> list[str]:
    kwargs = expectation["kwargs"]
    return [kwargs["column"]] if "column" in kwargs else list(kwargs.get("column_list", []))


def _frame(table: pa.Table, rows: Sequence[Row], background: Background, kind: str) -> "pd.DataFrame":
    """The table's columns (of lists only whether they are there) and one column a check."""
    scalar = [field.name for field in table.schema if not pa.types.is_list(field.type)]
    frame = table.select(scalar).to_pandas()
    for name in set(table.column_names) - set(scalar):
        frame[name] = ["there" if valid else None for valid in table.column(name).is_valid().to_pylist()]
    for name, check in checks_of(kind).items():
        frame[name] = [check(row, background) for row in rows]
    return frame


def validate(dataset: str, table: pa.Table, background: Background) -> Audit:
    """Audit a table. A table with nulls where none may be gets the structural expectations only: its rows have no meaning to check.

    Raises DataError for another shape than the row type's.
    """
    kind = kind_of(dataset)
    row_type = TABLES[kind]
    expected = arrow_schema(row_type)
    rows = rows_of(table, row_type, dataset)
    table = table.select(expected.names)
    whole = all(field.nullable or table.column(field.name).null_count == 0 for field in expected)
    frame = _frame(table, rows if whole else [], background, kind if whole else "")
    wanted = structural(row_type)
    if whole:
        purpose = [item for item in suite(f"purpose_{background.purpose}") if set(columns_of(item)) <= set(frame.columns)]
        wanted += [*purpose, *suite(kind)]
    version, results = _run(frame, wanted)
    shown = {row["id"]: row for row in table.to_pylist()} if not all(result["success"] for result in results) else {}
    findings = tuple(_finding(item, result, shown) for item, result in zip(wanted, results, strict=True))
    closed = any(finding.critical and not finding.success for finding in findings)
    return Audit(dataset, kind, background.purpose, table.num_rows, not closed, version, findings)


def _run(frame: "pd.DataFrame", wanted: Sequence[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Great Expectations' version, and its results in the order of `wanted`. Raises DataError when one could not be computed."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("audit").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    numbered = [{**item, "meta": {**item["meta"], "number": number}} for number, item in enumerate(wanted)]
    expectations = gx.ExpectationSuite(name="audit", expectations=numbered)
    answer = batch.validate(expectations, result_format={"result_format": "SUMMARY", "unexpected_index_column_names": ["id"]})
    results: dict[int, dict[str, Any]] = {}
    for result in answer.results:
        document: Any = result.to_json_dict()
        if document["exception_info"].get("raised_exception", True):
            raise DataError(f"Great Expectations could not compute {document['expectation_config']}: {document['exception_info']}")
        results[document["expectation_config"]["meta"]["number"]] = document
    return gx.__version__, [results[number] for number in range(len(wanted))]


def _finding(item: dict[str, Any], result: dict[str, Any], rows: Mapping[str, dict[str, Any]]) -> Finding:
    found, meta, columns = result["result"], item["meta"], columns_of(item)
    offending = [str(entry["id"]) for entry in found.get("partial_unexpected_index_list") or [] if entry.get("id") is not None]
    shown = [meta.get("shows", ""), *columns, "name", "text", "prompt"]
    observed = "" if found.get("observed_value") is None else short(found["observed_value"])
    return Finding(
        type=item["type"], column=", ".join(columns), says=meta["says"], critical=meta["critical"], success=result["success"],
        unexpected=found.get("unexpected_count", 0), of=found.get("element_count", 0), observed=observed,
        examples=tuple((key, short(_first(rows.get(key, {}), shown))) for key in dict.fromkeys(offending[:EXAMPLES])),
    )  # fmt: skip


def _first(row: Mapping[str, Any], columns: Sequence[str]) -> Any:
    return next((row[name] for name in columns if name in row), "")


def short(value: object) -> str:
    """One line of at most `SHORT` characters, control characters escaped."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return line if len(line) <= SHORT else line[: SHORT - 1] + "…"
