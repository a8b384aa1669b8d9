"""What fits where: the memory of every training by its function, and beside what was measured.

    python benchmarks/sizes.py                   # the tables of docs/sizes.md
    python benchmarks/sizes.py config.json       # of a model of your own

GPUs have 80 GB, the CPU 24 GB. On a GPU bfloat16 with gradient checkpointing, 1,024 positions of the head at a time, passes of 16,384
tokens (PPO: 4,096), LoRA of rank 32; PPO has a critic and a reward model, no reference, and samples 64 answers of 2,048 tokens at once with
our own sampler. On a CPU float32 without checkpointing, passes of 2,048 tokens, 8 answers of 512.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from factory.planning.memory import Method, Sampling, Shape, Training, memory

ROOMS = {"one 80 GB GPU": 80, "eight, each": 80, "CPU, 24 GB": 24}
ON_CPU = 1_000_000_000  # parameters up to which a CPU is of use


def shape(hidden: int, layers: int, inner: int, words: int, heads: int, keys: int, *, tied: bool) -> Shape:
    return Shape(hidden, layers, inner, words, heads, keys, hidden // heads, tied)


SHAPES = {
    "SmolLM2-135M": shape(576, 30, 1536, 49152, 9, 3, tied=True),
    "Qwen2.5-0.5B": shape(896, 24, 4864, 151936, 14, 2, tied=True),
    "Qwen2.5-7B": shape(3584, 28, 18944, 152064, 28, 4, tied=False),
    "Qwen2.5-32B": shape(5120, 64, 27648, 152064, 40, 8, tied=False),
}


@dataclass(frozen=True)
class Measured:
    """`gb`: the peak of the process on a CPU, of what is reserved on a GPU; `where`: what ran."""

    model: str
    training: Training
    gb: float
    where: str


UNTIED = replace(SHAPES["Qwen2.5-0.5B"], tied=False)  # as the GGUF file has it: its head is stored twice
SIBLINGS = Training("ppo", 2048, critic=False)
MEASURED = [
    Measured("SmolLM2-135M", replace(SIBLINGS, orm=False), 6.3, "CPU: PPO in passes of 2,048 tokens, siblings, no reward model"),
    Measured(
        "SmolLM2-135M", replace(SIBLINGS, tokens=4 * 220, positions=4 * 48, sampling=Sampling(8, 270)), 4.7,
        "CPU: `ppo@r1` of tests/line/test_your_own.py, minibatches of 4 answers of 48 tokens",
    ),
    Measured("SmolLM2-135M", Training("orm", 8 * 266), 6.3, "CPU: `orm@base` there, 4 pairs of at most 266 tokens a step"),
    Measured("SmolLM2-135M", Training("sft", 5 * 264), 4.8, "CPU: `format_tuning` there, 5 rows of at most 264 tokens"),
    Measured("Qwen2.5-0.5B, untied", Training("sft", 4 * 200), 13.0, "CPU: `planner_sft`, 4 rows of at most 200 tokens"),
    Measured("Qwen2.5-0.5B, untied", Training("orm", 4 * 626), 14.6, "CPU: `orm@base`, 2 pairs of at most 626 tokens a step"),
]  # fmt: skip


BETWEEN = Sampling(128, 330)
ON_GPU = [  # (method, LoRA's rank, critic, recomputed and not compiled, GiB), by benchmarks/gpu.py on an H200, passes of 16,384 tokens
    ("sft", None, False, True, 10.2), ("sft", 32, False, True, 6.6), ("orm", None, False, True, 9.7), ("orm", 32, False, True, 5.6),
    ("dpo", None, False, True, 10.3), ("dpo", 32, False, True, 7.4), ("ppo", None, True, True, 19.9), ("ppo", None, False, True, 12.5),
    ("sft", None, False, False, 21.8), ("sft", 32, False, False, 15.4), ("orm", None, False, False, 21.1), ("orm", 32, False, False, 14.7),
    ("ppo", None, True, False, 32.4), ("ppo", None, False, False, 27.7),
]  # fmt: skip


def planned(method: Method, rank: int | None, gpus: int) -> Training:
    """As the script's head says."""
    if gpus:
        tokens, sampling = (4096 if method == "ppo" else 16384), Sampling(64, 2048)
        return Training(method, tokens, rank, "bfloat16", checkpointing=True, chunk=1024, gpus=gpus, sampling=sampling)
    return Training(method, 2048, rank, chunk=1024, sampling=Sampling(8, 512))


def what_fits(shapes: dict[str, Shape]) -> list[str]:
    """GB; bold: it fits."""
    kinds = [(room, gpus, rank) for room, gpus in zip(ROOMS, (1, 8, 0), strict=True) for rank in (None, 32)]
    headers = ["model", "method", *(f"{'LoRA' if rank else 'full'}, {room}" for room, _, rank in kinds)]
    lines = []
    for name, sizes in shapes.items():
        for method in get_args(Method):
            cells = [name, method]
            for room, gpus, rank in kinds:
                needed = memory(sizes, planned(method, rank, gpus)).total / 1e9
                shown = f"{needed:,.1f}" if needed < 100 else f"{needed:,.0f}"
                useless = not gpus and sizes.parameters > ON_CPU
                cells.append("" if useless else f"**{shown}**" if needed <= ROOMS[room] else shown)
            lines.append(cells)
    return table(headers, lines)


def checkpoints(shapes: dict[str, Shape]) -> list[str]:
    """GB that one process writes: weights and moments of what trains."""
    kinds = [(rank, gpus) for rank in (None, 32) for gpus in (1, 8)]
    headers = ["model", "method", *(f"{'LoRA' if rank else 'full'}, {'one' if gpus == 1 else 'each of eight'}" for rank, gpus in kinds)]
    lines = []
    for name, sizes in shapes.items():
        for method in ("sft", "ppo"):
            found = [memory(sizes, planned(method, rank, gpus)) for rank, gpus in kinds]
            written = [f"{(one.weights + one.optimizer) / 1e9:,.2f}" for one in found]
            if method == "ppo":
                written[-1] += ", the first"
            lines.append([name, method, *written])
    return table(headers, lines)


def beside_measured() -> list[str]:
    shapes, lines = {**SHAPES, "Qwen2.5-0.5B, untied": UNTIED}, []
    for row in MEASURED:
        found = memory(shapes[row.model], row.training)
        parts = {"states": found.states, **found.parts()}
        parts = {name: size for name, size in parts.items() if size > 5e7 and name not in ("weights", "gradients", "optimizer", "frozen")}
        said = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in parts.items())
        computed = found.total / 1e9
        lines.append([row.model, row.where, f"{computed:.1f}", f"{row.gb:.1f}", f"{computed / row.gb - 1:+.0%}", said])
    return table(["model", "what ran", "computed, GB", "measured, GB", "difference", "computed of"], lines)


def beside_gpu() -> list[str]:
    """A GPU's allocator counts what is handed out: neither the process nor what it cannot use."""
    lines = []
    for method, rank, critic, again, measured in ON_GPU:
        sampling = BETWEEN if method == "ppo" else Sampling(1, 1)
        training = Training(method, 16384, rank, "bfloat16", checkpointing=again, chunk=441, gpus=1, sampling=sampling, critic=critic)
        found = memory(SHAPES["Qwen2.5-0.5B"], training)
        computed, seen = (found.total - found.parts()["process"] - found.parts()["spare"]) / 1e9, measured * 2**30 / 1e9
        named = f"{method}{', critic' if critic else ', siblings' if method == 'ppo' else ''}"
        how = "recomputed" if again else "kept, layers compiled"
        lines.append([named, "LoRA" if rank else "full", how, f"{computed:.1f}", f"{seen:.1f}", f"{computed / seen - 1:+.0%}"])
    return table(["method", "what trains", "activations", "computed, GB", "measured, GB", "difference"], lines)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (headers, ["---"] * len(headers), *rows)]


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, help="a config.json: the table of this model alone")
    config = parser.parse_args().config
    if config is not None:
        own = Shape.of(read(config))
        print("\n".join(what_fits({f"{own.parameters / 1e6:,.0f}M": own})))
        return
    print("\n".join([*what_fits(SHAPES), "", *checkpoints(SHAPES), "", *beside_measured(), "", *beside_gpu()]))


if __name__ == "__main__":
    main()
