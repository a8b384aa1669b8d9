"""`factory report`: the page of what lies here, with what differs from run to run beside it."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli.main import app
from factory.reports.page import html
from factory.reports.report import sections_of
from factory.storage import TABLES

ROOT = Path(__file__).parents[3]


def run(*words: str):
    return CliRunner().invoke(app, ["report", *words])


@pytest.mark.slow
def test_the_page_has_seconds_that_the_stage_leaves_out(small_line) -> None:
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    Path(".factory").mkdir()
    timing = {"stage": "problems", "seconds": 12.5, "peak_mb": 180, "at": "2026-01-01T00:00:00"}
    Path(".factory/timings.jsonl").write_text(json.dumps(timing) + "\n", encoding="utf-8")
    done = run()
    assert done.exit_code == 0, done.output
    assert ".factory/report/index.html" in done.output
    page = Path(".factory/report/index.html").read_text(encoding="utf-8")
    assert "12.5" in page
    assert "Each stage&#39;s last run on this machine" in page
    assert "on this machine" not in html("t", "", sections_of(small_line.params))
    assert "| problems | 12.5 | 180 |" in Path(".factory/report/index.md").read_text(encoding="utf-8")
    assert not Path("data/report").exists()  # the stage's out stays the stage's


def test_a_folder_without_tables_or_a_place_that_cannot_be_written_is_one_line(small_line) -> None:
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    for path in TABLES.glob("*.parquet"):
        if path.stem != "problems":
            path.unlink()
    Path("taken").write_text("", encoding="utf-8")
    done = run("--out", "taken/report")
    assert done.exit_code == 1
    assert "taken/report cannot be written" in str(done.exception)
    shutil.rmtree("data/tables")
    done = run()
    assert "holds no table: `dvc repro` makes the line's" in str(done.exception)
