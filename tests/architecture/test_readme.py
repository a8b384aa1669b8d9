"""README.md and docs/results.md show the figures that are committed with them; a run on another machine changes neither."""

import json
from pathlib import Path
from typing import Any

import pytest

from factory.errors import DataError
from factory.params import load
from pipelines import readme
from pipelines.readme import FIELDS, FIGURES, README, RESULTS, TELLING, accuracies, block, headline

ROOT = Path(__file__).parents[2]


def shown(name: str, page: Path = RESULTS) -> str:
    return block((ROOT / page).read_text(encoding="utf-8"), name)


def committed() -> Any:
    return json.loads((ROOT / FIGURES / "metrics.json").read_text(encoding="utf-8"))


def test_the_claims_are_the_committed_ones() -> None:
    assert shown("claims") == (ROOT / FIGURES / "claims.md").read_text(encoding="utf-8").rstrip()


def test_the_accuracies_are_the_committed_ones() -> None:
    assert shown("accuracies") == accuracies(committed())
    assert shown("headline", README) == headline(committed())


def test_make_readme_writes_the_pages_and_the_figures_that_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(readme, "rows", lambda: "some rows")  # of every dataset of a whole line; the other figures are real
    monkeypatch.setattr(readme, "demonstration", lambda: "a row")
    metrics = committed()
    metrics["models"]["base"]["heldout"]["pass@1"] = 0.123
    for name, text in {"metrics.json": json.dumps(metrics), "claims.md": "| neu: ≥ é |\n"}.items():
        (tmp_path / "data/evaluation").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/evaluation" / name).write_text(text, encoding="utf-8")
    for page, names in {README: ("demonstration", "headline"), RESULTS: ("rows", "accuracies", "claims")}.items():
        page.parent.mkdir(exist_ok=True)
        page.write_text("".join(f"<!-- {name} -->\nstale\n<!-- /{name} -->\n" for name in names), encoding="utf-8")
    readme.main()
    first, second = (page.read_text(encoding="utf-8") for page in (README, RESULTS))
    assert block(second, "accuracies") == accuracies(json.loads((FIGURES / "metrics.json").read_text(encoding="utf-8")))
    assert "| base | 12.3 [" in second
    assert "| the base | 12.3 [" in block(first, "headline")
    assert block(second, "claims") == (FIGURES / "claims.md").read_text(encoding="utf-8").rstrip() == "| neu: ≥ é |"
    assert "stale" not in first + second


def test_the_rows_are_of_the_datasets_that_the_line_makes() -> None:
    heads = [line.split(" (")[0] for line in shown("rows").splitlines() if line.endswith(" rows)")]
    assert heads == list(FIELDS)
    assert set(FIELDS) <= set(load(ROOT / "pipelines/profiles/laptop.yaml").datasets)
    assert set(TELLING) <= set(FIELDS)


def test_a_block_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="no block rows"):
        block("# A readme\n<!-- rows -->\n", "rows")
