"""Weights that are spread over processes, with their gradients and optimizer states (FSDP: Zhao et al. 2023; ZeRO stage 3, Rajbhandari et
al. 2020), and gathered layer by layer where they compute.

    shards.spread(model, machine)      # in place, before there is an optimizer
    shards.whole(model)                # name → full weight on the CPU, in the first process
    held = {"tuned": shards.parts(parameters, optimizer)}      # what this process holds of both
    shards.write(folder, held, parameters); shards.read(folder)         # a checkpoint: a file of each process, read by as many as there are

A gradient is the mean over the processes. Every process has to run as many forward and backward passes as the others. The rest of a model
(embedding, output layer) is one shard, which its own `forward` gathers: call the module that was spread.

Where several models are adapters of one backbone, `spread_layers` spreads what is frozen in its layers and nothing else: each model enters
the backbone by itself, and what trains is whole in every process, its gradient a sum (`machine.add_gradients`).
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from factory.errors import ParamsError
from trainers import machine
from trainers.machine import Machine

T = TypeVar("T")
P = TypeVar("P", bound=Tensor)
WHOLE = "state.pt"  # in a checkpoint: what one process wrote for all
PART = "state-{}-of-{}.pt"


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
    _spread(module, settings, set())


def spread_layers(backbone: nn.Module, settings: Machine) -> None:
    """Only what is frozen now in the decoder layers of a backbone, once."""
    if isinstance(backbone, FSDPModule):
        return
    frozen = {id(parameter) for layer in _layers(backbone) for parameter in layer.parameters() if not parameter.requires_grad}
    _spread(backbone, settings, {parameter for parameter in backbone.parameters() if id(parameter) not in frozen})


def _spread(module: nn.Module, settings: Machine, but: set[nn.Parameter]) -> None:
    mesh = init_device_mesh(settings.device.type, (machine.world(),))
    for part in _layers(module):
        fully_shard(part, mesh=mesh, ignored_params=but)
    # by default the root's weights stay gathered: an optimizer that is built after a forward pass would step copies
    fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=but)
    for parameter in but:
        parameter.data = parameter.data.to(settings.device)
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # into which nothing here writes


def _layers(module: nn.Module) -> list[nn.Module]:
    names = {name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()}
    return [part for part in module.modules() if type(part).__name__ in names]


def averaged(parameters: Iterable[Tensor]) -> int:
    """What gradients are divided by when they are added over the processes: by their number where `parameters` are spread, else by 1."""
    return machine.world() if any_spread(parameters) else 1


def any_spread(parameters: Iterable[Tensor]) -> bool:
    return any(isinstance(parameter, DTensor) for parameter in parameters)


def unspread(parameters: Iterable[P]) -> list[P]:
    """Those that every process holds whole."""
    return [parameter for parameter in parameters if not isinstance(parameter, DTensor)]


def in_step(passes: list[T], idle: T, settings: Machine) -> list[T]:
    """As many passes as the busiest process has, where weights are spread, since all gather them together: idle ones first."""
    return [idle] * (max(machine.gathered([len(passes)])) - len(passes)) + passes if wanted(settings) else passes


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
    return all(bool(torch.isfinite(_part(parameter)).all()) for parameter in module.parameters())


def write(folder: Path, held: dict[str, Any], parameters: Iterable[Tensor]) -> None:
    """Into a checkpoint, to be called in all processes: each its part where `parameters` are spread, else the first all."""
    divided = any_spread(parameters)
    if divided or machine.rank() == 0:
        torch.save(held, folder / (PART.format(machine.rank(), machine.world()) if divided else WHOLE))


def has_parts(folder: Path) -> bool:
    return next(folder.glob(PART.format("*", "*")), None) is not None


def read(folder: Path) -> list[dict[str, Any]]:
    """What `write` was given: by this process alone, where as many wrote parts as there are now, else by each of them, in order."""
    own = folder / PART.format(machine.rank(), machine.world())
    if own.exists() or not has_parts(folder):
        return [torch.load(own if own.exists() else folder / WHOLE, map_location="cpu", weights_only=True)]
    count = len(list(folder.glob(PART.format("*", "*"))))
    return [torch.load(folder / PART.format(n, count), map_location="cpu", weights_only=True, mmap=True) for n in range(count)]


def parts(parameters: Sequence[Tensor], optimizer: Optimizer) -> dict[str, Any]:
    """Weights and optimizer states as far as this process holds them, as plain tensors."""
    held = optimizer.state_dict()
    state = {number: {name: _part(value) for name, value in values.items()} for number, values in held["state"].items()}
    return {"weights": [_part(parameter.detach()) for parameter in parameters], "optimizer": {**held, "state": state}}


@torch.no_grad()
def restore(held: Sequence[dict[str, Any]], parameters: Sequence[Tensor], optimizer: Optimizer) -> None:
    """Go on from what `parts` gave, to this process or to each of those that were (`read`)."""
    for number, parameter in enumerate(parameters):
        _part(parameter).copy_(_part(_like([one["weights"][number] for one in held], parameter)))
    first = held[0]["optimizer"]
    state = {
        number: {name: _like([one["optimizer"]["state"][number][name] for one in held], parameters[number]) for name in values}
        for number, values in first["state"].items()
    }
    optimizer.load_state_dict({**first, "state": state})


def _part(x: Any) -> Any:
    return x.to_local() if isinstance(x, DTensor) else x


def _like(found: list[Any], goal: Tensor) -> Any:
    """What belongs to `goal`, spread as that is now, of this process's part of it, or of all parts, or of the whole; a number, such as the
    count of steps, as it is."""
    if not isinstance(found[0], Tensor) or found[0].dim() == 0:
        return found[0]
    if isinstance(goal, DTensor) and len(found) == 1 and found[0].shape == goal.to_local().shape:
        mesh, placements = goal.device_mesh, goal.placements
        return DTensor.from_local(found[0].to(mesh.device_type), mesh, placements, shape=goal.shape, stride=goal.stride())
    joined = found[0] if found[0].shape == goal.shape else torch.cat(found)
    if not isinstance(goal, DTensor):
        return joined
    return distribute_tensor(joined.to(goal.device_mesh.device_type), goal.device_mesh, goal.placements, src_data_rank=None)
