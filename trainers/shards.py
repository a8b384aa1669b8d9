"""Weights that are spread over processes, with their gradients and optimizer states (FSDP: Zhao et al. 2023; ZeRO stage 3, Rajbhandari et
al. 2020), and gathered layer by layer where they compute.

    shards.spread(model, machine)      # in place, before there is an optimizer
    shards.whole(model)                # name → full weight on the CPU, in the first process
    shards.parts(learner.parameters, learner.optimizer)     # what this process holds of both, for its file of a checkpoint

A gradient is the mean over the processes. Every process has to run as many forward and backward passes as the others. The rest of a model
(embedding, output layer) is one shard, which its own `forward` gathers: call the module that was spread.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from factory.errors import ParamsError
from trainers import machine
from trainers.machine import Machine


class Optimizer(Protocol):
    """One of PyTorch's, or accelerate's around it."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


def wanted(settings: Machine) -> bool:
    """Whether weights are to be spread, and over whom."""
    return settings.shard and machine.world() > 1


def refuse(settings: Machine, method: str) -> None:
    """Raises ParamsError for what cannot train on shards."""
    if wanted(settings):
        raise ParamsError(f"training.shard is true, expected false for {method}: each process holds the whole model")


def spread(module: nn.Module, settings: Machine) -> None:
    """Weights move to the machine's device layer by layer, so that none ever holds them all."""
    mesh = init_device_mesh(settings.device.type, (machine.world(),))
    layers = {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
    for part in [part for part in module.modules() if type(part).__name__ in layers]:
        fully_shard(part, mesh=mesh)
    # by default the root's weights stay gathered: an optimizer that is built after a forward pass would step copies
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # into which nothing here writes


def whole(module: nn.Module) -> dict[str, Tensor]:
    """In the first process; {} in the others. To be called in all at once."""
    found = {}
    for name, weight in module.state_dict().items():
        gathered = full(weight)
        if machine.rank() == 0:
            found[name] = gathered.cpu()
    return found


def collected(model: PreTrainedModel | PeftModel, build: Callable[[], PreTrainedModel], settings: Machine) -> PreTrainedModel | PeftModel:
    """In the first process, the model that it can save by itself: one of `build` with the weights of all. To be called in all at once."""
    if not wanted(settings):
        return model
    weights = whole(model)
    if machine.rank() > 0:
        return model
    plain = build()
    plain.load_state_dict(weights)
    plain.config = model.config
    return plain


def full(x: Tensor) -> Tensor:
    """The whole of a sharded tensor, or of a sum that each process has a part of; any other as it is."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def finite(module: nn.Module) -> bool:
    """Of the weights that this process holds."""
    mine = (parameter.to_local() if isinstance(parameter, DTensor) else parameter for parameter in module.parameters())
    return all(bool(torch.isfinite(weight).all()) for weight in mine)


def file_in(folder: Path, settings: Machine) -> Path:
    """Where this process keeps its part of a checkpoint."""
    return folder / (f"state-{machine.rank()}.pt" if wanted(settings) else "state.pt")


def parts(parameters: Sequence[Tensor], optimizer: Optimizer) -> dict[str, Any]:
    """Weights and optimizer states as far as this process holds them, as plain tensors."""
    held = optimizer.state_dict()
    state = {number: {name: _part(value) for name, value in values.items()} for number, values in held["state"].items()}
    return {"weights": [_part(parameter.detach()) for parameter in parameters], "optimizer": {**held, "state": state}}


@torch.no_grad()
def restore(held: dict[str, Any], parameters: Sequence[Tensor], optimizer: Optimizer) -> None:
    """Go on from what `parts` gave to the same process of as many."""
    for parameter, part in zip(parameters, held["weights"], strict=True):
        _part(parameter).copy_(part)
    state = {
        number: {name: _like(value, parameters[number]) for name, value in values.items()}
        for number, values in held["optimizer"]["state"].items()
    }
    optimizer.load_state_dict({**held["optimizer"], "state": state})


def _part(x: Any) -> Any:
    return x.to_local() if isinstance(x, DTensor) else x


def _like(part: Any, whole: Tensor) -> Any:
    """A part of something that is spread as `whole` is; a number, such as the count of steps, as it is."""
    if not isinstance(whole, DTensor) or not isinstance(part, Tensor) or part.dim() == 0:
        return part
    mesh, placements = whole.device_mesh, whole.placements
    return DTensor.from_local(part.to(mesh.device_type), mesh, placements, shape=whole.shape, stride=whole.stride())
