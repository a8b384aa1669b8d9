"""The page in a real browser: Qt's Chromium, which `pip install -e .[browser]` brings. Without it these tests are skipped."""

import importlib.util
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from factory import storage
from factory.gate.release import release
from factory.rejects import reject, write_rejects
from factory.reports.page import html
from factory.reports.report import sections_of
from factory.schemas import Demonstration

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("browser.py")
WIDTHS = [360, 800, 1400]
SMALLEST = 4.5  # contrast of text, WCAG 2.2 AA


def there(*modules: str) -> bool:
    return all(importlib.util.find_spec(name) for name in modules)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not there("PySide6", "PySide6.QtWebEngineCore"), reason="no browser: `pip install -e .[browser]` brings one"),
]


@cache
def looked_at(folder: Path, scheme: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder / "index.html"), str(folder), scheme, json.dumps(WIDTHS)], capture_output=True, text=True,
        check=False, timeout=500,
    )  # fmt: skip
    if "ImportError" in done.stderr and "cannot open shared object" in done.stderr:
        pytest.skip(f"Qt's Chromium lacks a library of the system: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def page(written_line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a page of a whole small line."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copytree(written_line.root, folder, dirs_exist_ok=True)
        shutil.copy(ROOT / "dvc.yaml", folder)
        release("restarts_r1", written_line.params)
        rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
        write_rejects("demonstrations", [reject("demonstrations", row, "x" * 300) for row in rows[:2]])
        (folder / "index.html").write_text(html("a line", "a notice", sections_of(written_line.params)), encoding="utf-8")
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_every_width_in_both_schemes_and_can_be_read(page: Path, scheme: str) -> None:
    looks = looked_at(page, scheme)["looks"]
    assert [look["width"] for look in looks] == WIDTHS
    for look in looks:
        assert look["dark"] is (scheme == "dark")
        assert look["scrolled"] <= look["inner"], f"at {look['width']} the page is wider than the window"
        assert look["worst"][0] >= SMALLEST, look["worst"]
        assert (page / f"{scheme}_{look['width']}.png").stat().st_size > 5_000


def test_it_asks_the_network_for_nothing_and_the_console_is_quiet(page: Path) -> None:
    seen = looked_at(page, "light")
    assert seen["requests"] == [(page / "index.html").as_uri()]
    assert seen["console"] == []


def test_what_is_folded_opens_and_closes_without_a_script(page: Path) -> None:
    assert "<script" not in (page / "index.html").read_text(encoding="utf-8")
    assert looked_at(page, "light")["fold"] == [[False, False], [True, True], [False, False]]


def test_print_opens_what_is_folded(page: Path) -> None:
    looked_at(page, "light")
    folded, opened = looked_at(page, "light")["pages"]
    assert folded == opened > 5
    assert (page / "folded.pdf").read_bytes().startswith(b"%PDF")
