"""The run that made what lies here: dvc.lock with its stages, parameters and hashes, the git revision, and where it was published.

    run = Run(Path("."))
    run.maker("data/tables/rollouts_r1.parquet")   → Stage("rollouts@r1", command="python -m pipelines.rollouts r1", params={…}, …)

Nothing here needs DVC or git to be installed: what cannot be told is left out.
"""

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from factory.errors import DataError

LOCK, LINE, PUBLISHED = Path("dvc.lock"), Path("dvc.yaml"), Path("data/published.json")
COMPARED = 64 << 20  # bytes of a file whose hash is compared with the lock's; of a larger one only the size is
_SECRET = re.compile(r"(^|_)(api_?key|access_?key|key|token|secret|password|passwd|authorization|credentials)$", re.IGNORECASE)
_LOOKS_SECRET = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{12,})")
_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@|(?<=[?&])(?:api_?key|key|token)=[^&\s]+", re.IGNORECASE)


@dataclass(frozen=True)
class Out:
    """A file or folder as the lock has it."""

    path: str
    md5: str
    size: int


@dataclass(frozen=True)
class Stage:
    """`params` are flat: {"rollouts.samples": 4, …}. `data`: what it read that a stage made, no code."""

    title: str
    command: str
    params: dict[str, Any]
    data: tuple[Out, ...]
    outs: tuple[Out, ...]

    def out(self, path: str) -> Out | None:
        return next((out for out in self.outs if out.path == path), None)


class Run:
    """What dvc.lock, git and data/published.json of a folder say. Raises DataError for a lock that is no YAML."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """By title, without those that dvc.yaml no longer has: DVC leaves them in the lock."""
        written = _read(self.root / LOCK)
        known = (_read(self.root / LINE) or {}).get("stages") or {}
        found = {}
        for title, stage in ((written or {}).get("stages") or {}).items():
            name, at, _ = title.partition("@")
            if known and (name not in known or bool(at) != ("foreach" in known[name])):
                continue
            found[title] = Stage(
                title, str(stage.get("cmd", "")), flat(list((stage.get("params") or {}).values())),
                tuple(out for out in map(_out, stage.get("deps") or []) if out.path.startswith("data/")),
                tuple(map(_out, stage.get("outs") or [])),
            )  # fmt: skip
        return found

    def maker(self, path: str) -> Stage | None:
        """The stage that makes a file or folder; None where the lock knows none."""
        return next((stage for stage in self.stages.values() if stage.out(path)), None)

    def readers(self, path: str) -> list[Stage]:
        """Stages that depend on a file or folder."""
        return [stage for stage in self.stages.values() if any(out.path == path for out in stage.data)]

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
        """{"repo": …, "commit": …, "datasets": […]} of the last publication, {} where there was none."""
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


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            return yaml.load(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}): restore it, `git checkout {path.name}`") from None


def _out(entry: dict[str, Any]) -> Out:
    return Out(str(entry.get("path", "")), str(entry.get("md5", "")), int(entry.get("size", 0)))


def flat(documents: list[Any]) -> dict[str, Any]:
    """Nested mappings as dotted names, secrets hidden."""
    found: dict[str, Any] = {}
    for document in documents:
        _flatten(document, "", found)
    return found


def _flatten(value: Any, name: str, found: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(inner, f"{name}.{key}" if name else str(key), found)
    else:
        last = name.rpartition(".")[2]
        found[name] = "(hidden)" if _SECRET.search(last) and isinstance(value, str) else hidden(value)


def hidden(value: Any) -> Any:
    """The same without what looks like a key or password, in texts at any depth."""
    if isinstance(value, str):
        return _IN_ADDRESS.sub(_masked, _LOOKS_SECRET.sub("(hidden)", value))
    if isinstance(value, dict):
        return {key: hidden(inner) for key, inner in value.items()}
    return [hidden(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _masked(found: re.Match[str]) -> str:
    return "(hidden)@" if found[0].endswith("@") else f"{found[0].partition('=')[0]}=(hidden)"
