"""How a trainer uses the machine: processes, precision, memory. Nothing here changes what is learnt, only what is computed at once.

    Machine(processes=8, precision="bfloat16", pass_tokens=16384)

A trainer is one file for a laptop and for eight GPUs. `pipelines.stage` starts its processes (by hand: `torchrun --nproc-per-node 8
-m pipelines.ppo r1`, or `accelerate launch` on GPUs); each finds its number and its device here. With one process nothing is initialised.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from factory.errors import ParamsError

T = TypeVar("T")
CUDA_PASS_TOKENS = 16384  # padded tokens that one GPU takes through a forward and backward pass, where nothing else is said
LARGE = 100_000_000  # parameters from which bfloat16 and compiled layers pay, on a GPU
HUGE = 1_000_000_000  # from which the activations of a pass need more memory than it costs to compute them again


@dataclass(frozen=True)
class Machine:
    """As in `params.yaml` (training)."""

    processes: int = 1
    shard: bool = False  # FSDP: weights, gradients and optimizer states are spread over the processes
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of matrix products; auto: bfloat16 for large models on a GPU
    pass_tokens: int | None = None  # padded tokens of one pass of one process; None: a whole batch on a CPU, 16,384 tokens on a GPU
    recompute: bool | None = None  # gradient checkpointing; None: from a billion parameters on, on a GPU
    compile: bool | None = None  # layers by torch.compile, a minute at the start of a training; None: large models on a GPU
    save_minutes: float = 10.0  # between checkpoints of a running trainer
    keep: int = 2  # checkpoints
    report_to: tuple[str, ...] = ()  # trackio, tensorboard, wandb

    @cached_property
    def device(self) -> torch.device:
        if not torch.cuda.is_available():
            return torch.device("cpu")
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise ParamsError(f"training.processes is {world()}, expected at most {gpus}: one for each GPU of this machine")
        torch.cuda.set_device(local)
        return torch.device("cuda", torch.cuda.current_device())

    def bf16(self, model: nn.Module) -> bool:
        """Whether the model's matrix products are in bfloat16."""
        if self.precision != "auto":
            return self.precision == "bfloat16"
        return self.device.type == "cuda" and _parameters(model) > LARGE

    def recomputes(self, model: nn.Module) -> bool:
        """Whether activations are computed again for the backward pass, layer by layer, instead of being kept."""
        return self.device.type == "cuda" and _parameters(model) > HUGE if self.recompute is None else self.recompute

    def speed_up(self, model: nn.Module) -> None:
        """Compile the model's layers, in place: what lies between matrix products becomes a few kernels. The names of weights stay."""
        if self.compile is False or (self.compile is None and (self.device.type != "cuda" or _parameters(model) <= LARGE)):
            return
        torch._dynamo.config.suppress_errors = True  # what cannot be compiled runs as it is
        torch._dynamo.config.cache_size_limit = 64
        for module in model.modules():
            if isinstance(module, GradientCheckpointingLayer):  # transformers' decoder layers
                module.compile(dynamic=True)

    def autocast(self, model: nn.Module) -> AbstractContextManager[object]:
        """Matrix products in bfloat16 where `bf16` says so; weights keep their precision."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16(model) else nullcontext()

    @property
    def tokens_a_pass(self) -> int | None:
        """Most padded tokens of a pass, None where a whole batch may pass."""
        return self.pass_tokens or (CUDA_PASS_TOKENS if self.device.type == "cuda" else None)


ALONE = Machine()  # one process, precision and memory by the device


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def world() -> int:
    """Processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this one, from 0; the first writes."""
    return int(os.environ.get("RANK", "0"))


def connect() -> None:
    """Meet the other processes, if there are any: NCCL between GPUs, gloo between CPUs."""
    if world() > 1:
        PartialState(cpu=not torch.cuda.is_available())


def total(x: Tensor) -> Tensor:
    """The sum over all processes: the `Reduce` of `trainers.losses`."""
    if world() > 1:
        dist.all_reduce(x)
    return x


def add_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Every process's gradients become the sum over all. A parameter that one process did not use counts as 0 there."""
    if world() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)


def agreed(value: T) -> T:
    """What the first process says, for all: a clock or a disk must not decide differently on each."""
    if world() == 1:
        return value
    said: list[T] = [value]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def share(count: int) -> range:
    """This process's part of `count` things: contiguous, sizes differ by at most one."""
    return range(rank() * count // world(), (rank() + 1) * count // world())


def gathered(mine: list[T]) -> list[T]:
    """The lists of all processes, one behind the other."""
    if world() == 1:
        return mine
    found: list[list[T]] = [[] for _ in range(world())]
    dist.all_gather_object(found, mine)
    return [one for part in found for one in part]


def wait() -> None:
    if world() > 1:
        dist.barrier()
