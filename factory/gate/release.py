"""The gate: audit a table, then lay it out as a Hugging Face dataset, or write the audit and stop the line.

release("restarts_r1", params)   → Audit(…); data/audits/restarts_r1.json and .parquet and data/datasets/restarts_r1/ written

data/datasets/restarts_r1/README.md                              the card
                         /data/train-00000-of-00001.parquet      the rows, with declared features, in shards of a few hundred MB
                         /manifest.json                          {"name": "restarts_r1", "purpose": "train", "rows": 1000, …}, last

A trainer depends on rows and manifest, so the manifest says nothing but what follows from the rows and their purpose. Under which words
they were released (collection, notice, licence) stands in the audit and on the card: another name or licence trains nothing again.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from factory.errors import GateError
from factory.gate.background import kind_of
from factory.gate.card import Facts, card
from factory.gate.columns import lengths
from factory.gate.expectations import Audit, validate
from factory.gate.extract import write_extract
from factory.gate.gather import gather
from factory.gate.source import Source
from factory.params import Params
from factory.processes import mapped
from factory.schemas import Conversation, Row, Template, arrow_schema, arrow_type, choices, field_types, released_answers
from factory.storage import AUDITS, DATASETS, TABLES
from factory.tables import row_type_of
from factory.whole import restored, whole_folder, write_json

LINEAGE = ("model", "prompt_version", "round")
MANY_VALUES = 12  # a column with more is no count worth a table
SHARD = 256 << 20  # characters of a shard's texts, about
GROUP = 32 << 20  # bytes of a row group in a table of several shards


def release(dataset: str, params: Params, processes: int | None = None) -> Audit:
    """`processes`: one a core where there is much to do when None; the bytes are the same. Raises GateError when a critical expectation
    fails, after the audit and all rows that break it were written; DataError for a table of another shape."""
    path, report, bad = TABLES / f"{dataset}.parquet", AUDITS / f"{dataset}.json", AUDITS / f"{dataset}.parquet"
    background = gather(dataset, params, path, processes)
    audit = replace(validate(dataset, path, background, processes), extract=str(bad))
    write_extract(bad, path, audit)
    if audit.failures():
        write_json(report, audit.document())
        shutil.rmtree(restored(DATASETS / dataset), ignore_errors=True)  # what an earlier table passed must not pass for this one
        raise GateError(_message(audit, report))
    licences = licences_of(Source(path), background.templates, params)
    write_json(report, worded(audit, params, licences))
    with whole_folder(DATASETS / dataset) as folder:
        row_type = row_type_of(kind_of(dataset), Source(path).schema.names)
        write_dataset(folder, dataset, path, row_type, audit, params, licences, processes)
    return audit


def worded(audit: Audit, params: Params, licences: dict[str, int]) -> dict[str, Any]:
    """The audit's document with the words of the release. `licences`: of rows, where they are not all the release's."""
    words = params.release
    return {
        **audit.document(), "release": {"collection": words.name, "notice": words.notice, "licence": words.licence, "licences": licences},
    }  # fmt: skip


def _message(audit: Audit, report: Path) -> str:
    """Two lines: what broke where, and the first three rows that broke it."""
    first, *others = audit.failures()
    count = f" on {first.unexpected:,} of {first.of:,} rows" if first.of else f" (found {first.observed or 'none'})"
    more = f" (and {len(others)} more expectations)" if others else ""
    rows = "; ".join(f"{key}: {value}" for key, value in first.examples)
    held = f"all of them are in {audit.extract}; " if any(audit.positions) else ""
    return f"dataset {audit.dataset} may not be used: '{first.says}' fails{count}{more}; {held}the whole audit: {report}" + (
        f"\n  {rows}" if rows else ""
    )


def conversational(table: pa.Table, row_type: type[Row]) -> pa.Table:
    """The answers as conversations of one message, as TRL and others take them beside a prompt that is one."""
    for name in released_answers(row_type):
        place = table.column_names.index(name)
        turns = [_turns(piece) for piece in table.column(name).chunks]
        table = table.set_column(place, name, pa.chunked_array(turns, arrow_type(Conversation)))
    return table


def _turns(texts: pa.Array) -> pa.Array:
    kind = arrow_type(Conversation)
    roles = pa.repeat(pa.scalar("assistant"), len(texts))
    messages = pa.StructArray.from_arrays([roles, texts], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(range(len(texts) + 1), pa.int32()), messages, type=kind)


def _with_notice(table: pa.Table, params: Params) -> pa.Table:
    """Audit rows carry the notice themselves: whatever copies them copies it."""
    if params.purpose != "audit":
        return table
    return table.append_column("notice", pa.array([params.release.notice] * table.num_rows, pa.string()))


def licences_of(source: Source, templates: Mapping[str, Template], params: Params) -> dict[str, int]:
    """Licence → rows that have it of their own, or from the templates that they hold text of; {} where it is the release's for all."""
    counts: Counter[str] = Counter()
    if "licence" in source.schema.names:
        counts = _values(source, "licence")
    elif "parents" in source.schema.names and templates:
        for keys in (row for piece in source.column("parents") for row in piece.to_pylist()):
            counts.update({templates[key].licence for key in keys if key in templates})
    return {} if set(counts) <= {params.release.licence} else dict(sorted(counts.items()))


@dataclass(frozen=True)
class Shards:
    """Writes one shard in a process of its own, and tells its hash."""

    source: Source
    row_type: type[Row]
    params: Params

    def rows(self, start: int, end: int) -> pa.Table:
        return _with_notice(conversational(self.source.between(start, end, arrow_schema(self.row_type).names), self.row_type), self.params)

    def batch(self, table: pa.Table) -> int | None:
        """Rows of a row group. None, all that `datasets` thinks fit, for a table that is read at once; in large ones few, since the writer
        holds several times as much."""
        return max(1, table.num_rows * GROUP // max(table.nbytes, GROUP)) if len(self.source.parts) > 1 else None

    def __call__(self, task: tuple[Path, int, int]) -> str:
        from datasets import Dataset, Features, disable_progress_bars

        disable_progress_bars()
        path, start, end = task
        table = self.rows(start, end)
        features = Features.from_arrow_schema(table.schema)
        rows = Dataset(table.cast(features.arrow_schema), fingerprint=path.stem)  # without one of ours it would hash a copy of all rows
        rows.to_parquet(path, batch_size=self.batch(table))
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def cuts(source: Source, row_type: type[Row], largest: int | None = None) -> list[int]:
    """Row numbers at which shards begin and end: as few as hold at most `largest` characters each (SHARD when None), or one row group that
    has more."""
    largest = SHARD if largest is None else largest
    texts = [field.name for field in arrow_schema(row_type) if pa.types.is_string(field.type) or pa.types.is_list(field.type)]
    sizes = [
        sum(int(pc.sum(lengths(batch.column(place))).as_py() or 0) for batch in source.batches(part, texts) for place in range(len(texts)))
        for part in (source.parts if len(source.parts) > 1 else ())
    ]
    found, held = [0], 0
    for part, size in zip(source.parts, sizes):
        if held and held + size > largest:
            found.append(part.start)
            held = 0
        held += size
    return [*found, source.rows]


def write_dataset(
    folder: Path, dataset: str, rows: pa.Table | Path, row_type: type[Row], audit: Audit, params: Params,
    licences: dict[str, int], processes: int | None = None,
) -> None:  # fmt: skip
    """Card, shards and manifest; the same bytes for the same table. `licences`: of rows, where they are not all the release's."""
    source = Source(rows)
    split = "train" if params.purpose == "train" else "test"
    (folder / "data").mkdir()
    bounds, work = cuts(source, row_type), Shards(source, row_type, params)
    tasks = [
        (folder / "data" / f"{split}-{number:05d}-of-{len(bounds) - 1:05d}.parquet", start, end)
        for number, (start, end) in enumerate(pairwise(bounds))
    ]
    hashes = dict(zip((path.name for path, _, _ in tasks), mapped(work, tasks, source.processes(processes) if len(tasks) > 1 else 1)))
    facts = Facts(
        collection=params.release.name, dataset=dataset, about=" ".join(str(row_type.__doc__).split()), purpose=params.purpose,
        notice=params.release.notice, licence=params.release.licence, licences=licences, split=split,
        rows=source.rows, columns={field.name: str(field.type) for field in work.rows(0, 0).schema},
        counts=_counts(source, [name for name, hint in field_types(row_type).items() if choices(hint)]),
        lineage=_counts(source, [name for name in LINEAGE if name in field_types(row_type)]), audit=audit,
    )  # fmt: skip
    (folder / "README.md").write_text(card(facts), encoding="utf-8")
    write_json(folder / "manifest.json", _manifest(facts, hashes))


def _values(source: Source, name: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for piece in source.column(name):
        counts.update({str(item["values"]): item["counts"] for item in pc.value_counts(piece).to_pylist()})
    return counts


def _counts(source: Source, columns: list[str]) -> dict[str, dict[str, int]]:
    found = {name: _values(source, name) for name in columns}
    return {name: dict(sorted(counts.items())) for name, counts in found.items() if len(counts) <= MANY_VALUES}


def _manifest(facts: Facts, hashes: dict[str, str]) -> dict[str, Any]:
    """`sha256`: of the one shard, or of each by its name."""
    return {
        "name": facts.dataset, "table": facts.audit.table, "purpose": facts.purpose, "rows": facts.rows, "split": facts.split,
        "columns": facts.columns, "lineage": facts.lineage, "sha256": hashes if len(hashes) > 1 else next(iter(hashes.values())),
    }  # fmt: skip
