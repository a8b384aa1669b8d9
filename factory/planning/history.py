"""What this copy of the project has run already with the params in question: the lock says so, tables and logs hold it.

past = History.of(Path("params.yaml"), document)
past.ran("rollouts@base")      → True: dvc.lock has this stage with the same values of all keys that it depends on, and its outs are here
past.requests("plans")         → 600, from its table and its rejects; None where tables do not tell
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from factory.errors import ParamsError
from factory.planning.graph import LINE, Expanded, expanded
from factory.status import TIMINGS, timings
from factory.storage import LOGS, REJECTS, TABLES

NO_REQUEST = ("no gap",)  # reasons of rejects that stand for no request


@dataclass(frozen=True)
class History:
    """Of the line in the working directory."""

    stages: dict[str, Expanded] = field(default_factory=dict)
    locked: dict[str, dict[str, Any]] = field(default_factory=dict)  # title → the values of the params that it ran with
    document: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, document: dict[str, Any]) -> "History":
        """Empty where nothing has run, or the graph cannot be read."""
        try:
            stages = {stage.title: stage for stage in expanded(LINE, document)}
            lock = yaml.load(LINE.with_suffix(".lock").read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            locked: dict[str, dict[str, Any]] = {
                title: next(iter(stage.get("params", {}).values()), {}) for title, stage in lock["stages"].items()
            }
        except (ParamsError, OSError, yaml.YAMLError, KeyError, AttributeError, TypeError):
            return cls()
        return cls(stages, locked, document)

    def ran(self, title: str) -> bool:
        """Whether the last run of the stage had these params, and what it made is here."""
        stage, before = self.stages.get(title), self.locked.get(title)
        if stage is None or not before:
            return False
        now = {key: _value(self.document, key) for key in stage.params}
        return _same(now, before) and all(Path(out).exists() for out in stage.outs)

    def bytes(self, title: str) -> int | None:
        """What its outs take on the disk."""
        if not self.ran(title):
            return None
        return sum(_bytes(Path(out)) for out in self.stages[title].outs)

    def seconds(self, title: str) -> float | None:
        """Of its last run, whoever started it."""
        found = timings(TIMINGS).get(title)
        return found["seconds"] if found and self.ran(title) else None

    def rows(self, table: str) -> int:
        return pq.read_metadata(TABLES / f"{table}.parquet").num_rows

    def column(self, table: str, name: str) -> list[Any]:
        """[] where the table has no such column."""
        path = TABLES / f"{table}.parquet"
        try:
            return pq.read_table(path, columns=[name])[name].to_pylist() if name in pq.read_schema(path).names else []
        except (OSError, pa.ArrowException):  # cut off: as if the stage had not run
            return []

    def requests(self, title: str) -> int | None:
        """How many a stage asked, None where it has not run with these params or its tables do not tell."""
        if not self.ran(title):
            return None
        name = title.partition("@")[0]
        try:
            table = title.replace("@", "_")
            if name in ("rollouts", "distillation"):  # every request is a row or a reject
                return self.rows(table) + self._rejected(table)
            if name == "plans":  # of several proposals a problem, and of their tries, only those of the plan that is kept are told
                plans = self.document["plans"]
                return None if plans.get("samples", 1) > 1 or plans.get("tries") else self.rows(table) + self._rejected(table)
            if name in ("templates", "trajectories"):
                asked = {key for keys in self.column(name, "request_ids") for key in keys}
                return len(asked) + self._rejected(name)
            return sum(row["requests"] for row in self.usage()) if name == "demonstrations" else None
        except (OSError, pa.ArrowException, KeyError, ValueError):
            return None

    def usage(self) -> list[dict[str, Any]]:
        """The log of demonstrations: what each role was asked."""
        with (LOGS / "demonstrations_usage.csv").open(newline="", encoding="utf-8") as stream:
            numbers = ("requests", "failed", "prompt_tokens", "completion_tokens")
            return [{**row, **{name: int(row[name]) for name in numbers}} for row in csv.DictReader(stream)]

    def log(self, model: str, column: str) -> list[float]:
        """A column of a trainer's log, [] where there is none."""
        path = LOGS / f"{model}.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as stream:
            return [float(row[column]) for row in csv.DictReader(stream) if row.get(column)]

    def _rejected(self, name: str) -> int:
        path = REJECTS / f"{name}.parquet"
        reasons = pq.read_table(path, columns=["reason"])["reason"].to_pylist()
        return sum(reason not in NO_REQUEST for reason in reasons)


def _value(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _same(one: Any, other: Any) -> bool:
    """Equal as DVC writes them: a number is one however it is written."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=1e-12)
    return one == other


def _bytes(path: Path) -> int:
    files: Iterable[Path] = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
