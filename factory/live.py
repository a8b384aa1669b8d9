"""Trainings as their live logs tell them, data/logs/live/<run>.jsonl, which `trainers.live` writes: one line of JSON a step.

    runs()   → [Run(name="policy_r1", step=12, total=60, measure="reward", curve=(-0.58, …, -0.19), left=134.0, …)]

A run holds a lock on its log from its start to its end, so that one that was killed is never taken for one that trains.
"""

import fcntl
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from factory.storage import LOGS

LIVE = LOGS / "live"
RECENT = 20  # steps over which a rate is measured
MOST = 2000  # lines of a log that are read, at even distances: a long run is looked at as fast as a short one
MEASURES = ("reward", "loss")  # what a run is followed by: the first of them that it has


@dataclass(frozen=True)
class Run:
    """`left`: seconds to its end; `curve`: means of the measure over the steps so far, first to last; None or empty: not known yet."""

    name: str
    step: int
    total: int
    measure: str | None
    value: float | None
    curve: tuple[float, ...]
    tokens_per_second: float | None
    left: float | None
    updated: float  # seconds since the epoch
    running: bool


def runs(ended: Collection[str] = (), folder: Path = LIVE) -> list[Run]:
    """Those that train now, and those that are named, by name."""
    found = [(path, is_running(path)) for path in sorted(folder.glob("*.jsonl"))]
    read = [read_run(path, running) for path, running in found if running or path.stem in ended]
    return [run for run in read if run is not None]


def is_running(log: Path) -> bool:
    """Whether a process holds the log's lock."""
    try:
        with log.open("r+b") as stream:  # network folders lock for themselves only what is open for writing
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (PermissionError, FileNotFoundError):
        return False  # of another user, who can tell
    return False


def read_run(log: Path, running: bool, width: int = 24) -> Run | None:
    """None for a log without a whole line. Lines that are no step are passed over."""
    updated, lines = log.stat().st_mtime, log.read_bytes().split(b"\n")[:-1]
    wanted = sorted({*range(0, len(lines), len(lines) // MOST + 1), *range(max(0, len(lines) - RECENT - 1), len(lines))})
    steps = [step for step in (_step(lines[position]) for position in wanted) if step is not None]
    if not steps:
        return None
    last = steps[-1]
    measure = next((name for name in MEASURES if any(name in step for step in steps)), None)
    series = [_number(step, measure) for step in steps] if measure else [None]
    values = [value for value in series if value is not None]
    pace, tokens = _rates(steps[-RECENT - 1 :])
    return Run(
        log.stem, last["step"], last["of"], measure, series[-1], _means(values, width), tokens,
        None if pace is None else pace * (last["of"] - last["step"]), updated, running,
    )  # fmt: skip


def _step(line: bytes) -> dict[str, Any] | None:
    try:
        step = json.loads(line)
        return {**step, "step": int(step["step"]), "of": int(step["of"]), "seconds": float(step["seconds"])}
    except (ValueError, KeyError, TypeError):
        return None


def _number(step: dict[str, Any], name: str) -> float | None:
    value = step.get(name)
    return value if isinstance(value, int | float) else None


def _rates(steps: Sequence[dict[str, Any]]) -> tuple[float | None, float | None]:
    """Seconds a step and tokens a second."""
    first, last = steps[0], steps[-1]
    seconds = last["seconds"] - first["seconds"]
    if seconds <= 0 or last["step"] <= first["step"]:
        return None, None
    pace = seconds / (last["step"] - first["step"])
    counted = [step for step in steps if isinstance(step.get("tokens_seen"), int)]
    if len(counted) < 2 or counted[-1]["seconds"] <= counted[0]["seconds"]:
        return pace, None
    return pace, (counted[-1]["tokens_seen"] - counted[0]["tokens_seen"]) / (counted[-1]["seconds"] - counted[0]["seconds"])


def _means(values: Sequence[float], width: int) -> tuple[float, ...]:
    """At most `width` means of neighbours."""
    cells = min(width, len(values))
    return tuple(fmean(values[len(values) * cell // cells : len(values) * (cell + 1) // cells]) for cell in range(cells))
