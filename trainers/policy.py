"""Actor and critic of PPO: thin heads over Hugging Face backbones, evaluated at action positions only.

    actor = Actor(AutoModelForCausalLM…, temperature=0.6)
    actor(batch)                        → (N,) log π(action | state) of the tempered distribution that was sampled from, (N,) its entropy
    critic = load_critic(Path("data/models/orm_r1"))
    critic(batch)                       → (N,) values
    critic.logits(sequences)            → the outcome reward model's own reading: its raw logit at the last token

Log-probabilities are those of softmax(logits / temperature): the policy that acts is the policy that is improved. The critic is the
outcome reward model with its head applied at every state, (head - mean) / std with the mean and standard deviation stored with it, the same
standardisation as in the reward (Satori, "PPO": critic initialised from the ORM). Models stay in eval mode: no dropout, so that
the ratio of the first update is 1; gradients flow all the same.

With LoRA one frozen backbone can carry several of them: each computes with an adapter of its own, or (`adapter` None) with none.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from accelerate import init_empty_weights
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

from factory.errors import DataError, ParamsError
from factory.whole import restored
from trainers import attention, lora, shards
from trainers.collate import Batch, Ids, micro_batches
from trainers.head import entropy, log_probs_and_entropy
from trainers.machine import ALONE, Machine

__all__ = ["Actor", "Critic", "entropy", "load_critic"]


class _Reader(nn.Module):
    """A backbone as one of its adapters sees it. A backbone that several share is a parameter of none but the first."""

    def __init__(self, model: PreTrainedModel | PeftModel, machine: Machine, adapter: str | None) -> None:
        super().__init__()
        self.whole = model.eval()
        self.machine, self.adapter = machine, adapter
        self.recomputes = False
        # a prompt among its responses; on a GPU layers are compiled, and would be for every layout anew
        self.shares = machine.device.type == "cpu" and attention.enable(self.model)

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model, its adapters in place."""
        return lora.plain(cast(PreTrainedModel, self.whole))

    def states(self, input_ids: Tensor) -> Tensor:
        """(B, T, H). Right padding needs no attention mask under causal attention (see `collate`)."""
        return self.model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state

    def action_states(self, batch: Batch) -> Tensor:
        """(N, H), those before the actions."""
        if batch.siblings is None:
            return self.states(batch.input_ids).flatten(0, 1)[batch.states]
        found = self.model.base_model(
            input_ids=batch.input_ids, attention_mask=attention.NONE, position_ids=batch.siblings.positions, siblings=batch.siblings,
            use_cache=False,
        )  # fmt: skip
        return found.last_hidden_state[0].index_select(0, batch.states)

    def trained(self) -> list[nn.Parameter]:
        """What training changes: all of a plain model, its own adapter of a shared one."""
        if not isinstance(self.whole, PeftModel):
            return list(self.parameters())
        return [
            parameter for name, parameter in self.whole.named_parameters() if self.adapter in name.split(".") and parameter.requires_grad
        ]

    def freeze(self) -> None:
        for parameter in self.trained():
            parameter.requires_grad_(False)

    def spread(self) -> None:
        """Over the processes, in place, where the machine says so: all of a plain model, the frozen layers of one under adapters."""
        if not shards.wanted(self.machine):
            return
        if not isinstance(self.whole, PeftModel):
            return shards.spread(self, self.machine)
        shards.spread_layers(self.model.base_model, self.machine)
        for parameter in shards.unspread(self.parameters()):
            parameter.data = parameter.data.to(self.machine.device)  # a head that stands outside of the backbone

    def recompute(self, on: bool) -> None:
        """Gradient checkpointing: a layer's activations are computed again for its gradient. Layers recompute in training mode only. Raises
        ParamsError for a model with dropout, which would be on again in that mode."""
        self.recomputes = on
        if on:
            config = self.model.config.get_text_config()
            for name, value in vars(config).items():
                if "drop" in name and isinstance(value, float) and value > 0:
                    raise ParamsError(f"training.recompute is on, expected false for PPO with {config.model_type}: its {name} is {value:g}")
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
            for module in self.model.modules():
                if hasattr(module, "gradient_checkpointing"):
                    module.training = True


class Actor(_Reader):
    def __init__(
        self, model: PreTrainedModel | PeftModel, temperature: float, machine: Machine = ALONE, adapter: str | None = "default"
    ) -> None:
        super().__init__(model, machine, adapter)
        self.temperature = temperature
        self._twin: list[PreTrainedModel] | None = None  # in a list: no part of this module

    def before(self) -> "Actor":
        """The policy as it is now, frozen: the backbone without the adapter, or a copy."""
        if isinstance(self.whole, PeftModel):
            return Actor(self.whole, self.temperature, self.machine, None)
        return copy.deepcopy(self).requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the actions and entropies at their states, (N,) each. The head sees the states only: prompts and padding
        cost no vocabulary."""
        with lora.active(self.whole, self.adapter), self.machine.autocast(self.whole):
            states = self.action_states(batch)
            return log_probs_and_entropy(states, self.model.get_output_embeddings(), batch.targets, self.temperature)

    @contextmanager
    def acting(self) -> Iterator[PreTrainedModel]:
        """The model to sample from. Where weights are cast, put together from adapters or spread, a copy that gets them anew each time:
        to do that at every token would cost more than the token."""
        if not (isinstance(self.whole, PeftModel) or self.machine.bf16(self.whole) or shards.wanted(self.machine)):
            yield self.model
            self.recompute(self.recomputes)  # a sampler leaves the layers in eval mode
            return
        if self._twin is None:
            self._twin = [self._empty(torch.bfloat16 if self.machine.bf16(self.whole) else torch.float32)]
        targets = dict(self._twin[0].named_parameters())
        with torch.no_grad():
            for name, weight in self.weights():
                if name in targets:
                    targets.pop(name).data.copy_(shards.full(weight))
        assert not targets, f"no weights for {', '.join(targets)}"
        yield self._twin[0]

    def _empty(self, dtype: torch.dtype) -> PreTrainedModel:
        """A plain model of this shape whose weights are yet to come. Buffers stay precise: positions are angles."""
        with init_empty_weights(include_buffers=False):
            twin = type(self.model)(self.model.config).eval()
        for name, weight in list(twin.named_parameters()):
            place, _, leaf = name.rpartition(".")
            empty = torch.empty(weight.shape, dtype=dtype, device=self.machine.device)
            setattr(twin.get_submodule(place), leaf, nn.Parameter(empty, requires_grad=False))
        twin.tie_weights()
        return cast(PreTrainedModel, nn.Module.to(twin, self.machine.device))

    @torch.no_grad()
    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """For another program that samples: those of a plain model."""
        with lora.active(self.whole, self.adapter):
            yield from lora.weights(cast(PreTrainedModel, self.whole))

    @torch.no_grad()
    def plain_log_probs(self, ids: Ids) -> list[float]:
        """Of all tokens but the first, at temperature 1."""
        with lora.active(self.whole, self.adapter), self.machine.autocast(self.whole):
            states = self.states(torch.tensor([ids], device=self.model.device))[0, :-1]
            targets = torch.tensor(ids[1:], device=self.model.device)
            return log_probs_and_entropy(states, self.model.get_output_embeddings(), targets, 1.0)[0].tolist()

    def log_probs(self, batch: Batch) -> Tensor:
        return self(batch)[0]


class Critic(_Reader):
    def __init__(
        self, model: PreTrainedModel | PeftModel, mean: float, std: float, machine: Machine = ALONE, adapter: str | None = "default",
        head: nn.Module | None = None,
    ) -> None:  # fmt: skip
        """`head`: (H) → (1), the model's own `score` where none is given."""
        super().__init__(model, machine, adapter)
        self.mean, self.std = mean, std
        self.head = head if head is not None else cast(nn.Module, self.model.score)

    def forward(self, batch: Batch) -> Tensor:
        """(N,)"""
        with lora.active(self.whole, self.adapter), self.machine.autocast(self.whole):
            states = self.action_states(batch)
            return (self.head(states).squeeze(-1).float() - self.mean) / self.std

    def trained(self) -> list[nn.Parameter]:
        """Its head too, and no rows of an output layer, which it does not use."""
        words = self.model.get_output_embeddings() if isinstance(self.whole, PeftModel) else None
        apart = words is not None and not self.model.config.get_text_config().tie_word_embeddings
        unused = {id(parameter) for parameter in words.parameters()} if words is not None and apart else set()
        known = [parameter for parameter in super().trained() if id(parameter) not in unused]
        return known + [parameter for parameter in self.head.parameters() if all(parameter is not other for other in known)]

    def values(self, batch: Batch) -> Tensor:
        return self(batch)

    @torch.no_grad()
    def logits(self, sequences: Sequence[Ids]) -> list[float]:
        """The raw logit at the last token of each sequence; the reward standardises it (factory.coat.rewards). On a backbone that is
        spread every process has to ask at once, for a sequence at least."""
        device = self.model.device
        logits = [0.0] * len(sequences)
        lengths = [len(sequence) for sequence in sequences]
        passes = micro_batches(lengths, range(len(sequences)))
        for rows in shards.in_step(passes, [0], self.machine) if isinstance(self.whole, PeftModel) else passes:
            ids = torch.zeros(len(rows), max(lengths[row] for row in rows), dtype=torch.long)
            for place, row in enumerate(rows):
                ids[place, : lengths[row]] = torch.tensor(sequences[row])
            last = torch.tensor([lengths[row] - 1 for row in rows])
            with lora.active(self.whole, self.adapter), self.machine.autocast(self.whole):
                states = self.states(ids.to(device))[torch.arange(len(rows)), last]
                found = self.head(states).squeeze(-1).float()
            for row, logit in zip(rows, found.tolist(), strict=True):
                logits[row] = logit
        return logits


def load_critic(folder: Path, machine: Machine = ALONE) -> Critic:
    """The outcome reward model in `folder`. Raises DataError when it is none, or does not carry the statistics of its logits."""
    if not (restored(folder) / "config.json").exists():
        raise DataError(f"{folder} holds no reward model: `dvc repro` makes it")
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, num_labels=1)
    return Critic(model, *statistics_in(model.config, folder), machine)


def statistics_in(config: PretrainedConfig, folder: Path) -> tuple[float, float]:
    """Mean and standard deviation of a reward model's logits. Raises DataError where they are missing."""
    mean, std = getattr(config, "reward_mean", None), getattr(config, "reward_std", None)
    if mean is None or not std or std <= 0:
        raise DataError(f"{folder}/config.json has reward_mean {mean} and reward_std {std}, expected numbers, std > 0: train the ORM again")
    return float(mean), float(std)
