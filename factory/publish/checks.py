"""What may be published or exported: datasets that are audited, passed, current, for training, under licences that go together.

    released(params, graph, stale={"rollouts@r1"})
    → GateError: dataset restarts_r1 is stale: rollouts@r1 would run again; `dvc repro release@restarts_r1` first

Nothing is sent before all of it has passed. Every refusal is one line: what, where, what to do.
"""

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import DataError, GateError
from factory.gate.background import kind_of
from factory.lock import Locked, ancestors
from factory.params import Params
from factory.publish.licences import conflict
from factory.storage import AUDITS, DATASETS, count_rows, shards
from factory.whole import restored
from factory.words import amount

MANIFEST = {"name": str, "table": str, "purpose": str, "rows": int, "split": str, "columns": dict, "lineage": dict}
WORDS = {"collection": str, "notice": str, "licence": str, "licences": dict}  # of the audit's `release`


@dataclass(frozen=True)
class Released:
    """A dataset as the gate left it. `sha256`: file name → hash, of each shard; `licences`: of rows that have their own, with their rows;
    `audit`: the gate's document."""

    name: str
    table: str
    collection: str
    split: str
    rows: int
    notice: str
    licence: str
    licences: dict[str, int]
    columns: dict[str, str]
    lineage: dict[str, dict[str, int]]
    shards: tuple[Path, ...]
    sha256: dict[str, str]
    audit: dict[str, Any]

    @property
    def kind(self) -> str:
        """Whose columns it has: `restarts` of `restarts_r1`."""
        return kind_of(self.name)


def released(params: Params, graph: Mapping[str, Locked], stale: Set[str]) -> list[Released]:
    """All datasets of the params, in their order. `stale`: stages that would run again. Raises GateError for the first that may not go."""
    if params.purpose != "train":
        raise GateError(f"params.yaml has purpose: {params.purpose}: benchmark data is not published; publish a line with purpose: train")
    if not params.datasets:
        raise GateError("params.yaml names no datasets: there is nothing to publish")
    found = [passed(name) for name in params.datasets]
    for item in found:
        current(item.name, graph, stale)
        _worded(item, params)
        _licensed(item)
    for item in found:  # last: it reads every byte
        whole(item)
    return found


def left_over(params: Params) -> list[Path]:
    """Folders of datasets that the params do not name, such as those of an earlier line, which DVC does not delete: nobody is sent them."""
    folders = (path for path in DATASETS.glob("*") if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in folders if path.name not in params.datasets)


def _json(path: Path, missing: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GateError(f"{path} is missing: {missing}") from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise GateError(f"{path} cannot be read: {missing}")
    return document


def passed(name: str) -> Released:
    """Raises GateError where audit, manifest and rows do not say that it passed and is for training."""
    again = f"`dvc repro release@{name}` makes it again"
    audit = _json(AUDITS / f"{name}.json", f"dataset {name} is unaudited; {again}")
    if audit.get("success") is not True:
        raise GateError(
            f"dataset {name} failed its audit: {AUDITS / name}.json says which rows; correct them, then `dvc repro release@{name}`"
        )
    path = restored(DATASETS / name) / "manifest.json"
    manifest = _json(path, again)
    if wrong := _unreadable(manifest, MANIFEST):
        raise GateError(f"{path} has no {wrong} that can be read: {again}")
    if manifest["purpose"] != "train" or audit.get("purpose") != "train":
        raise GateError(
            f"dataset {name} is benchmark data (purpose {manifest['purpose']}): it trains nothing and is not published; "
            "take it off the datasets"
        )
    if manifest["name"] != name or manifest["rows"] != audit.get("rows"):
        raise GateError(f"dataset {name}: {path} and its audit speak of other rows; {again}")
    try:
        files = tuple(shards(DATASETS / name))
        rows = sum(map(count_rows, files))
    except DataError as error:
        raise GateError(str(error)) from None
    if rows != manifest["rows"]:
        raise GateError(f"dataset {name} holds {amount(rows, 'row')} and its manifest says {manifest['rows']:,}; {again}")
    said = manifest.get("sha256")
    hashes = said if isinstance(said, dict) else {files[0].name: str(said)}
    if set(hashes) != {file.name for file in files}:
        raise GateError(f"dataset {name} holds other shards than {path} names; {again}")
    words = audit.get("release")
    if not isinstance(words, dict) or (wrong := _unreadable(words, WORDS)):
        raise GateError(f"{AUDITS / name}.json does not say under which licence the dataset was released: {again}")
    return Released(
        name=name, table=manifest["table"], collection=words["collection"], split=manifest["split"], rows=rows, notice=words["notice"],
        licence=words["licence"], licences=words["licences"], columns=manifest["columns"], lineage=manifest["lineage"], shards=files,
        sha256=hashes, audit=audit,
    )  # fmt: skip


def _unreadable(document: Mapping[str, Any], keys: Mapping[str, type]) -> str:
    """The first key that is missing or of another type, "" where all are there."""
    return next((key for key, kind in keys.items() if not isinstance(document.get(key), kind)), "")


def current(name: str, graph: Mapping[str, Locked], stale: Set[str]) -> None:
    """Raises GateError for a dataset that no lock has, or behind which a stage would run again."""
    title = f"release@{name}"
    if title not in graph:
        raise GateError(f"dataset {name} is in no dvc.lock: `dvc repro {title}` makes it with its lineage")
    if old := [stage for stage in ancestors(graph, title) if stage in stale]:
        more = f" and {len(old) - 1} more" if len(old) > 1 else ""
        raise GateError(f"dataset {name} is stale: {old[0]}{more} would run again; `dvc repro {title}` first")


def _worded(item: Released, params: Params) -> None:
    if (item.licence, item.notice) != (params.release.licence, params.release.notice):
        again = f"`dvc repro release@{item.name}` first"
        raise GateError(f"dataset {item.name} was released under other words than params.yaml has (release); {again}")


def _licensed(item: Released) -> None:
    for own, rows in item.licences.items():
        if reason := conflict(own, item.licence):
            raise GateError(
                f"dataset {item.name} has {amount(rows, 'row')} under {own!r} and is released under {item.licence!r}: {reason}; "
                "leave those rows out, or change release.licence"
            )


def whole(item: Released) -> None:
    """Raises GateError when a byte of it is not the one that passed."""
    for file in item.shards:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != item.sha256[file.name]:
            raise GateError(f"{file} is not what passed the gate (its bytes changed); `dvc repro -f release@{item.name}` makes it again")
