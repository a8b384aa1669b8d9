"""The README shows the figures that are committed with it, not what somebody remembers; a run on another machine changes neither."""

import json
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.params import load
from pipelines import readme
from pipelines.readme import FIELDS, FIGURES, TELLING, accuracies, block

ROOT = Path(__file__).parents[2]


def shown(name: str) -> str:
    return block((ROOT / "README.md").read_text(encoding="utf-8"), name)


def test_the_claims_are_the_committed_ones() -> None:
    assert shown("claims") == (ROOT / FIGURES / "claims.md").read_text(encoding="utf-8").rstrip()


def test_the_accuracies_are_the_committed_ones() -> None:
    assert shown("accuracies") == accuracies(json.loads((ROOT / FIGURES / "metrics.json").read_text(encoding="utf-8")))


def test_make_readme_writes_the_readme_and_the_figures_that_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(readme, "rows", lambda: "some rows")  # of every dataset of a whole line; the other figures are real
    metrics = json.loads((ROOT / FIGURES / "metrics.json").read_text(encoding="utf-8"))
    metrics["models"]["base"]["heldout"]["pass@1"] = 0.123
    marks = "".join(f"<!-- {name} -->\nold\n<!-- /{name} -->\n" for name in ("rows", "accuracies", "claims"))
    for name, text in {"metrics.json": json.dumps(metrics), "claims.md": "| neu: ≥ é |\n"}.items():
        (tmp_path / "data/evaluation").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/evaluation" / name).write_text(text, encoding="utf-8")
    Path("README.md").write_text(marks, encoding="utf-8")
    readme.main()
    filled = Path("README.md").read_text(encoding="utf-8")
    assert block(filled, "accuracies") == accuracies(json.loads((FIGURES / "metrics.json").read_text(encoding="utf-8")))
    assert "| base | 12.3 [" in filled
    assert block(filled, "claims") == (FIGURES / "claims.md").read_text(encoding="utf-8").rstrip() == "| neu: ≥ é |"
    assert "old" not in filled


def test_the_rows_are_of_the_datasets_that_the_line_makes() -> None:
    heads = [line.split(" (")[0] for line in shown("rows").splitlines() if line.endswith(" rows)")]
    assert heads == list(FIELDS)
    assert set(FIELDS) <= set(load(ROOT / "pipelines/profiles/laptop.yaml").datasets)
    assert set(TELLING) <= set(FIELDS)


def test_a_block_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="no block rows"):
        block("# A readme\n<!-- rows -->\n", "rows")
