"""Two states of one table beside each other, by id: rows that came, that went, that say something else; and how distributions moved.

    compare(Path("…/before.parquet"), Path("data/tables/restarts_r1.parquet"))
    → Compared(before=1100, now=1180, added=140, removed=60, changed=0, columns={}, …)

Ids are hashes of content: where a text changes its row usually goes, and another one comes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from factory.reports.columns import Categories, Distribution, Numbers, distributions
from factory.reports.plots import bins
from factory.reports.scan import Scan, literal, quoted

READ = 2  # rows that are shown of each kind
LOOKED = 10_000  # changed rows in which changed columns are counted


@dataclass(frozen=True)
class Compared:
    """`columns`: column → changed rows in which it differs, of the first LOOKED; `new` and `gone`: columns that only one side has.
    `problems`: (only before, in both, only now) distinct problems, None for a table without. `examples`: kind (added, removed, changed) →
    rows, of the changed ones (before, now)."""

    before: int
    now: int
    added: int
    removed: int
    changed: int
    columns: Mapping[str, int] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    problems: tuple[int, int, int] | None = None
    examples: Mapping[str, list[Any]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        return not (self.added or self.removed or self.changed or self.new or self.gone)


def compare(before: Path, now: Path) -> Compared:
    """Of two Parquet files with a column `id`."""
    with Scan.of(before) as old, Scan.of(now) as new:
        return _Pair(old, new).compared()


class _Pair:
    def __init__(self, old: Scan, new: Scan) -> None:
        self.old, self.new = old, new
        self.common = [name for name in new.names if name in old.names and new.schema.field(name).type == old.schema.field(name).type]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return self.new.ask(query.replace("{old}", self.old.source))

    def compared(self) -> Compared:
        said = f"hash({', '.join(quoted(name) for name in self.common)})"
        self.ask(
            f"CREATE TEMP TABLE differs AS SELECT id, o.said IS NULL AS added, n.said IS NULL AS removed FROM "
            f"(SELECT id, {said} AS said FROM {{rows}}) n FULL JOIN (SELECT id, {said} AS said FROM {{old}}) o USING (id) "
            "WHERE o.said IS DISTINCT FROM n.said"
        )
        added, removed, changed = self.ask(
            "SELECT count(*) FILTER (added), count(*) FILTER (removed), count(*) FILTER (NOT added AND NOT removed) FROM differs"
        )[0]
        columns = self._columns() if changed else {}
        new, gone = (tuple(name for name in scan.names if name not in self.common) for scan in (self.new, self.old))
        counts = (self.old.rows, self.new.rows, added, removed, changed)
        return Compared(*counts, columns, new, gone, self._problems(), dict(self._examples()))

    def _changed(self) -> str:
        return f"(SELECT id FROM differs WHERE NOT added AND NOT removed ORDER BY id LIMIT {LOOKED})"

    def _columns(self) -> dict[str, int]:
        parts = ", ".join(f"count(*) FILTER (o.{quoted(name)} IS DISTINCT FROM n.{quoted(name)})" for name in self.common)
        counts = self.ask(f"SELECT {parts} FROM {{rows}} n JOIN {{old}} o USING (id) WHERE id IN {self._changed()}")[0]
        return {name: count for name, count in zip(self.common, counts, strict=True) if count}

    def _problems(self) -> tuple[int, int, int] | None:
        if "problem_id" not in self.common:
            return None
        one, other = "SELECT DISTINCT problem_id AS key FROM {old}", "SELECT DISTINCT problem_id AS key FROM {rows}"
        counts = "count(*) FILTER (n.key IS NULL), count(*) FILTER (n.key = o.key), count(*) FILTER (o.key IS NULL)"
        found = self.ask(f"SELECT {counts} FROM ({other}) n FULL JOIN ({one}) o ON n.key = o.key")[0]
        return found[0], found[1], found[2]

    def _examples(self) -> Iterator[tuple[str, list[Any]]]:
        for kind, where in (("added", "added"), ("removed", "removed"), ("changed", "NOT added AND NOT removed")):
            ids = [key for (key,) in self.ask(f"SELECT id FROM differs WHERE {where} ORDER BY id LIMIT {READ}")]
            old, new = (_rows(scan, ids) for scan in (self.old, self.new))
            yield kind, [(old[key], new[key]) if kind == "changed" else (new if kind == "added" else old)[key] for key in ids]


def _rows(scan: Scan, ids: list[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    names = ", ".join(map(quoted, scan.names))
    rows = scan.ask(f"SELECT {names} FROM {{rows}} WHERE id IN ({', '.join(map(literal, ids))})")
    return {row["id"]: row for row in (dict(zip(scan.names, values, strict=True)) for values in rows)}


# -- distributions


@dataclass(frozen=True)
class Moved:
    """A column's distribution in both states. `shift`: the share of rows that would have to move to make them alike, in [0, 1]."""

    before: Distribution
    now: Distribution
    shift: float


def moved(before: Path, now: Path) -> list[Moved]:
    """The columns whose distributions differ, the farthest first."""
    with Scan.of(before) as old, Scan.of(now) as new:
        earlier = {part.name: part for part in distributions(old)}
        pairs = [(earlier[part.name], part) for part in distributions(new) if part.name in earlier]
    found = [Moved(one, other, shift(one, other)) for one, other in pairs if type(one) is type(other)]
    return sorted((item for item in found if item.shift > 1e-9), key=lambda item: (-item.shift, item.now.name))


def shift(one: Distribution, other: Distribution) -> float:
    """Total variation distance, of numbers between the cells of the plot that shows them."""
    if not one.rows or not other.rows:
        return float(bool(one.rows) != bool(other.rows))
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        cut = bins([other, one])
        sides = [_cells(part, cut.of) for part in (one, other)]
    else:
        assert isinstance(one, Categories)
        assert isinstance(other, Categories)
        sides = [{name: count / part.rows for name, count in part.counts.items()} for part in (one, other)]
    return sum(abs(sides[0].get(key, 0) - sides[1].get(key, 0)) for key in {*sides[0], *sides[1]}) / 2


def _cells(part: Numbers, of: Any) -> dict[Any, float]:
    shares: dict[Any, float] = {}
    for value, count in part.counts.items():
        shares[of(value)] = shares.get(of(value), 0.0) + count / part.rows
    return shares
