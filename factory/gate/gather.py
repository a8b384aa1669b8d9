"""The background of a dataset, from the tables beside it.

    gather("restarts_r1", params)   → Background(problems={…}, rollouts={"51aa…": Rollout(…), …}, …), from datasets.restarts_r1.parents

Of problems and parents only the rows that the dataset names are kept, of these only the columns that its checks need (`table.needs_of`),
on disk; a template library is small and stands in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from factory.errors import ParamsError
from factory.gate.background import Background, kind_of
from factory.gate.kept import Folder, keep
from factory.gate.leakage import Sides, marks, two_sided
from factory.gate.source import Part, Source
from factory.gate.table import needs_of
from factory.params import Params
from factory.problems.processes import mapped
from factory.schemas import Problem, Rollout, Row, Template, Trajectory
from factory.storage import AUDITS, TABLES, read_rows

NAMED = ("problem_id", "parent_id", "chosen_id", "rejected_id", "parents")  # columns that name problems and parents
PLACED = ("id", "split", "instance", "problem")
NOBODY: Mapping[str, Any] = {}


def gather(dataset: str, params: Params, rows: pa.Table | Path | None = None, processes: int | None = None) -> Background:
    """`rows`: the audited ones, data/tables/<dataset>.parquet when None. Raises ParamsError for a dataset that the params do not list,
    DataError when a table is missing or malformed."""
    if dataset not in params.datasets:
        raise ParamsError(f"params.yaml lists no dataset {dataset!r}: expected one of {', '.join(params.datasets)}")
    kind, parents = kind_of(dataset), params.datasets[dataset].parents
    of, needs = kind_of(parents), needs_of(kind)
    problems, source = TABLES / "problems.parquet", TABLES / f"{parents}.parquet"
    wanted = named(Source(TABLES / f"{dataset}.parquet" if rows is None else rows))
    folder, known = Folder(AUDITS, dataset), _marks(problems, processes)
    templates = {row.id: row for row in read_rows(source, Template)} if of == "templates" and "templates" in needs else {}
    wanted |= {key for row in templates.values() for key in row.parents}

    def held(table: str, path: Path, row_type: type[Row]) -> Mapping[str, Any]:
        columns = sorted(needs.get(table, ()))
        return keep(folder, table, path, row_type, columns, wanted, processes=processes) if columns else NOBODY

    found: Mapping[str, float] | None = None
    if of == "rollouts" and "pass_rates" in needs:
        found = keep(folder, "rates", source, Rollout, ["pass_rate"], wanted, by="problem_id", processes=processes)
    return Background(
        purpose=params.purpose, notice=params.release.notice, steps=params.steps, problems=held("problems", problems, Problem),
        two_sided=two_sided(known), sides=Sides(known if "sides" in needs else known.clear()),
        rollouts=held("rollouts", source, Rollout) if of == "rollouts" else NOBODY, templates=templates,
        trajectories=held("trajectories", source, Trajectory) if of == "trajectories" else NOBODY,
        problem_rates=found,
    )  # fmt: skip


def named(source: Source) -> set[str]:
    """The ids that rows name."""
    columns = [name for name in NAMED if name in source.schema.names]
    return {key for name in columns for piece in source.column(name) for key in _texts(piece)}


def _texts(piece: pa.Array) -> Iterator[str]:
    flat = piece.flatten() if pa.types.is_list(piece.type) else piece
    return (key for key in flat.unique().to_pylist() if isinstance(key, str))


def _marks(path: Path, processes: int | None) -> Any:
    """As `leakage.marks`, of a table of problems."""
    import polars as pl

    source = Source(path)
    pieces: Sequence[Any] = list(mapped(partial(_marked, source), source.parts, source.processes(processes)))
    return pl.concat(pieces) if pieces else marks([])


def _marked(source: Source, part: Part) -> Any:
    batches = source.batches(part, PLACED)
    return marks(_Placed(*values) for batch in batches for values in zip(*(batch.column(place).to_pylist() for place in range(4))))


@dataclass(frozen=True)
class _Placed:
    id: str
    split: str
    instance: str
    problem: str
