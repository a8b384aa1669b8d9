"""The command as a user meets it: asked in this process, or run as one of its own."""

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli.main import app, main


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
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess]:
    """`run("show", "corpus", cwd=folder)`: exit code, output and errors, the boundary's too, in this process: no start, no imports."""

    def ran(*words: str, cwd: Path) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["factory", *words])
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
                if isinstance(end.code, str):  # as the interpreter would
                    print(end.code, file=sys.stderr)
        return subprocess.CompletedProcess(words, code, *(text.buffer.getvalue().decode() for text in (out, err)))  # type: ignore[attr-defined]

    return ran


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess]:
    """As `run`, in a process of its own."""

    def ran(*words: str, cwd: Path) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "factory.cli", *words], cwd=cwd, capture_output=True, text=True, check=False)

    return ran
