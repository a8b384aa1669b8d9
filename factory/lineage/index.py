"""Rows by their ids, and the rows that name them: SQL over the Parquet files, no table as Python objects.

index = Index(Path("."))
index.find("7d132899")              → [Found("rollouts_r1", "7d132899fd6a049dd5db")]
index.locate(["7d13…", "a07b…"])    → {"7d13…": "rollouts_r1", "a07b…": "problems"}
index.made_of(["a07b…"], None)      → [Level(1, "rollouts_r1", ("problem_id", "parents"), 4, ("06d2…", …)), Level(2, "orm_pairs_r1", …), …]
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from factory.errors import DataError
from factory.lineage.kept import narrow
from factory.lineage.links import FEW, by_size, columns, rejected, together
from factory.lineage.places import Place, places, quoted, scan
from factory.storage import DATASETS, shards

SHOWN = 10  # candidates of an ambiguous prefix
KEPT = 1000  # ids of a level that are named; all are counted
END = chr(0x10FFFF)  # behind every text that begins like a prefix


class Found(NamedTuple):
    place: str
    id: str

    def __str__(self) -> str:
        return f"{self.place}/{self.id}"


@dataclass(frozen=True)
class Level:
    """Rows of one table that are `steps` links away from a row, by the columns `via`. `ids`: the first of them."""

    steps: int
    place: str
    via: tuple[str, ...]
    rows: int
    ids: tuple[str, ...]


class Index:
    """Raises DataError where no table lies under `root`, and in every call for a file that turns out to be damaged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = places(root)
        self.connection = duckdb.connect()
        self.ask("SET parquet_metadata_cache = true")
        self._named = {str(place.path): name for name, place in self.places.items()}

    def ask(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(query, list(values)).fetchall()
        except duckdb.Error as error:
            raise DataError(f"a table here is not readable ({str(error).splitlines()[0][:200]}): make it again") from None

    @cached_property
    def datasets(self) -> dict[str, list[Path]]:
        """Released datasets and their shards."""
        folders = sorted(path for path in (self.root / DATASETS).glob("*") if (path / "data").is_dir())
        return {folder.name: shards(folder) for folder in folders}

    def find(self, prefix: str, places: Iterable[Place] | None = None) -> list[Found]:
        """Rows whose id begins so, at most one more than SHOWN. A row that has exactly this id stands alone."""
        chosen = list(self.places.values() if places is None else places)
        order = ", ".join(quoted(str(place.path)) for place in chosen)
        query = (
            f"SELECT filename, id FROM {scan(place.path for place in chosen)} WHERE id >= $1 AND id < $2"
            f" ORDER BY id <> $1, list_position([{order}], filename), id LIMIT {SHOWN + 1}"
        )
        found = [Found(self._named[file], key) for file, key in self.ask(query, [prefix, prefix + END])]
        exact = [row for row in found if row.id == prefix]
        return exact or found

    def number(self, name: str, position: int) -> Found | None:
        """The row of a dataset, else of a table, that stands there, counted from 0 as `load_dataset` does. None where there is none."""
        files = self.datasets.get(name) or [self.places[name].path]
        for file in files:
            read = f"read_parquet({quoted(str(file))}, file_row_number = true)"
            ((count,),) = self.ask(f"SELECT count(*) FROM {read}")
            if position < count:
                return Found(name, self.ask(f"SELECT id FROM {read} WHERE file_row_number = $1", [position])[0][0])
            position -= count
        return None

    def row(self, found: Found) -> dict[str, Any]:
        """All columns of one row."""
        answer = self.ask(f"SELECT * FROM {self.places[found.place].scan} WHERE id = $1", [found.id])
        return dict(zip((column[0] for column in self.connection.description or ()), answer[0], strict=True))

    def locate(self, ids: Iterable[str]) -> dict[str, str]:
        """Which table has each of these ids, the last where several do; those that none has are left out. Rejects are no parents."""
        wanted, tables = sorted(set(ids)), [place.path for place in self.places.values() if not place.rejects]
        if not wanted or not tables:
            return {}
        rows = self.ask(f"SELECT id, filename FROM {scan(tables)} WHERE id IN (SELECT unnest($1::VARCHAR[]))", [wanted])
        return dict(sorted((key, self._named[file]) for key, file in rows))

    def asked_for(self, key: str) -> list[Found]:
        """Rows that hold a request whose key begins so."""
        parts = []
        for place in self.places.values():
            if place.requests == "request_ids":
                parts.append(f"SELECT {quoted(place.name)}, id FROM {place.scan} WHERE list_contains(request_ids, $1)")
            elif place.requests:
                parts.append(f"SELECT {quoted(place.name)}, id FROM {place.scan} WHERE {place.requests} = $1")
        return [Found(*row) for row in self.ask(" UNION ALL ".join(parts), [key])] if parts else []

    def key(self, prefix: str) -> list[str]:
        """Keys of requests that rows hold and that begin so, at most one more than SHOWN."""
        parts = [
            f"SELECT key FROM (SELECT {f'unnest({place.requests})' if place.requests == 'request_ids' else place.requests} AS key"
            f" FROM {place.scan}) WHERE key >= $1 AND key < $2"
            for place in self.places.values()
            if place.requests
        ]
        query = f"SELECT DISTINCT key FROM ({' UNION ALL '.join(parts)}) ORDER BY key LIMIT {SHOWN + 1}"
        return [row[0] for row in self.ask(query, [prefix, prefix + END])] if parts else []

    def made_of(self, ids: Sequence[str], depth: int | None) -> list[Level]:
        """Everything that names one of these rows, directly or through others, up to `depth` steps (None: to the end)."""
        self.ask("CREATE OR REPLACE TEMP TABLE seen (id VARCHAR, file VARCHAR, via VARCHAR, steps INTEGER)")
        self.ask("CREATE OR REPLACE TEMP TABLE reached AS SELECT DISTINCT unnest($1::VARCHAR[]) AS id, 0 AS steps", [list(ids)])
        steps, found = 0, len(ids)
        while found and (depth is None or steps < depth):
            last, steps = f"SELECT id FROM reached WHERE steps = {steps}", steps + 1
            links = " UNION ALL ".join(f"SELECT id, file, via FROM ({part}) WHERE link IN ({last})" for part in self._links)
            new = f"SELECT DISTINCT id, file, via, {steps} FROM ({links}) WHERE id NOT IN (SELECT id FROM reached)"
            ((found,),) = self.ask(f"INSERT INTO seen {new}") if links else [(0,)]
            self.ask(f"INSERT INTO reached SELECT DISTINCT id, {steps} FROM seen WHERE steps = {steps}")
        if steps:
            self._add_rejects(ids, steps if depth is None else depth)
        rows = self.ask(
            f"SELECT steps, file, list(DISTINCT via ORDER BY via), count(DISTINCT id), (list(DISTINCT id ORDER BY id))[:{KEPT}]"
            " FROM seen GROUP BY steps, file"
        )
        return sorted(
            (Level(steps, self._named[file], tuple(via), count, tuple(found)) for steps, file, via, count, found in rows),
            key=lambda level: (level.steps, level.place),
        )

    @cached_property
    def _links(self) -> list[str]:
        """Of all tables: what is small is in memory from now on."""
        small, large = by_size(place for place in self.places.values() if not place.rejects)
        if small:
            self.ask(f"CREATE TEMP TABLE remembered AS {together(small)}")
        parts = [part for place in large for part in columns(scan([place.path]), place.scalars, place.lists)]
        return [*parts, *(["SELECT * FROM remembered"] if small else [])]

    def _add_rejects(self, ids: Sequence[str], depth: int) -> None:
        """What was rejected of the rows that were reached in fewer than `depth` steps. Nothing is made of a reject, so that all files of
        them are read once, at the end."""
        reached = [key for (key,) in self.ask(f"SELECT id FROM reached WHERE steps < {depth} LIMIT {FEW + 1}")]
        places = [place for place in self.places.values() if place.rejects]
        kept = {place.name: file for place in places if "row" in place.columns and (file := narrow(self.root, place, self.ask))}
        links = " UNION ALL ".join(rejected(places, kept, ids, reached))
        if links:
            self.ask(
                "INSERT INTO seen SELECT DISTINCT id, file, via, steps + 1 FROM ("
                f"SELECT made.id, file, via, steps, min(steps) OVER (PARTITION BY made.id) AS least FROM ({links}) AS made"
                f" JOIN reached ON link = reached.id WHERE steps < {depth} AND (steps = 0 OR via <> 'row.problem_id')"
                ") WHERE steps = least AND id NOT IN (SELECT id FROM reached)"
            )

    def holding(self, ids: Sequence[str]) -> dict[str, int]:
        """Released datasets that hold rows of these ids, and how many."""
        names = {str(file): name for name, files in self.datasets.items() for file in files}
        query = f"SELECT filename, count(*) FROM {scan(map(Path, names))} WHERE id IN (SELECT unnest($1::VARCHAR[])) GROUP BY filename"
        counts = {names[file]: 0 for file in names}
        for file, count in self.ask(query, [list(ids)]) if names else ():
            counts[names[file]] += count
        return {name: count for name, count in counts.items() if count}
