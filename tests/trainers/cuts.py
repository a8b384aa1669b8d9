"""Short trainings of all four methods on uneven rows, for `test_invariance`; by itself it is one of several processes that train together.

    python -m torch.distributed.run --standalone --nproc_per_node 2 tests/trainers/cuts.py START OUT [shard]

It runs all of `CUTS`, each in a folder of its name: loading the libraries takes longer than the trainings.

Eleven rows of unequal lengths in batches of five: the last step has one row, and with two processes one of them none.
"""

import csv
import gc
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from factory.coat.rewards import Reward
from factory.language.conversation import said
from factory.schemas import Example, OrmPair, Restart, TrajectoryPair
from trainers import batches, dpo, machine, ppo, reward, sft, shards
from trainers.collate import Ids
from trainers.machine import Machine
from trainers.policy import Actor, Critic
from trainers.rollout import Response, Start

ROWS, BATCH = 11, 5
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


def tune(start: Path, here: Machine) -> None:
    rows = [Example(id=str(n), problem_id=str(n), prompt=said("user", p), completion=c, **MADE) for n, (p, c, _) in enumerate(texts()[1:])]
    words = AutoTokenizer.from_pretrained(start)
    tokens = sum(len(row.ids) for row in batches.completion_only(words, [row.prompt for row in rows], [row.completion for row in rows]))
    settings = sft.Settings(tokens=tokens, batch=BATCH, lr=1e-3)
    sft.tune(rows, settings, seed=1, start=start, target=Path("sft"), log=Path("sft.csv"), machine=here)


def fit(start: Path, here: Machine) -> None:
    rows = [
        OrmPair(id=str(n), problem_id=str(n), prompt=said("user", p), chosen=right, rejected=wrong, margin=n % 3, chosen_id="c",
                rejected_id="r", round="r1")
        for n, (p, right, wrong) in enumerate(texts())
    ]  # fmt: skip
    reward.fit(rows, reward.Settings(1, BATCH, 1e-3), seed=1, start=start, target=Path("orm"), log=Path("orm.csv"), machine=here)


def prefer(start: Path, here: Machine) -> None:
    rows = [
        TrajectoryPair(id=str(n), problem_id=str(n), prompt=said("user", p), chosen=right, rejected=wrong, reward_chosen=1.0,
                       reward_rejected=0.0, n_similar=1, n_decodes=1, template_ids=(), **MADE)
        for n, (p, right, wrong) in enumerate(texts()[1:])
    ]  # fmt: skip
    settings = dpo.Settings(epochs=1, batch=BATCH, lr=1e-3, beta=0.5)
    dpo.prefer(rows, settings, seed=1, start=start, target=Path("dpo"), log=Path("dpo.csv"), machine=here)


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


def judge(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
    right = [sum(response.actions) % 3 == 0 for response in responses]
    return [Reward("correct" if one else "wrong", float(one) - 1.0, 0.1 * len(r.actions), 0.0) for one, r in zip(right, responses)]


def improve(start: Path, here: Machine) -> None:
    """22 responses to eleven start states, in minibatches of seven: the last has one; an uneven share for each of two processes."""
    settings = ppo.Settings(
        iterations=2, batch=2 * ROWS, minibatch=7, epochs=2, samples=2, temperature=0.8, lr=1e-3, critic_lr=1e-3, warmup_share=0.1,
        critic_warmup=0, clip=0.2, value_clip=0.2, gamma=1.0, lam=0.9, kl=0.1, baselines=("critic", "siblings"), max_grad_norm=1.0, seed=1,
    )  # fmt: skip
    machine.connect()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    actor = Actor(LlamaForCausalLM(config), settings.temperature, here)
    config.num_labels = 1
    state = ppo.build_state(actor, Critic(LlamaForSequenceClassification(config), 0.5, 2.0, here), settings)
    starts = [
        Start(
            Restart(id=str(n), problem_id="p", parent_id=None, buffer="0+-"[n % 3], backtrack=0, prompt=said("user", "a"), prefix="",
                    prefix_has_answer=False, answer="b", answer_kind="text", round="r1"),
            tuple(range(2, 4 + 3 * (n % 5))),
        ) for n in range(ROWS)
    ]  # fmt: skip
    rows = ppo.train(state, starts, draw, judge, settings, eos=1, action_ids={"reflect": 6}, report=lambda _: None)
    assert state.critic is not None
    with state.actor.acting() as model:
        weights = {f"actor.{name}": weight for name, weight in model.state_dict().items()}
    weights |= {f"critic.{name}": weight for name, weight in shards.whole(state.critic).items()}
    if machine.rank() == 0:
        Path("ppo.json").write_text(json.dumps([row.cells() for row in rows]), encoding="utf-8")
        torch.save(weights, "ppo.pt")


METHODS = {"sft": tune, "orm": fit, "dpo": prefer, "ppo": improve}


def pass_tokens(rows: int) -> int:
    """So many that `rows` of the longest fit into a pass."""
    return rows * 70


def outcome(method: str) -> Outcome:
    """What a training has left in the working folder."""
    if method == "ppo":
        cells = json.loads(Path("ppo.json").read_text(encoding="utf-8"))
        return Outcome({name: [float(row[name]) for row in cells if row[name] is not None] for name in cells[0]}, torch.load("ppo.pt"))
    steps = [json.loads(line) for line in Path(f"data/logs/live/{method}.jsonl").read_text(encoding="utf-8").splitlines()][1:]
    log = {name: [step[name] for step in steps] for name in ("loss", "grad_norm", "tokens_seen")}
    lines = list(csv.DictReader(Path(f"{method}.csv").read_text(encoding="utf-8").splitlines()))
    log |= {f"csv.{name}": [float(line[name]) for line in lines if line[name]] for name in lines[0]}
    return Outcome(log, load_file(f"{method}/model.safetensors"))


def main(start: str, out: str, *words: str) -> None:
    import os

    torch.set_num_threads(1)
    gc.freeze()  # a trainer's collection at its end need not go through the libraries
    for rows in CUTS:
        folder = Path(out) / str(rows)
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        here = Machine(processes=machine.world(), shard="shard" in words, pass_tokens=pass_tokens(rows) or None, save_minutes=1e9)
        for train in METHODS.values():
            train(Path(start), here)


if __name__ == "__main__":
    main(*sys.argv[1:])
