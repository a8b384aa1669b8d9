"""`factory templates`: found by their words, shown whole, near names suggested."""

import shutil
import subprocess
from collections.abc import Callable

import pytest

from factory import storage
from factory.gate.release import release
from factory.templates.library import LIBRARY, build_library

pytestmark = pytest.mark.slow


def test_templates_are_searched_and_shown(small_line, ask: Callable[..., str], run: Callable[..., subprocess.CompletedProcess]) -> None:
    release("templates", small_line.params)
    build_library(storage.DATASETS / "templates", LIBRARY)
    assert "put together" in ask("templates", "search", "joined amounts")
    output = ask("templates", "show", "Put Together")
    assert "Take the result so far.\nAdd the next number." in output
    assert "solve_rate: 0.5" in output
    assert "did you mean put together?" in run("templates", "show", "put togethr", cwd=small_line.root).stderr
    assert "no template has a word of 'zzz'" in run("templates", "search", "zzz", cwd=small_line.root).stderr
    shutil.rmtree(storage.DATASETS / "templates")
    assert "error: " in run("templates", "show", "put together", cwd=small_line.root).stderr
