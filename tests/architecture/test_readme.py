"""The README shows what the line last said, not what somebody remembers."""

import json
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.params import load
from pipelines.readme import FIELDS, TELLING, accuracies, block

ROOT = Path(__file__).parents[2]


def shown(name: str) -> str:
    return block((ROOT / "README.md").read_text(), name)


def test_the_claims_are_those_of_the_last_run() -> None:
    assert shown("claims") == (ROOT / "data/evaluation/claims.md").read_text().rstrip()


def test_the_accuracies_are_those_of_the_last_run() -> None:
    assert shown("accuracies") == accuracies(json.loads((ROOT / "data/evaluation/metrics.json").read_text()))


def test_the_rows_are_of_the_datasets_that_the_line_makes() -> None:
    heads = [line.split(" (")[0] for line in shown("rows").splitlines() if line.endswith(" rows)")]
    assert heads == list(FIELDS)
    assert set(FIELDS) <= set(load(ROOT / "params.yaml").datasets)
    assert set(TELLING) <= set(FIELDS)


def test_a_block_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="no block rows"):
        block("# A readme\n<!-- rows -->\n", "rows")
