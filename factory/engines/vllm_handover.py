"""How a live model's weights get into a running vLLM engine: by vLLM's own interfaces, in place, without a file.

    engine, transport = open_engine(Path("data/models/planner_sft"), max_length=2048, memory=0.4, dtype=None)
    transport.send([("model.embed_tokens.weight", tensor), …])      # all weights, by the names of the model's checkpoint

- The engine is in this process (on a CPU): vLLM's `reload_weights` reads the tensors themselves, layer by layer.
- The engine has a process of its own (on a GPU): vLLM's weight transfer by CUDA IPC. The engine must use the GPU that holds the tensors.
  vLLM pickles the handles for a process that this one has started, which VLLM_ALLOW_INSECURE_SERIALIZATION=1 allows.

Names, fused projections, tied embeddings and a cast to the engine's dtype are the business of vLLM's model classes. One thing it
forgets (0.32): on a CPU, products read a packed copy of each weight, and `reload_weights` packs anew only what was itself handed over: not
the head of a model that ties it to the embeddings, which would score with its first weights for ever. `repack` does.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from factory.engines.vllm_engine import INSTALL, QUIET, _line, _start, engine_options
from factory.errors import EngineError
from factory.params import Role

Weights = list[tuple[str, Tensor]]
IPC = "ipc"  # vLLM's name of the backend
OWN_PROCESS = "unset VLLM_ENABLE_V1_MULTIPROCESSING: on a CPU weights are handed over to an engine in this process only"


def open_engine(folder: Path, max_length: int | None, memory: float, dtype: str | None) -> "tuple[Any, Transport]":
    """An LLMEngine that reports log-probabilities of what it samples from, and the way to its weights. Raises EngineError."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from vllm.platforms import current_platform
    except ImportError:
        raise EngineError(INSTALL) from None
    from safetensors import SafetensorError
    from vllm.config import WeightTransferConfig
    from vllm.exceptions import VLLMError

    cpu = current_platform.is_cpu()
    if cpu and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        raise EngineError("on a CPU vLLM samples in a program of one process: set training.processes to 1, or leave ppo.sampler out")
    role = Role.model_validate({"engine": "vllm", "model": str(folder), "max_length": max_length, "memory": memory, "dtype": dtype})
    options = engine_options(role, str(folder), None, cpu) | {"logprobs_mode": "processed_logprobs"}
    if cpu and os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] != "0":
        raise EngineError(OWN_PROCESS)
    if not cpu:
        os.environ.setdefault("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")
        options["weight_transfer_config"] = WeightTransferConfig(backend=IPC)
    try:
        with _random_state_kept():
            engine = _start(options, str(folder), cpu)
        return engine, Transport(engine)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError, SafetensorError, VLLMError) as error:
        raise EngineError(f"vLLM cannot load {folder}: {_line(error)}: make it again, or check `memory` and `max_length`") from None


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """vLLM seeds the generators of its process, which is this one: a trainer's dropout must not begin anew."""
    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python)
    np.random.set_state(numbers)


class Transport:
    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self._remote = None if hasattr(engine, "model_executor") else _Remote(engine)  # vLLM has it where the engine is in this process

    def send(self, weights: Weights) -> None:
        """What vLLM raises for weights that do not fit goes through."""
        if self._remote is not None:
            self._remote.send(weights)
            return
        self.engine.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights)})
        self.engine.apply_model(repack)


def repack(model: torch.nn.Module) -> None:
    """Pack anew each weight that vLLM's CPU build keeps beside its packed copy: those of embeddings and heads."""
    for module in model.modules():
        weight: object = getattr(module, "weight", None)
        if hasattr(module, "cpu_linear") and isinstance(weight, Tensor) and weight.numel():  # linear layers keep only the packed copy
            method: Any = module.quant_method
            method.process_weights_after_loading(module)


class _Remote:
    """The trainer's end of vLLM's weight transfer, and the engine's control plane for it (vLLM's protocol VLLMWeightSyncClient)."""

    def __init__(self, engine: Any) -> None:
        from vllm.distributed.weight_transfer import ParamMeta, WeightSource, WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        class Source(WeightSource):
            def __init__(self) -> None:
                self.weights: Weights = []

            def metadata(self) -> list[Any]:
                return [ParamMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in self.weights]

            def __iter__(self) -> Iterator[tuple[str, Tensor]]:
                return iter(self.weights)

        self.engine, self.source = engine, Source()
        self.trainer = WeightTransferTrainerFactory.trainer_init(IPCTrainerInitInfo(rank=0), client=self, source=self.source)

    def send(self, weights: Weights) -> None:
        self.source.weights = weights
        try:
            self.trainer.send_weights()
        finally:
            self.source.weights = []

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self.engine.collective_rpc("init_weight_transfer_engine", kwargs={"init_info": init_info})

    def start_weight_update(self) -> None:
        self.engine.collective_rpc("start_weight_update")

    def update_weights(self, update_info: Any) -> None:
        self.engine.collective_rpc("update_weights", kwargs={"update_info": update_info})

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self.engine.collective_rpc("finish_weight_update")


def digest(weights: Weights, dtype: torch.dtype) -> dict[str, int]:
    """A number for each tensor as the engine holds it: it changes when a value does by more than rounding to `dtype`. Bits are summed
    as integers, so that neither order nor device matters."""
    bits = {2: torch.int16, 4: torch.int32}[dtype.itemsize]
    return {name: int(tensor.to(dtype).contiguous().view(bits).sum(dtype=torch.int64)) for name, tensor in weights}
