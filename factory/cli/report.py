"""`factory report`: the report of what lies here, and what changed against another revision.

factory report
factory report --against HEAD~3
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.printing import print_table
from factory.errors import DataError
from factory.outputs import room_for
from factory.words import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from factory.params import Params
    from factory.reports.page import Block, Section

EPILOG = "Examples: factory report · factory report --against HEAD~3 · factory report --against v1.0 --out compared"
FOLDER = Path(".factory/report")


def report(
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="REV", help="A revision of git: what changed since then, in place of the whole report."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the page and its Markdown go.")] = FOLDER,
    partial: Annotated[bool, typer.Option("--partial", help="Compare what DVC's cache has of that revision, and name the rest.")] = False,
) -> None:
    """The report of the data that lie here, finished line or not, as one page (open it in any browser) and as Markdown.

    Beside what the stage `report` writes into data/report it has seconds, memory, requests and dollars of the runs on this machine. With
    --against: rows that came and went by table, yields, rejects by reason, distributions drawn over one another, metrics, params. The other
    revision's tables are read from DVC's cache by the hashes of its dvc.lock; nothing is checked out.
    """
    from factory.params import load
    from factory.storage import TABLES

    room_for(out.absolute() / "index.html", f"--out {out}")  # before the work
    params = load()
    if not any(TABLES.glob("*.parquet")):
        raise DataError(f"{TABLES.absolute()} holds no table: `dvc repro` makes the line's, `dvc pull` fetches them")
    if against is not None:
        return _against(params, against, out, partial)
    from factory.reports.report import whole_report

    sections = whole_report(params, list(_measured(params)))
    _write(out, "index", params.release.name, params.release.notice, sections)


def _against(params: "Params", name: str, out: Path, partial: bool) -> None:
    from factory.reports.against import against_sections
    from factory.reports.page import Prose, Table
    from factory.reports.readable import visible
    from factory.reports.revision import Revision

    old = Revision.of(name)
    sections = against_sections(params, old, partial=partial)
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Prose) and section.title == "What changed":
                typer.echo(visible(block.text) + "\n")
            elif isinstance(block, Table) and not block.folds and section.title not in ("Stages", "Tables"):
                print_table(list(block.headers), [[visible(cell) for cell in row] for row in block.rows], visible(block.caption))
    _write(out, "against", f"{params.release.name} against {old.label}", params.release.notice, sections)


def _write(out: Path, name: str, title: str, notice: str, sections: "Sequence[Section]") -> None:
    from factory.reports.page import html, markdown
    from factory.whole import whole_file

    try:
        for suffix, text in ((".html", html(title, notice, sections)), (".md", markdown(title, notice, sections))):
            with whole_file(out / f"{name}{suffix}") as temporary:
                temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from None
    typer.echo(f"{amount(len(sections), 'section')} in {out / f'{name}.html'}, as Markdown in {name}.md beside it")


def _measured(params: "Params") -> "Iterator[Block]":
    """Seconds and memory of each stage's last run here, and what its requests have cost so far, over all runs."""
    from factory.engines.ledger import stats
    from factory.engines.store import default_path
    from factory.line import stages_of
    from factory.reports.page import Table
    from factory.status import dollars, timings

    last = timings()
    rows = [
        (stage.title, f"{took['seconds']:,.1f}", f"{took['peak_mb']:,}") for stage in stages_of(params) if (took := last.get(stage.title))
    ]
    if rows:
        yield Table(("stage", "seconds", "peak MB"), tuple(rows), "Each stage's last run on this machine")
    if usage := stats(default_path()):
        spent = dollars(params)
        cells = tuple(
            (use.stage, f"{use.requests:,}", f"{use.prompt_tokens:,}", f"{use.completion_tokens:,}", f"{use.failures:,}",
             f"{use.seconds:,.0f}", f"{spent[use.stage]:.2f}" if use.stage in spent else "")
            for use in usage
        )  # fmt: skip
        headers = ("stage", "requests", "tokens in", "tokens out", "failed", "seconds", "dollars")
        yield Table(headers, cells, "Requests in this machine's store, over all runs")
