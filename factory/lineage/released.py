"""The released datasets that hold a row: their audit, and the models trained on them.

holdings(root, run, index, ["9dc2…"])   → [Holding("restarts_r1", 1, 1100, 27, 29, …, trained=("data/models/policy_r1",))]
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.lineage.index import Index
from factory.lineage.run import Run
from factory.storage import AUDITS, DATASETS


@dataclass(frozen=True)
class Holding:
    """`rows` of the asked ones among `of`; `passed` of `expectations` where there is an audit; `trained`: models made of the dataset."""

    name: str
    rows: int
    of: int
    passed: int
    expectations: int
    audit: str
    sha256: str
    trained: tuple[str, ...]


def holdings(root: Path, run: Run, index: Index, ids: Sequence[str]) -> list[Holding]:
    found = []
    for name, rows in (index.holding(ids) if ids else {}).items():
        folder = DATASETS / name
        manifest, report = _json(root / folder / "manifest.json"), root / AUDITS / f"{name}.json"
        findings = [finding for finding in _json(report).get("findings", []) if isinstance(finding, dict)]
        trained = [out.path for stage in run.readers(folder.as_posix()) for out in stage.outs if out.path.startswith("data/models/")]
        found.append(Holding(
            name, rows, int(manifest.get("rows", 0)), sum(bool(finding.get("success")) for finding in findings), len(findings),
            (AUDITS / f"{name}.json").as_posix() if report.is_file() else "",
            hashed(manifest.get("sha256", "")), tuple(trained),
        ))  # fmt: skip
    return found


def hashed(sha256: Any) -> str:
    """A manifest's hash of the one shard, or those of several in one text."""
    return sha256 if isinstance(sha256, str) else " ".join(map(str, sha256.values())) if isinstance(sha256, dict) else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
