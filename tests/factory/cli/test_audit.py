"""`factory audit`: tables for people, one line for a mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli.main import app
from factory.errors import DataError

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")


def ask(*words: str) -> str:
    answer = CliRunner().invoke(app, ["audit", *words], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_help_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "demonstrations" in ask("--help")
    assert "COAT_DATA" in ask("critics", "--help")
    assert "Examples: factory audit critics" in ask("critics", "--help")
    assert "entropy" in ask("demonstrations", "--help")


@pytest.mark.slow
def test_demonstrations_of_the_working_directory(small_line) -> None:
    text = ask("demonstrations")
    assert "III-I" in text
    assert "But wait." not in text  # the rows' own lead-in is none of ours
    assert "(another)" in text
    assert "<svg" not in text
    markdown = ask("demonstrations", "--markdown")
    assert markdown.startswith("# Demonstrations\n")
    assert "| III-I | 6 | 100.0 % |" in markdown


def test_no_demonstrations_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no demonstrations in .*: `dvc repro demonstrations` makes them"):
        ask("demonstrations")


@pytest.mark.slow
def test_missing_data_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "factory.cli", "audit", "critics"]
    for extra, environment in (["--data", str(tmp_path)], {}), ([], {"COAT_DATA": str(tmp_path)}):
        answer = subprocess.run([*words, *extra], env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        assert answer.returncode == 1
        assert answer.stderr == f"error: {tmp_path}/recorded is no folder: say where the public data is with --data or COAT_DATA\n"


@pytest.mark.skipif(not (DATA / "recorded").exists(), reason=f"no labelled solutions at {DATA}: set COAT_DATA")
def test_critics_on_public_data() -> None:
    text = ask("critics", "--data", str(DATA))
    for part in ("gsm8k samples", "bbmistake arithmetic", "mrben math", "claude2", "gpt3_5", "false accepts", "no gold solution"):
        assert part in text
