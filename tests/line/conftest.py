"""A one-round line of its own in a temporary copy of the project: real DVC, real training, tiny params."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `easy_problems`

ROOT = Path(__file__).parents[2]
KEPT = ("factory", "pipelines", "trainers", "dvc.yaml", ".dvcignore", "pyproject.toml")
MADE = ("__pycache__", "tables", "datasets", "models", "inputs", "rejects", "logs", "audits", "report", ".factory")


@dataclass(frozen=True)
class Line:
    """A folder with a dvc.yaml; `root`: of the project's code, where that is another."""

    folder: Path
    root: Path | None = None

    def run(self, *command: str, timeout: int = 2400) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.folder, env=self.env(), capture_output=True, text=True, timeout=timeout, check=False)

    def env(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "FACTORY_STORE": str(self.folder / "store.sqlite"), "PYTHONPATH": str(self.root or self.folder)}

    def dvc(self, *arguments: str) -> str:
        """The standard output of a `dvc` command that must succeed."""
        done = self.run("dvc", *arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def repro(self, *arguments: str) -> str:
        """The output of a `dvc repro` that must succeed."""
        done = self.run("dvc", "repro", *arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr


def copied(folder: Path, cache: Path | None = None) -> Line:
    """A copy of the project's code and graph with a DVC of its own; nothing that a line makes, and no params. `cache`: DVC's, where others
    use it too: a stage that one of them has run on the same inputs is restored."""
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(*MADE))
        else:
            shutil.copy(source, folder / name)
    made = Line(folder)
    made.dvc("init", "--no-scm", "-q")
    made.dvc("config", "core.analytics", "false")
    if cache:
        made.dvc("config", "cache.dir", str(cache))
    return made


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The whole line, run once for all tests of this folder."""
    made = copied(tmp_path_factory.mktemp("line"))
    shutil.copy(Path(__file__).parent / "tiny.yaml", made.folder / "params.yaml")
    made.repro()
    return made


@pytest.fixture(scope="session")
def new_project() -> Callable[..., Line]:
    """For tests that bring their own params."""
    return copied


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For lines that adopt the same model."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def ran() -> Callable[[str], set[str]]:
    """The stages that a `dvc repro` says it ran, but for `inputs`, which always runs."""
    return lambda said: set(re.findall(r"Running stage '(?:[^':]*:)?([^']+)'", said)) - {"inputs"}
