"""Rejected rows by reason, with rows to read: counted by SQL, a few of them read.

    with Scan.of(Path("data/rejects/restarts_r1.parquet")) as scan:
        reasons(scan)   → Reasons(total=412, counts={"the prefix holds the answer": 400, …}, examples={"the prefix …": "0a1b…"})

Of very many reasons those that differ only behind `: ` are one.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from factory.reports.page import Block, Fold, Sample, Table
from factory.reports.readable import fields_of_dict
from factory.reports.scan import Scan, literal

MOST = 12  # reasons with a line of their own
READ = 4  # reasons with a row to read, the commonest
LONGEST = 1200  # characters of a column of a rejected row


@dataclass(frozen=True)
class Reasons:
    """`counts`: reason → rows, the commonest first; `examples`: reason → id of its first row."""

    total: int
    counts: Mapping[str, int]
    examples: Mapping[str, str]

    @property
    def shown(self) -> dict[str, int]:
        """At most MOST and one line for the rest."""
        items = list(self.counts.items())
        if len(items) <= MOST + 1:
            return dict(items)
        return dict(items[:MOST]) | {f"{len(items) - MOST:,} other reasons": sum(count for _, count in items[MOST:])}


def reasons(scan: Scan) -> Reasons:
    many = scan.ask(f"SELECT count(*) > {MOST} FROM (SELECT DISTINCT reason FROM {{rows}} LIMIT {MOST + 1})")[0][0]
    reason = "split_part(reason, ': ', 1)" if many else "reason"
    found = scan.ask(f"SELECT {reason} AS why, count(*), min(id) FROM {{rows}} GROUP BY ALL ORDER BY 2 DESC, 1")
    return Reasons(scan.rows, {str(why): count for why, count, _ in found}, {str(why): key for why, _, key in found})


def reasons_at(path: Path) -> Reasons | None:
    """None where no file or nothing is rejected."""
    if not path.exists():
        return None
    with Scan.of(path) as scan:
        return reasons(scan) if scan.rows else None


def reject_blocks(path: Path, name: str) -> Iterator[Block]:
    """Reasons as a table, and a row of each of the commonest, folded."""
    if not path.exists():
        return
    with Scan.of(path) as scan:
        if not scan.rows:
            return
        found = reasons(scan)
        rows = tuple((why, f"{count:,}", f"{100 * count / found.total:.1f} %") for why, count in found.shown.items())
        yield Table(("reason", "rows", "share"), rows, f"Rejected by {name}: {found.total:,} rows, by reason")
        chosen = {found.examples[why]: why for why in list(found.counts)[:READ]}
        ids = ", ".join(literal(key) for key in chosen)
        told = dict(scan.ask(f"SELECT id, row FROM {{rows}} WHERE id IN ({ids})"))
    samples = tuple(Sample(f"rejected: {why}", tuple(_fields(told[key]))) for key, why in chosen.items() if key in told)
    if samples:
        yield Fold(f"Rejected rows to read: {len(samples)} of {found.total:,}", samples)


def _fields(text: str) -> list[tuple[str, str]]:
    try:
        row = json.loads(text)
    except ValueError:
        row = {"row": text}
    return fields_of_dict(row if isinstance(row, dict) else {"row": text}, longest=LONGEST)
