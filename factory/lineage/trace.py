"""One row's whole history: up to its problem, requests, models and run, down to everything that was made of it.

traced = trace(Line(Path(".")), "7d132899", depth=None)
traced.origin.parents[0].place   → "problems"
traced.made[0]                   → Level(1, "restarts_r1", ("parent_id",), 1, ("9dc2902dc8423b735c15",))
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.lineage.asked import Asked, asked, begin_so
from factory.lineage.index import SHOWN, Found, Index, Level
from factory.lineage.models import ModelOrigin, PromptText, model_origin, prompt_text
from factory.lineage.names import SCALARS
from factory.lineage.released import Holding, hashed, holdings
from factory.lineage.run import Run
from factory.lock import hidden

FEW = 3  # parents of one table that are followed and shown; all are counted
LINEAGE = ("model", "prompt_version", "seed", "round")


class Line:
    """What lies in a folder: its tables and its run."""

    def __init__(self, root: Path) -> None:
        self.root, self.run = root, Run(root)

    @cached_property
    def index(self) -> Index:
        return Index(self.root)


@dataclass(frozen=True)
class Origin:
    """A row and what it came out of. `via`: the columns of the row below that name it. `more`: table → parents that are not shown."""

    place: str
    id: str
    via: tuple[str, ...]
    row: dict[str, Any]
    stage: str
    requests: tuple[Asked, ...] = ()
    asked: int = 0  # requests in all; `requests` has those that were looked up
    parents: tuple["Origin", ...] = ()
    more: dict[str, int] = field(default_factory=dict)
    again: bool = False  # shown above already

    def walk(self) -> Iterable["Origin"]:
        yield self
        for parent in self.parents:
            yield from parent.walk()


@dataclass(frozen=True)
class Made:
    """The stage that wrote the row's table, as dvc.lock has it. `same`: whether the file here is that one, None: not compared."""

    stage: str
    command: str
    params: dict[str, Any]
    path: str
    md5: str
    same: bool | None


@dataclass(frozen=True)
class Source:
    """A problem's source, and its licence: the source's where the params say one, the template's own, else the release's."""

    problem: str
    source: str
    settings: dict[str, Any]
    licence: str


@dataclass(frozen=True)
class Trace:
    """`origin` is None for a request that no row here holds."""

    origin: Origin | None
    request: Asked | None
    source: Source | None
    stages: tuple[Made, ...]
    models: tuple[ModelOrigin, ...]
    prompts: tuple[PromptText, ...]
    made: tuple[Level, ...]
    datasets: tuple[Holding, ...]
    revision: str
    changed: bool
    lock_md5: str
    published: dict[str, Any]


def trace(line: Line, what: str, depth: int | None = None, *, down: bool = True) -> Trace:
    """`what`: an id or its beginning, `table/ID`, `table#NUMBER`, or a request's key or its beginning. `depth`: steps up and down at most;
    without `down` only up. Raises DataError for one that is unknown or ambiguous."""
    found = resolve(line, what)
    if isinstance(found, str):
        return _of_request(line, found, depth, down)
    origin = _origin(line, found, (), {}, depth)
    return _whole(line, origin, None, line.index.made_of([found.id], depth) if down else [], [found.id])


def resolve(line: Line, what: str) -> Found | str:
    """The one row that `what` means, or the key of a request."""
    index, (name, mark, rest) = line.index, _split(what)
    if mark and name not in index.places and name not in index.datasets:
        raise DataError(f"no table or dataset {name!r} here: there is {', '.join(index.places)}")
    if mark == "#":
        if not rest.isdecimal():
            raise DataError(f"{what}: expected a number behind #, counted from 0")
        if not (found := index.number(name, int(rest))):
            raise DataError(f"{what}: {name} has fewer rows; they are counted from 0")
        return _in_table(line, found)
    if not rest:
        raise DataError(f"{what!r} names no row: expected an id, how it begins, TABLE/ID, TABLE#NUMBER, or a request's key")
    rows = index.find(rest, [index.places[name]] if mark and name in index.places else None)
    rows = [row for row in rows if not mark or row.place == name]
    if len(rows) == 1:
        return rows[0]
    keys = [] if rows or mark else sorted({*index.key(rest), *begin_so(rest, SHOWN + 1)})
    if len(keys) == 1:
        return keys[0]
    if several := [str(row) for row in rows] or keys:
        shown = ", ".join(several[:SHOWN]) + (", …" if len(several) > SHOWN else "")
        raise DataError(f"{what} begins more than one id: {shown}; give more of it, or TABLE/ID")
    tables = sum(not place.rejects for place in index.places.values())
    raise DataError(
        f"nothing here has the id {what}: looked at {tables} tables, {len(index.places) - tables} of rejects and the request store, from "
        f"{line.root.absolute()}; the beginning of an id is enough"
    )


def _split(what: str) -> tuple[str, str, str]:
    """(table, mark, rest): `rejects/restarts_r1/08ab` → ("rejects/restarts_r1", "/", "08ab")."""
    for mark in "#/":
        name, found, rest = what.rpartition(mark)
        if found and name:
            return name, mark, rest
    return "", "", what


def _in_table(line: Line, found: Found) -> Found:
    """A dataset's row in its table, where it lies with the same id."""
    if found.place in line.index.places:
        return found
    places = line.index.locate([found.id])
    if found.id not in places:
        raise DataError(f"{found.place}: row {found.id} is in no table here; trace the beginning of its id where its tables are")
    return Found(places[found.id], found.id)


def _origin(line: Line, found: Found, via: tuple[str, ...], seen: dict[str, None], left: int | None) -> Origin:
    place = line.index.places[found.place]
    row = {name: hidden(value) for name, value in line.index.row(found).items()}
    stage = line.run.maker(str(place.path.relative_to(line.root)))
    title = stage.title if stage else ""
    if found.id in seen:
        return Origin(found.place, found.id, via, row, title, again=True)
    seen[found.id] = None
    value = row.get(place.requests) if place.requests else None
    keys = [value] if isinstance(value, str) and value else list(value or ())
    parents, more = _parents(line, row, found, seen, left)
    return Origin(found.place, found.id, via, row, title, tuple(asked(keys, line.run)), len(keys), parents, more)


def _parents(
    line: Line, row: dict[str, Any], found: Found, seen: dict[str, None], left: int | None
) -> tuple[tuple[Origin, ...], dict[str, int]]:
    """The first FEW rows of each table that this one names; the others are counted."""
    if left == 0:
        return (), {}
    place = line.index.places[found.place]
    named: dict[str, list[str]] = {}
    for column in (*place.scalars, *place.lists):
        value = row[column]
        for key in [value] if column in SCALARS else list(value or ()):
            if key and key != found.id:
                named.setdefault(key, []).append(column)
    tables: dict[str, list[str]] = {}
    for key, table in line.index.locate(named).items():
        tables.setdefault(table, []).append(key)
    parents, more = [], {}
    for table in sorted(tables, key=list(line.index.places).index):
        keys = sorted(tables[table], key=list(named).index)
        for key in keys[:FEW]:
            columns = tuple(dict.fromkeys(named[key]))
            parents.append(_origin(line, Found(table, key), columns, seen, None if left is None else left - 1))
        if len(keys) > FEW:
            more[table] = len(keys) - FEW
    return tuple(parents), more


def _of_request(line: Line, key: str, depth: int | None, down: bool) -> Trace:
    (request,) = asked([key], line.run)
    rows = line.index.asked_for(key)
    levels = [
        Level(1, place, (line.index.places[place].requests,), len(ids), tuple(ids))
        for place, ids in _by_place(rows).items()
    ]  # fmt: skip
    ids = [row.id for row in rows]
    further = line.index.made_of(ids, None if depth is None else depth - 1) if ids and down and depth not in (0, 1) else []
    deeper = [Level(level.steps + 1, level.place, level.via, level.rows, level.ids) for level in further]
    origin = None if len(rows) != 1 else _origin(line, rows[0], (), {}, depth)
    return _whole(line, origin, request, [*levels, *deeper], ids)


def _by_place(rows: Iterable[Found]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.place, []).append(row.id)
    return found


def _whole(line: Line, origin: Origin | None, request: Asked | None, made: list[Level], ids: list[str]) -> Trace:
    nodes = [node for node in origin.walk() if not node.again] if origin else []
    models = [str(node.row[name]) for node in nodes for name in ("model",) if node.row.get(name)]
    models += [request.model] if request and request.model else []
    prompts = [part for node in nodes for part in str(node.row.get("prompt_version") or "").split("+") if part]
    datasets = holdings(line.root, line.run, line.index, ids)
    return Trace(
        origin, request, _source(line, nodes), tuple(_stages(line, nodes)),
        tuple(model_origin(line.root, line.run, name) for name in dict.fromkeys(models)),
        tuple(prompt_text(line.root, line.run, version) for version in dict.fromkeys(prompts)), tuple(made), tuple(datasets),
        line.run.revision, line.run.changed, line.run.lock_md5, _published(line, datasets),
    )  # fmt: skip


def _stages(line: Line, nodes: list[Origin]) -> Iterable[Made]:
    for place in dict.fromkeys(node.place for node in nodes):
        path = str(line.index.places[place].path.relative_to(line.root))
        if stage := line.run.maker(path):
            out = stage.out(path)
            yield Made(stage.title, stage.command, stage.params, path, out.md5 if out else "", line.run.same(out) if out else None)


def _source(line: Line, nodes: list[Origin]) -> Source | None:
    problem = next((node for node in nodes if node.place == "problems"), None)
    licence = next((str(node.row["licence"]) for node in nodes if node.row.get("licence")), "")
    if problem is None:
        return None
    name, stage = str(problem.row.get("source", "")), line.run.maker("data/tables/problems.parquet")
    sources = stage.params.get("problems.sources", []) if stage else []
    settings = next((entry for entry in sources if isinstance(entry, dict) and entry.get("name") == name), {})
    released = next((stage.params["release.licence"] for stage in line.run.stages.values() if "release.licence" in stage.params), "")
    return Source(problem.id, name, settings, str(settings.get("licence") or licence or released))


def _published(line: Line, datasets: list[Holding]) -> dict[str, Any]:
    """What data/published.json says, where it speaks of a dataset that holds the row. `changed`: those of which other rows were published
    than lie here."""
    told = line.run.published
    listed = told.get("datasets")
    hashes = listed if isinstance(listed, dict) else {}
    mine = {dataset.name: hashed(hashes[dataset.name]) == dataset.sha256 for dataset in datasets if dataset.name in hashes}
    if not mine:
        return {}
    same, changed = ([name for name, equal in mine.items() if equal is wanted] for wanted in (True, False))
    place = {name: told.get(name, "") for name in ("endpoint", "repo", "commit")}
    return {**place, "datasets": same, "changed": changed}
