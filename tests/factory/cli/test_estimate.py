"""`factory estimate`: a line a stage, what figures come from, and rates that are given."""

import json
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


@pytest.mark.slow
def test_every_stage_that_asks_or_trains_is_a_line(project: Path, ask: Callable[..., str]) -> None:
    output = ask("estimate")
    assert cells(output, "rollouts@base")[:2] == ["rollouts@base", "3,600"]
    assert cells(output, "rollouts@base")[3] == "547,200"  # half of 304 tokens, 3,600 times
    assert cells(output, "demonstrations")[1].startswith("≈ ")
    assert cells(output, "format_tuning")[1] == "250,000"
    assert "assumed: an answer fills 50% of its max_tokens" in output
    assert "hours: no rate known: give --tokens-per-second" in output


@pytest.mark.slow
def test_rates_make_hours_and_why_tells_where_figures_come_from(project: Path, ask: Callable[..., str]) -> None:
    output = ask("estimate", "laptop", "--tokens-per-second", "100", "--training-tokens-per-second", "50", "--why")
    lines = [line for line in output.splitlines() if line.strip().startswith("rollouts@base ")]
    assert "900 problems × 4 samples" in lines[0]
    assert re.split(r"\s{2,}", lines[1].strip())[-1] == "1.52"  # 547,200 / 100 / 3600
    assert "no rate known" not in output


@pytest.mark.slow
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
    over = float(dollars.replace(",", "")) - 5
    said = f"budgets: critic dollars: 0.00 of 5.00 used, {dollars} still to ask: {over:,.2f} too many, the line would stop"
    assert said in output


@pytest.mark.slow
def test_what_was_paid_counts_and_what_is_still_to_ask_may_fit(project: Path, ask: Callable[..., str]) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(text + "budget: {critic: {tokens: 2000000}, reward_model: {tokens: 900}}\n", encoding="utf-8")
    (project / ".factory").mkdir()
    line = {"stage": "demonstrations", "role": "critic", "model": "m@1", "answers": 2, "tokens_in": 1000, "tokens_out": 234, "dollars": 0}
    (project / ".factory/spent.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    output = ask("estimate")
    assert re.search(r"budgets: critic tokens: 1,234 of 2,000,000 used, [\d,]+ still to ask: enough\n", output)
    assert "budgets: reward_model tokens: 0 of 900 used, at least 0 still to ask: whether it is enough is not known" in output


@pytest.mark.slow
def test_what_cannot_be_known_shows_in_the_sum(project: Path, ask: Callable[..., str]) -> None:
    """No training rate, and scores, whose tokens nobody counts."""
    output = ask("estimate", "--tokens-per-second", "100")
    assert cells(output, "demonstrations")[2].startswith("≥ ")
    assert cells(output, "orm@base")[-1] == "?"
    assert re.search(r"^ *all .* at least [\d,]+ .* at least [\d.]+ *$", output, re.MULTILINE)
    assert cells(ask("estimate"), "all")[-1] == "?", "no rate at all is no 0.00"


def test_a_source_that_is_not_here_costs_no_nothing(project: Path, ask: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded answers are as many as there are problems, of a file that is missing."""
    folder = project / "recorded"
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        (folder / name).write_text((ROOT / "pipelines/recorded_gsm8k" / name).read_text(encoding="utf-8"), encoding="utf-8")
    output = ask("estimate", "recorded/params.yaml")
    assert cells(output, "rollouts@recorded") == ["rollouts@recorded", "?"]
    assert cells(output, "all") == ["all", "?"]
    assert "test.jsonl is not here to be counted\n" in output


@pytest.mark.slow
def test_the_memory_of_every_training_is_told(project: Path, ask: Callable[..., str]) -> None:
    """Measured in the laptop's run of docs/benchmarks.md: orm@r1 1,560 MB, format_tuning 1,424 MB, ppo@r1 959 MB."""
    found = dict(re.findall(r"memory: (\w+) needs about ([\d.]+) GB on a CPU \(.* tokens a pass", ask("estimate")))
    assert set(found) == {"orm", "format_tuning", "cot_control", "distill", "planner", "planner_dpo", "planner_adjust", "ppo"}
    for stage, measured in (("orm", 1.56), ("format_tuning", 1.424), ("ppo", 0.959)):
        assert float(found[stage]) == pytest.approx(measured, rel=0.3), stage
