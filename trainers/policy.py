"""Actor and critic of PPO: thin heads over Hugging Face backbones, evaluated at action positions only.

    actor = Actor(AutoModelForCausalLM…, temperature=0.6)
    actor.log_probs(batch)              → (N,) log π(action | state) of the tempered distribution that was sampled from
    critic = load_critic(Path("data/models/orm_r1"))
    critic.values(batch)                → (N,)
    critic.logits(sequences)            → the outcome reward model's own reading: its raw logit at the last token

Log-probabilities are those of softmax(logits / temperature): the policy that acts is the policy that is improved. The critic is the
outcome reward model with its head applied at every state, (head - mean) / std with the mean and standard deviation stored with it, the same
standardisation as in the reward (Satori, "PPO": critic initialised from the ORM). Models stay in eval mode: no dropout, so that
the ratio of the first update is 1; gradients flow all the same.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from factory.errors import DataError
from trainers.collate import Batch, Ids, micro_batches


def hidden_states(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """(B, T, H). Right padding needs no attention mask under causal attention (see `collate`)."""
    return model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state


class Actor(nn.Module):
    def __init__(self, model: PreTrainedModel, temperature: float) -> None:
        super().__init__()
        self.model = model.eval()
        self.temperature = temperature

    def distribution(self, batch: Batch) -> Tensor:
        """(N, V) log-probabilities at the states. The head sees the states only: prompts and padding cost no vocabulary."""
        states = hidden_states(self.model, batch.input_ids)[batch.states]
        return torch.log_softmax(self.model.get_output_embeddings()(states).float() / self.temperature, dim=-1)

    def log_probs(self, batch: Batch) -> Tensor:
        return pick(self.distribution(batch), batch.targets)


def pick(distribution: Tensor, targets: Tensor) -> Tensor:
    """(N,) the log-probabilities of the targets."""
    return distribution.gather(-1, targets[:, None]).squeeze(-1)


def entropy(distribution: Tensor) -> Tensor:
    """(N,) in nats."""
    return -(distribution.exp() * distribution).sum(-1)


class Critic(nn.Module):
    def __init__(self, model: PreTrainedModel, mean: float, std: float) -> None:
        super().__init__()
        self.model = model.eval()
        self.mean, self.std = mean, std

    def values(self, batch: Batch) -> Tensor:
        """(N,)"""
        states = hidden_states(self.model, batch.input_ids)[batch.states]
        return (self.model.score(states).squeeze(-1).float() - self.mean) / self.std

    @torch.no_grad()
    def logits(self, sequences: Sequence[Ids]) -> list[float]:
        """The raw logit at the last token of each sequence; the reward standardises it (factory.coat.rewards)."""
        device = next(self.model.parameters()).device
        logits = [0.0] * len(sequences)
        lengths = [len(sequence) for sequence in sequences]
        for rows in micro_batches(lengths, range(len(sequences))):
            ids = torch.zeros(len(rows), max(lengths[row] for row in rows), dtype=torch.long)
            for place, row in enumerate(rows):
                ids[place, : lengths[row]] = torch.tensor(sequences[row])
            last = torch.tensor([lengths[row] - 1 for row in rows])
            states = hidden_states(self.model, ids.to(device))[torch.arange(len(rows)), last]
            for row, logit in zip(rows, self.model.score(states).squeeze(-1).tolist(), strict=True):
                logits[row] = logit
        return logits


def load_critic(folder: Path) -> Critic:
    """The outcome reward model in `folder`. Raises DataError when it is none, or does not carry the statistics of its logits."""
    if not (folder / "config.json").exists():
        raise DataError(f"{folder} holds no reward model: `dvc repro` makes it")
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, num_labels=1)
    mean, std = getattr(model.config, "reward_mean", None), getattr(model.config, "reward_std", None)
    if mean is None or not std or std <= 0:
        raise DataError(f"{folder}/config.json has reward_mean {mean} and reward_std {std}, expected numbers, std > 0: train the ORM again")
    return Critic(model, float(mean), float(std))
