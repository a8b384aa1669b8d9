"""Short trainings of all four methods on uneven rows, for `test_invariance` and `test_shards_killed`.

PPO under adapters has actor, critic, reward model and reference on one backbone.

Eleven rows of unequal lengths in batches of five: the last step has one row, and with two processes one of them none.
"""

import csv
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from factory.coat import grammar
from factory.coat.rewards import Reward
from factory.language.conversation import said
from factory.schemas import Example, OrmPair, Restart, TrajectoryPair
from trainers import batches, dpo, lora, machine, ppo, reward, run, sft, shards
from trainers.buffer import Found, Quotas
from trainers.checkpoints import Checkpoints
from trainers.collate import Ids
from trainers.live import Live
from trainers.lora import Lora
from trainers.machine import Machine
from trainers.players import open_players
from trainers.policy import Actor, Critic
from trainers.rollout import Response, Rewarded, Rewards, Start

ROWS, BATCH = 11, 5
LORA = Lora(4, 8, tuple(grammar.ACTIONS.values()))
CUTS = (0, 1)  # rows of a pass; 0: a batch in one pass
MADE = {"model": "m@0", "prompt_version": "p@0", "seed": 1, "round": "r1"}


@dataclass(frozen=True)
class Outcome:
    """What a training came to: a value a step of each column, and the weights."""

    log: dict[str, list[float]]
    weights: dict[str, Tensor]


def texts() -> list[tuple[str, str, str]]:
    """(prompt, right, wrong) of unequal lengths."""
    rows = []
    for n in range(ROWS + 1):  # of the reward model's problems one is held out
        more = f" {n} + 2 = {n + 2}\n" * (n % 4)
        prompt = f"Tom has {n + 2} apples. He buys 2 more. How many apples has Tom now?\nSolve:\n"
        rows.append((prompt, f"{more}\\boxed{{{n + 4}}}", "But wait.\n" * (n % 3) + f"\\boxed{{{n + 5}}}"))
    return rows


def target(name: str, lora: Lora | None) -> Path:
    return Path(f"{name}_lora" if lora else name)


def log(name: str, lora: Lora | None) -> Path:
    return Path(f"{target(name, lora)}.csv")


def tune(start: Path, here: Machine, lora: Lora | None = None) -> None:
    rows = [Example(id=str(n), problem_id=str(n), prompt=said("user", p), completion=c, **MADE) for n, (p, c, _) in enumerate(texts()[1:])]
    words = AutoTokenizer.from_pretrained(start)
    tokens = sum(len(row.ids) for row in batches.completion_only(words, [row.prompt for row in rows], [row.completion for row in rows]))
    settings = sft.Settings(tokens=tokens, batch=BATCH, lr=1e-3, lora=lora)
    sft.tune(rows, settings, seed=1, start=start, target=target("sft", lora), log=log("sft", lora), machine=here)


def fit(start: Path, here: Machine, lora: Lora | None = None) -> None:
    rows = [
        OrmPair(id=str(n), problem_id=str(n), prompt=said("user", p), chosen=right, rejected=wrong, margin=n % 3, chosen_id="c",
                rejected_id="r", round="r1")
        for n, (p, right, wrong) in enumerate(texts())
    ]  # fmt: skip
    reward.fit(
        rows, reward.Settings(1, BATCH, 1e-3, lora), seed=1, start=start, target=target("orm", lora), log=log("orm", lora), machine=here
    )


def prefer(start: Path, here: Machine, lora: Lora | None = None, name: str = "dpo", nll: float = 0.0) -> None:
    rows = [
        TrajectoryPair(id=str(n), problem_id=str(n), prompt=said("user", p), chosen=right, rejected=wrong, reward_chosen=1.0,
                       reward_rejected=0.0, n_similar=1, n_decodes=1, template_ids=(), **MADE)
        for n, (p, right, wrong) in enumerate(texts()[1:])
    ]  # fmt: skip
    settings = dpo.Settings(epochs=1, batch=BATCH, lr=1e-3, beta=0.5, nll=nll, lora=lora)
    dpo.prefer(rows, settings, seed=1, start=start, target=target(name, lora), log=log(name, lora), machine=here)


@dataclass(frozen=True)
class Drawn:
    token_ids: Ids
    finished: bool


def draw(prompts: Sequence[Ids], seeds: Sequence[int]) -> list[Drawn]:
    """Responses of 0 to 9 tokens that hang on the seed alone."""
    found = []
    for seed in seeds:
        rng = random.Random(seed)
        length = rng.randrange(10)
        found.append(Drawn(tuple(rng.randrange(2, 32) for _ in range(length)), length < 9))
    return found


def planted(start: Path, folder: Path) -> Path:
    """A reward model under adapters of the start model, of random weights, which the first process writes."""
    if machine.rank() == 0:
        torch.manual_seed(2)
        words = AutoTokenizer.from_pretrained(start)
        model = lora.adapt(reward.from_policy(start, words), LORA, words)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data.normal_(std=0.05)
        model.config.reward_mean, model.config.reward_std = 0.5, 2.0
        beside = lora.keep(model, folder.with_name(f"{folder.name}_kept"), start)
        run.save_model(lora.merged(model, lambda: reward.from_policy(start, words)), words, folder, beside)
    machine.wait()
    return folder


def judge(starts: Sequence[Start], responses: Sequence[Response], orm: Critic | None = None) -> list[Reward]:
    right = [sum(response.actions) % 3 == 0 for response in responses]
    said = [0.1 * len(one.actions) for one in responses]
    if orm is not None:
        said = orm.logits([start.ids + one.actions for start, one in zip(starts, responses)])
    return [Reward("correct" if one else "wrong", float(one) - 1.0, much, 0.0) for one, much in zip(right, said)]


def again(starts: Sequence[Start], responses: Sequence[Response], rewards: Sequence[Rewarded], seeds: Sequence[int]) -> list[Found | None]:
    """The first tokens of a response are a prefix."""
    made: list[Found | None] = []
    for start, response, one, seed in zip(starts, responses, rewards, seeds):
        row = replace(start.row, id=str(seed), buffer="+" if one.correct else "-", prefix="c")
        made.append((row, (*start.ids, *response.actions[: seed % 5])) if response.finished else None)
    return made


QUOTAS = Quotas(share=0.4, per_sign=9, per_problem=9, depth=2)


def apart(settings: ppo.Settings, here: Machine) -> tuple[Actor, Critic]:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    actor = Actor(LlamaForCausalLM(config), settings.temperature, here)
    config.num_labels = 1
    return actor, Critic(LlamaForSequenceClassification(config), 0.5, 2.0, here)


def improve(start: Path, here: Machine, name: str = "ppo", adapters: Lora | None = None, **changes: Any) -> None:
    """22 responses to eleven start states, in minibatches of seven: the last has one; an uneven share for each of two processes."""
    settings = ppo.Settings(
        iterations=2, batch=2 * ROWS, minibatch=7, epochs=2, samples=2, temperature=0.8, lr=1e-3, critic_lr=1e-3, warmup_share=0.1,
        critic_warmup=0, clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0, lam=0.9, kl=0.1, baselines=("critic", "siblings"),
        max_grad_norm=1.0, seed=1,
    )  # fmt: skip
    settings = replace(settings, **changes)
    machine.connect()
    judged: Rewards = judge
    if adapters:
        orm = planted(start, Path(f"{name}_orm"))
        found = open_players(start, orm, here, adapters=adapters, temperature=settings.temperature, critic=True, reward=True)
        actor, critic, judged = found.actor, found.critic, partial(judge, orm=found.orm)
    else:
        actor, critic = apart(settings, here)
    state = ppo.build_state(actor, critic, settings)
    starts = [
        Start(
            Restart(id=str(n), problem_id="p", parent_id=None, buffer="0+-"[n % 3], backtrack=0, prompt=said("user", "a"), prefix="",
                    prefix_has_answer=False, answer="b", answer_kind="text", round="r1"),
            tuple(range(2, 4 + 3 * (n % 5))),
        ) for n in range(ROWS)
    ]  # fmt: skip
    checkpoints = Checkpoints.of(run.WORK / name, here, settings, rows=starts)
    if last := checkpoints.latest():
        state.load(last)
        if machine.rank() == 0:
            print("goes on after step", state.iteration, flush=True)
    with Live(name, settings.iterations, after=state.iteration) as live:
        rows = ppo.train(
            state,
            starts,
            draw,
            judged,
            settings,
            eos=1,
            action_ids={"reflect": 6},
            again=again,
            checkpoints=checkpoints,
            live=live,
            report=lambda _: None,
        )
    assert state.critic is not None
    with state.actor.acting() as model:
        weights = {f"actor.{name}": weight for name, weight in model.state_dict().items()}
    weights |= {f"critic.{name}": weight.clone() for name, weight in shards.whole(state.critic).items()}
    if adapters:
        saved = lora.collected(state.actor.whole, lambda: run.load(start)[0], here)
        if machine.rank() == 0:
            weights |= {f"saved.{name}": weight for name, weight in lora.merged(saved, lambda: run.load(start)[0]).state_dict().items()}
    checkpoints.clear()
    if machine.rank() == 0:
        Path(f"{name}.json").write_text(json.dumps([row.cells() for row in rows]), encoding="utf-8")
        torch.save(weights, f"{name}.pt")


ALL = {"sft": tune, "orm": fit, "dpo": prefer, "ppo": improve}
ALL |= {"arms": partial(improve, name="arms", alike="refill", online=QUOTAS), "nll": partial(prefer, name="nll", nll=0.7)}
METHODS = ALL | {f"{name}_lora": partial(train, lora=LORA) for name, train in (("sft", tune), ("orm", fit), ("dpo", prefer))}
METHODS["ppo_lora"] = partial(improve, name="ppo_lora", adapters=LORA, lr=3e-4, critic_lr=3e-4)
PPO = ("ppo", "arms", "ppo_lora")


def pass_tokens(rows: int) -> int:
    """So many that `rows` of the longest fit into a pass."""
    return rows * 70


def outcome(method: str) -> Outcome:
    """What a training has left in the working folder."""
    if method in PPO:
        cells = json.loads(Path(f"{method}.json").read_text(encoding="utf-8"))
        return Outcome(
            {name: [float(row[name]) for row in cells if row[name] is not None] for name in cells[0]}, torch.load(f"{method}.pt")
        )
    steps = [json.loads(line) for line in Path(f"data/logs/live/{method}.jsonl").read_text(encoding="utf-8").splitlines()][1:]
    log = {name: [step[name] for step in steps] for name in ("loss", "grad_norm", "tokens_seen")}
    lines = list(csv.DictReader(Path(f"{method}.csv").read_text(encoding="utf-8").splitlines()))
    log |= {f"csv.{name}": [float(line[name]) for line in lines if line[name]] for name in lines[0]}
    return Outcome(log, load_file(f"{method}/model.safetensors"))


def all_cuts(start: Path, out: Path, shard: bool) -> None:
    """Every cut of `CUTS` in a folder of its name, methods one behind the other; with spread weights adapters too. This is one of several
    processes that train together."""
    for rows in CUTS:
        folder = out / str(rows)
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        here = Machine(processes=machine.world(), shard=shard, pass_tokens=pass_tokens(rows) or None, save_minutes=1e9)
        for method in METHODS if shard else ALL:
            METHODS[method](start, here)
