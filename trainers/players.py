"""What one round of PPO starts from: actor, critic, outcome reward model and tokenizer, on as few backbones as they need.

    players = open_players(Path("data/models/format_tuned"), Path("data/models/orm_r1"), machine, lora=None, critic=True, reward=True, …)

Without LoRA each is a model of its own: the actor and the critic train whole, the reward model is frozen. With LoRA they are adapters, and
a reward model that was itself trained under adapters from this very start model (`reward.fit` leaves them in its folder under `adapter`)
shares the actor's backbone: one set of frozen weights for actor, critic, reward model and reference. Any other reward model keeps a
backbone of its own, which the critic's adapter shares.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, PreTrainedTokenizerBase

from factory.errors import DataError
from trainers import lora, run, shards
from trainers.checkpoints import weights_in
from trainers.lora import ADAPTER, Lora
from trainers.machine import Machine
from trainers.policy import Actor, Critic, load_critic, statistics_in

ORM, CRITIC = "orm", "critic"  # names of adapters


@dataclass(frozen=True)
class Players:
    actor: Actor
    critic: Critic | None
    orm: Critic | None
    tokenizer: PreTrainedTokenizerBase


def open_players(
    start: Path, orm: Path, machine: Machine, *, adapters: Lora | None, temperature: float, critic: bool, reward: bool
) -> Players:
    """`critic`, `reward`: whether there is to be one. Raises DataError when a model cannot be read, or start and reward model do not read
    conversations as the same tokens."""
    reader = run.load_tokenizer(orm)
    model, tokenizer = run.load(start)
    if (reader.get_vocab(), reader.chat_template) != (tokenizer.get_vocab(), tokenizer.chat_template):
        other = "vocabulary" if reader.get_vocab() != tokenizer.get_vocab() else "chat template"
        raise DataError(f"{orm} has another {other} than {start}: train the reward model of a round from its start model")
    whole = lora.ready(model, adapters, tokenizer, machine)
    actor = Actor(whole, temperature, machine)
    frozen: Critic | None
    if isinstance(whole, PeftModel) and (critic or reward) and _shares(orm, start):
        frozen, valuer = _on(whole, orm, machine, critic)
    elif adapters is not None and (critic or reward):
        frozen, valuer = _beside(orm, adapters, machine, critic)
    else:
        frozen = load_critic(orm, machine) if reward else None
        valuer = load_critic(orm, machine) if critic else None
    for player in (actor, frozen, valuer):
        if player is not None:
            if not shards.wanted(machine) or (player is frozen and adapters is None):  # else its parts are placed as they are spread
                player.to(machine.device)
            player.recompute(player is not frozen and machine.recomputes(player.whole))
    for whole in {id(player.whole): player.whole for player in (actor, valuer) if player is not None}.values():
        machine.speed_up(whole)
    if frozen is not None and not isinstance(frozen.whole, PeftModel):
        frozen.requires_grad_(False)
        lora.frozen_in(frozen, torch.bfloat16 if machine.bf16(frozen.whole) else torch.float32)
    if frozen is not None and adapters is not None:
        frozen.spread()
    return Players(actor, valuer, frozen if reward else None, tokenizer)


def _shares(orm: Path, start: Path) -> bool:
    """Whether the reward model's folder keeps adapters for this very start model."""
    kept = orm / ADAPTER / "start"
    return kept.exists() and kept.read_text() == weights_in(start)


def _on(whole: PeftModel, orm: Path, machine: Machine, critic: bool) -> tuple[Critic, Critic | None]:
    """Reward model and critic as adapters on the actor's backbone."""
    mean, std = statistics_in(AutoConfig.from_pretrained(orm), orm)
    weights = {name: weight for name, weight in load_file(orm / ADAPTER / "adapter_model.safetensors").items() if "score" not in name}
    lora.add(whole, orm / ADAPTER, weights, ORM)
    frozen = Critic(whole, mean, std, machine, ORM, _head(orm))
    frozen.freeze()
    if not critic:
        return frozen, None
    lora.add(whole, orm / ADAPTER, weights, CRITIC)
    return frozen, Critic(whole, mean, std, machine, CRITIC, _head(orm))


def _beside(orm: Path, adapters: Lora, machine: Machine, critic: bool) -> tuple[Critic, Critic | None]:
    """The reward model on a backbone of its own, the critic as an adapter on that."""
    plain = load_critic(orm, machine)
    whole = lora.ready(plain.model, Lora(adapters.rank, adapters.alpha), run.load_tokenizer(orm), machine, CRITIC)
    cast(nn.Module, lora.plain(whole).score).requires_grad_(False)  # each has a head of its own
    frozen = Critic(whole, plain.mean, plain.std, machine, None, _head(orm))
    frozen.head.requires_grad_(False)
    return frozen, Critic(whole, plain.mean, plain.std, machine, CRITIC, _head(orm)) if critic else None


def _head(orm: Path) -> nn.Linear:
    """The scalar head in a reward model's folder, in float32."""
    for path in sorted(orm.glob("*.safetensors")):
        with safe_open(path, framework="pt") as stream:
            if "score.weight" in stream.keys():  # noqa: SIM118
                weight = stream.get_tensor("score.weight").float()
                head = nn.Linear(weight.shape[1], 1, bias=False)
                head.weight.data.copy_(weight)
                return head
    raise DataError(f"{orm} has no weights of a scalar head (score.weight): train the reward model again")
