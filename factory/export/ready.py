"""Which datasets may be handed on: released, audited, for training, whole, and what the line would make today.

ready("restarts_r1")   → Ready("restarts_r1", kind="restarts", shards=(…,), rows=1100, …), or GateError in one line
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import DataError, GateError, ParamsError
from factory.gate.background import kind_of
from factory.lineage.run import LOCK, Run
from factory.storage import AUDITS, DATASETS, count_rows, shards


@dataclass(frozen=True)
class Ready:
    """`kind`: whose columns it has, `restarts` of `restarts_r1`. `licences`: of rows that have their own."""

    name: str
    kind: str
    shards: tuple[Path, ...]
    rows: int
    collection: str
    licence: str
    licences: dict[str, int]
    sha256: dict[str, str]


def ready(name: str) -> Ready:
    """Raises DataError for a name that no dataset has, GateError for one that may not be handed on and why."""
    again, folder = f"`dvc repro release@{name}` makes it", DATASETS / name
    try:
        kind = kind_of(name)
    except ParamsError:
        there = ", ".join(sorted(path.name for path in DATASETS.glob("*") if path.is_dir())) or f"none in {DATASETS.absolute()}"
        raise DataError(f"no dataset {name!r}: there is {there}") from None
    audit = _json(AUDITS / f"{name}.json")
    if audit and audit.get("success") is not True:
        raise GateError(f"dataset {name} failed its audit: {AUDITS / name}.json says on which rows; correct them, then {again}")
    manifest = _json(folder / "manifest.json")
    if not manifest:
        raise GateError(f"dataset {name} is not released: {folder}/manifest.json is missing or unreadable; {again}")
    if not audit:
        raise GateError(f"dataset {name} is unaudited: {AUDITS / name}.json is missing or unreadable; {again}")
    if (purpose := manifest.get("purpose")) != "train":
        raise GateError(f"dataset {name} has purpose {purpose}: benchmark test data is not for training; take a line with purpose: train")
    files = tuple(shards(folder))
    rows, said = sum(map(count_rows, files)), manifest.get("sha256")
    hashes = said if isinstance(said, dict) else {files[0].name: str(said)}
    if rows != manifest.get("rows") or rows != audit.get("rows"):
        raise GateError(
            f"dataset {name} holds {rows:,} rows, its manifest says {manifest.get('rows')}, its audit {audit.get('rows')}; {again}"
        )
    if {file.name: _sha256(file) for file in files} != hashes:
        raise GateError(
            f"dataset {name}: a shard under {folder} is not the one that passed the gate; `dvc repro -f release@{name}` makes it"
        )
    if old := _stale(name):
        more = f" and {len(old) - 1} more" if len(old) > 1 else ""
        raise GateError(f"dataset {name} is stale: {old[0]}{more} would run again; `dvc repro release@{name}` first")
    return Ready(name, kind, files, rows, str(manifest.get("collection", "")), str(manifest.get("licence", "")),
                 dict(manifest.get("licences") or {}), hashes)  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stale(name: str) -> list[str]:
    """Stages behind the dataset that DVC would run again; [] where there is no dvc.lock to compare with."""
    if not LOCK.exists():
        return []
    from factory.status import stale

    run, behind, waiting = Run(Path(".")), dict[str, None](), [f"release@{name}"]
    while waiting:
        title = waiting.pop()
        if title in behind:
            continue
        behind[title] = None
        read = run.stages[title].data if title in run.stages else ()
        waiting += [stage.title for dep in read for stage in run.stages.values() if any(_within(dep.path, out.path) for out in stage.outs)]
    changed = stale()
    return [title for title in behind if title in changed]


def _within(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
