"""The buffers of start states, out of tables of any size (Satori Algorithm 1). What concerns one row alone stands in `restarts.py`.

    with scratch("restarts_r1") as folder:
        with workers() as each:
            buffers = start_states(TABLES / "problems.parquet", TABLES / "rollouts_r1.parquet", draw, folder, each)
        merge(TABLES / "restarts_r1.parquet", Restart, buffers.rows)

Every rollout is judged; parents are drawn from the columns that this leaves; the texts of those drawn are read again and cut. The first and
the last a row group at a time in several processes. A seed of names decides, so nothing depends on how many there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from factory.coat.cutting import SIGNS
from factory.coat.grammar import parses
from factory.coat.pass_rates import outside
from factory.coat.restarts import WINDOW, Buffers, Draw, Prefer, after_parent, after_teacher, choice, no_teacher, plain_state, unfit
from factory.errors import DataError
from factory.language.prompting import Prompts
from factory.merging import Run, spill
from factory.processes import Each
from factory.rejects import reject
from factory.row_groups import Group, groups, read_group
from factory.schemas import Problem, Reject, Restart, Rollout, Row, arrow_schema, field_types

JUDGED = ("problem_id", "pass_rate", "verdict", "finish_reason")
KEPT = ["problem_id", "pass_rate"]
CUT = ("id", "prompt", "completion", "pass_rate")
KNOWN = ("id", "split", "answer", "answer_kind", "decimals")
ASKED = ("id", "problem", "solution", "answer", "answer_kind", "decimals")
HELD = 1 << 25  # characters of rejects that are held before they are set aside
KEYS = 20_000  # problems for which one process draws at once


class Part(NamedTuple):
    """Some rows of a row group: `chosen` has their positions in the table (`place`), rising, and what is known of them."""

    group: Group
    chosen: pl.DataFrame

    @property
    def mask(self) -> np.ndarray:
        keep = np.zeros(self.group.rows, bool)
        keep[self.chosen["place"].to_numpy() - self.group.start] = True
        return keep


def start_states(problems: Path, rollouts: Path, draw: Draw, folder: Path, each: Each, *, any_split: bool = False) -> Buffers:
    """D0, D+, D- and a teacher's beginnings, of train problems that the round's policy was sampled on; with `any_split` of all. Both tables
    are sorted by id. `each`: the processes that read row groups (factory/processes.py).

    Raises DataError for a parent whose problem the table lacks."""
    found, sources, tries = Buffers(), groups(problems), groups(rollouts)
    every = _columns(sources, Problem, KNOWN)
    tried = _judged(tries, every["id"], draw, folder, each, found)
    known = tried.group_by("problem").agg(pl.col("pass_rate").last()).rename({"problem": "place"})
    every = every.join(known, on="place", how="left", maintain_order="left")
    startable = every if any_split else every.filter((pl.col("split") == "train") & pl.col("pass_rate").is_not_null())
    startable = startable.with_columns(pl.Series("outside", [_outside(draw, rate) for rate in startable["pass_rate"]], pl.String))

    for sign in SIGNS.values():
        parents = tried.filter(pl.col("sign") == sign)
        drawn = _quota(parents, every["id"], sign, draw, each)
        asked = pl.concat([drawn.select("place", "sign"), every.drop("place", "pass_rate")[drawn["problem"]]], how="horizontal")
        found.rows += each(partial(_after_parents, draw, folder), _parts(tries, asked))
        found.sizes[sign] = drawn.height
        found.not_drawn += parents.height - drawn.height

    never = startable.filter(pl.col("pass_rate") == 0) if draw.teacher else startable.clear()
    found.left_out = any(_outside(draw, rate) for rate in tried["pass_rate"].unique())
    teachable = _teachable(sources, startable, never, draw, folder, each, found)
    taught = _first(never.filter(pl.col("place").is_in(teachable)), draw.teacher, draw, "teacher")
    plain = _first(startable.filter(pl.col("outside").is_null()), draw.plain, draw, "plain")
    for buffer, drawn in (("t", taught), ("0", plain)):
        found.rows += each(partial(_without_parents, draw, folder, buffer), _parts(sources, drawn))
        found.sizes[buffer] = drawn.height
    return found


def _outside(draw: Draw, rate: float | None) -> str | None:
    return outside(rate, draw.window, WINDOW)


# -- which rollouts can be continued


def _judged(tries: Sequence[Group], names: pl.Series, draw: Draw, folder: Path, each: Each, found: Buffers) -> pl.DataFrame:
    """place, problem (where its id stands among `names`), pass_rate and sign of every rollout: no sign where it is a reject, "" where no
    sign was asked for."""
    tables = []
    for table, rejects in each(partial(_judge, draw, folder), tries):
        tables.append(table)
        found.rejects += rejects
    judged = pa.concat_tables(tables)
    problem = pc.index_in(judged["problem_id"], pa.array(names.to_list(), pa.string()))
    unknown = pc.and_(pc.is_null(problem), pc.not_equal(pc.fill_null(judged["sign"], ""), ""))
    if (lost := judged["problem_id"].filter(unknown)).length():
        raise DataError(f"{tries[0].path} has solutions of the problem {lost[0]}, which is no row of problems: make both again")
    columns = {"problem": problem.cast(pa.int64()), "pass_rate": judged["pass_rate"], "sign": judged["sign"]}
    frame = pl.DataFrame(pl.from_arrow(pa.table(columns))).with_row_index("place").cast({"place": pl.Int64})
    found.not_drawn = frame.filter(pl.col("sign") == "").height
    assert frame.height == sum(group.rows for group in tries)
    assert frame["sign"].null_count() == sum(len(run.ids) for run in found.rejects)
    return frame


def _judge(draw: Draw, folder: Path, group: Group) -> tuple[pa.Table, list[Run]]:
    """One row group's columns, and its rejects."""
    why, parts = cache(partial(_outside, draw)), []
    reasons: list[str | None] = []
    signs: list[str | None] = []
    for part in read_group(group, Rollout, [*JUDGED, "completion"] if draw.per_sign else JUDGED):
        for rate, finish, verdict, fine in zip(
            part["pass_rate"].to_pylist(), part["finish_reason"].to_pylist(), part["verdict"].to_pylist(), _fine(part, draw), strict=True
        ):  # fmt: skip
            reason = why(rate) or (unfit(finish, verdict, fine) if draw.per_sign else None)
            reasons.append(reason)
            signs.append(None if reason else SIGNS[verdict] if draw.per_sign else "")
        parts.append(part.select(KEPT))
    table = pa.Table.from_batches(parts, _schema(Rollout, KEPT)).append_column("sign", pa.array(signs, pa.string()))
    return table, _rejected(draw, folder, group, reasons)


def _fine(part: pa.RecordBatch, draw: Draw) -> list[bool]:
    """Whether each completion is a COAT trajectory; one without any token is."""
    if not draw.per_sign:
        return [True] * part.num_rows
    fine = np.ones(part.num_rows, bool)
    marked = np.flatnonzero(pc.match_substring(part["completion"], "<|").to_numpy(zero_copy_only=False))
    fine[marked] = [parses(text) for text in part["completion"].take(pa.array(marked)).to_pylist()]
    return fine.tolist()


def _rejected(draw: Draw, folder: Path, group: Group, reasons: Sequence[str | None]) -> list[Run]:
    """The rollouts of a group that have a reason, as rejects."""
    keep, whys = np.array([reason is not None for reason in reasons], bool), filter(None, reasons)
    rows = _rows(group, Rollout, list(field_types(Rollout)), keep) if keep.any() else ()
    return _set_aside(folder, (reject(f"restarts_{draw.round}", row, next(whys), row["problem_id"]) for row in rows))


# -- D+ and D-


def _quota(parents: pl.DataFrame, names: pl.Series, sign: str, draw: Draw, each: Each) -> pl.DataFrame:
    """At most one parent a problem, and of these the first `per_sign`: in seeded order; `even`: those first whose problem's pass rate is
    nearest to 1/2, `hard`: whose is lowest."""
    parents = parents.sort("problem", "place")  # of a problem in the order of their ids
    counts = parents.group_by("problem", maintain_order=True).len()
    counts = counts.with_columns(name=names[counts["problem"]])
    batches = [counts["name", "len"][start : start + KEYS].rows() for start in range(0, counts.height, KEYS)]
    chosen = [pair for batch in each(partial(_choices, draw, sign), batches) for pair in batch]
    firsts = counts["len"].cum_sum() - counts["len"]
    which = firsts + pl.Series([which for which, _ in chosen], dtype=firsts.dtype)
    drawn = parents[which].with_columns(pl.Series("order", [order for _, order in chosen], pl.Int64), rank=_rank(draw.prefer))
    return drawn.sort("rank", "order", "problem").head(draw.per_sign)


def _choices(draw: Draw, sign: str, batch: list[tuple[str, int]]) -> list[tuple[int, int]]:
    return [choice(draw, sign, problem_id, count) for problem_id, count in batch]


def _rank(prefer: Prefer) -> pl.Expr:
    rate = pl.col("pass_rate")
    return {"any": pl.lit(0.0), "even": (rate - 0.5).abs(), "hard": rate}[prefer]


def _after_parents(draw: Draw, folder: Path, part: Part) -> Run:
    rows = zip(_rows(part.group, Rollout, CUT, part.mask), part.chosen.iter_rows(named=True), strict=True)
    return spill(folder, Restart, [after_parent(draw, parent, problem["sign"], problem) for parent, problem in rows])


# -- plain problems and a teacher's


def _first(problems: pl.DataFrame, count: int, draw: Draw, buffer: str) -> pl.DataFrame:
    """In seeded order whatever their weights, by which they were sampled."""
    order = pl.Series("order", [draw.seed_for(buffer, name) for name in problems["id"]], pl.Int64)
    return problems.with_columns(order).sort("order", "id").head(count)


def _teachable(
    sources: Sequence[Group], startable: pl.DataFrame, never: pl.DataFrame, draw: Draw, folder: Path, each: Each, found: Buffers
) -> list[int]:  # fmt: skip
    """Places of the problems whose gold solution can be begun. The others are rejects, and so are problems outside of the window."""
    looked = startable.with_columns(never=pl.col("place").is_in(never["place"].implode()))
    places: list[int] = []
    for fit, rejects in each(
        partial(_look, draw, folder), _parts(sources, looked.filter(pl.col("never") | pl.col("outside").is_not_null()))
    ):
        places += fit
        found.rejects += rejects
        found.left_out |= bool(rejects)
    return places


def _look(draw: Draw, folder: Path, part: Part) -> tuple[list[int], list[Run]]:
    fit: list[int] = []

    def refused() -> Iterator[Reject]:
        rows = _rows(part.group, Problem, list(field_types(Problem)), part.mask)
        for row, place, left_out, never in zip(rows, *part.chosen["place", "outside", "never"], strict=True):
            untaught = no_teacher(row["solution"], draw.cuts.by) if never else None
            if never and not untaught:
                fit.append(place)
            yield from (reject(f"restarts_{draw.round}", row, reason, row["id"]) for reason in (left_out, untaught) if reason)

    runs = _set_aside(folder, refused())
    return fit, runs


def _without_parents(draw: Draw, folder: Path, buffer: str, part: Part) -> Run:
    prompts = Prompts.of(draw.prompts)
    rows = zip(_rows(part.group, Problem, ASKED, part.mask), part.chosen["pass_rate"], strict=True)
    made = [after_teacher(draw, prompts, row) if buffer == "t" else plain_state(draw, prompts, row, rate) for row, rate in rows]
    return spill(folder, Restart, made)


# -- row groups


def _columns(sources: Sequence[Group], row_type: type[Row], columns: Sequence[str]) -> pl.DataFrame:
    """These columns of all rows, and `place`."""
    parts = chain.from_iterable(read_group(group, row_type, columns) for group in sources)
    table = pa.Table.from_batches(parts, _schema(row_type, columns))
    return pl.DataFrame(pl.from_arrow(table)).with_row_index("place").cast({"place": pl.Int64})


def _schema(row_type: type[Row], columns: Sequence[str]) -> pa.Schema:
    return pa.schema([arrow_schema(row_type).field(name) for name in columns])


def _parts(sources: Sequence[Group], chosen: pl.DataFrame) -> list[Part]:
    """The rows by the row groups that hold them; groups without one are left out."""
    chosen = chosen.sort("place")
    places = chosen["place"].to_numpy()
    ends = np.searchsorted(places, [group.start + group.rows for group in sources])
    starts = [0, *ends[:-1]]
    return [Part(group, chosen[start:end]) for group, start, end in zip(sources, starts, ends, strict=True) if start < end]


def _rows(group: Group, row_type: type[Row], columns: Sequence[str], keep: np.ndarray) -> Iterator[dict[str, Any]]:
    return chain.from_iterable(part.to_pylist() for part in read_group(group, row_type, columns, keep))


def _set_aside(folder: Path, rejects: Iterable[Reject]) -> list[Run]:
    """Rejects as runs, some at once."""
    runs: list[Run] = []
    held: list[Reject] = []
    size = 0
    for row in rejects:
        held.append(row)
        size += len(row.row)
        if size > HELD:
            runs.append(spill(folder, Reject, held))
            held, size = [], 0
    return [*runs, spill(folder, Reject, held)] if held else runs
