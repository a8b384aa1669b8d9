"""What each stage that trains reads, and how large its model is.

trained(params, past, sizes, given, tokens)   → {"format_tuning": Trained("format_tuned", 250000, "format_tuning.tokens"), …}
parameters(params)                            → (134515008, "model.safetensors of models/smollm2")
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory.errors import DataError
from factory.params import Params
from factory.planning.asks import Given, drawn, part, uncounted
from factory.planning.history import History
from factory.planning.hub import Hub, fetched
from factory.planning.outside import hub_id, weights
from factory.planning.samples import Sizes
from factory.words import amount

TEXT = 86  # tokens of a text of the corpus: the laptop's
PAIRED = 0.55  # of the pairs that trajectories may give
HELD_OUT = 0.1  # of a reward model's pairs
VOCABULARY = 256  # of a base that is pretrained here
WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
GGUF_BITS = 4.6  # a weight: Q4


@dataclass(frozen=True)
class Trained:
    """`said`: what the number is; `tokens` None: nobody knows."""

    model: str
    tokens: float | None
    said: str


@dataclass(frozen=True)
class Lengths:
    """Tokens of a problem as it is asked, of a solution and of a plan."""

    prompt: float
    solution: float
    plan: float


def trained(params: Params, past: History, sizes: Sizes, given: Given, lengths: Lengths) -> dict[str, Trained]:
    """Stage → the tokens that it trains on: of the last run's log where that had these params, else of the params."""
    found = {}
    for stage, item in _planned(params, sizes, given, lengths):
        column = "tokens" if stage.startswith("ppo@") else "tokens_seen"
        log = past.log(item.model, column) if past.ran(stage) else []
        if log and params.ppo and column == "tokens":
            item = Trained(item.model, sum(log) * params.ppo.epochs, f"data/logs/{item.model}.csv")
        elif log:
            item = Trained(item.model, log[-1], f"data/logs/{item.model}.csv")
        found[stage] = item
    return found


def _planned(params: Params, sizes: Sizes, given: Given, lengths: Lengths) -> Iterator[tuple[str, Trained]]:
    for key, base in params.pretraining.items():
        texts = params.corpus.texts if params.corpus else 0
        yield (
            f"pretraining@{key}",
            Trained(key, texts * TEXT * base.epochs, f"{amount(texts, 'text')} × {TEXT} tokens (assumed) × {base.epochs}"),
        )
    for name in params.policies if params.orm and params.orm_pairs and params.rollouts else ():
        assert params.orm is not None
        assert params.orm_pairs is not None
        pairs = part(params, sizes, name) * mixed(given.right, params.require("rollouts").samples) * params.orm_pairs.per_problem
        tokens = pairs * (1 - HELD_OUT) * 2 * (lengths.prompt + lengths.solution) * params.orm.epochs
        known = not uncounted(params, sizes)
        yield (
            f"orm@{name}",
            Trained(f"orm_{name}", tokens if known else None, f"about {amount(pairs, 'pair')}" if known else "no pairs counted"),
        )
    if params.format_tuning:
        yield "format_tuning", Trained("format_tuned", params.format_tuning.tokens, "format_tuning.tokens")
        yield "cot_control", Trained("cot_control", params.format_tuning.tokens, "format_tuning.tokens")
    for name in params.rounds if params.ppo else ():
        assert params.ppo is not None
        responses = params.ppo.iterations * params.ppo.batch
        yield (
            f"ppo@{name}",
            Trained(
                f"policy_{name}",
                responses * (lengths.prompt + params.ppo.max_tokens / 2) * params.ppo.epochs,
                amount(responses, "response"),
            ),
        )
        if name in params.distillations and params.distill:
            yield f"distill@{name}", Trained(f"distilled_{name}", params.distill.tokens, "distill.tokens")
    for name in params.planners if params.planner_sft else ():
        assert params.planner_sft is not None
        yield f"planner@{name}", Trained(f"planner_{name}", params.planner_sft.tokens, "planner_sft.tokens")
    if params.planner_dpo and params.trajectories:
        section = params.trajectories
        problems = section.problems if sizes.train is None else min(section.problems, sizes.train)
        pairs = problems * section.pairs_per_problem * PAIRED
        tokens = pairs * 2 * (lengths.prompt + lengths.plan) * params.planner_dpo.epochs
        yield "planner_dpo", Trained("planner_dpo", tokens, f"about {amount(pairs, 'pair')}")
    if params.planner_adjust:
        yield "planner_adjust", Trained("planner_adjust", params.planner_adjust.tokens, "planner_adjust.tokens")


def mixed(right: float, samples: int) -> float:
    """The share of problems with right and wrong samples."""
    return max(0.0, drawn(right, samples, 1) + drawn(1 - right, samples, 1) - 1)


def parameters(params: Params, hub: Hub) -> tuple[int | None, str]:
    """Of the base, and where that is known from."""
    if base := params.pretraining.get("base"):
        layer = 4 * base.hidden**2 + 3 * base.hidden * base.intermediate
        return VOCABULARY * base.hidden + base.layers * layer, "pretraining.base"
    if model := params.adoption.get("base"):
        if name := hub_id(model):
            return _on_hub(*name, hub)
        if model.endswith(".gguf"):
            return _file_size(Path(model)), f"the size of {model}"
        return _in_folder(Path(model)), f"the weights in {model}"
    return None, "no base"


def _on_hub(name: str, revision: str, hub: Hub) -> tuple[int | None, str]:
    seen = hub.look("model", name, revision)
    if seen.parameters or not seen.usable:
        return seen.parameters, seen.said
    try:
        config = fetched(name, revision, "config.json")
        hidden, layers, inner, words = (
            json.loads(config.read_text())[key] for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size")
        )
    except (DataError, OSError, ValueError, KeyError):
        return None, "its config tells no sizes"
    return words * hidden + layers * (4 * hidden**2 + 3 * hidden * inner), f"the config of {name}"


def _in_folder(folder: Path) -> int | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    width = WIDTHS.get(str(config.get("dtype") or config.get("torch_dtype")), 4)
    return sum(file.stat().st_size for file in weights(folder)) // width or None


def _file_size(file: Path) -> int | None:
    return round(file.stat().st_size * 8 / GGUF_BITS) if file.is_file() else None
