"""Silent failures of rewards and advantages, and of a run that goes on after a stop."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from factory.coat.rewards import Reward, Weights
from factory.engines.sampler import Sampled, Sampler
from factory.errors import ParamsError
from factory.language.conversation import said
from factory.params import parse
from factory.schemas import Restart
from factory.storage import DATASETS, MODELS, write_rows
from pipelines import ppo as stage
from trainers import hf, ppo, reward, rollout, run, sft
from trainers.collate import Ids
from trainers.machine import Machine

sys.path.insert(0, str(Path(__file__).parent))
from gradients import SETTINGS, collected, opened, starts
from planted import ROOT, Plant, caught, replaced, trains, tune

# What a response earns

BOX = "3 + 4 = 7\n\\boxed{7}\n<|reflect|>"


def test_reward_from_the_prompts_own_box(start: Path) -> None:
    words = run.load_tokenizer(start)
    rewards = stage._rewards(None, words, Weights(beta=0.5, orm_weight=0.0))
    rows = [
        Restart(id=str(n), problem_id="p", parent_id=None, buffer="+", backtrack=0, prompt=said("user", asked), prefix=prefix,
                prefix_has_answer="box" in prefix, answer="7", answer_kind="number", round="r1")
        for n, (asked, prefix) in enumerate([("Solve:\n", BOX), ("Solve 3 + 4 like \\boxed{7}.\n", ""), ("Solve:\n", BOX)])
    ]  # fmt: skip
    begun = [rollout.Start(row, (5,)) for row in rows]
    responses = [rollout.Response(ids := tuple(words(told)["input_ids"]), ids, True) for told in ("But wait.\n", "7\n", "\\boxed{8}")]

    def only_the_response_earns() -> None:
        found = rewards(begun, responses)
        assert [(one.verdict, one.rule) for one in found] == [("unparsable", -1.0), ("unparsable", -1.0), ("wrong", -1.0)]

    def whole_graded(row: Restart, text: str, *given: Any) -> Reward:
        return REWARD(row, row.prompt[0].content + row.prefix + text, *given)

    caught(only_the_response_earns, replaced(stage, "reward", whole_graded))


REWARD = stage.reward


@pytest.mark.parametrize(
    "regroup", [lambda totals: totals.view(3, -1).T, lambda totals: totals.view(1, -1)], ids=["interleaved", "whole batch"]
)
def test_the_siblings_mean_includes_other_prompts(regroup: Callable[[torch.Tensor], torch.Tensor], start: Path) -> None:
    settings = dataclasses.replace(SETTINGS, samples=3, batch=9, minibatch=9, lam=1.0, baselines=("siblings",))

    def easy_for_one(rows: Sequence[rollout.Start], responses: Sequence[rollout.Response]) -> list[Reward]:
        """All three succeed at one start, none at the others: nothing to learn."""
        return [Reward("wrong", -float(row.ids != rows[0].ids), 0.0, 0.0) for row in rows]

    def alike_means_nothing() -> None:
        state = opened(start, settings)
        rollouts = collected(start, state, settings, easy_for_one)
        assert not ppo.evaluate(state, rollouts, settings).advantages.any()

    def regrouped(self: rollout.Rollouts, siblings: int = 1) -> torch.Tensor:
        groups = regroup(torch.tensor([one.total for one in self.rewards]))
        totals = (groups - groups.mean(dim=1, keepdim=True)).reshape(-1)
        return torch.where(self.mask.cumsum(1) == self.mask.sum(1, keepdim=True), totals[:, None], 0.0)

    caught(alike_means_nothing, replaced(rollout.Rollouts, "terminal_rewards", regrouped))


def test_without_a_critic_lambda_below_one_fades_what_came_first(start: Path) -> None:
    changes: dict[str, Any] = {"lam": 0.95, "baselines": ("siblings",), "samples": 3, "batch": 9, "minibatch": 9}
    with pytest.raises(ParamsError, match=r"ppo\.lam is 0\.95, expected 1: without a critic"):
        dataclasses.replace(SETTINGS, **changes)

    def every_action_gets_its_responses_reward() -> None:
        state = opened(start, settings)
        experience = ppo.evaluate(state, collected(start, state, settings), settings)
        first, last = experience.advantages[:, 0], experience.mask.sum(1) - 1
        assert first.any()
        assert torch.allclose(first, experience.advantages[torch.arange(9), last])

    settings = dataclasses.replace(SETTINGS, **{**changes, "lam": 1.0})
    every_action_gets_its_responses_reward()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ppo.Settings, "__post_init__", lambda self: None)
        settings = dataclasses.replace(SETTINGS, **changes)
        with pytest.raises(AssertionError):
            every_action_gets_its_responses_reward()


# Going on


class Stop(Exception):
    pass


def forgets_the_iteration(patch: pytest.MonkeyPatch) -> None:
    load = ppo.State.load

    def loaded(self: ppo.State, folder: Path) -> None:
        load(self, folder)
        self.iteration, self.log = 0, []

    patch.setattr(ppo.State, "load", loaded)


@trains
@pytest.mark.parametrize("plant", [forgets_the_iteration, replaced(ppo.State, "load", lambda *_: None)], ids=["iteration", "all"])
def test_a_resumed_ppo_replays_its_first_start_states(plant: Plant, start: Path) -> None:
    """The whole stage, stopped in its third iteration of four."""
    shutil.copytree(start, MODELS / "format_tuned")
    words = run.load_tokenizer(start)
    scored = reward.from_policy(start, words)
    scored.config.reward_mean, scored.config.reward_std = 0.0, 1.0
    run.save_model(scored, words, MODELS / "orm_r1")
    write_rows(DATASETS / "restarts_r1" / "data" / "train-00000-of-00001.parquet", Restart, rows := [one.row for one in starts(start)])
    (DATASETS / "restarts_r1" / "manifest.json").write_text(json.dumps({"purpose": "train", "rows": len(rows)}))
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["ppo"] |= {"iterations": 4, "batch": 4, "minibatch": 2, "max_tokens": 8, "lr": 1e-3, "orm_weight": 0.0, "critic_warmup": 0}
    document["ppo"] |= {"baselines": ["siblings"], "lam": 1.0, "lora": None, "sampler": None}
    document["rounds"]["r1"]["samples"] = 2
    document["training"] = {"save_minutes": 0.0}
    params, sample = parse(document), Sampler.sample

    def seen(stop: int | None = None) -> list[Ids]:
        found = list[Ids]()

        def watched(self: Sampler, prompts: Sequence[Ids], *given: Any, **more: Any) -> list[Sampled]:
            found.extend(prompts)
            if len(found) == stop:
                raise Stop
            return sample(self, prompts, *given, **more)

        with pytest.MonkeyPatch.context() as patch, nullcontext() if stop is None else pytest.raises(Stop):
            patch.setattr(Sampler, "sample", watched)
            stage.main(params, "r1")
        return found

    def a_resumed_run_is_the_same_run() -> None:
        straight, made = seen(), (MODELS / "policy_r1" / "model.safetensors").read_bytes()
        stopped = seen(stop=12)
        assert stopped[:8] + seen() == straight
        assert (MODELS / "policy_r1" / "model.safetensors").read_bytes() == made

    caught(a_resumed_run_is_the_same_run, plant)


@trains
def test_a_resumed_tuning_replays_its_first_rows(start: Path) -> None:
    rows = [("Solve:\n", f"{a} + {b} = 7") for a in "34" for b in "3478"]
    step = sft._Tuner.training_step

    def stopping(self: Any, *given: Any, **more: Any) -> Any:
        if self.state.global_step == 3:
            raise Stop
        return step(self, *given, **more)

    def a_resumed_run_is_the_same_run() -> None:
        here, stopped = Machine(save_minutes=0.0), run.WORK / "stopped"
        straight = tune(start, rows, "straight", batch=2, machine=here)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sft._Tuner, "training_step", stopping)
            with pytest.raises(Stop):
                tune(start, rows, "stopped", batch=2, machine=here)
        assert [path.name for path in stopped.glob("checkpoint-3")] == ["checkpoint-3"]
        resumed = tune(start, rows, "stopped", batch=2, machine=here)
        assert (resumed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
        assert json.loads((resumed / "config.json").read_text()) == json.loads((straight / "config.json").read_text())

    def from_the_first_row(patch: pytest.MonkeyPatch) -> None:
        arguments = hf.Job.arguments
        patch.setattr(hf.Job, "arguments", lambda self, model: {**arguments(self, model), "ignore_data_skip": True})

    caught(a_resumed_run_is_the_same_run, from_the_first_row)
