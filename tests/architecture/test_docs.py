"""Tests that the docs name exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("name", ["inputs.md"])
def test_the_tests_that_a_page_names_exist(name: str) -> None:
    found = NAMED.findall((ROOT / "docs" / name).read_text(encoding="utf-8"))
    assert len(found) > 20
    for file, test in found:
        assert f"def {test or 'test_'}" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"


def test_the_readme_names_every_folder_of_the_package_and_every_page() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where things are")[2]
    first = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
    packages = {path.parent.name for path in (ROOT / "factory").glob("*/__init__.py")}
    assert packages - set(re.findall(r"`(?:factory/)?(\w+)/`", first)) == set()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages - set(re.findall(r"\(docs/([\w-]+\.md)", table)) == set()


PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
PATHS = re.compile(r"`((?:factory|trainers|pipelines|benchmarks|deploy)/[\w/-]+(?:\.[a-z0-9]+)?/?)`")


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/log.md"])  # which tells what was, too
def test_what_a_page_names_by_its_whole_path_exists(page: str) -> None:
    named = PATHS.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists() and not (ROOT / "tests" / path).exists()] == []


def test_every_kind_of_input_has_a_row() -> None:
    rows = re.findall(r"^\| (\d+) ", (ROOT / "docs/inputs.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [str(number) for number in range(1, 16)]
