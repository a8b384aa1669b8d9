"""Other people's template libraries → our rows: all of them kept, in our shape, with licence and source; nothing invented.

    found = read_library(Path("template_library.json"), licence="Apache-2.0", source="Gen-Verse/ReasonFlux@8980b8b9")
    found.templates[0]   → Template(name="Extreme Value Theorem", tags=("basic inequality", …, "quadratic functions"), …)
    found.table()        → [("rows in", 420), ("templates", 420), ("rejected", 0), ("steps numbered by hand", 1900), …]

Read are JSONL, JSON arrays, CSV, TSV and Parquet with a template a row under the usual column names (or `columns`: ours → theirs), and JSON
whose objects nest lists of templates as chapters and sections do: every heading above a template becomes a tag of it, behind its own.
`rows = templates + rejects`; a row that lacks a name, or repeats another in all that identifies it, is a reject. What its steps, tags or
example lack stays empty: lint says so. All are `quarantined` until something accepts them (factory/templates/proving.py).

Source: papers/reasonflux, "The released library".
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.files import row_reader
from factory.files.unpacking import first_bytes
from factory.grading import normalise
from factory.identity import hash_files, row_id
from factory.rejects import reject
from factory.schemas import Reject, Template, field_types
from factory.storage import read_rows
from factory.templates.cleaning import line_of, lines_of, steps_of
from factory.templates.defects import answer_is_option
from factory.templates.examples import example_of
from factory.templates.fields import field_of
from factory.templates.library import is_duckdb, library_rows
from factory.templates.library_files import Found, records_of
from factory.templates.tagging import folded, tags_of, vocabulary

STAGE = "templates"
OURS = (
    "name",
    "tags",
    "description",
    "scope",
    "steps",
    "example",
    "example_problem",
    "example_solution",
    "example_answer",
    "licence",
    "source",
)
LONGEST_NAME = 200  # characters
LONGEST_ANSWER, MOST_WORDS = 80, 8  # of an answer that a grade means something for
_EXAMPLES = ("example", "example application", "worked example", "examples", "example solution and problem")
_LICENCES = ("licence", "license")
_LISTED = 40  # columns in a message


@dataclass(frozen=True)
class Origin:
    """Where a template comes from: its number in the file from 0, its place, the source's own type, what our row has no column for."""

    number: int
    at: str
    kind: str
    left: str


@dataclass(frozen=True)
class Imported:
    """`tags`: tag → its spellings in the file. `origins`: id → where it comes from. rows = templates + rejects."""

    templates: list[Template]
    rejects: list[Reject]
    changes: dict[str, int]
    tags: dict[str, tuple[str, ...]]
    origins: dict[str, Origin]

    @property
    def rows(self) -> int:
        return len(self.templates) + len(self.rejects)

    def table(self) -> list[tuple[str, int]]:
        """The counts, for people."""
        spellings = sum(map(len, self.tags.values()))
        head = [("rows in", self.rows), ("templates", len(self.templates)), ("rejected", len(self.rejects))]
        ends = [("spellings of tags", spellings), ("tags after folding", len(self.tags))]
        return [*head, *sorted(self.changes.items(), key=lambda item: (-item[1], item[0])), *ends]

    def document(self, path: Path, licence: str, source: str) -> dict[str, Any]:
        """All that was changed, as JSON: beside the Parquet, for whoever wants to look at it again."""
        kinds = Counter(origin.kind for origin in self.origins.values() if origin.kind)
        folded_kinds = vocabulary([normalise(kind)] for kind in kinds.elements())
        return {
            "file": path.name, "hash": hash_files([path], path.parent), "licence": licence, "source": source,
            "counts": dict(self.table()), "kinds": {
                kind: sorted(written for written in kinds if normalise(written) in spellings) for kind, spellings in folded_kinds.items()
            },
            "tags": {tag: list(spellings) for tag, spellings in self.tags.items() if spellings != (tag,)},
            "templates": {
                key: {"number": origin.number, "at": origin.at, **({"kind": origin.kind} if origin.kind else {}),
                      **({"left_out": origin.left} if origin.left else {})}
                for key, origin in sorted(self.origins.items(), key=lambda item: item[1].number)
            },
        }  # fmt: skip


def read_library(
    path: Path, licence: str = "", source: str = "", columns: Mapping[str, str] | None = None, replaces: Path | None = None
) -> Imported:
    """Raises DataError for a file that holds no template, a mapped column that it lacks, and rows without a licence.

    `replaces`: an older import; a template of the same name then has the older one among its parents and the next version."""
    _check(columns or {}, licence)
    records = list(records_of(path))
    _columns_there(path, records, columns or {})
    changes: Counter[str] = Counter()
    model = f"import@{hash_files([path], path.parent)[:12]}"
    read: list[tuple[Found, Template, str, str]] = []
    rejects = []
    for found in records:
        try:
            read.append((found, *_template(found, columns or {}, (licence, source or path.name), model, changes)))
        except _NoTemplate as error:
            rejects.append(reject(STAGE, {"source": path.name, "at": found.at, "row": found.record}, str(error)))
    known, changes["tags folded into another spelling"] = _vocabulary([template for _, template, _, _ in read])
    spelled = {spelling: tag for tag, spellings in known.items() for spelling in spellings}
    older = {_name(row.name): row for row in read_rows(replaces, Template)} if replaces else {}
    templates: dict[str, Template] = {}
    origins = {}
    for number, (found, template, kind, left) in enumerate(read):
        final = _identified(replace(template, tags=folded(template.tags, spelled)), older)
        if final.id in templates:
            row = {"source": path.name, "at": found.at, "row": found.record}
            rejects.append(reject(STAGE, row, "exact duplicate", final.id))
            continue
        templates[final.id] = final
        origins[final.id] = Origin(number, found.at, kind, left)
    imported = Imported([templates[key] for key in sorted(templates)], rejects, {k: n for k, n in changes.items() if n}, known, origins)
    if not templates:
        raise _none(path, records, rejects)
    assert len(records) == imported.rows, (len(records), imported.rows)
    if unlicensed := [template.name for template in imported.templates if not template.licence.strip()]:
        raise DataError(
            f"{path} states no licence for {len(unlicensed):,} of its templates (the first: {unlicensed[0]!r}): give the publisher's with "
            "--licence, Apache-2.0 for example. Without one nobody may use them"
        )
    return imported


class _NoTemplate(DataError):
    """A record that is none; the message is short and names no detail, so that rejects with one cause count as one."""


def _check(columns: Mapping[str, str], licence: str) -> None:
    if unknown := sorted(set(columns) - set(OURS)):
        theirs = columns[unknown[0]]
        order = f"the name here stands first, OURS=THEIRS: {theirs}={unknown[0]}" if theirs in OURS else f"expected {', '.join(OURS)}"
        raise DataError(f"{unknown[0]!r} is no column of ours: {order}")
    if licence and (len(licence) > 200 or "\n" in licence):
        raise DataError("a licence is one line: Apache-2.0, CC-BY-4.0 or the like")


def _columns_there(path: Path, records: list[Found], columns: Mapping[str, str]) -> None:
    there = dict.fromkeys(str(key) for found in records if not found.broken for key in found.record)
    for ours, theirs in columns.items():
        if theirs not in there:
            names = ", ".join(sorted(there)[:_LISTED]) or "none"
            raise DataError(f"{path} has no column {theirs!r} for {ours}; it has {names}")


def _none(path: Path, records: list[Found], rejects: list[Reject]) -> DataError:
    reasons = Counter(row.reason for row in rejects).most_common(2)
    names = ", ".join(sorted({str(key) for found in records[:100] for key in found.record})[:_LISTED])
    why = ", ".join(f"{reason}: {count:,}" for reason, count in reasons)
    return DataError(
        f"{path} holds no template ({why}): its columns are {names}. Say which is which: --column name=THEIRS --column steps=THEIRS …"
    )


# -- one record


def _template(
    found: Found, columns: Mapping[str, str], stated: tuple[str, str], model: str, changes: Counter[str]
) -> tuple[Template, str, str]:
    """(the row without its id, the source's type, what is left out). Raises _NoTemplate."""
    if found.broken:
        raise _NoTemplate(found.broken)
    values = _by_field(found.record, columns)
    name = line_of(" ".join(lines_of(values.get("name"))), changes).strip(" :")
    if not name:
        raise _NoTemplate("no name")
    if len(name) > LONGEST_NAME:
        raise _NoTemplate("a name of more than a line")
    own = lines_of(values.get("tags"))
    example = example_of(values.get("example"), changes)
    for ours in ("problem", "solution", "answer"):
        if (value := values.get(f"example_{ours}")) is not None:
            example = example._replace(**{ours: "\n".join(lines_of(value)).strip()})
    if isinstance(values.get("scope"), list):
        changes["scopes that were lists"] += 1
    steps = values.get("steps")
    return (
        Template(
            id="", model=model, prompt_version="none", seed=0, round="base", name=name,
            tags=tags_of(own, split=not isinstance(values.get("tags"), list)) + tags_of(found.headings),
            description=_sentences(values.get("description"), changes), scope=_sentences(values.get("scope"), changes),
            steps=steps_of(steps.split("\n") if isinstance(steps, str) else lines_of(steps), changes),
            example_problem=example.problem, example_solution=example.solution, example_answer=example.answer,
            source=" ".join(lines_of(values.get("source"))).strip() or stated[1],
            licence=" ".join(lines_of(values.get("licence"))).strip() or stated[0],
            status="quarantined", resolved=0, solve_rate=None, version=1,
        ),
        " ".join(" ".join(lines_of(values.get("kind"))).split()),
        example.left,
    )  # fmt: skip


def _by_field(record: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Our fields → the record's values: mapped columns first, then those of our own names, then other usual names."""
    found = {ours: record[theirs] for ours, theirs in columns.items() if record.get(theirs) is not None}
    taken = set(columns.values())
    found |= {ours: record[ours] for ours in OURS if ours not in found and record.get(ours) is not None}
    for key, value in record.items():
        label = " ".join(str(key).lower().replace("_", " ").split())
        field = (
            "example"
            if label in _EXAMPLES
            else "licence"
            if label in _LICENCES
            else "kind"
            if label.endswith("type")
            else field_of(str(key))
        )
        if field and field != "other" and str(key) not in taken and value is not None:
            found.setdefault(field, value)
    return found


def _sentences(value: object, changes: Counter[str]) -> str:
    """One line; the items of a list with a semicolon between them where they have no punctuation of their own."""
    text = ""
    for line in lines_of(value):
        item = line_of(line, changes)
        if text and item:
            text += " " if text[-1] in ".,;:!?" else "; "
        text += item
    return text


def _vocabulary(templates: list[Template]) -> tuple[dict[str, tuple[str, ...]], int]:
    known = vocabulary(template.tags for template in templates)
    spelled = {spelling: tag for tag, spellings in known.items() for spelling in spellings}
    return known, sum(spelled[tag] != tag for template in templates for tag in template.tags)


def _identified(template: Template, older: Mapping[str, Template]) -> Template:
    """With its content id; what replaces an older one names it among its parents."""
    key = row_id("template", template.name, template.tags, template.description, template.scope, template.steps)
    before = older.get(_name(template.name))
    if before and before.id == key:
        return replace(template, id=key, version=before.version, parents=before.parents)
    if before:
        return replace(template, id=key, version=before.version + 1, parents=(before.id,))
    return replace(template, id=key)


def _name(name: str) -> str:
    return " ".join(name.lower().split())


def gradable(row: Template) -> bool:
    """Whether its example has a problem and an answer that a grade means something for: not the letter of an option, not a sentence."""
    answer = row.example_answer.strip()
    short = bool(answer) and len(answer) <= LONGEST_ANSWER and len(answer.split()) <= MOST_WORDS
    return bool(row.example_problem.strip()) and short and not answer_is_option(row)


def templates_in(path: Path) -> tuple[list[Template], dict[str, Origin], list[Reject]]:
    """The templates of a file or dataset for reading: our own Parquet or DuckDB file as it stands, any other library as it would be
    imported, with the entries that an import would reject."""
    if path.is_dir() or is_duckdb(path) or (path.is_file() and first_bytes(path, str(path)).startswith(b"PAR1") and _ours(path)):
        return library_rows(path), {}, []
    found = read_library(path, licence="not stated")
    return found.templates, found.origins, found.rejects


def _ours(path: Path) -> bool:
    return set(field_types(Template)) <= set(row_reader(path).header)
