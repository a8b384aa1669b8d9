"""`factory templates import`, `lint`, `diff`, `merges`: other people's libraries, what is wrong with one, how one changed, what is one.

factory templates import template_library.json --licence Apache-2.0 --source Gen-Verse/ReasonFlux@8980b8b9
factory templates lint template_library.templates.parquet
factory templates diff HEAD~1
factory templates merges --refused
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.columns import pairs
from factory.cli.printing import console, print_table
from factory.errors import DataError
from factory.outputs import file_for
from factory.words import amount

if TYPE_CHECKING:
    from factory.schemas import Reject, Template
    from factory.templates.lint import Finding
    from factory.templates.merges import Merge

SHOWN = 30  # findings, unless -n says more
WHAT = {
    "no-steps": "empty steps, or none", "heading": "a heading without a step", "too-long": "more than a prompt should repeat",
    "no-tags": "no tags", "name": "a name that no plan line can hold", "undescribed": "no description or scope",
    "own-number": "steps hold a number of their own example", "book": "refers to an example or textbook that is not there",
    "figure": "needs a figure or table that is not there", "draft": "left in a draft", "example": "the worked example does not follow",
    "duplicate": "would merge into another template", "near-duplicate": "may be another template again",
    "near-name": "a name nearly another's", "not-first": "its name and tags find another template before it",
    "tag-once": "tags that no other template has", "illustrated": "steps illustrate with their own example",
    "no-example": "no worked example, or half of one", "no-answer": "the example's answer cannot be read",
    "data": "the example's problem lacks its question, data, points or statements",
    "option": "the example's answer is the letter of an option not given", "circle": "goes round in a circle: a model that did not stop",
    "retells": "description or scope tell its own problem",
}  # fmt: skip

File = Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="JSON (under any headings), JSONL, CSV, TSV or Parquet.")]


IMPORT = (
    "Examples: factory templates import template_library.json --licence Apache-2.0 --source Gen-Verse/ReasonFlux@8980b8b9 · "
    "factory templates import mine.jsonl --licence CC-BY-4.0 --column name=titel --column steps=ablauf"
)


def import_(
    file: File,
    licence: Annotated[str, typer.Option("--licence", help="The publisher's licence, for rows that name none: Apache-2.0 …")] = "",
    source: Annotated[str, typer.Option("--source", help="Where it comes from: org/repository@revision. Without it the file's name.")] = "",
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="A column under another name, as often as needed.")
    ] = None,
    replaces: Annotated[
        Path | None, typer.Option("--replaces", metavar="FILE", help="An older import: what has its names supersedes it, one version on.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The Parquet to write; without it FILE.templates.parquet, here.")] = None,
) -> None:
    """Other people's templates as rows of ours: all of them kept, in our shape, with licence and source; nothing invented.

    Chapters and sections become tags behind a template's own; spellings of one tag are folded. `Step 3:` before a step, headings and
    emphasis go; branches (`Method 2`) stay as a mark before each of their steps. Columns go by their usual names (name, tags, description,
    scope, steps, example; or problem, solution and answer of it), else by --column. What fails the lint is quarantined, the rest accepted.

    Beside the Parquet stand FILE.import.json (what was folded, what was left out, where each row comes from) and FILE.rejects.parquet, if
    there are any.
    """
    from factory.schemas import Reject, Template
    from factory.storage import write_rows
    from factory.templates.importing import read_library
    from factory.templates.lint import settled
    from factory.whole import write_json

    target = out or Path(f"{file.name.split('.')[0] or 'library'}.templates.parquet")
    if target.suffix != ".parquet":
        raise DataError(f"--out is {target}: expected a name that ends in .parquet")
    file_for(target)
    record, refused = target.with_suffix(".import.json"), target.with_suffix(".rejects.parquet")
    if target.exists() and not record.is_file():
        raise DataError(f"{target} exists and no import wrote it ({record.name} is not beside it): name another file with --out")
    if replaces and not replaces.exists():
        raise DataError(f"--replaces {replaces} is missing: name the Parquet that an earlier import wrote")
    found = read_library(file, licence, source, pairs("--column", column or []), replaces)
    findings = _linted(found.templates)
    rows = settled(found.templates, findings)
    write_rows(target, Template, rows)
    write_json(record, found.document(file, licence, source or file.name))
    if found.rejects:
        write_rows(refused, Reject, found.rejects)
    else:
        refused.unlink(missing_ok=True)  # those of an earlier import
    print_table(["what", "how many"], [[name, f"{count:,}"] for name, count in found.table()])
    accepted = sum(row.status == "accepted" for row in rows)
    console().print(f"{accepted:,} accepted, {len(rows) - accepted:,} quarantined: factory templates lint {target}", markup=False)


def _linted(rows: "Sequence[Template]") -> "list[Finding]":
    from factory.grading import Grader
    from factory.templates.lint import lint_library

    with Grader() as grader:
        return lint_library(rows, grader)


LINT = (
    "Examples: factory templates lint · factory templates lint template_library.json --code example · "
    "factory templates lint mine.templates.parquet --strict"
)


def lint(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|DATASET]", show_default=False, help="A library in any shape that import takes; without it the line's own."
        ),
    ] = None,
    code: Annotated[list[str] | None, typer.Option("--code", help="Only findings of this kind, as often as needed.")] = None,
    warnings: Annotated[bool, typer.Option("--warnings", help="Show the warnings too, not only what quarantines.")] = False,
    most: Annotated[int, typer.Option("-n", min=1, help="How many findings to show.")] = SHOWN,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a finding quarantines a template.")] = False,
) -> None:
    """What is wrong with a template library, each finding with its reason: what quarantines a template, and warnings.

    Looked for are duplicates (with the template that each would merge into), empty steps and headings without a step, references to a
    textbook or a figure, drafts, examples whose arithmetic does not hold or whose answer does not follow, and what hides a template from
    its own name and tags. Arithmetic is the grader's, in bounded processes. The numbers in the first column are places in the file, from 0.
    """
    from factory.reports.readable import visible
    from factory.templates.importing import templates_in

    if unknown := sorted(set(code or ()) - set(WHAT)):
        raise DataError(f"--code {unknown[0]}: expected one of {', '.join(WHAT)}")
    rows, origins, rejects = templates_in(_library(name))
    findings = _linted(rows)
    _summary(rows, findings)
    _left_out(rejects)
    shown = [finding for finding in findings if (finding.code in code if code else finding.blocking or warnings)]
    number = {key: origin.number for key, origin in origins.items()}
    shown.sort(key=lambda finding: (not finding.blocking, number.get(finding.template_id, 0), finding.name, finding.code))
    cells = [
        [str(number.get(finding.template_id, finding.template_id[:8])), visible(finding.name), finding.code, visible(finding.problem)]
        for finding in shown[:most]
    ]
    if cells:
        print_table(["#", "template", "code", "finding"], cells)
    if len(shown) > most:
        console().print(f"… and {len(shown) - most:,} more: -n {len(shown)}", markup=False)
    if strict and any(finding.blocking for finding in findings):
        raise typer.Exit(1)


def _library(name: str | None) -> Path:
    """A file, a dataset or table by its name, or the line's own table."""
    from factory.storage import DATASETS, TABLES

    places = [Path(name), DATASETS / name, TABLES / f"{name}.parquet"] if name else [TABLES / "templates.parquet", DATASETS / "templates"]
    for place in places:
        if place.exists():
            return place
    if name:
        raise DataError(f"{name} is no file, and no dataset or table of this line")
    raise DataError(f"{places[0]} is missing: `dvc repro templates` makes it; or name a file")


def _left_out(rejects: "Sequence[Reject]") -> None:
    from factory.reports.readable import visible

    if rejects:
        bad = amount(len(rejects), "entry is no template", "entries are no templates")
        told = f"{bad}, the first of them: {rejects[0].reason} (`factory templates import` lists all)"
        console().print(visible(told), markup=False)


def _summary(rows: "Sequence[Template]", findings: "Sequence[Finding]") -> None:
    templates_of: dict[str, set[str]] = {}
    blocking = {finding.code: finding.blocking for finding in findings}
    for finding in findings:
        templates_of.setdefault(finding.code, set()).add(finding.template_id)
    ordered = sorted(templates_of, key=lambda code: (not blocking[code], -len(templates_of[code]), code))
    cells = [[code, f"{len(templates_of[code]):,}", "quarantine" if blocking[code] else "warning", WHAT.get(code, "")] for code in ordered]
    if cells:
        print_table(["code", "templates", "so", "what"], cells)
    bad = {finding.template_id for finding in findings if finding.blocking}
    console().print(f"{amount(len(rows), 'template')}: {len(rows) - len(bad):,} pass, {len(bad):,} do not", markup=False)


DIFF = (
    "Examples: factory templates diff HEAD~1 · factory templates diff v1.0 --file data/tables/templates.parquet · "
    "factory templates diff old.templates.parquet --file new.templates.parquet"
)


def diff(
    revision: Annotated[str, typer.Argument(metavar="REV|FILE", help="A revision of git, or an older library of any shape.")],
    file: Annotated[Path | None, typer.Option("--file", help="The library as it is now; without it data/tables/templates.parquet.")] = None,
) -> None:
    """The library's changelog since a revision: templates added and removed, changed in which field, moved to another status.

    A newer version is known by the older one's id among its parents (it supersedes it), else by its name. The rows of a revision are those
    that its dvc.lock names, read from DVC's cache; of a Parquet that git tracks, from git.
    """
    from factory.reports.readable import visible
    from factory.schemas import Template
    from factory.storage import read_rows
    from factory.templates.importing import templates_in
    from factory.templates.versions import LIBRARY, changelog, rows_at_revision

    now = file or LIBRARY
    new = templates_in(file)[0] if file else read_rows(LIBRARY, Template)
    old = templates_in(Path(revision))[0] if Path(revision).exists() else rows_at_revision(revision, now)
    log = changelog(old, new)
    counts = f"{len(log.added):,} added, {len(log.removed):,} removed, {len(log.changed):,} changed, {len(log.statuses):,} moved in status"
    output = console()
    output.print(f"{amount(len(new), 'template')}, {len(old):,} in {visible(revision)}: {counts}, {log.same:,} the same", markup=False)
    for line in log.lines():
        output.print(visible(line), markup=False)


def _became(row: "Merge") -> str:
    return "dropped" if row.kind == "single tag" else "one" if row.merges else "two"


def _known(row: "Merge") -> bool:
    """A control that came out right needs no look."""
    return row.kind == "control" and row.merges == (row.score > 0)


MERGES = "Examples: factory templates merges · factory templates merges --refused -n 100 · factory templates merges template_library.json"


def merges(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|DATASET]", show_default=False, help="A published library; without it what the last run of the line merged."
        ),
    ] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Show the pairs that stayed two as well.")] = False,
    most: Annotated[int, typer.Option("-n", min=1, help="How many to show, the likest first.")] = SHOWN,
) -> None:
    """Which templates and tags became one, by whose word, and which pairs stayed two.

    Of the line's own templates it shows what was answered, both ways round, and the ids of these requests (`factory requests`). Of a
    published library it shows which templates would merge: nobody is asked.
    """
    from factory.reports.readable import visible
    from factory.templates.doubts import doubts
    from factory.templates.duplicates import duplicates
    from factory.templates.importing import templates_in
    from factory.templates.merges import MERGES as TABLE
    from factory.templates.merges import counted, read_merges

    if name:
        found, _, rejects = templates_in(_library(name))
        rows = duplicates(found)
        _left_out(rejects)
    elif TABLE.exists():
        rows = read_merges()
    else:
        raise DataError(f"{TABLE} is missing: `dvc repro templates` makes it; or name a library")
    shown = sorted(
        (row for row in rows if (row.merges or refused) and not (_known(row) and not refused)),
        key=lambda row: (not row.merges, row.kind, -row.score, row.id),
    )
    cells = [
        [
            row.kind, visible(row.gone_name), visible(row.kept_name), _became(row), row.why, f"{row.score:.2f}",
            " ".join(row.answers), " ".join(key[:8] for key in row.request_ids),
        ]
        for row in shown[:most]
    ]  # fmt: skip
    if cells:
        print_table(["kind", "this", "and that", "are", "why", "score", "answers", "requests"], cells)
    if len(shown) > most:
        console().print(f"… and {len(shown) - most:,} more: -n {len(shown)}", markup=False)
    console().print(counted(rows) if not name else f"{amount(len(rows), 'template')} may be another again", markup=False)
    for doubt in doubts(rows):
        console().print(f"warning: {visible(doubt)}", markup=False)
