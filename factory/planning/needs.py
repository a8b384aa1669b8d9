"""The memory that each training of a profile needs, on a CPU and on a GPU, by `factory.planning.memory`.

    list(needs(params, shape, prompt=130))
    → [Need("orm", cpu=Memory(…), gpu=Memory(…), "4 × 530 tokens a pass"), Need("format_tuning", …), …]

A pass is taken at its longest: a prompt of the average length behind which every answer fills its `max_tokens`. What `training` leaves to
the device is float32 without checkpointing on a CPU; on a GPU bfloat16 for a model of
more than 100 M parameters, with checkpointing of more than a billion.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.params import Params
from factory.params.names import is_gguf
from factory.planning import gguf_file
from factory.planning.history import History
from factory.planning.hub import Hub, fetched
from factory.planning.memory import Memory, Method, Sampling, Shape, Training, memory
from factory.planning.outside import hub_id

PASS = 16384  # padded tokens of a pass on a GPU; on a CPU a whole batch passes
PPO_PASS = (2048, 4096)  # of PPO's on a CPU, on a GPU
ROWS = 256  # that our sampler decodes at once
CACHE = (1 << 30, 20_000_000_000)  # bytes of keys and values that it takes at most on a CPU, and about half of what is free on a GPU
HEAD = 1024  # positions that the vocabulary head takes at once
LARGE, HUGE = 100_000_000, 1_000_000_000  # as in trainers.machine


@dataclass(frozen=True)
class Need:
    """`stage`: without its key, since all of a kind need the same; `said`: the longest pass, on a CPU."""

    stage: str
    cpu: Memory
    gpu: Memory
    said: str


@dataclass(frozen=True)
class _Rows:
    """What a training passes through its model: `sides` sequences a row of at most `length` tokens."""

    method: Method
    batch: int
    sides: int
    length: int
    rank: int | None


def needs(params: Params, shape: Shape, prompt: float) -> Iterator[Need]:
    """`prompt`: tokens of a problem as it is asked."""
    for stage, rows in _trained(params, round(prompt)):
        tokens = _tokens(params, rows, gpu=False)
        said = f"{tokens:,} tokens a pass" + ("" if rows.method == "ppo" else f", rows of at most {rows.length:,}")
        cpu, gpu = (memory(shape, _training(params, shape, rows, gpu=gpu)) for gpu in (False, True))
        yield Need(stage, cpu, gpu, said)


def _trained(params: Params, prompt: int) -> Iterator[tuple[str, _Rows]]:
    answer = params.rollouts.sampling.max_tokens if params.rollouts else 0
    again = params.demonstrations.generator.max_tokens if params.demonstrations else 0
    if (orm := params.orm) and params.policies:
        yield "orm", _Rows("orm", orm.batch, 2, prompt + answer, orm.lora.rank if orm.lora else None)
    tuned = [("format_tuning", params.format_tuning, answer + again), ("cot_control", params.format_tuning, answer)]
    if params.distillation and params.distillations:
        tuned.append(("distill", params.distill, params.distillation.sampling.max_tokens))
    if params.plans:
        tuned.append(("planner", params.planner_sft, params.plans.labeller.max_tokens))
    for stage, sft, written in tuned:
        if sft:
            yield stage, _Rows("sft", sft.batch, 1, prompt + written, sft.lora.rank if sft.lora else None)
    if (dpo := params.planner_dpo) and params.trajectories:
        length = prompt + params.trajectories.planner.max_tokens
        yield "planner_dpo", _Rows("dpo", dpo.batch, 2, length, dpo.lora.rank if dpo.lora else None)
    if (sft := params.planner_adjust) and params.trajectories:
        length = (
            prompt + params.trajectories.planner.max_tokens + params.trajectories.inference.max_tokens
        )  # plan and steps are asked about
        yield "planner_adjust", _Rows("sft", sft.batch, 1, length, sft.lora.rank if sft.lora else None)
    if (ppo := params.ppo) and params.rounds:
        yield "ppo", _Rows("ppo", ppo.minibatch, 1, prompt + ppo.max_tokens, ppo.lora.rank if ppo.lora else None)


def _tokens(params: Params, rows: _Rows, *, gpu: bool) -> int:
    """Of a pass: all of a process's batch, or as many rows as fit, and at least one."""
    most = params.training.pass_tokens or (PPO_PASS[gpu] if rows.method == "ppo" else PASS if gpu else None)
    row = rows.sides * rows.length
    share = -(-rows.batch // params.training.processes)
    return row * min(share, max(1, most // row) if most else share)


def _training(params: Params, shape: Shape, rows: _Rows, *, gpu: bool) -> Training:
    large, how, ppo = shape.parameters > LARGE, params.training, params.ppo
    half = how.precision == "bfloat16" or (how.precision == "auto" and gpu and large)
    sampling = Sampling()
    if rows.method == "ppo" and ppo:
        row = 2 * shape.layers * shape.key_heads * shape.head * rows.length * (2 if half else 4)
        sampling = Sampling(max(1, min(ROWS, ppo.batch, CACHE[gpu] // row)), rows.length)
        if ppo.sampler:
            sampling = Sampling(share=ppo.sampler.memory)
    return Training(
        rows.method, _tokens(params, rows, gpu=gpu), rows.rank, "bfloat16" if half else "float32",
        checkpointing=(gpu and shape.parameters > HUGE) if how.recompute is None else how.recompute, chunk=HEAD,
        gpus=(how.processes if how.shard else 1) if gpu else 0, critic=bool(ppo and "critic" in ppo.baselines), kl=bool(ppo and ppo.kl),
        orm=bool(ppo and ppo.orm_weight), sampling=sampling,
    )  # fmt: skip


def told(params: Params, past: History, hub: Hub, prompt: float) -> list[str]:
    """A line a kind of training."""
    shape = base_shape(params, past, hub)
    if isinstance(shape, str):
        return [f"of trainings: unknown, {shape}"]
    return [
        f"{need.stage} needs about {need.cpu.total / 1e9:,.1f} GB on a CPU ({need.said}), {need.gpu.total / 1e9:,.1f} GB on a GPU"
        for need in needs(params, shape, prompt)
    ]


def base_shape(params: Params, past: History, hub: Hub) -> Shape | str:
    """Of the base as it is, or will be; else why it is not known."""
    if base := params.pretraining.get("base"):
        heads = base.heads
        return Shape(base.hidden, base.layers, base.intermediate, 256, heads, heads, base.hidden // heads, tied=True)
    if model := params.adoption.get("base"):
        try:
            return Shape.of(_config(model, past, hub))
        except (DataError, OSError, ValueError, AttributeError) as error:
            return str(error) if isinstance(error, DataError) else f"the config of {model} cannot be read here"
    return "the line has no base"


def _config(model: str, past: History, hub: Hub) -> Mapping[str, Any]:
    """Raises DataError where there is none yet."""
    path = Path(model) / "config.json"
    if past.ran("adoption@base"):
        path = Path("data/models/base/config.json")
    elif is_gguf(model):
        return gguf_file.read(Path(model)).config
    elif name := hub_id(model):
        if ".gguf" in model:
            raise DataError(f"the sizes in {model} are only read when it is adopted")
        if not hub.look("model", *name).usable:
            raise DataError(f"{name[0]} cannot be had here")
        path = fetched(*name, "config.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
