"""What an audit of foreign data says: a page as the report's, Markdown, and lines for a terminal.

write(Path("out"), found)   → out/{index.html, report.md, audit.json, rows.parquet, failing.parquet, rejects.parquet}
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from factory.foreign.audit import Foreign
from factory.gate.expectations import short
from factory.gate.extract import write_extract
from factory.outputs import folder_for
from factory.reports.datasets import dataset_blocks
from factory.reports.page import Block, Prose, Section, Table, html, markdown
from factory.reports.readable import visible
from factory.schemas import Reject
from factory.storage import write_rows
from factory.tables import TABLES
from factory.whole import whole_folder, write_json
from factory.words import amount

SHOWN = 10  # rows that overlap a benchmark; audit.json has all
MARK = "audit.json"  # in a folder that another audit may replace


def place_of(out: Path) -> Path:
    """The folder that an audit may be written into. Raises DataError for one that holds something else, or cannot be made."""
    return folder_for(out, MARK, "audit")


def write(out: Path, found: Foreign) -> None:
    """Raises DataError for a folder that holds something else."""
    with whole_folder(place_of(out)) as folder:
        given = [name for name in found.table.column_names if name not in found.absent]
        pq.write_table(found.table.select(given), folder / "rows.parquet", compression="zstd")
        write_rows(folder / "rejects.parquet", Reject, {item.id: item for item in found.rejects}.values())
        write_json(folder / MARK, found.document())
        sections = [Section("What was read", tuple(reading_blocks(found))), Section("Rows and checks", tuple(_dataset(folder, found)))]
        title = f"Audit of {visible(found.name)}"
        (folder / "index.html").write_text(html(title, "", sections), encoding="utf-8")
        (folder / "report.md").write_text(markdown(title, "", sections), encoding="utf-8")


def _dataset(folder: Path, found: Foreign) -> Iterator[Block]:
    rejects, failing = folder / "rejects.parquet" if found.rejects else None, folder / "failing.parquet"
    write_extract(failing, found.table, found.audit)
    about = f"Rows of {found.kind}. {TABLES[found.kind].__doc__ or ''}"
    yield from dataset_blocks(
        found.name, folder / "rows.parquet", found.document(), about=about, rejects=rejects, rejecter="audit", failing=failing
    )


def reading_blocks(found: Foreign) -> Iterator[Block]:
    """How columns were read, and what nothing could be compared with."""
    how = "guessed by its columns: --as overrules it" if found.guessed else "as it was said"
    yield Prose(
        f"{amount(found.table.num_rows, 'row')} of {found.kind} ({how}), "
        f"{amount(len(found.rejects), 'record that is', 'records that are')} none"
        + (f", {amount(found.same, 'row that says', 'rows that say')} what another one says" if found.same else "")
        + f". A step is a {found.steps}."
    )
    rows = [(ours, visible(theirs), "the same" if ours == theirs else "read as ours") for ours, theirs in found.columns.items()]
    rows += [(name, "", "follows from the others") for name in found.made]
    rows += [("", visible(theirs), "not read") for theirs in found.unused]
    yield Table(("our column", "their column", ""), tuple(rows), "Columns", fold=False)
    if found.absent:
        yield Prose(f"Not given, and empty here: {', '.join(found.absent)}.")
    if found.matched:
        shown = tuple(
            (item.id, visible(item.benchmark), f"{item.evidence}, {item.share:.0%}", visible(short(item.question)))
            for item in found.matched[:SHOWN]
        )
        more = f"{amount(len(found.matched), 'row is', 'rows are')} a question of a benchmark" + (
            f": the first {SHOWN}" if len(found.matched) > SHOWN else ""
        )
        yield Table(("row", "benchmark", "evidence", "its question"), shown, more, fold=False)
    if found.not_checked:
        left = tuple((item.says, "critical" if item.critical else "a warning", item.reason) for item in found.not_checked)
        yield Table(
            ("expectation", "weight", "why it is not checked"),
            left,
            f"{amount(len(left), 'expectation was', 'expectations were')} not checked",
            fold=False,
        )


def summary_blocks(found: Foreign) -> Iterator[Block]:
    """For a terminal."""
    yield from reading_blocks(found)
    if found.rejects:
        counts = tuple((visible(reason), f"{count:,}", f"{found.lines[reason]:,}") for reason, count in found.reasons.most_common(12))
        yield Table(("reason", "records", "first in line"), counts, "Records that are no rows")
    failed = [item for item in found.audit.findings if not item.success]
    if failed:
        lines = tuple(
            (item.says, "FAILED" if item.critical else "warning", f"{item.unexpected:,} of {item.of:,}" if item.of else item.observed,
             "; ".join(f"{key}: {value}" for key, value in item.examples[:1]))
            for item in failed
        )  # fmt: skip
        yield Table(("expectation", "result", "rows that break it", "for example"), lines, "Expectations that failed")
    passed = len(found.audit.findings) - len(failed)
    refused = "A critical expectation failed." if not found.audit.success else "No critical expectation failed."
    yield Prose(f"{passed} of {amount(len(found.audit.findings), 'expectation')} hold, {len(found.not_checked)} not checked. {refused}")
