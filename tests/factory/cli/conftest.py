"""The command as a user meets it: asked in this process, or run as one of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli.main import app


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "requests.sqlite"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def ask() -> Callable[..., str]:
    """`ask("show", "corpus")`: what it prints."""

    def asked(*words: str) -> str:
        answer = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return answer.output

    return asked


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess]:
    """`run("show", "corpus", cwd=folder)`: exit code, output and errors of a process."""

    def ran(*words: str, cwd: Path) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "factory.cli", *words], cwd=cwd, capture_output=True, text=True, check=False)

    return ran
