"""`factory estimate`: a line a stage, what figures come from, and rates that are given."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("factory", "pipelines", "trainers", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "params.yaml").write_text((ROOT / "pipelines/profiles/laptop.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def cells(output: str, stage: str) -> list[str]:
    line = next(line for line in output.splitlines() if line.strip().startswith(f"{stage} "))
    return re.split(r"\s{2,}", line.strip())


def test_every_stage_that_asks_or_trains_is_a_line(project: Path, ask: Callable[..., str]) -> None:
    output = ask("estimate")
    assert cells(output, "rollouts@base")[:2] == ["rollouts@base", "3,600"]
    assert cells(output, "rollouts@base")[3] == "547,200"  # half of 304 tokens, 3,600 times
    assert cells(output, "demonstrations")[1].startswith("≈ ")
    assert cells(output, "format_tuning")[1] == "250,000"
    assert "assumed: an answer fills 50% of its max_tokens" in output
    assert "hours: no rate known: give --tokens-per-second" in output


def test_rates_make_hours_and_why_tells_where_figures_come_from(project: Path, ask: Callable[..., str]) -> None:
    output = ask("estimate", "laptop", "--tokens-per-second", "100", "--training-tokens-per-second", "50", "--why")
    lines = [line for line in output.splitlines() if line.strip().startswith("rollouts@base ")]
    assert "900 problems × 4 samples" in lines[0]
    assert re.split(r"\s{2,}", lines[1].strip())[-1] == "1.52"  # 547,200 / 100 / 3600
    assert "no rate known" not in output


def test_prices_and_budgets_are_shown(project: Path, ask: Callable[..., str]) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    critic = (
        "critic: {engine: openai, model: big@1, base_url: 'http://127.0.0.1:9/v1', prompts: instruct, price: {input: 1000, output: 3000}}"
    )
    text = re.sub(r"critic: \{engine: transformers, model: data/models/base, prompts: laptop\}", critic, text)
    (project / "params.yaml").write_text(text + "budget: {critic: {dollars: 5.0}}\n", encoding="utf-8")
    output = ask("estimate")
    dollars = cells(output, "demonstrations")[-1]
    assert float(dollars.replace(",", "")) > 100
    assert f"budgets: critic uses {dollars} of 5.00 dollars" in output
