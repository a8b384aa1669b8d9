"""A one-round line of its own in a temporary copy of the project: real DVC, real training, tiny params."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEPT = ("factory", "pipelines", "trainers", "dvc.yaml", ".dvcignore", "pyproject.toml")
MADE = ("__pycache__", "tables", "datasets", "models", "rejects", "logs", "audits", "report", ".factory")


@dataclass(frozen=True)
class Line:
    folder: Path

    def run(self, *command: str, timeout: int = 2400) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.folder, env=self.env(), capture_output=True, text=True, timeout=timeout, check=False)

    def env(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "FACTORY_STORE": str(self.folder / "store.sqlite"), "PYTHONPATH": str(self.folder)}

    def repro(self, *arguments: str) -> str:
        """The output of a `dvc repro` that must succeed."""
        done = self.run("dvc", "repro", *arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The whole line, run once for all tests of this folder."""
    folder = tmp_path_factory.mktemp("line")
    for name in KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(*MADE))
        else:
            shutil.copy(source, folder / name)
    shutil.copy(Path(__file__).parent / "tiny.yaml", folder / "params.yaml")
    made = Line(folder)
    assert made.run("dvc", "init", "--no-scm", "-q").returncode == 0
    assert made.run("dvc", "config", "core.analytics", "false").returncode == 0
    made.repro()
    return made
