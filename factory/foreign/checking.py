"""The gate's checks over rows whose background may be missing: what cannot be checked is told with its reason, never passed.

    needs(prefix_of_parent)   → Needs(columns={"buffer", "prefix", …}, background={"rollouts", "problems"}, problem={"solution"})

What a check needs is read off its own source (`row.…`, `background.…`, `problem.…`, and of the functions that it hands one of these to).
"""

import inspect
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from factory.foreign.reading import Shaper
from factory.gate.background import Background
from factory.gate.expectations import Audit, Finding, validate
from factory.gate.leakage import Sides, marks
from factory.gate.source import MANY
from factory.gate.table import checks_of, suite
from factory.language.steps import By
from factory.schemas import Problem, Row, field_types

PART = 10_000  # rows that a process checks at once
HANDED = ("row", "background", "problem")
SIDES, ROLLOUTS = "nothing says on which side of a split its problems stand", "the rollouts that it was made of are not here"
LIBRARY = "the template library is not here"
MISSING = {  # part of the background → why nothing here can be compared with it; the first that a check needs is told
    "two_sided": SIDES, "sides": SIDES, "rollouts": ROLLOUTS, "pass_rates": ROLLOUTS,
    "trajectories": "the trajectories that it was made of are not here", "accepted": LIBRARY, "accepted_names": LIBRARY,
    "templates": LIBRARY, "problems": "its problems are not here",
}  # fmt: skip
OF_PROBLEM = {
    "split": SIDES, "answer": "no column gives the problem's answer", "solution": "no column gives the problem's solution"
}  # fmt: skip


@dataclass(frozen=True)
class Needs:
    columns: frozenset[str]
    background: frozenset[str]
    problem: frozenset[str]


@dataclass(frozen=True)
class NotChecked:
    says: str
    critical: bool
    reason: str


@cache
def needs(check: Callable[..., Any]) -> Needs:
    sources = list(_sources(check, set()))

    def read(name: str) -> frozenset[str]:
        return frozenset(found for source in sources for found in re.findall(rf"\b{name}\.(\w+)", source))

    return Needs(read("row"), read("background"), read("problem") & set(OF_PROBLEM))


def _sources(check: Callable[..., Any], seen: set[Any]) -> Iterator[str]:
    """Of the check and of every function of the project that takes a row, background or problem from it."""
    if check in seen:
        return
    seen.add(check)
    yield inspect.getsource(check)
    for name in check.__code__.co_names:
        found = check.__globals__.get(name)
        ours = inspect.isfunction(found) and found.__module__.startswith("factory.")
        if found and ours and set(HANDED) & set(inspect.signature(found).parameters):
            yield from _sources(found, seen)


def background_of(problems: Mapping[str, Problem], steps: By) -> Background:
    """Only what the rows themselves say of their problems."""
    return Background(
        purpose="train", notice="", steps=steps, problems=problems, two_sided=frozenset(), sides=Sides(marks([])), rollouts={},
        templates={},        trajectories={},
    )  # fmt: skip


def checked(
    kind: str, table: pa.Table, shaper: Shaper, problems: Mapping[str, Problem], row_type: type[Row], unread: int,
    processes: int | None = None,
) -> tuple[Audit, list[NotChecked]]:  # fmt: skip
    """The gate's audit of what can be checked, and the rest. `unread`: records that are no rows, which fail an expectation of their own.
    Many rows lie in a file meanwhile, whose parts processes read, as the gate's do."""
    background = background_of(problems, shaper.steps)
    if table.num_rows < MANY and processes is None:
        audit = validate(kind, table, background)
    else:
        with tempfile.TemporaryDirectory() as folder:
            pq.write_table(table, Path(folder) / "rows.parquet", row_group_size=PART)
            audit = validate(kind, Path(folder) / "rows.parquet", background, processes)
    reasons = {name: f"no column is {name}" for name in shaper.absent}
    for name, check in checks_of(kind).items():
        if reason := _why(name, needs(check), shaper, problems, field_types(row_type)):
            reasons[name] = reason
    for entry in suite(kind, "train"):
        if entry.measure and (lost := [reasons[part] for name in entry.reads if (part := name.partition(".")[0]) in reasons]):
            reasons[entry.columns[0]] = lost[0]
    kept, places, left = [_readable(table.num_rows, unread)], list[tuple[int, ...]]([()]), list[NotChecked]()
    for finding, positions in zip(audit.findings, audit.positions, strict=True):
        reason = next((reasons[name] for name in finding.column.split(", ") if name in reasons), "")
        if reason and finding.column in shaper.absent and finding.says.endswith(" is never null"):
            continue  # one line for all of them, in the table of columns
        if reason:
            left.append(NotChecked(finding.says, finding.critical, reason))
        elif finding.column or not finding.says.startswith("all columns"):
            kept.append(finding)
            places.append(positions)
    measures = tuple(item for item in audit.measures if item.name not in reasons)
    columns = {name: told for name, told in audit.columns.items() if name.partition(".")[0] not in shaper.absent}
    success = not any(finding.critical and not finding.success for finding in kept)
    return replace(audit, findings=tuple(kept), positions=tuple(places), measures=measures, columns=columns, success=success), left


def _readable(rows: int, unread: int) -> Finding:
    return Finding(
        type="rows_can_be_read", column="", says="every record is a row of this kind", critical=True, success=not unread, unexpected=unread,
        of=rows + unread, observed="", examples=(),
    )  # fmt: skip


def _why(name: str, needed: Needs, shaper: Shaper, problems: Mapping[str, Problem], columns: Collection[str]) -> str:
    """Why a check says nothing here, "" where it does."""
    if "split" in needed.problem:
        return SIDES
    if lacking := sorted((needed.columns & shaper.absent) - {"parents"}):
        return f"no column is {', '.join(lacking)}"
    given = {"split": True, "answer": shaper.gold, "solution": shaper.solved}
    lost = [reason for part, reason in OF_PROBLEM.items() if part in needed.problem and not given[part]]
    lost += [reason for part, reason in MISSING.items() if part in needed.background and (part != "problems" or not problems)]
    if lost:
        return lost[0]
    if "parents" in needed.columns and "parents" in shaper.absent:
        return "no column is parents"
    if name == "problem_known" or (name == "instance_disjoint" and "instance" in columns):
        return "its problems are known from its own rows alone"
    if name in ("prompt_of_problem", "asks_problem") and not shaper.two_questions:
        return "question and problem are one column"
    return ""
