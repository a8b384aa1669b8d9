"""Our verdicts beside the labels that a recorded line's file carries.

list(grading(published_labels(params)))   → [Prose("5,276 of 5,276 published labels agree with the grader (0 do not)."), Table(…)]
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from factory.engines.recorded_engine import read_recorded
from factory.params import Params
from factory.reports.agreement import Graded, Solved, graded
from factory.reports.page import Block, Prose, Table
from factory.reports.scan import Scan, literal
from factory.storage import TABLES


def published_labels(params: Params) -> list[Graded]:
    """[] for a line that samples its own solutions, and where it has no rollouts yet."""
    role = params.roles.get("generator")
    paths = [path for name in params.policies if (path := TABLES / f"rollouts_{name}.parquet").exists()]
    if role is None or role.engine != "recorded" or not paths:
        return []
    recorded = read_recorded(Path(role.model))
    return graded(recorded.solutions, recorded.labels, chain.from_iterable(map(_solved, paths)))


def _solved(path: Path) -> Iterator[Solved]:
    problems = literal(str(TABLES / "problems.parquet"))
    query = (
        "SELECT own.id, own.problem_id, asked.problem, asked.answer, own.completion, own.verdict, own.answer FROM {rows} AS own"
        f" JOIN read_parquet({problems}) AS asked ON asked.id = own.problem_id ORDER BY own.id"
    )
    with Scan.of(path) as scan:
        yield from (Solved(*row) for row in scan.each(query))


def grading(published: Sequence[Graded]) -> Iterable[Block]:
    if not published:
        return
    apart = [row for row in published if not row.agrees]
    yield Prose(f"{len(published) - len(apart):,} of {len(published):,} published labels agree with the grader ({len(apart):,} do not).")
    models = sorted({row.model for row in published})
    rows = [
        (model, f"{len(own):,}", f"{sum(row.verdict == 'correct' for row in own):,}", f"{sum(not row.agrees for row in own):,}")
        for model in models
        if (own := [row for row in published if row.model == model])
    ]
    yield Table(("recorded model", "solutions", "graded correct", "disagreements"), tuple(rows))
    if apart:
        table = [(row.rollout_id, row.model, "correct" if row.label else "wrong", row.verdict, row.answer or "", row.gold) for row in apart]
        yield Table(("rollout", "model", "published label", "our verdict", "answer", "gold"), tuple(table), "Every disagreement")
