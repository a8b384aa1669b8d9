"""All rows that break an expectation, in a file beside the audit: warnings' rows too, none left out.

    data/audits/restarts_r1.parquet
    {"id": "8c1f…", "expectation": "the prefix is a prefix of …", "column": "prefix", "value": "9 + 9 = 99\\n<|reflect|>", "critical": true,
     "row": "{\\"id\\": \\"8c1f…\\", …}"}

One line a row and expectation, in the order of the rows. Empty when nothing failed.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from factory.gate.expectations import Audit, Finding
from factory.gate.source import Source
from factory.whole import whole_file

SCHEMA = pa.schema([(name, pa.bool_() if name == "critical" else pa.string()) for name in
                    ("id", "expectation", "type", "critical", "column", "value", "row")])  # fmt: skip
GROUP = 10_000


def write_extract(path: Path, rows: pa.Table | Path, audit: Audit) -> int:
    """Returns how many lines. `audit`: what `validate` said of the same rows."""
    held: dict[int, list[Finding]] = {}
    for finding, places in zip(audit.findings, audit.positions):
        for place in places:
            held.setdefault(place, []).append(finding)
    count = 0
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
        lines: list[dict[str, Any]] = []
        for place, record in Source(rows).records(held) if held else ():
            lines += _lines(record, held[place])
            if len(lines) >= GROUP:
                count += _write(writer, lines)
                lines = []
        count += _write(writer, lines)
    return count


def _lines(record: dict[str, Any], findings: Sequence[Finding]) -> Iterator[dict[str, Any]]:
    text = _text(record)
    for finding in findings:
        value = record.get(finding.shows)
        yield {
            "id": record["id"], "expectation": finding.says, "type": finding.type, "critical": finding.critical, "column": finding.shows,
            "value": value if value is None or isinstance(value, str) else _text(value), "row": text,
        }  # fmt: skip


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _write(writer: pq.ParquetWriter, lines: Sequence[dict[str, Any]]) -> int:
    writer.write_table(pa.Table.from_pylist(list(lines), SCHEMA))
    return len(lines)
