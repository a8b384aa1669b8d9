"""Rollouts of any number of problems as a table: the bytes that `write_rows` would write, and never all of them in memory.

    names = places(TABLES / "problems.parquet", settings.problems, part, role)                   → [0, 3, 4, …], in the table's order
    with scratch("rollouts_base") as folder:
        made = set_aside(folder, sampled(engine, problems_at(TABLES / "problems.parquet", names), wanted, grader))
        merge(TABLES / "rollouts_base.parquet", Rollout, made.rows)

Of all problems id, split and weight are in memory until the part is drawn, then the places of those drawn; of all rows ids and sizes
(factory/merging.py). Problems are asked in the table's order, which is that of their ids: what a sample is depends on its own seed alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from factory.arrays import rows_of
from factory.coat.rollouts import Part, Tally, part_of
from factory.merging import Run, spill
from factory.params import Role
from factory.row_groups import groups, read_group
from factory.schemas import Problem, Reject, Rollout, field_types
from factory.tables import DrawnRollout

HELD = 1 << 24  # characters of completions, or of rejects, that are held before they are set aside


class _Known(NamedTuple):
    id: str
    split: str
    weight: float
    place: int


@dataclass
class Made:
    """Rows and rejects lie in files (factory/merging.py)."""

    rows: list[Run] = field(default_factory=list)
    rejects: list[Run] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


def places(problems: Path, count: int, part: int, role: Role) -> np.ndarray:
    """Where the problems of a part (`part_of`) stand in the table, rising. Raises ParamsError as `part_of` does."""
    return np.sort(np.array([known.place for known in part_of(_known(problems), count, part, role)], np.int64))


def _known(problems: Path) -> Iterator[_Known]:
    for group in groups(problems):
        place = group.start
        for piece in read_group(group, Problem, _Known._fields[:3]):
            yield from map(_Known, *(piece[name].to_pylist() for name in piece.schema.names), range(place, place + piece.num_rows))
            place += piece.num_rows


def problems_at(problems: Path, chosen: np.ndarray) -> Iterator[Problem]:
    """The problems at these places, a row group's in memory."""
    for group in groups(problems):
        inside = chosen[np.searchsorted(chosen, group.start) : np.searchsorted(chosen, group.start + group.rows)]
        if len(inside):
            keep = np.zeros(group.rows, bool)
            keep[inside - group.start] = True
            for piece in read_group(group, Problem, list(field_types(Problem)), keep):
                yield from rows_of(piece, Problem)


def set_aside(folder: Path, parts: Iterable[Part], row_type: type[Rollout] = Rollout) -> Made:
    """Rows and rejects as they come, in runs of `row_type` and Reject."""
    found = Made()
    rows, rows_held = list[Rollout](), 0
    rejects, rejects_held = list[Reject](), 0
    for some, failed in parts:
        found.tally.add(some, failed)
        rows += some
        rows_held += sum(map(_length, some))
        rejects += failed
        rejects_held += sum(len(row.row) for row in failed)
        if rows_held > HELD:
            found.rows.append(spill(folder, row_type, rows, packed=False))
            rows, rows_held = [], 0
        if rejects_held > HELD:
            found.rejects.append(spill(folder, Reject, rejects))
            rejects, rejects_held = [], 0
    found.rows += [spill(folder, row_type, rows, packed=False)] if rows else []
    found.rejects += [spill(folder, Reject, rejects)] if rejects else []
    return found


def _length(row: Rollout) -> int:
    tokens = len(row.token_ids) if isinstance(row, DrawnRollout) else 0
    return len(row.completion) + len(row.reasoning or "") + 16 * tokens
