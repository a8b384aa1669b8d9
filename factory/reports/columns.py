"""What a table's columns hold: distributions of lengths, numbers and categories, counted by SQL.

    with Scan.of(Path("data/datasets/restarts_r1")) as scan:
        list(distributions(scan))
    → [Numbers("backtrack", "", {0: 367, 1: 380, 2: 353}, 0), Categories("buffer", {"0": 900, "+": 100, "-": 100}, 0),
       Numbers("prompt", "characters", {61: 4, …}, 0), …]

Texts are measured in characters (a tokenizer would be one model's), lists in items, numbers as they are; a text column with few distinct
values is a category. Ids, seeds and lineage are left out: they are links, not quantities.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import fsum

import pyarrow as pa

from factory.coat.grammar import ACTIONS
from factory.reports.scan import Scan, literal, quoted

MANY = 12  # distinct values of a category that are shown
LOOKED = 10_000  # rows in which a text column must have few values to be a category
DISTINCT = 4_000  # values of a number column that are counted one by one; more are cut into CELLS
CELLS = 400
LONGEST = 60  # characters of a category's value
LINKS = ("id", "seed", "parents", "request_ids", "instance", "interval", "wrong_spans", "pass_low", "pass_high")
NAMES = ("model", "prompt_version", "round", "source", "licence", "family", "group", "reason")  # always categories
KEPT = 200  # values of a category that are told apart, the commonest
SPARK = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Numbers:
    """`counts`: value → rows; `none`: rows without one. `unit`: characters, items, or "" of a plain number."""

    name: str
    unit: str
    counts: Mapping[float, int]
    none: int = 0

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    def at(self, share: float) -> float:
        """The smallest value that this share of the rows does not exceed (nearest rank)."""
        rising = sorted(self.counts)
        upto = list(accumulate(self.counts[value] for value in rising))
        return rising[min(len(rising) - 1, bisect_left(upto, share * upto[-1]))]

    @property
    def mean(self) -> float:
        return fsum(value * count for value, count in self.counts.items()) / self.rows

    @property
    def constant(self) -> bool:
        return len(self.counts) < 2


@dataclass(frozen=True)
class Categories:
    """`counts`: value → rows, the commonest first, at most KEPT; `other`: how many values more there are, in `beyond` rows; `none`: rows
    without one."""

    name: str
    counts: Mapping[str, int]
    none: int = 0
    other: int = 0
    beyond: int = 0

    @property
    def rows(self) -> int:
        return sum(self.counts.values()) + self.beyond

    @property
    def constant(self) -> bool:
        return len(self.counts) < 2 and not (self.counts and self.none)

    @property
    def shown(self) -> dict[str, int]:
        """At most MANY, the rest as one."""
        items = list(self.counts.items())
        if len(items) <= MANY and not self.other:
            return dict(items)
        first = items[: MANY - 1]
        more = len(items) - len(first) + self.other
        return dict(first) | {f"{more:,} others": self.rows - sum(count for _, count in first)}


Distribution = Numbers | Categories


def distributions(scan: Scan) -> Iterator[Distribution]:
    """One a column that says something, in the file's order; nothing of an empty table."""
    for field in scan.schema if scan.rows else ():
        if field.name not in LINKS and not field.name.endswith("_id") and not field.name.endswith("_ids"):
            yield from _of(scan, field.name, field.type)


def _of(scan: Scan, name: str, kind: pa.DataType) -> Iterator[Distribution]:
    column = quoted(name)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield _category(scan, name) or _numbers(name, "characters", scan.counts(f"length({column})"))
    elif pa.types.is_boolean(kind):
        yield _categories(scan, name, f"CASE WHEN {column} THEN 'yes' WHEN NOT {column} THEN 'no' END")
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        yield _numbers(name, "", _values(scan, column))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if pa.types.is_struct(kind.value_type) and "content" in [field.name for field in kind.value_type]:
            said = f"list_sum(list_transform({column}, lambda turn: length(turn.content)))"
            yield _numbers(name, "characters", scan.counts(f"coalesce({said}, 0)"))
        else:
            yield _numbers(name, "items", scan.counts(f"len({column})"))


def _numbers(name: str, unit: str, counts: Counter) -> Numbers:
    none = counts.pop(None, 0)
    return Numbers(name, unit, dict(sorted(counts.items())), none)


def _categories(scan: Scan, name: str, value: str) -> Categories:
    counted = f"(SELECT {value} AS value, count(*) AS rows FROM {{rows}} GROUP BY ALL)"
    common = scan.ask(f"SELECT value, rows FROM {counted} WHERE value IS NOT NULL ORDER BY rows DESC, value LIMIT {KEPT}")
    distinct, none = scan.ask(f"SELECT count(value), coalesce(sum(rows) FILTER (value IS NULL), 0) FROM {counted}")[0]
    beyond = scan.rows - int(none) - sum(count for _, count in common)
    return Categories(name, dict(common), int(none), distinct - len(common), beyond)


def _category(scan: Scan, name: str) -> Categories | None:
    """None where the first rows have many values, long ones, or nearly each its own."""
    column = quoted(name)
    if name not in NAMES:
        few = f"(SELECT {column} AS value FROM {{rows}} LIMIT {LOOKED})"
        distinct, longest, looked = scan.ask(f"SELECT count(DISTINCT value), max(length(value)), count(*) FROM {few}")[0]
        if distinct > 2 * MANY or (longest or 0) > LONGEST or distinct * 2 > max(looked, 2):
            return None
    return _categories(scan, name, column)


def _values(scan: Scan, column: str) -> Counter:
    """Each value, or the middle of its cell where there are very many."""
    finite = f"(SELECT {column}::DOUBLE AS value FROM {{rows}})"
    distinct, low, high = scan.ask(f"SELECT approx_count_distinct(value), min(value), max(value) FROM {finite} WHERE isfinite(value)")[0]
    if low is None:
        return Counter({None: scan.rows})
    value = f"CASE WHEN isfinite({column}::DOUBLE) THEN {column} END"
    if distinct <= DISTINCT or high == low:
        return scan.counts(value)
    width = (high - low) / CELLS
    cell = f"least({CELLS - 1}, floor(({value} - {low!r}) / {width!r}))"
    return Counter({None if at is None else low + (at + 0.5) * width: count for at, count in scan.counts(cell).items()})


def written(value: float) -> str:
    """As people read it: thousands apart, four digits of a fraction."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def spark(numbers: Numbers, cells: int = 12) -> str:
    """`▁▃█▅▂▁`: the shape between the least value and the 99th percentile; what lies above is in the last cell."""
    low, high = min(numbers.counts), numbers.at(0.99)
    heights = [0] * cells
    for value, count in numbers.counts.items():
        heights[min(cells - 1, int((value - low) / (high - low) * cells)) if high > low else 0] += count
    return "".join(SPARK[round(7 * height / max(heights))] for height in heights)


# -- COAT's meta-actions


@dataclass(frozen=True)
class Actions:
    """Of one text column: how often each meta-action stands in all rows, and how many rows have it."""

    name: str
    times: Mapping[str, int]
    rows: Mapping[str, int]


def actions(scan: Scan, name: str) -> Actions | None:
    """None of a column without any."""
    parts = []
    for token in ACTIONS.values():
        column, word = quoted(name), literal(token)
        parts += [
            f"sum(length({column}) - length(replace({column}, {word}, ''))) // {len(token)}",
            f"count(*) FILTER (contains({column}, {word}))",
        ]
    if not scan.rows:
        return None
    values = [int(value or 0) for value in scan.ask(f"SELECT {', '.join(parts)} FROM {{rows}}")[0]]
    found = Actions(name, dict(zip(ACTIONS, values[::2])), dict(zip(ACTIONS, values[1::2])))
    return found if any(values) else None
