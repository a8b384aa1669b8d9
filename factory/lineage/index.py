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
from factory.lineage.names import IN_REJECTS
from factory.lineage.places import Place, places, quoted
from factory.storage import DATASETS, shards

SHOWN = 10  # candidates of an ambiguous prefix
FEW = 8  # ids that are looked for in JSON by their text
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
        chosen = self.places.values() if places is None else places
        parts = [f"(SELECT {quoted(place.name)}, id FROM {place.scan} WHERE id >= $1 AND id < $2 LIMIT {SHOWN + 1})" for place in chosen]
        found = [Found(*row) for row in self.ask(" UNION ALL ".join(parts), [prefix, prefix + END])] if parts else []
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
        """Which table has each of these ids; those that none has are left out. Rejects are no parents."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        parts = [
            f"SELECT id, {quoted(place.name)} FROM {place.scan} WHERE id IN (SELECT unnest($1::VARCHAR[]))"
            for place in self.places.values()
            if not place.rejects
        ]
        return dict(self.ask(" UNION ALL ".join(parts), [wanted])) if parts else {}

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
        self.ask("CREATE OR REPLACE TEMP TABLE seen (id VARCHAR, place VARCHAR, via VARCHAR, steps INTEGER)")
        self.ask("CREATE OR REPLACE TEMP TABLE frontier AS SELECT DISTINCT unnest($1::VARCHAR[]) AS id", [list(ids)])
        self.ask("CREATE OR REPLACE TEMP TABLE known AS SELECT id FROM frontier")
        steps = 0
        while ids and (depth is None or steps < depth):
            steps += 1
            links = " UNION ALL ".join(part for place in self.places.values() for part in _links(place, ids if steps == 1 else ()))
            self.ask(
                f"CREATE OR REPLACE TEMP TABLE next AS SELECT * FROM ({links}) WHERE id NOT IN (SELECT id FROM known)"
                " AND link IN (SELECT id FROM frontier)"
            )
            self.ask(f"INSERT INTO seen SELECT DISTINCT id, place, via, {steps} FROM next")
            self.ask("CREATE OR REPLACE TEMP TABLE frontier AS SELECT DISTINCT id FROM next WHERE NOT starts_with(place, 'rejects/')")
            self.ask("INSERT INTO known SELECT DISTINCT id FROM next")
            if not self.ask("SELECT count(*) FROM frontier")[0][0]:
                break
        rows = self.ask(
            f"SELECT steps, place, list(DISTINCT via ORDER BY via), count(DISTINCT id), (list(DISTINCT id ORDER BY id))[:{KEPT}]"
            " FROM seen GROUP BY steps, place ORDER BY steps, place"
        )
        return [Level(steps, place, tuple(via), count, tuple(found)) for steps, place, via, count, found in rows]

    def holding(self, ids: Sequence[str]) -> dict[str, int]:
        """Released datasets that hold rows of these ids, and how many."""
        counts = {}
        for name, files in self.datasets.items():
            read = f"read_parquet([{', '.join(quoted(str(file)) for file in files)}])"
            ((count,),) = self.ask(f"SELECT count(*) FROM {read} WHERE id IN (SELECT unnest($1::VARCHAR[]))", [list(ids)])
            if count:
                counts[name] = count
        return counts


def _links(place: Place, ids: Sequence[str]) -> Iterable[str]:
    """(id, place, via, link) of every link of a table. `ids`: the only ones that are looked for, where they are known: a rejected row's
    JSON is read only where it holds one of them. Without, they come from tables that have links themselves, so that none is a problem."""
    name = quoted(place.name)
    for column in place.scalars:
        yield f"SELECT id, {name} AS place, '{column}' AS via, {column} AS link FROM {place.scan}"
    for column in place.lists:
        yield f"SELECT id, {name} AS place, '{column}' AS via, unnest({column}) AS link FROM {place.scan}"
    if place.rejects and "row" in place.columns:
        chosen = f" WHERE {' OR '.join(f'contains(row, {quoted(key)})' for key in ids)}" if 0 < len(ids) <= FEW else ""
        for column in IN_REJECTS if ids else ("id",):
            said = f'regexp_extract(row, \'"{column}": "([^"]+)"\', 1)'
            yield f"SELECT id, {name} AS place, 'row.{column}' AS via, {said} AS link FROM {place.scan}{chosen}"
