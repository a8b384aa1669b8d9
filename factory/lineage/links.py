"""The SQL of all links between rows: which row of which file names which other, by which column.

table_links(small, large)   → SELECT id, file, via, link: of every column of a table that names other rows
reject_links(…)             → the same of rejects, and of the rows that were rejected, from their JSON

A query costs a millisecond a file before it reads a row, most of what a small line takes: files are read together, small ones once.
In a large table each column is a query of its own: DuckDB then decodes that column and reads ids only where it names a wanted row.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from factory.lineage.kept import said
from factory.lineage.names import IN_REJECTS
from factory.lineage.places import Place, quoted, scan

FEW = 8  # ids that are looked for in JSON by their text
SMALL = 200_000  # rows of all tables whose links are kept in memory


def by_size(tables: Iterable[Place]) -> tuple[list[Place], list[Place]]:
    """Those that have at most SMALL rows together, the smallest first, and the others."""
    rising = sorted(tables, key=lambda place: place.rows)
    count = sum(total <= SMALL for total in accumulate(place.rows for place in rising))
    return rising[:count], rising[count:]


def together(places: Sequence[Place]) -> str:
    """All links of these tables, read once."""
    scalars, lists = _named(places)
    links = (
        " UNION ALL ".join(columns("read", scalars, lists)) or "SELECT id, filename AS file, '' AS via, id AS link FROM read WHERE false"
    )
    read = f"SELECT {', '.join(('id', 'filename', *scalars, *lists))} FROM {scan(place.path for place in places)}"
    return f"WITH read AS MATERIALIZED ({read}) SELECT * FROM ({links}) WHERE link IS NOT NULL"


def _named(places: Sequence[Place]) -> tuple[list[str], list[str]]:
    """The columns that name other rows, of all of these together: single ids, lists of them."""
    one = dict.fromkeys(name for place in places for name in place.scalars)
    return list(one), list(dict.fromkeys(name for place in places for name in place.lists))


def columns(source: str, scalars: Iterable[str], lists: Iterable[str]) -> Iterable[str]:
    """The links of each column on its own."""
    for column in scalars:
        yield f"SELECT id, filename AS file, '{column}' AS via, {column} AS link FROM {source}"
    for column in lists:
        yield f"SELECT id, filename AS file, '{column}' AS via, unnest({column}) AS link FROM {source}"


def rejected(places: Sequence[Place], narrow: Mapping[str, Path], ids: Sequence[str], reached: Sequence[str]) -> list[str]:
    """The links of rejects. `row.problem_id` counts for `ids` alone, from which the descent began; `reached`: all that it has come to, none
    where they are more than FEW. `narrow`: place → the file with what its JSON says; of others the JSON is read once, and only searched
    further where it holds one of them."""
    parts = list(columns(scan(place.path for place in places), *_named(places)))
    spoken = [place for place in places if "row" in place.columns]
    for place in spoken:
        if kept := narrow.get(place.name):
            source, file = f"read_parquet({quoted(str(kept))})", quoted(str(place.path))
            parts += [f"SELECT id, {file} AS file, 'row.{name}' AS via, row_{name} AS link FROM {source}" for name in IN_REJECTS]
    if files := [place.path for place in spoken if place.name not in narrow]:
        first, second = map(said, IN_REJECTS)
        via = ", ".join(f"'row.{name}'" for name in IN_REJECTS)
        parts.append(
            f"SELECT id, filename AS file, unnest([{via}]) AS via, unnest([{first}, CASE WHEN {_holds(ids)} THEN {second} END]) AS link"
            f" FROM {scan(files)} WHERE {_holds(reached)}"
        )
    return parts


def _holds(ids: Sequence[str]) -> str:
    return " OR ".join(f"contains(row, {quoted(key)})" for key in ids) if 0 < len(ids) <= FEW else "true"
