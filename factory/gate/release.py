"""The gate: audit a table, then lay it out as a Hugging Face dataset, or write the audit and stop the line.

release("restarts_r1", params)   → Audit(…); data/audits/restarts_r1.json and data/datasets/restarts_r1/ written

data/datasets/restarts_r1/README.md                              the card
                         /data/train-00000-of-00001.parquet      the rows, with declared features
                         /manifest.json                          {"name": "restarts_r1", "purpose": "train", "rows": 1000, …}, last
"""

import hashlib
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from factory.errors import GateError
from factory.gate.background import Background, gather, kind_of
from factory.gate.card import Facts, card
from factory.gate.expectations import Audit, validate
from factory.params import Params
from factory.schemas import Conversation, Row, arrow_schema, arrow_type, choices, field_types, released_answers
from factory.storage import AUDITS, DATASETS, TABLES, read_table, whole_folder, write_json
from factory.tables import TABLES as ROW_TYPES

LINEAGE = ("model", "prompt_version", "round")
MANY_VALUES = 12  # a column with more is no count worth a table


def release(dataset: str, params: Params) -> Audit:
    """Raises GateError when a critical expectation fails, after the audit was written; DataError for a table of another shape."""
    background = gather(dataset, params)
    table = read_table(TABLES / f"{dataset}.parquet")
    audit = validate(dataset, table, background)
    report = AUDITS / f"{dataset}.json"
    write_json(report, audit.document())
    if audit.failures():
        shutil.rmtree(DATASETS / dataset, ignore_errors=True)  # what an earlier table passed must not pass for this one
        raise GateError(_message(audit, report))
    row_type = ROW_TYPES[kind_of(dataset)]
    with whole_folder(DATASETS / dataset) as folder:
        rows = conversational(table.select(arrow_schema(row_type).names), row_type)
        write_dataset(folder, dataset, _with_notice(rows, params), row_type, audit, params, _licences(table, background, params))
    return audit


def _message(audit: Audit, report: Path) -> str:
    """Two lines: what broke where, and the first three rows that broke it."""
    first, *others = audit.failures()
    count = f" on {first.unexpected:,} of {first.of:,} rows" if first.of else f" (found {first.observed or 'none'})"
    more = f" (and {len(others)} more expectations)" if others else ""
    rows = "; ".join(f"{key}: {value}" for key, value in first.examples)
    return f"dataset {audit.dataset} may not be used: '{first.says}' fails{count}{more}; the whole audit: {report}" + (
        f"\n  {rows}" if rows else ""
    )


def conversational(table: pa.Table, row_type: type[Row]) -> pa.Table:
    """The answers as conversations of one message, as TRL and others take them beside a prompt that is one."""
    for name in released_answers(row_type):
        turns = [[{"role": "assistant", "content": text}] for text in table.column(name).to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(turns, arrow_type(Conversation)))
    return table


def _with_notice(table: pa.Table, params: Params) -> pa.Table:
    """Audit rows carry the notice themselves: whatever copies them copies it."""
    if params.purpose != "audit":
        return table
    return table.append_column("notice", pa.array([params.release.notice] * table.num_rows, pa.string()))


def _licences(table: pa.Table, background: Background, params: Params) -> dict[str, int]:
    """Licence → rows that have it of their own, or from the templates that they hold text of; {} where it is the release's for all."""
    if "licence" in table.column_names:
        held = [[str(licence)] for licence in table.column("licence").to_pylist()]
    elif "parents" in table.column_names:
        parents = (
            [background.templates[key].licence for key in keys if key in background.templates] for keys in table["parents"].to_pylist()
        )
        held = [list(dict.fromkeys(licences)) for licences in parents]
    else:
        held = []
    counts = Counter(licence for licences in held for licence in licences)
    return {} if set(counts) <= {params.release.licence} else dict(sorted(counts.items()))


def write_dataset(
    folder: Path, dataset: str, table: pa.Table, row_type: type[Row], audit: Audit, params: Params, licences: dict[str, int]
) -> None:
    """Card, shard and manifest; the same bytes for the same table. `licences`: of rows, where they are not all the release's."""
    from datasets import Dataset, Features, disable_progress_bars

    disable_progress_bars()
    split = "train" if params.purpose == "train" else "test"
    shard = folder / "data" / f"{split}-00000-of-00001.parquet"
    shard.parent.mkdir()
    features = Features.from_arrow_schema(table.schema)
    Dataset(table.cast(features.arrow_schema)).to_parquet(shard)
    about = " ".join(str(row_type.__doc__).split())
    facts = Facts(
        collection=params.release.name, dataset=dataset, about=about, purpose=params.purpose, notice=params.release.notice,
        licence=params.release.licence, licences=licences, split=split, rows=table.num_rows,
        columns={field.name: str(field.type) for field in table.schema},
        counts=_counts(table, [name for name, hint in field_types(row_type).items() if choices(hint)]),
        lineage=_counts(table, [name for name in LINEAGE if name in table.column_names]), audit=audit,
    )  # fmt: skip
    (folder / "README.md").write_text(card(facts), encoding="utf-8")
    write_json(folder / "manifest.json", _manifest(facts, shard))


def _counts(table: pa.Table, columns: list[str]) -> dict[str, dict[str, int]]:
    found = {name: Counter(str(value) for value in table.column(name).to_pylist()) for name in columns}
    return {name: dict(sorted(counts.items())) for name, counts in found.items() if len(counts) <= MANY_VALUES}


def _manifest(facts: Facts, shard: Path) -> dict[str, Any]:
    return {
        "name": facts.dataset, "table": facts.audit.table, "collection": facts.collection, "purpose": facts.purpose, "notice": facts.notice,
        "licence": facts.licence, "rows": facts.rows, "split": facts.split, "columns": facts.columns, "lineage": facts.lineage,
        "sha256": hashlib.sha256(shard.read_bytes()).hexdigest(), "gx_version": facts.audit.gx_version,
        **({"licences": facts.licences} if facts.licences else {}),
    }  # fmt: skip
