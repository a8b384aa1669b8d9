"""How a template library changed since a revision of git: what came, what went, what was changed in which field, whose status moved.

    old = rows_at_revision("HEAD~3")
    changelog(old, read_rows(LIBRARY, Template))
    → Changelog(added=[…], removed=[…], changed=[Change(before=…, after=…, fields={"steps": "+ Check the sum."})], moved=[…], same=11)

A template's id is its content. A newer version of one is a row whose `parents` name the older row's id (that is what it supersedes, and its
`version` is one more), or else the row of the same name. The rows of a revision are those that its `dvc.lock` names, from DVC's cache; a
Parquet file that git itself tracks is read from git.
"""

import difflib
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import DataError
from factory.lock import cache, parse_yaml, stages_of
from factory.schemas import Template
from factory.storage import TABLES, read_rows

LIBRARY = TABLES / "templates.parquet"
TEXTS = ("name", "description", "scope", "example_problem", "example_solution", "example_answer", "source", "licence")
LISTS = ("tags", "steps")
EVIDENCE = ("resolved", "solve_rate")
SHOWN = 100  # characters of a value


@dataclass(frozen=True)
class Change:
    """One template in two versions; `fields`: what changed in it, for people."""

    before: Template
    after: Template
    fields: dict[str, str]


@dataclass(frozen=True)
class Changelog:
    """`moved`: the same content under another status or evidence, status moves first. `same`: how many did not change at all."""

    added: list[Template]
    removed: list[Template]
    changed: list[Change]
    moved: list[Change]
    same: int

    @property
    def statuses(self) -> list[Change]:
        return [change for change in [*self.changed, *self.moved] if change.before.status != change.after.status]

    def lines(self) -> Iterator[str]:
        """The changelog, a template a line, its fields below it."""
        for sign, templates in (("+", self.added), ("-", self.removed)):
            yield from (f"{sign} {label(template)} [{template.status}]" for template in templates)
        for change in [*self.changed, *self.moved]:
            yield f"~ {label(change.after)}"
            yield from (f"    {name}: {says}" for name, says in change.fields.items())


def label(template: Template) -> str:
    return f"{template.name} ({', '.join(template.tags)})"


def changelog(old: Sequence[Template], new: Sequence[Template]) -> Changelog:
    pairs = _pairs(old, new)
    before, after = {one.id for one, _ in pairs}, {other.id for _, other in pairs}
    changed, moved, same = [], [], 0
    for one, other in sorted(pairs, key=lambda pair: (pair[1].name.lower(), pair[1].id)):
        fields = _fields(one, other)
        if one.id != other.id:
            changed.append(Change(one, other, fields))
        elif fields:
            moved.append(Change(one, other, fields))
        else:
            same += 1
    moved.sort(key=lambda change: change.before.status == change.after.status)
    return Changelog(
        _named(row for row in new if row.id not in after), _named(row for row in old if row.id not in before), changed, moved, same
    )


def _named(rows: Iterable[Template]) -> list[Template]:
    return sorted(rows, key=lambda row: (row.name.lower(), row.id))


def _pairs(old: Sequence[Template], new: Sequence[Template]) -> list[tuple[Template, Template]]:
    """(before, after): by id, else by what the newer one supersedes, else by name. Each row stands in one pair at most."""
    known, free = {row.id: row for row in old}, {row.id: row for row in new}
    pairs = [(known.pop(key), free.pop(key)) for key in sorted(known.keys() & free.keys())]
    for row in sorted(free.values(), key=lambda row: row.id):
        if older := next((key for key in row.parents if key in known), None):
            pairs.append((known.pop(older), free.pop(row.id)))
    by_name: dict[str, list[Template]] = defaultdict(list)
    for row in sorted(known.values(), key=lambda row: row.id, reverse=True):
        by_name[_folded(row.name)].append(row)
    for row in sorted(free.values(), key=lambda row: row.id):
        if same := by_name[_folded(row.name)]:
            pairs.append((same.pop(), row))
    return pairs


def _folded(name: str) -> str:
    return " ".join(name.lower().split())


def _fields(one: Template, other: Template) -> dict[str, str]:
    found = {}
    if one.status != other.status:
        found["status"] = f"{one.status} → {other.status}"
    for name in TEXTS:
        if (before := getattr(one, name)) != (after := getattr(other, name)):
            found[name] = f"{_short(before)} → {_short(after)}"
    for name in LISTS:
        if (items := getattr(one, name)) != getattr(other, name):
            found[name] = "; ".join(_items(items, getattr(other, name))) or "another order"
    if one.version != other.version:
        found["version"] = f"{one.version} → {other.version}"
    if (one.resolved, one.solve_rate) != (other.resolved, other.solve_rate):
        found["evidence"] = f"{_rate(one)} → {_rate(other)}"
    return found


def _items(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    for line in difflib.ndiff(list(before), list(after)):
        if line[:2] in ("+ ", "- "):
            yield f"{line[0]} {_short(line[2:])}"


def _rate(template: Template) -> str:
    return "not tried" if template.solve_rate is None else f"{template.solve_rate:.2f} of {template.resolved}"


def _short(text: str) -> str:
    line = " ".join(text.split()) or "(nothing)"
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


# -- a revision


def rows_at_revision(revision: str, path: Path = LIBRARY) -> list[Template]:
    """The rows that `path` held at a revision of git. Raises DataError without such a revision or table, and when DVC's cache lacks it."""
    _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", error=f"{revision} is no revision of git here")
    tracked = subprocess.run(["git", "show", f"{revision}:./{path.as_posix()}"], capture_output=True, check=False)
    if tracked.returncode == 0:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / path.name
            file.write_bytes(tracked.stdout)
            return read_rows(file, Template)
    lock = _git("show", f"{revision}:./dvc.lock", error=f"{revision} has no dvc.lock: nothing says which rows it had")
    digest = _digest(lock, path, revision)
    place = cache() / "files" / "md5" / digest[:2] / digest[2:]
    if not place.is_file():
        raise DataError(
            f"{path} of {revision} (md5 {digest}) is not in DVC's cache, {place.parents[3]}: fetch it (`git checkout {revision}`, then "
            f"`dvc fetch {path}`), or run `dvc repro templates` there"
        )
    return read_rows(place, Template)


def _digest(lock: str, path: Path, revision: str) -> str:
    stages = stages_of(parse_yaml(lock, f"dvc.lock of {revision}"))
    if stages is None:
        raise DataError(f"dvc.lock of {revision} is no lock of DVC: name another revision, or a Parquet file")
    found = [out.md5 for stage in stages.values() if (out := stage.out(path.as_posix()))]
    if not found:
        raise DataError(f"git does not track {path} at {revision}, nor does its dvc.lock name it: there is nothing to compare with")
    return found[0]


def _git(*words: str, error: str) -> str:
    try:
        answer = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DataError("git is not installed here: give a Parquet file instead of a revision") from None
    if answer.returncode:
        raise DataError(error)
    return answer.stdout
