"""What another revision of the project had: its params, metrics and lock from git, its tables from DVC's cache by their hashes.

    old = Revision.of("HEAD~3")
    old.commit, old.date                              → ("8128484…", "2026-11-28")
    old.file("data/tables/restarts_r1.parquet")       → Path(".dvc/cache/files/md5/3f/a9…"), None where its lock names no such file

Nothing is checked out. What the cache lacks is said with how to fetch it.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.lock import Out, cache, parse_yaml, stages_of
from factory.words import amount

LOCK, LINE, PARAMS, METRICS = "dvc.lock", "dvc.yaml", "params.yaml", "data/evaluation/metrics.json"


@dataclass(frozen=True)
class Locked:
    """A stage as the lock of a revision has it: path or parameter → hash or value."""

    deps: Mapping[str, str]
    params: Mapping[str, Any]
    outs: Mapping[str, str]


@dataclass(frozen=True)
class Revision:
    """`name` as it was asked for; `commit` whole; `date` ISO 8601, a day."""

    name: str
    commit: str
    date: str

    @classmethod
    def of(cls, name: str) -> "Revision":
        """Raises DataError outside of git, for an unknown revision, and for one without a dvc.lock."""
        inside = _git("rev-parse", "--is-inside-work-tree")
        if inside is None:
            raise DataError(
                f"{Path.cwd()} is in no repository of git (or git is not installed): there is no other revision to compare with"
            )
        commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if not commit:
            raise DataError(f"{name} is no revision of git here: `git log --oneline -- dvc.lock` lists those with data of their own")
        date = _git("log", "-1", "--format=%cs", commit.strip()) or ""
        return cls(name, commit.strip(), date.strip())

    @property
    def label(self) -> str:
        short = self.commit[:8]
        return f"{self.name} ({short}, {self.date})" if not self.commit.startswith(self.name) else f"{short} ({self.date})"

    def text(self, path: str) -> str | None:
        """A file that git tracks, relative to the working directory; None where the revision has none."""
        return _git("show", f"{self.commit}:./{path}")

    @cached_property
    def params(self) -> dict[str, Any]:
        return _mapping(self.text(PARAMS), f"{PARAMS} of {self.name}")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        try:
            return json.loads(self.text(METRICS) or "{}")
        except ValueError:
            raise DataError(f"{METRICS} of {self.name} is no JSON document: compare with another revision") from None

    @cached_property
    def stages(self) -> dict[str, Locked]:
        """Of its line: DVC leaves stages of former lines in the lock."""
        text = self.text(LOCK)
        if text is None:
            raise DataError(f"{self.name} has no {LOCK}: nothing says which data it had")
        return locked(text, self.text(LINE), self.params, f"{LOCK} of {self.name}")

    @cached_property
    def outs(self) -> dict[str, str]:
        return {path: digest for stage in self.stages.values() for path, digest in stage.outs.items()}

    @cached_property
    def _cache(self) -> Path:
        return cache()

    def _place(self, digest: str) -> Path:
        return self._cache / "files" / "md5" / digest[:2] / digest[2:]

    def file(self, path: str) -> Path | None:
        """Where the cache has a file of it; None where its lock names none, or the cache lacks it (see `missing`)."""
        digest = self.outs.get(path)
        place = self._place(digest) if digest else None
        return place if place and place.is_file() else None

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Which of these its lock names and the cache lacks."""
        return [path for path in paths if path in self.outs and not self._place(self.outs[path]).is_file()]

    def require(self, paths: Iterable[str]) -> None:
        """Raises DataError with what the cache lacks, and how to fetch it."""
        if lost := self.missing(paths):
            more = f" and {amount(len(lost) - 1, 'more file')}" if len(lost) > 1 else ""
            verb = "are" if more else "is"
            raise DataError(
                f"{lost[0]}{more} of {self.name} (md5 {self.outs[lost[0]]}) {verb} not in DVC's cache, {self._cache}: check "
                f"that revision out and `dvc fetch`, or compare what there is with --partial"
            )


def locked(text: str, line: str | None, params: Mapping[str, Any], what: str) -> dict[str, Locked]:
    """The stages of a lock that its own dvc.yaml and params still have. Raises DataError for a text that is no lock."""
    document = parse_yaml(line, what.replace(LOCK, LINE)) if line else None
    known = document.get("stages") if isinstance(document, dict) else None
    found = parse_yaml(text, what)
    stages = stages_of(found)
    if stages is None or (line and not isinstance(known, dict)):
        raise DataError(f"{what} cannot be read: it is no lock of DVC")
    return {
        title: Locked(_hashes(stage.deps), _values(found["stages"][title]), _hashes(stage.outs))
        for title, stage in stages.items()
        if known is None or _belongs(title, known, params)
    }


def _belongs(title: str, known: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    name, at, key = title.partition("@")
    if name not in known or bool(at) != ("foreach" in known[name]):
        return False
    section = re.fullmatch(r"\$\{(\w+)\}", str(known[name]["foreach"])) if at else None
    return section is None or key in (params.get(section[1]) or {})


def _hashes(found: Iterable[Out]) -> dict[str, str]:
    return {out.path: out.md5 for out in found}


def _values(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Its parameters by the keys that DVC tracks."""
    return {name: value for file in (stage.get("params") or {}).values() for name, value in file.items()}


def _mapping(text: str | None, what: str) -> dict[str, Any]:
    found = parse_yaml(text, what) if text else {}
    return found if isinstance(found, dict) else {}


def _git(*words: str) -> str | None:
    """What git says, None where it refuses or is not there."""
    try:
        answer = subprocess.run(["git", *words], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout.decode("utf-8", "replace") if answer.returncode == 0 else None
