"""The run that made what lies here: dvc.lock with its stages, parameters and hashes, the git revision, and where it was published.

    run = Run(Path("."))
    run.maker("data/tables/rollouts_r1.parquet")   → Stage("rollouts@r1", command="python -m pipelines.rollouts r1", params={…}, …)

Nothing here needs DVC or git to be installed: what cannot be told is left out.
"""

import hashlib
import json
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

from factory.lock import LOCK, Out, Stage, read_stages, read_yaml

LINE, PUBLISHED = Path("dvc.yaml"), Path("data/published.json")
COMPARED = 64 << 20  # bytes of a file whose hash is compared with the lock's; of a larger one only the size is


class Run:
    """What dvc.lock, git and data/published.json of a folder say. Raises DataError for a lock that is no YAML."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """By title, without those that dvc.yaml no longer has: DVC leaves them in the lock."""
        known = (read_yaml(self.root / LINE) or {}).get("stages") or {}
        found = {}
        for title, stage in (read_stages(self.root / LOCK) or {}).items():
            name, at, _ = title.partition("@")
            if not known or (name in known and bool(at) == ("foreach" in known[name])):
                found[title] = stage
        return found

    def maker(self, path: str) -> Stage | None:
        """The stage that makes a file or folder; None where the lock knows none."""
        return next((stage for stage in self.stages.values() if stage.out(path)), None)

    def readers(self, path: str) -> list[Stage]:
        """Stages that depend on a file or folder, or on something in it."""
        return [stage for stage in self.stages.values() if any(f"{out.path}/".startswith(f"{path}/") for out in stage.data)]

    def same(self, out: Out) -> bool | None:
        """Whether the file here is the lock's; None where it is not looked at: a folder, or a large file of the right size."""
        path = self.root / out.path
        if not path.is_file():
            return None
        if path.stat().st_size != out.size:
            return False
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == out.md5 if out.size <= COMPARED else None

    @cached_property
    def lock_md5(self) -> str:
        path = self.root / LOCK
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else ""

    @cached_property
    def revision(self) -> str:
        """The commit that this dvc.lock was written with, with its date; "" outside of git or where it was never committed."""
        return self._git("log", "-1", "--format=%H %cI", "--", str(LOCK)) if self.lock_md5 else ""

    @cached_property
    def changed(self) -> bool:
        """Whether dvc.lock differs from what was committed."""
        return bool(self.revision and self._git("status", "--porcelain", "--", str(LOCK)))

    def _git(self, *words: str) -> str:
        try:
            done = subprocess.run(["git", "-C", str(self.root), *words], capture_output=True, text=True, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    @cached_property
    def published(self) -> dict[str, Any]:
        """{"endpoint": …, "repo": …, "commit": …, "datasets": {…}} of the last publication, {} where there was none."""
        path = self.root / PUBLISHED
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (ValueError, OSError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def prices(self) -> dict[str, tuple[float, float]]:
        """US dollars per million tokens read and written, by model, of the roles that have a price."""
        found = {}
        for stage in self.stages.values():
            for name, value in stage.params.items():
                if name.startswith("roles.") and name.endswith(".price.input"):
                    role = name.removesuffix(".price.input")
                    model, written = stage.params.get(f"{role}.model"), stage.params.get(f"{role}.price.output", 0)
                    if model:
                        found[str(model)] = (float(value), float(written))
        return found

    def price(self, model: str) -> tuple[float, float] | None:
        """Of a model as requests name it, `name@revision`."""
        for known, price in self.prices.items():
            if known == model or Path(known).name.partition("@")[0] == model.partition("@")[0]:
                return price
        return None
