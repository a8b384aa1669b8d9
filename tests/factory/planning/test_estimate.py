"""Figures and where they come from: assumed before anything ran, the store's and the line's own afterwards."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory.engines.limits import Limits
from factory.engines.protocol import Request, SamplingParams
from factory.engines.store import Answered, Store
from factory.params import parse
from factory.planning.costs import Cost, Detail, Plan, Use
from factory.planning.estimate import FILLED, Rates, estimate
from factory.planning.history import History
from factory.planning.hub import Hub
from factory.planning.training import Trained, mixed, parameters

Written = Callable[[dict[str, Any]], Path]


def of(plan: Plan, stage: str) -> Any:
    return next(cost for cost in plan.stages if cost.stage == stage)


@pytest.mark.slow
def test_before_anything_ran_figures_are_counted_and_assumed(project: Path, written: Written, document: dict[str, Any]) -> None:
    plan = estimate(written(document), project / "requests.sqlite")
    rollouts = of(plan, "rollouts@base")
    assert (rollouts.requests, rollouts.how) == (8 * 4, "at most")  # rows of a file may yet be rejected
    assert rollouts.tokens_out == 32 * FILLED * 304
    lengths = [len(f"Tom has {n} apples. He buys {n + 2} more. How many apples has he now?\nSolve:\n") / 4 for n in range(2, 42)]
    assert rollouts.tokens_in == pytest.approx(32 * sum(map(round, lengths)) / 40)
    assert rollouts.seconds is None, "no rate is known"
    assert of(plan, "format_tuning").trained.tokens == document["format_tuning"]["tokens"]
    assert any(line.startswith("an answer fills 50% of its max_tokens") for line in plan.assumed)
    assert "40 rows of train.jsonl, of which some may be rejected" in plan.measured


@pytest.mark.slow
def test_given_rates_make_hours(project: Path, written: Written, document: dict[str, Any]) -> None:
    plan = estimate(written(document), project / "requests.sqlite", Rates(100, 1000))
    assert of(plan, "rollouts@base").seconds == pytest.approx(32 * FILLED * 304 / 100)
    assert of(plan, "format_tuning").seconds == document["format_tuning"]["tokens"] / 1000
    assert all(cost.seconds is not None for cost in plan.stages)


@pytest.mark.slow
def test_prices_make_dollars_of_the_roles_that_have_one(project: Path, written: Written, document: dict[str, Any]) -> None:
    document["roles"]["labeller"] = {
        "engine": "openai", "model": "big@1", "base_url": "http://127.0.0.1:9/v1", "prompts": "laptop", "price": {"input": 2, "output": 6},
    }  # fmt: skip
    plan = estimate(written(document), project / "requests.sqlite")
    plans = of(plan, "plans@sft")
    assert plans.dollars == pytest.approx((2 * plans.tokens_in + 6 * plans.tokens_out) / 1e6)
    assert of(plan, "rollouts@base").dollars is None


@pytest.mark.slow
def test_the_stores_answers_of_that_stage_and_model_are_better_than_assumptions(
    project: Path, written: Written, document: dict[str, Any]
) -> None:  # fmt: skip
    document["roles"]["labeller"] = {"engine": "openai", "model": "big@1", "base_url": "http://127.0.0.1:9/v1", "prompts": "laptop"}
    store = Store(project / "requests.sqlite")
    for stage, model, tokens in (
        ("plans_sft", "big@1", 30),
        ("plans_sft", "big@1", 10),
        ("plans_sft", "big@2", 900),
        ("templates", "big@1", 77),
    ):
        key = f"{stage}{model}{tokens}"
        store.add(stage, model, [Answered(key, {}, {}, 100, tokens)])
    store.close()
    plan = estimate(written(document), project / "requests.sqlite")
    plans = of(plan, "plans@sft")
    assert (plans.tokens_in / plans.requests, plans.tokens_out / plans.requests) == (100, 20)
    assert plans.details[0].said == "2 answers of big@1 in the store"
    most, model = document["plans"]["labeller"]["max_tokens"], "big@1"
    for earlier, told in ((most - 8, f", made under max_tokens {most - 8}: of these only what was cut is asked again"), (most, "")):
        with closing(Store(project / "requests.sqlite")) as store:
            Limits(store, "plans_sft", model).find({"k": Request((1,), SamplingParams(earlier))}, str)
        plans = of(estimate(written(document), project / "requests.sqlite"), "plans@sft")
        assert plans.details[0].said == f"2 answers of big@1 in the store{told}"
    again = of(estimate(written(document), project / "requests.sqlite", fresh=True), "plans@sft")
    assert again.tokens_out / again.requests == FILLED * document["plans"]["labeller"]["max_tokens"]


@pytest.mark.slow
def test_a_stage_has_run_with_these_params_when_the_lock_says_so_and_its_outs_are_here(project: Path, document: dict[str, Any]) -> None:
    roles = {f"roles.{name}": document["roles"][name] for name in ("labeller", "inference")}
    samplings = {f"trajectories.{name}": document["trajectories"][name] for name in ("planner", "inference")}
    keys = {"seed": 1, **roles, **samplings, "grading": document.get("grading"), "plans": document["plans"],
            "planners.sft": {"start": "base"}}  # fmt: skip
    (project / "dvc.lock").write_text(yaml.safe_dump({"stages": {"plans@sft": {"cmd": "", "params": {"params.yaml": keys}}}}))
    assert not History.of(document).ran("plans@sft"), "its outs are not here"
    for out in ("tables/plans_sft", "rejects/plans_sft"):
        path = project / f"data/{out}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    assert History.of(document).ran("plans@sft")
    assert History.of(document).bytes("plans@sft") == 10
    document["plans"]["problems"] += 1
    assert not History.of(document).ran("plans@sft")


def test_models_are_as_large_as_their_weights(project: Path, document: dict[str, Any]) -> None:
    assert parameters(parse(document), Hub()) == (1000, "the weights in models/mine")  # 2,000 bytes of bfloat16
    Path("models/mine/q4.gguf").write_bytes(bytes(4600))
    document["adoption"]["base"] = "models/mine/q4.gguf"
    assert parameters(parse(document), Hub())[0] == 8000


def test_problems_with_both_verdicts_give_pairs() -> None:
    """Beta(.5, .5) over four samples: 1 - 2 · (.5 · 1.5 · 2.5 · 3.5) / (1 · 2 · 3 · 4)."""
    assert mixed(0.5, 4) == pytest.approx(1 - 2 * 6.5625 / 24)


@pytest.mark.slow
def test_what_a_model_without_weights_takes_on_the_disk_is_unknown(project: Path, written: Written, document: dict[str, Any]) -> None:
    Path("models/mine/model.safetensors").unlink()
    plan = estimate(written(document), project / "requests.sqlite")
    assert of(plan, "adoption@base").bytes is None
    assert of(plan, "format_tuning").bytes is None
    assert of(plan, "plans@sft").bytes > 0


@pytest.mark.slow
def test_scores_take_tokens_that_nobody_counts(project: Path, written: Written, document: dict[str, Any]) -> None:
    price = {"input": 2, "output": 6}
    document["roles"]["reward_model"] = {"engine": "openai", "model": "big@1", "base_url": "http://127.0.0.1:9/v1", "price": price}
    plan = estimate(written(document), project / "requests.sqlite", Rates(100, 100))
    found = of(plan, "demonstrations")
    assert [(item.asker, item.counted) for item in found.details if not item.counted] == [("reward_model", False)]
    assert (found.counted, found.priced, found.seconds) == (False, False, found.least_seconds)
    assert not plan.to_ask()["reward_model"].whole
    assert of(plan, "plans@sft").counted


def test_a_missing_source_leaves_counts_at_what_is_asked_for(project: Path, written: Written, document: dict[str, Any]) -> None:
    Path("train.jsonl").unlink()
    plan = estimate(written(document), project / "requests.sqlite")
    assert (of(plan, "rollouts@base").requests, of(plan, "rollouts@base").how) == (8 * 4, "at most")
    assert plan.measured[0] == "train.jsonl is not here to be counted: as many problems as the params ask for are taken"


def test_stages_that_ran_have_nothing_more_to_ask() -> None:
    detail = Detail("critic", "m", 10, "exactly", "", 100, 50, "", None, 3.0)
    plan = Plan(None, [Cost("one", [detail], ran=True), Cost("two", [detail, detail])], None, [], [])  # type: ignore[arg-type]
    assert plan.to_ask() == {"critic": Use(300, 6.0, whole=True)}


def test_a_part_without_a_rate_leaves_the_other_parts() -> None:
    cost = Cost("ppo@r1", [Detail("policy", "m", 10, "exactly", "", 100, 50, "", 5.0, None, stored=False)], Trained("m", 100, ""))
    assert (cost.seconds, cost.least_seconds) == (None, 10.0)
