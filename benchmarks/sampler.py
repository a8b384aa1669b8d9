"""The sampler beside transformers' `generate` with its growing and its static cache: tokens per cpu-second on one core, in turns.

python benchmarks/sampler.py data/models/base --starts data/datasets/restarts_r1         # some minutes, after `dvc repro`

Prompts are start states of the line (or any dataset of them); answers end by themselves or after `--tokens`, as the model writes them, or
all after `--tokens` (`forced`). `siblings`: a quarter as many prompts, each four times. Greedy answers must be the same tokens.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import PreTrainedModel

from factory.engines.sampler import Sampler
from factory.schemas import Restart
from trainers import batches, run
from trainers.rollout import start_states

Rows = Sequence[tuple[int, ...]]


def generate(model: PreTrainedModel, ends: list[int], cache: str, prompts: Rows, tokens: int, temperature: float) -> list[list[int]]:
    """What `generate` answers, without padding and ends."""
    width = max(map(len, prompts))
    ids = torch.tensor([(0,) * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampling: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {"do_sample": False}
    )
    if cache == "static":
        sampling |= {"cache_implementation": "static", "disable_compile": True}
    with torch.inference_mode():
        found = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=tokens, eos_token_id=ends or None, pad_token_id=0, **sampling
        )  # fmt: skip
    rows = [row[width:].tolist() for row in found]
    return [row[: next((place for place, token in enumerate(row) if token in ends), len(row))] for row in rows]


def sample(sampler: Sampler, prompts: Rows, tokens: int, temperature: float) -> list[list[int]]:
    found = sampler.sample(prompts, range(len(prompts)), max_tokens=tokens, temperature=temperature)
    return [list(one.token_ids) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--starts", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name has this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, words = run.load(options.model)
    rows = [row for row in run.load_dataset_rows(options.starts, Restart) if not row.prefix]
    starts, _ = start_states(rows, partial(batches.start_ids, words), model.config.max_position_embeddings - options.tokens, "benchmark")
    known = [start.ids for start in random.Random(1).sample(starts, 256)]
    print(
        "| batch | answers | ours, tokens/s | dynamic | static | × dynamic | × static | greedy differs |\n|---|---|---|---|---|---|---|---|"
    )
    for batch in ("64", "256", "64 × 4 siblings"):
        prompts = known[:64] if batch == "64" else known if batch == "256" else [ids for ids in known[:64] for _ in range(4)]
        for kind in ("natural", "forced"):
            if options.only not in f"{batch}, {kind}":
                continue
            sampler = Sampler(model.eval(), words)
            if kind == "forced":
                sampler.ends = []
            arms: dict[str, Callable[[float], list[list[int]]]] = {"ours": lambda t, s=sampler, p=prompts: sample(s, p, options.tokens, t)}
            for cache in ("dynamic", "static"):
                arms[cache] = lambda t, e=sampler.ends, c=cache, p=prompts: generate(model, e, c, p, options.tokens, t)
            greedy = {name: arm(0.0) for name, arm in arms.items()}
            differing = sum(len({str(greedy[name][row]) for name in arms}) > 1 for row in range(len(prompts)))
            rates: list[dict[str, float]] = []
            for _ in range(options.pairs):
                rates.append({name: rate(arm) for name, arm in arms.items()})
            mid = {name: median(one[name] for one in rates) for name in arms}
            times = {name: median(one["ours"] / one[name] for one in rates) for name in arms}
            cells = [f"{mid[name]:,.0f}" for name in arms] + [f"{times[name]:.2f}" for name in ("dynamic", "static")]
            print(f"| {batch} | {kind} | {' | '.join(cells)} | {differing} of {len(prompts)} |", flush=True)


def rate(arm: Callable[[float], list[list[int]]]) -> float:
    began = time.process_time()
    tokens = sum(map(len, arm(0.8)))
    return tokens / (time.process_time() - began)


if __name__ == "__main__":
    main()
