"""DPO starts at log 2, its reference is the start model, and it learns to prefer."""

import csv
import math
from pathlib import Path

import pytest
import torch

from factory.language.conversation import said
from factory.schemas import Conversation, TrajectoryPair
from trainers import dpo, run

pytestmark = pytest.mark.slow


def trajectory_pairs(count: int) -> list[TrajectoryPair]:
    return [
        TrajectoryPair(
            id=str(n), problem_id=str(n), prompt=said("user", f"Tom has {n} apples.\nPlan:\n"), chosen="put together (add, total)",
            rejected="take away (left)\ntake away (left)", reward_chosen=1.0, reward_rejected=0.0, n_similar=1, n_decodes=1,
            template_ids=(), model="planner@0", prompt_version="plan@0", seed=1, round="base",
        )
        for n in range(2, count + 2)
    ]  # fmt: skip


def logp(folder: Path, prompt: Conversation, completion: str) -> float:
    """log π(completion, end of turn | prompt), summed over its tokens; the start's chat template says what is said."""
    model, words = run.load(folder)
    head = words("".join(message.content for message in prompt))["input_ids"]
    tail = [*words(completion)["input_ids"], words.eos_token_id]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([head + tail])).logits[0]  # (T, vocabulary)
    chances = logits.log_softmax(-1)[len(head) - 1 : -1]
    return sum(chances[i, token].item() for i, token in enumerate(tail))


def test_dpo_starts_at_log_two_against_its_own_start_and_learns(start: Path) -> None:
    rows = trajectory_pairs(24)
    settings = dpo.Settings(epochs=4, batch=8, lr=1e-3, beta=0.1)
    dpo.prefer(rows, settings, seed=1, start=start, target=Path("dpo"), log=Path("dpo.csv"))
    lines = list(csv.DictReader(Path("dpo.csv").read_text(encoding="utf-8").splitlines()))
    assert float(lines[0]["loss"]) == pytest.approx(math.log(2), abs=1e-6)
    assert float(lines[0]["margin"]) == pytest.approx(0.0, abs=1e-5)
    assert float(lines[-1]["loss"]) < 0.6
    assert float(lines[-1]["accuracy"]) == 1.0
    row = rows[0]
    before = logp(start, row.prompt, row.chosen) - logp(start, row.prompt, row.rejected)
    after = logp(Path("dpo"), row.prompt, row.chosen) - logp(Path("dpo"), row.prompt, row.rejected)
    assert settings.beta * (after - before) == pytest.approx(float(lines[-1]["margin"]), rel=0.2)  # the last batch's mean, before its step


def test_apo_zero_raises_the_chosen_plan_itself(start: Path) -> None:
    rows = trajectory_pairs(24)
    settings = dpo.Settings(epochs=4, batch=8, lr=1e-3, beta=0.1, loss="apo_zero")
    dpo.prefer(rows, settings, seed=1, start=start, target=Path("apo"), log=Path("apo.csv"))
    first = next(csv.DictReader(Path("apo.csv").read_text(encoding="utf-8").splitlines()))
    assert float(first["loss"]) == pytest.approx(1 - 0.5 + 0.5, abs=1e-6)  # both ratios are 1 at the start
    row = rows[0]
    assert logp(Path("apo"), row.prompt, row.chosen) > logp(start, row.prompt, row.chosen) + 1
    assert logp(Path("apo"), row.prompt, row.rejected) < logp(start, row.prompt, row.rejected) - 1


def test_the_likelihood_of_the_chosen_plan_is_a_mean_over_its_tokens(start: Path) -> None:
    rows = trajectory_pairs(3)
    settings = dpo.Settings(epochs=1, batch=3, lr=1e-3, beta=0.1, nll=2.0)
    dpo.prefer(rows, settings, seed=1, start=start, target=Path("nll"), log=Path("nll.csv"))
    (line,) = csv.DictReader(Path("nll.csv").read_text(encoding="utf-8").splitlines())
    words = run.load(start)[1]
    each = [-logp(start, row.prompt, row.chosen) / (len(words(row.chosen)["input_ids"]) + 1) for row in rows]
    assert float(line["loss"]) == pytest.approx(math.log(2) + 2.0 * sum(each) / 3, rel=1e-5)


def test_the_logged_log_probability_is_of_completion_and_end_of_turn_given_the_prompt(start: Path) -> None:
    rows = trajectory_pairs(1)
    settings = dpo.Settings(epochs=1, batch=1, lr=1e-3, beta=0.1)
    dpo.prefer(rows, settings, seed=1, start=start, target=Path("dpo"), log=Path("dpo.csv"))
    (line,) = csv.DictReader(Path("dpo.csv").read_text(encoding="utf-8").splitlines())
    assert float(line["logp_chosen"]) == pytest.approx(logp(start, rows[0].prompt, rows[0].chosen), rel=1e-4)
    assert float(line["logp_rejected"]) == pytest.approx(logp(start, rows[0].prompt, rows[0].rejected), rel=1e-4)
