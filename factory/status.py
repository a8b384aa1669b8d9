"""Where the line stands, from what lies in the working directory: rows, rejects, seconds, staleness.

progress(params)   → [Progress(stage="rollouts@base", rows={"rollouts_base": 4000}, rejects=12, seconds=61.2), …]
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory import inputs
from factory.engines.ledger import spent
from factory.engines.select import cost
from factory.engines.store import default_path
from factory.errors import DataError
from factory.line import Stage, stages_of
from factory.params import Params, load
from factory.storage import AUDITS, REJECTS, TABLES, count_rows

TIMINGS = Path(".factory/timings.jsonl")
BOUND_MB = 3_000  # of every stage of a line that pretrains its own small base and runs it in process
ALWAYS = "always changed"  # what DVC says of the stage `inputs`, which it runs every time


@dataclass(frozen=True)
class Progress:
    """`rows` has the tables that exist; `rejects` and `seconds` are None where nothing was written down; `refused`: the gate is shut."""

    stage: str
    rows: dict[str, int]
    rejects: int | None
    seconds: float | None
    refused: bool

    @property
    def accepted(self) -> float | None:
        """Rows of the first table, of those and the rejects."""
        kept = next(iter(self.rows.values()), 0)
        return kept / (kept + self.rejects) if self.rejects is not None and kept + self.rejects else None


def _count(path: Path) -> int | None:
    """Rows of a Parquet file from its footer, None when it does not exist. Raises DataError for another file."""
    return count_rows(path) if path.exists() else None


def timings(path: Path = TIMINGS) -> dict[str, dict[str, Any]]:
    """The last entry of every stage: {"problems": {"seconds": 1.2, "peak_mb": 180, "at": "…"}, …}. A broken line is passed over."""
    last: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
            last[row["stage"]] = {"seconds": float(row["seconds"]), "peak_mb": int(row["peak_mb"]), "at": str(row["at"])}
        except (ValueError, KeyError, TypeError):
            continue
    return last


def progress(params: Params) -> list[Progress]:
    seconds = {stage: row["seconds"] for stage, row in timings().items()}
    return [_progress(stage, seconds.get(stage.title)) for stage in stages_of(params)]


def _progress(stage: Stage, seconds: float | None) -> Progress:
    counts = {name: _count(TABLES / f"{name}.parquet") for name in stage.tables}
    rejects = _count(REJECTS / f"{stage.rejects}.parquet") if stage.rejects else None
    name, _, dataset = stage.title.partition("@")
    refused = name == "release" and _refused(AUDITS / f"{dataset}.json")
    return Progress(stage.title, {name: count for name, count in counts.items() if count is not None}, rejects, seconds, refused)


def _refused(path: Path) -> bool:
    try:
        return path.exists() and json.loads(path.read_text(encoding="utf-8"))["success"] is False
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is no audit: delete it and run `dvc repro release@{path.stem}`") from None


def dollars(params: Params) -> dict[str, float]:
    """What each stage's answers cost so far, over all runs, where a role of the params has a price."""
    priced = [(Path(role.model).name.partition("@")[0], role) for role in params.roles.values() if role.price]
    found: dict[str, float] = {}
    for stage, model, prompt, completion in spent(default_path()) if priced else []:
        for name, role in priced:
            if model == role.model or model.partition("@")[0] == name:
                found[stage] = found.get(stage, 0.0) + cost(role, prompt, completion)
                break
    return found


def stale() -> set[str]:
    """Stages that DVC would run again, but for `inputs`, which always runs. Takes seconds: DVC compares every file.

    Raises DataError when it cannot, or when the params name an input that is missing."""
    if inputs.FOLDER.is_dir():
        inputs.write(load())  # what lies outside of the line may have changed since the stage `inputs` looked
    answer = subprocess.run([sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False)
    try:
        return {stage for stage, changes in json.loads(answer.stdout).items() if ALWAYS not in changes}
    except ValueError:
        reason = (answer.stderr.strip().splitlines() or ["no output"])[-1]
        raise DataError(f"`dvc status` failed: {reason}") from None


def bound_mb(params: Params) -> int | None:
    """How much memory a stage may use, MB; None where models of any size (a Hub's) or another engine's own memory are part of the line."""
    small = bool(params.pretraining)
    return BOUND_MB if small and all(role.engine in ("transformers", "recorded") for role in params.roles.values()) else None


def over_bound(params: Params) -> dict[str, int]:
    """Stages whose last run used more than the bound: {"evaluate": 11034}, MB. What the store answered used little: only a run without it
    measures an engine."""
    last, bound = timings(), bound_mb(params)
    titles = [stage.title for stage in stages_of(params) if stage.title in last]
    return {title: last[title]["peak_mb"] for title in titles if bound and last[title]["peak_mb"] > bound}


def timings_markdown(params: Params) -> str:
    """Seconds and memory of each stage's last run, in the line's order, with the sum; what is over the bound is bold."""
    last, over, bound = timings(), over_bound(params), bound_mb(params)
    found = [(stage.title, last[stage.title]) for stage in stages_of(params) if stage.title in last]
    if not found:
        raise DataError(f"{TIMINGS} has no stage of this line: `dvc repro` writes it")
    lines = [f"| stage | seconds | peak MB{f', at most {bound:,}' if bound else ''} |", "|---|---|---|"]
    for title, row in found:
        peak = f"{row['peak_mb']:,}"
        lines.append(f"| {title} | {row['seconds']:.1f} | {f'**{peak}**' if title in over else peak} |")
    seconds, peak = sum(row["seconds"] for _, row in found), max(row["peak_mb"] for _, row in found)
    return "\n".join([*lines, f"| all {len(found)} | {seconds:.1f} | {peak:,} |"])
