"""How many requests: arithmetic that can be followed, and the numbers of a whole laptop run beside what is estimated for it."""

import itertools
import math
import re
from pathlib import Path
from typing import Any

import pytest

from factory.params import load, parse
from factory.planning.asks import Asked, Given, asked, drawn
from factory.planning.samples import UNKNOWN, Sizes

ROOT = Path(__file__).parents[3]
LAPTOP = Sizes(3600, 600, 1000, 1000, "the world's sizes", exact=True)
# What the laptop's run in docs/benchmarks.md asked: rows and rejects of its tables, the log of demonstrations, one run in the store;
# templates and trajectories of the run after it, which has more of them.
ASKED = {
    "rollouts@base": 3600, "rollouts@r1": 3600, "rollouts@r2": 3600, "rollouts@cot": 3600, "distillation@r1": 3200,
    "demonstrations": 3408 + 2652 + 1457, "templates": 2865,
    "plans@first": 28800 + 61544, "plans@second": 28800 + 42660, "plans@sft": 28800 + 30540,
    "trajectories": 19200 + 45276, "evaluate": 26435 + 16000,
}  # fmt: skip


def counted(asks: list[Asked]) -> dict[str, float]:
    found: dict[str, float] = {}
    for ask in asks:
        found[ask.stage] = found.get(ask.stage, 0.0) + ask.requests * ask.stored
    return {stage: requests for stage, requests in found.items() if requests}


def test_every_stage_of_the_laptop_is_estimated_within_a_half() -> None:
    """Nothing is known but the params and the world's sizes: shares are the assumed ones, 1.7 strategies are counted in the solutions."""
    found = counted(asked(load(ROOT / "pipelines/profiles/laptop.yaml"), LAPTOP, Given(analysed=1.7)))
    assert set(found) == set(ASKED)
    ratios = {stage: found[stage] / requests for stage, requests in ASKED.items()}
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios.values()), ratios


@pytest.mark.parametrize(("similar", "asked_for"), [(1, 8285), (4, 24597), (16, 61341)])
def test_guided_requests_of_the_laptop_by_the_size_of_x_sim(similar: int, asked_for: int) -> None:
    """Counted in seed 1's trajectories: 8,285 different plans of 18,000, each pair of a problem and a plan once. The bounds hold."""
    params = load(ROOT / "pipelines/profiles/laptop.yaml")
    then = {"problems": 1500, "samples": 12, "similar": similar, "decodes": 1, "nothing": False}
    params = params.model_copy(update={"trajectories": params.require("trajectories").model_copy(update=then)})
    found = {(ask.stage, ask.asker): ask for ask in asked(params, LAPTOP, Given())}
    ask = found["trajectories", "inference"]
    assert 1 / 1.2 < ask.requests / asked_for < 1.2
    least, most = (int(number.replace(",", "")) for number in re.findall(r"(?:from|to) ([\d,]+)", ask.why))
    assert (ask.how, least, most) == ("about", 1500, 18_000 * similar)
    assert least <= asked_for <= most


def test_what_the_params_decide_is_exact() -> None:
    found = {(ask.stage, ask.asker): ask for ask in asked(load(ROOT / "pipelines/profiles/laptop.yaml"), LAPTOP, Given())}
    for stage in ("rollouts@base", "rollouts@r1", "distillation@r1"):
        assert (found[stage, "generator"].requests, found[stage, "generator"].how) == (ASKED[stage], "exactly")
    assert (found["plans@first", "labeller"].requests, found["plans@first", "labeller"].how) == (3600 * 8, "exactly")
    assert (found["plans@sft", "planner"].requests, found["plans@sft", "planner"].how) == (3600 * 8, "exactly")
    assert (found["ppo@r1", "policy"].requests, found["ppo@r1", "policy"].stored) == (60 * 128, False)
    assert found["demonstrations", "critic"].how == "about"


@pytest.mark.parametrize(("right", "samples", "keep"), [(0.5, 4, 2), (0.385, 4, 2), (0.2, 6, 1), (0.9, 3, 5)])
def test_kept_solutions_follow_the_spread_of_pass_rates(right: float, samples: int, keep: int) -> None:
    """E min(keep, right ones) over a Beta(p, 1 - p), by the moments of every order of right and wrong samples."""

    def probability(order: tuple[bool, ...]) -> float:
        count = sum(order)
        log = math.lgamma(right + count) + math.lgamma(1 - right + len(order) - count) - math.lgamma(1 + len(order))
        return math.exp(log - math.lgamma(right) - math.lgamma(1 - right))

    expected = sum(min(keep, sum(order)) * probability(order) for order in itertools.product((False, True), repeat=samples))
    assert drawn(right, samples, keep) == pytest.approx(expected)


def test_without_a_limit_the_expected_right_solutions_are_their_share() -> None:
    assert drawn(0.3, 5, 5) == pytest.approx(1.5)


def test_a_part_that_the_train_split_cannot_fill_is_cut(project: Path, document: dict[str, Any]) -> None:
    small = Sizes(20, 1, 2, 0, "", exact=True)
    found = {(ask.stage, ask.asker): ask for ask in asked(parse(document), small, Given())}
    assert found["rollouts@base", "generator"].requests == 8 * 4
    assert found["rollouts@r2", "generator"].requests == 4 * 4  # part 2 begins at problem 16
    assert found["plans@sft", "labeller"].requests == 20
    assert found["evaluate", "base"].requests == 2  # without a world no earlier base


def test_pairs_that_a_labeller_is_asked_of_are_bounded_by_the_candidates(project: Path, document: dict[str, Any]) -> None:
    plain = sum(ask.requests for ask in asked(parse(document), LAPTOP, Given(analysed=2.0)) if ask.stage == "templates")
    document["templates"] |= {"merge": {"by": "labeller", "candidates": 4, "orders": 1}, "tags": {"synonyms": "labeller"}}
    found = {ask.questions: ask for ask in asked(parse(document), LAPTOP, Given(analysed=2.0)) if ask.stage == "templates"}
    analyses = 2.0 * document["templates"]["problems"]
    assert (found["same",].requests, found["same",].how) == (analyses * 4, "at most")
    assert found["same_tag",].requests == analyses * 3 * 4 * 2
    assert sum(ask.requests for ask in found.values()) == plain + analyses * (4 + 24)


def test_rollouts_check_steps_and_repairs_ask_again(project: Path, document: dict[str, Any]) -> None:
    plain = {ask.asker: ask for ask in asked(parse(document), LAPTOP, Given()) if ask.stage == "demonstrations"}
    document["demonstrations"] |= {"step_check": "rollouts", "step_rollouts": 3, "repairs": 1}
    more = {ask.asker: ask for ask in asked(parse(document), LAPTOP, Given(unread=0.5)) if ask.stage == "demonstrations"}
    assert more["critic"].requests == pytest.approx(1.5 * plain["critic"].requests)
    assert more["critic"].begun > document["demonstrations"]["critic"]["max_tokens"]
    assert more["generator"].requests > plain["generator"].requests + 6 * 8


def test_recorded_answers_are_asked_for_every_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "pipelines/recorded_gsm8k")
    params = load()
    found = asked(params, Sizes(100, 10, 9, 0, "", exact=True), Given())
    assert found[0].requests == 119 * len(params.roles["generator"].models)
    assert {ask.stage for ask in found} == {"rollouts@recorded"}  # the reference critic asks nobody


def test_recorded_answers_of_problems_that_nobody_counted_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "pipelines/recorded_gsm8k")
    (found,) = asked(load(), UNKNOWN, Given())
    assert (found.stage, found.requests, found.how) == ("rollouts@recorded", 0, "unknown")
