"""Gradients of one step of each method on five rows of unequal lengths, for `test_silent_losses`."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from kills import together
from transformers import TrainerCallback
from trl import DPOConfig, RewardConfig, SFTConfig

from factory.coat.rewards import Reward
from factory.engines.sampler import Sampled
from factory.language.conversation import said
from factory.schemas import Restart
from pipelines import acting
from trainers import batches, dpo, hf, machine, ppo, reward, rollout, run, sft
from trainers.collate import Ids
from trainers.machine import ALONE, Machine
from trainers.policy import Actor, Critic

SETTINGS = ppo.Settings(
    iterations=4, batch=6, minibatch=3, epochs=1, samples=1, temperature=1.0, lr=1e-3, critic_lr=1e-3, warmup_share=0.0, critic_warmup=0,
    clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0, lam=0.95, kl=0.0, baselines=("critic",), max_grad_norm=1e9, seed=1,
)  # fmt: skip
FIVE = [("Solve:\n" * (n + 1), "3 + 4 = 7\n" * (1 + 2 * n) + "7") for n in range(5)]  # lengths far apart


class Taken(TrainerCallback):
    """The gradient of a step, as the optimizer gets it."""

    found: torch.Tensor

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.found = flat(given["model"].parameters())


def flat(parameters: Any) -> torch.Tensor:
    return torch.cat([(torch.zeros_like(one) if one.grad is None else one.grad).flatten() for one in parameters])


def sft_gradient(start: Path, here: Machine) -> torch.Tensor:
    model, words = run.load(start)
    rows = batches.completion_only(words, [said("user", asked) for asked, _ in FIVE], [told for _, told in FIVE])
    columns = {"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]}
    plain = {"packing": False, "dataset_kwargs": {"skip_prepare_dataset": True}}
    return of_one_step(sft._Tuner, SFTConfig, model, words, here, [len(row.ids) for row in rows], columns, plain)


def orm_gradient(start: Path, here: Machine) -> torch.Tensor:
    words = run.load_tokenizer(start)
    model = reward.from_policy(start, words)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.score.weight)
    heads = batches.sequences(words, [said("user", asked) for asked, _ in FIVE], [told for _, told in FIVE])
    columns = {
        "chosen_ids": [a + b for a, b in heads],
        "rejected_ids": [a[::-1] + b for a, b in heads],
        "margin": [0.0, 2.0, 4.0, 8.0, 1.0],
    }
    return of_one_step(reward._Tokenised, RewardConfig, model, words, here, [2 * len(a + b) for a, b in heads], columns, {})


def dpo_gradient(start: Path, here: Machine) -> torch.Tensor:
    model, words = run.load(start)
    heads = batches.sequences(words, [said("user", asked) for asked, _ in FIVE], [told for _, told in FIVE])
    columns = {"prompt_ids": [a for a, _ in heads], "chosen_ids": [b for _, b in heads], "rejected_ids": [b[::-1] for _, b in heads]}
    plain = {"precompute_ref_log_probs": True, "beta": 0.5}
    return of_one_step(dpo._Tokenised, DPOConfig, model, words, here, [2 * len(a + b) for a, b in heads], columns, plain)


def of_one_step(
    kind: Any, config: Any, model: Any, words: Any, here: Machine, lengths: list[int], columns: Any, plain: Any
) -> torch.Tensor:
    job = hf.Job("one", here, lengths, len(lengths), 1e-3, 1, (), lambda: model)
    options = config(**{**job.arguments(model), "max_grad_norm": 0.0}, max_length=None, **plain)
    trainer, taken = kind(job, model=model, args=options, train_dataset=reward.Dataset.from_dict(columns), processing_class=words), Taken()
    trainer.add_callback(taken)
    trainer.train()
    return taken.found


def opened(start: Path, settings: ppo.Settings = SETTINGS, here: Machine = ALONE) -> ppo.State:
    words = run.load_tokenizer(start)
    critic = None
    if "critic" in settings.baselines:
        scored = reward.from_policy(start, words)
        torch.manual_seed(0)
        torch.nn.init.normal_(scored.score.weight, std=0.1)
        critic = Critic(scored, 0.0, 1.0, here)
    return ppo.build_state(Actor(run.load(start)[0], settings.temperature, here), critic, settings)


def starts(start: Path) -> list[rollout.Start]:
    rows = [
        Restart(id=str(n), problem_id=str(n), parent_id=None, buffer="0", backtrack=0, prompt=said("user", asked), prefix="",
                prefix_has_answer=False, answer=str(n), answer_kind="number", round="r1")
        for n, (asked, _) in enumerate([*FIVE, ("Tom has 3.\n", "3")])
    ]  # fmt: skip
    encode = partial(batches.start_ids, run.load_tokenizer(start))
    return rollout.start_states(rows, encode, 99, "ppo_r1")[0]


def sampling(start: Path, state: ppo.State) -> rollout.Sample:
    """The stage's own, cut at lengths far apart."""
    sample = acting.sampling(state.actor, run.load_tokenizer(start), 24)

    def cut(prompts: Sequence[Ids], seeds: Sequence[int]) -> list[Sampled]:
        found = sample(prompts, seeds)
        return [Sampled(one.token_ids[: 2 + seed % 20] or (5,), False, ()) for one, seed in zip(found, seeds, strict=True)]

    return cut


def graded(rows: Sequence[rollout.Start], responses: Sequence[rollout.Response]) -> list[Reward]:
    return [Reward("wrong", -float(len(one.actions) % 3), 0.0, int(row.row.id) / 8) for row, one in zip(rows, responses, strict=True)]


def collected(start: Path, state: ppo.State, settings: ppo.Settings = SETTINGS, rewards: rollout.Rewards = graded) -> rollout.Rollouts:
    order = rollout.Order(starts(start), 1)
    return rollout.collect(order, 0, settings.batch // settings.samples, settings.samples, sampling(start, state), rewards, eos=1)


def ppo_gradient(start: Path, here: Machine) -> torch.Tensor:
    settings = dataclasses.replace(SETTINGS, minibatch=SETTINGS.batch)
    state, found = opened(start, settings, here), []
    for learner in state.learners:
        learner.optimizer.register_step_pre_hook(lambda *_, parameters=learner.parameters: found.append(flat(parameters)))
    rollouts = collected(start, state, settings)
    ppo.update(state, rollouts, ppo.evaluate(state, rollouts, settings), settings)
    return torch.cat(found)


GRADIENTS = {"sft": sft_gradient, "orm": orm_gradient, "dpo": dpo_gradient, "ppo": ppo_gradient}


def in_two_processes(start: Path, folder: Path) -> list[dict[str, torch.Tensor]]:
    """The gradients of all four as two processes find them: as the code is, and where each divides by what it has itself."""
    assert together(lambda _: one_of_two(start, folder), folder) == [0, 0], (folder / "said").read_text(encoding="utf-8")
    one, other = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in "01")
    for here, there in zip(one, other, strict=True):
        assert all(torch.allclose(here[kind], there[kind]) for kind in GRADIENTS)
    return one


def one_of_two(start: Path, folder: Path) -> None:
    machine.connect()
    sound = {kind: gradient(start, ALONE) for kind, gradient in GRADIENTS.items()}
    hf.Job.weight = lambda *_: 1.0  # type: ignore[method-assign]
    machine.total = lambda x: x
    arguments = hf.Job.arguments
    hf.Job.arguments = lambda self, model: {**arguments(self, model), "average_tokens_across_devices": False}  # type: ignore[method-assign]
    planted = {kind: gradient(start, ALONE) for kind, gradient in GRADIENTS.items()}
    torch.save([sound, planted], folder / f"{machine.rank()}.pt")
