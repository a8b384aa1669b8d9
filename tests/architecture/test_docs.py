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


def test_every_kind_of_input_has_a_row() -> None:
    rows = re.findall(r"^\| (\d+) ", (ROOT / "docs/inputs.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [str(number) for number in range(1, 16)]
