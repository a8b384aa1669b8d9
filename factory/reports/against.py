"""What changed since another revision of the project, as sections: the line, rows, yields and rejects, distributions, metrics, params.

    against_sections(params, Revision.of("HEAD~3"))   → [Section("What changed", …), Section("Rows", …), Section("restarts_r1", …), …]

The current side is what lies in the working directory; the other one comes from git and DVC's cache (factory/reports/revision.py).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from factory.line import stages_of
from factory.lock import flat
from factory.params import Params
from factory.reports.accuracies import percent
from factory.reports.compared import Compared, Moved, compare, moved
from factory.reports.differing import changed_params, differences, gates, metrics, now_params, stages
from factory.reports.page import Block, Figure, Fold, Heading, Link, Plots, Prose, Sample, Section, Table
from factory.reports.plots import plot
from factory.reports.readable import fields_of_dict
from factory.reports.rejects import reasons_at
from factory.reports.revision import Revision
from factory.reports.scan import Scan, one_database
from factory.storage import REJECTS, TABLES, count_rows
from factory.words import amount

LONGEST = 1500  # characters of a column of a row


@one_database()
def against_sections(params: Params, old: Revision, *, partial: bool = False) -> list[Section]:
    """Raises DataError when DVC's cache lacks a table of the revision, but with `partial`, which leaves that table out."""
    tables, rejects = _names(params, old, TABLES), _names(params, old, REJECTS)
    paths = [f"{TABLES}/{name}.parquet" for name in tables] + [f"{REJECTS}/{name}.parquet" for name in rejects]
    lost = old.missing(paths)
    if lost and not partial:
        old.require(paths)
    sides = ((name, _compared(name, old)) for name in tables)
    compared = {name: found for name, found in sides if found is not None}
    parts: list[tuple[str, Iterable[Block]]] = [
        ("What changed", summary(params, old, compared, lost)), ("Rows", rows(old, tables, compared)), ("Yields", yields(params, old)),
        ("Rejects", reject_reasons(rejects, old)), ("Tables", table_parts(compared, old)), ("Gates", gates(params, old)),
        ("Metrics", metrics(old)), ("Params", changed_params(old)), ("Stages", stages(old)),
    ]  # fmt: skip
    found = [Section(title, tuple(blocks)) for title, blocks in parts]
    return [section for section in found if section.blocks]


def _names(params: Params, old: Revision, folder: Path) -> list[str]:
    """Tables, or rejects, of the line as it is, then those that only the revision had."""
    stages = stages_of(params)
    ours = [name for stage in stages for name in (stage.tables if folder == TABLES else [stage.rejects] if stage.rejects else [])]
    theirs = [Path(path).stem for path in old.outs if Path(path).parent == folder and path.endswith(".parquet")]
    return list(dict.fromkeys([*ours, *theirs]))


def _compared(name: str, old: Revision) -> Compared | None:
    """None where one of the sides has no such table."""
    path = TABLES / f"{name}.parquet"
    before = old.file(str(path))
    if before is None or not path.exists():
        return None
    if path.stat().st_size == before.stat().st_size and _md5(path) == old.outs[str(path)]:
        total = count_rows(path)
        return Compared(total, total, 0, 0, 0)
    return compare(before, path)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def summary(params: Params, old: Revision, compared: Mapping[str, Compared], lost: list[str]) -> Iterator[Block]:
    changed = [name for name, found in compared.items() if not found.same]
    found = compared.values()
    came, went, other = (sum(getattr(item, name) for item in found) for name in ("added", "removed", "changed"))
    differ = sum(True for _ in differences(flat([old.params]), now_params()))
    yield Prose(
        f"{params.release.name} as it lies here, against {old.label}: {len(changed)} of {amount(len(compared), 'table')} that both have "
        f"differ ({amount(came, 'row')} came, {went:,} went, {other:,} say something else under the same id); "
        f"{amount(differ, 'param differs', 'params differ')}. "
        "In plots bars are now and the line is before. Ids are hashes of content: a changed text is a row that went and another that came."
    )
    if lost:
        yield Prose(f"Not compared, since DVC's cache lacks them: {', '.join(lost)}.")


def rows(old: Revision, names: Iterable[str], compared: Mapping[str, Compared]) -> Iterator[Block]:
    lines = []
    for name in names:
        path = TABLES / f"{name}.parquet"
        before, now = old.file(str(path)), path.exists()
        if found := compared.get(name):
            if not found.same:
                counts = (found.before, found.now, found.added, found.removed, found.changed)
                lines.append((Link(name, f"table-{name}"), *(f"{count:,}" for count in counts), _signed(found.now - found.before)))
        elif before or now:
            number = f"{_rows_of(before or path):,}"
            lines.append((name, number if before else "", number if now else "", "", "", "", _apart(str(path), old, now)))
    if lines:
        yield Table(
            ("table", "before", "now", "came", "went", "changed", "difference"), tuple(lines), "Rows of tables that differ", fold=False
        )
    if same := [f"{name} ({found.now:,})" for name, found in compared.items() if found.same]:
        yield Prose(f"Row for row the same: {', '.join(same)}.")


def _apart(path: str, old: Revision, now: bool) -> str:
    """Why a table has one side only."""
    if not now:
        return "only before"
    return "not in the cache" if path in old.outs else "only now"


def _rows_of(path: Path) -> int:
    with Scan.of(path) as scan:
        return scan.rows


def _signed(number: float) -> str:
    return f"{number:+,}"


def yields(params: Params, old: Revision) -> Iterator[Block]:
    lines = []
    for stage in stages_of(params):
        if not stage.tables or not stage.rejects:
            continue
        sides = []
        for place in (lambda path: old.file(str(path)), lambda path: path if path.exists() else None):
            table, rejects = place(TABLES / f"{stage.tables[0]}.parquet"), place(REJECTS / f"{stage.rejects}.parquet")
            sides.append((_rows_of(table), _rows_of(rejects)) if table and rejects else None)
        before, now = sides
        if before and now:
            one, other = (kept / (kept + rejected) if kept + rejected else None for kept, rejected in (before, now))
            points = f"{100 * (other - one):+.1f}" if one is not None and other is not None else ""
            if before[1] != now[1] or percent(one) != percent(other):
                lines.append((stage.title, f"{before[1]:,}", f"{now[1]:,}", percent(one), percent(other), points))
    if lines:
        yield Table(
            ("stage", "rejects before", "now", "yield before", "now", "points"), tuple(lines), "Stages whose yield or rejects differ"
        )


def reject_reasons(names: Iterable[str], old: Revision) -> Iterator[Block]:
    lines = []
    for name in names:
        path = REJECTS / f"{name}.parquet"
        before = old.file(str(path))
        if before is None and str(path) in old.outs:
            continue  # what it had cannot be told
        earlier, later = reasons_at(before) if before else None, reasons_at(path)
        counts = [found.counts if found else {} for found in (earlier, later)]
        for reason in dict.fromkeys([*counts[1], *counts[0]]):
            one, other = counts[0].get(reason, 0), counts[1].get(reason, 0)
            if one != other:
                lines.append((name, reason, f"{one:,}", f"{other:,}", _signed(other - one)))
    if lines:
        yield Table(("rejects of", "reason", "before", "now", "difference"), tuple(lines), "Rejects by reason, where their number differs")


def table_parts(compared: Mapping[str, Compared], old: Revision) -> Iterator[Block]:
    for name, found in compared.items():
        if found.same:
            continue
        path = TABLES / f"{name}.parquet"
        before = old.file(str(path))
        assert before is not None
        yield Heading(name, f"table-{name}")
        yield Prose(" ".join(_told(found)))
        shifts = moved(before, path)
        yield from _plots(shifts)
        if found.columns:
            columns = tuple((column, f"{count:,}") for column, count in sorted(found.columns.items(), key=lambda item: -item[1]))
            yield Table(("column", "rows"), columns, "Columns that differ in rows with the same id")
        yield from _examples(name, found)


def _told(found: Compared) -> Iterator[str]:
    counts = f"{found.added:,} came, {found.removed:,} went, {found.changed:,} changed"
    yield f"{amount(found.before, 'row')} before, {found.now:,} now: {counts}."
    if found.problems:
        gone, both, came = found.problems
        yield f"Their problems: {both:,} in both, {came:,} only now, {gone:,} only before."
    if found.new or found.gone:
        yield f"Columns that came: {', '.join(found.new) or 'none'}; that went: {', '.join(found.gone) or 'none'}."


def _plots(shifts: list[Moved]) -> Iterator[Block]:
    figures = []
    for item in shifts:
        if figure := plot(item.now, item.before):
            figures.append(Figure(figure.svg, f"{figure.caption}; {100 * item.shift:.1f} % of rows moved"))
    if figures:
        yield Plots(tuple(figures))
        lines = tuple((item.now.name, f"{100 * item.shift:.1f} %", f"{item.before.rows:,}", f"{item.now.rows:,}") for item in shifts)
        table = Table(("column", "rows that moved", "rows before", "now"), lines, "Distributions that differ: total variation", fold=False)
        yield Fold("Distributions in numbers", (table,))


def _examples(name: str, found: Compared) -> Iterator[Block]:
    for kind in ("added", "removed"):
        rows_ = found.examples.get(kind, [])
        samples = tuple(Sample(f"{name}, {kind}", tuple(fields_of_dict(row, longest=LONGEST))) for row in rows_)
        if samples:
            yield Fold(f"Rows {kind}: {len(samples)} of {getattr(found, kind):,}", samples)
    pairs = [
        (dict(fields_of_dict(one, longest=LONGEST)), dict(fields_of_dict(other, longest=LONGEST)))
        for one, other in found.examples.get("changed", [])
    ]
    samples = tuple(
        Sample(f"{name}, changed: {one.get('id', '')}", tuple(
            field for column in dict.fromkeys([*one, *other]) if one.get(column) != other.get(column)
            for field in ((f"{column}, before", one.get(column, "–")), (f"{column}, now", other.get(column, "–")))
        ))
        for one, other in pairs
    )  # fmt: skip
    if samples:
        yield Fold(f"Rows changed: {len(samples)} of {found.changed:,}", samples)
