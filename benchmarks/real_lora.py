"""Every trainer under LoRA on a real model and tokenizer, a few steps each on GSM8K's solutions: what is saved computes what was trained.

    python benchmarks/real_lora.py data/models/base --data ../shared/data/gsm8k/train.jsonl      # a base that `adoption@base` made

SFT, reward model and DPO: logits of the adapted model, of the merged one, and of the folder as it is read again. PPO on one backbone
(the reward model's adapters beside the actor's): the sampler's log-probabilities beside the trainer's, rewards beside those of a regular
expression, and a run that stops after its first iteration and goes on, beside one that does not.
"""

import argparse
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from asking import problems_from
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from factory.coat.grammar import ACTIONS
from factory.coat.rewards import Weights
from factory.language.conversation import said
from factory.language.tokens import turn_end
from factory.schemas import Example, OrmPair, Problem, Restart, TrajectoryPair
from pipelines import acting
from pipelines import ppo as stage
from trainers import batches, dpo, hf, lora, ppo, reward, rollout, run, sft
from trainers.checkpoints import Checkpoints
from trainers.collate import collate
from trainers.lora import Lora
from trainers.machine import Machine
from trainers.players import open_players
from trainers.policy import Actor

LORA = Lora(rank=8, alpha=16, tokens=tuple(ACTIONS.values()))
MACHINE = Machine(pass_tokens=600, save_minutes=0)
MADE = {"model": "gold", "prompt_version": "1", "seed": 1, "round": "r1"}
ASK = "\n\nSolve this problem step by step. Put the final answer within \\boxed{}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=16)
    options = parser.parse_args()
    start, problems = options.model.resolve(), problems_from(options.data, options.rows)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        supervised(start, problems)
        ppo_on_one_backbone(start, problems)


def answer(problem: Problem, shift: int = 0) -> str:
    text = re.sub(r"<<.*?>>", "", problem.solution or "")
    return f"{text}\n\\boxed{{{int(float(problem.answer)) + shift}}}"


def supervised(start: Path, problems: Sequence[Problem]) -> None:
    rows = [
        Example(id=one.id, problem_id=one.id, prompt=said("user", one.problem + ASK), completion=answer(one), **MADE) for one in problems
    ]
    more: dict[str, Any] = {"reward_chosen": 1.0, "reward_rejected": 0.0, "n_similar": 1, "n_decodes": 1, "template_ids": ()}
    plans = [
        TrajectoryPair(id=row.id, problem_id=row.id, prompt=row.prompt, chosen=row.completion, rejected=answer(one, 1), **more, **MADE)
        for row, one in zip(rows, problems, strict=True)
    ]
    places = {"seed": 1, "start": start, "machine": MACHINE}
    tune = partial(sft.tune, rows, sft.Settings(3000, 4, 1e-4, lora=LORA), **places)
    prefer = partial(dpo.prefer, plans, dpo.Settings(1, 4, 1e-5, 0.1, lora=LORA), **places)
    fit = partial(reward.fit, orm_pairs(problems), reward.Settings(1, 4, 1e-4, lora=LORA), **places)
    same("SFT", "sft", tune, AutoModelForCausalLM)
    same("DPO", "dpo", prefer, AutoModelForCausalLM)
    same("reward model", "orm", fit, AutoModelForSequenceClassification)


def orm_pairs(problems: Sequence[Problem]) -> list[OrmPair]:
    return [
        OrmPair(id=one.id, problem_id=one.id, prompt=said("user", one.problem + ASK), chosen=answer(one), rejected=answer(one, 1),
                margin=2.0, chosen_id="a", rejected_id="b", round="r1")
        for one in problems
    ]  # fmt: skip


def same(what: str, name: str, trained: Callable[..., None], kind: Any) -> None:
    """Largest differences of logits on a fixed text: adapted and merged, merged and read again."""
    seen, merge = dict[str, torch.Tensor](), lora.merged

    def watched(model: Any, build: Any) -> Any:
        assert isinstance(model, PeftModel)
        seen["adapted"] = logits(model)
        plain = merge(model, build)
        seen["merged"] = logits(plain)
        return plain

    hf.lora.merged = watched
    trained(target=Path(name), log=Path(f"{name}.csv"))
    hf.lora.merged = merge
    again = logits(kind.from_pretrained(name, dtype=torch.float32))
    gaps = (seen["adapted"] - seen["merged"]).abs().max(), (seen["merged"] - again).abs().max()
    print(
        f"{what}: merged {gaps[0]:.2g} from adapted, read again {gaps[1]:.2g} from merged (logits up to {again.abs().max():.3g})",
        flush=True,
    )


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    model.eval()
    return model(input_ids=torch.arange(40, 100)[None]).logits


def ppo_on_one_backbone(start: Path, problems: Sequence[Problem]) -> None:
    settings = ppo.Settings(
        iterations=3, batch=8, minibatch=4, epochs=1, samples=4, temperature=0.8, lr=1e-4, critic_lr=1e-4,
        warmup_share=0.1, critic_warmup=0,
        clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0, lam=0.95, kl=0.01, baselines=("critic",), max_grad_norm=1.0, seed=1,
    )  # fmt: skip
    whole = one_run(start, problems, settings, stop=None)
    halved = one_run(start, problems, settings, stop=1)
    halved = one_run(start, problems, settings, stop=None)
    equal = sum(torch.equal(a, b) for a, b in zip(whole, halved, strict=True))
    print(f"PPO: stopped after iteration 1 and gone on, {equal} of {len(whole)} trained tensors are equal to the bit", flush=True)


class Stopped(Exception):
    pass


def one_run(start: Path, problems: Sequence[Problem], settings: ppo.Settings, stop: int | None) -> list[torch.Tensor]:
    players = open_players(start, Path("orm"), MACHINE, adapters=LORA, temperature=0.8, critic=True, reward=True)
    words = players.tokenizer
    assert players.orm is not None
    backbone = {id(player.whole) for player in (players.actor, players.critic, players.orm) if player is not None}
    rows = [
        Restart(id=one.id, problem_id=one.id, parent_id=None, buffer="0", backtrack=0, prompt=said("user", one.problem + ASK), prefix="",
                prefix_has_answer=False, answer=one.answer, answer_kind="number", round="r1")
        for one in problems
    ]  # fmt: skip
    starts, _ = rollout.start_states(rows, partial(batches.start_ids, words), 1000, "ppo")
    state = ppo.build_state(players.actor, players.critic, settings)
    sample = acting.sampling(players.actor, words, 64)
    given = stage._rewards(players.orm, words, Weights(0.5, 1.0, players.orm.mean, players.orm.std))
    gaps, graded = list[float](), list[bool]()

    def rewards(begun: Sequence[rollout.Start], responses: Sequence[rollout.Response]) -> Sequence[rollout.Rewarded]:
        made = given(begun, responses)
        for one, response, row in zip(begun, responses, made, strict=True):
            boxes = re.findall(r"\\boxed\{([^{}]*)\}", words.decode(list(response.token_ids)))
            graded.append((bool(boxes) and boxes[-1] == one.row.answer) == row.correct)
        return made

    def watched(prompts: Sequence[Any], seeds: Sequence[int]) -> Sequence[Any]:
        found = sample(prompts, seeds)
        for prompt, one in zip(prompts, found, strict=True):
            batch = collate([prompt], [one.token_ids], players.actor.model.device)
            gaps.append(float((plain(players.actor, batch) - torch.tensor(one.logprobs)).abs().max()))
        return found

    def report(line: str) -> None:
        print(f"  {line}", flush=True)
        if stop is not None and state.iteration == stop:
            raise Stopped

    checkpoints = Checkpoints.of(run.WORK / "policy", MACHINE, settings, starts)
    try:
        ppo.train(state, starts, watched, rewards, settings, eos=turn_end(words), action_ids={}, checkpoints=checkpoints, report=report)
    except Stopped:
        return []
    checkpoints.clear()
    print(f"PPO: {len(backbone)} backbone; log-probabilities of {len(gaps)} responses at most {max(gaps):.2g} apart; "
          f"{sum(graded)} of {len(graded)} verdicts as by a regular expression", flush=True)  # fmt: skip
    return [parameter.detach().clone() for learner in state.learners for parameter in learner.parameters]


@torch.no_grad()
def plain(actor: Actor, batch: Any) -> torch.Tensor:
    """At temperature 1, which is what our sampler reports."""
    kept, actor.temperature = actor.temperature, 1.0
    found = actor.log_probs(batch)
    actor.temperature = kept
    return found


if __name__ == "__main__":
    main()
