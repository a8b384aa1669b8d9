"""Which pass each training of a profile is counted at, and what `training` in the params changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from factory.params import Params, load, parse
from factory.planning.history import History
from factory.planning.hub import Hub
from factory.planning.memory import Shape
from factory.planning.needs import Need, base_shape, needs, told

ROOT = Path(__file__).parents[3]
SMOL = Shape(576, 30, 1536, 49152, 9, 3, 64, tied=True)


def of(params: Params) -> dict[str, Need]:
    return {need.stage: need for need in needs(params, SMOL, 130)}


@pytest.fixture
def params() -> Params:
    profile = load(ROOT / "pipelines/profiles/smollm2.yaml")
    return profile.model_copy(update={"training": profile.training.model_copy(update={"pass_tokens": None})})


def test_a_pass_on_a_cpu_is_a_whole_batch_at_its_longest(params: Params) -> None:
    """Two pairs of 130 + 256 tokens; eight demonstrations of a solution and another one; PPO cuts passes of 2,048 into rows of 386."""
    found = {stage: need.said for stage, need in of(params).items()}
    assert found["orm"] == "1,544 tokens a pass, rows of at most 386"
    assert found["format_tuning"] == "5,136 tokens a pass, rows of at most 642"
    assert found["ppo"] == "1,930 tokens a pass"


def test_the_devices_differ_in_precision_and_checkpointing(params: Params) -> None:
    found = of(params)["format_tuning"]
    assert found.cpu.copies == 0
    assert found.gpu.copies == 2 * SMOL.parameters
    assert found.gpu.activations < found.cpu.activations
    assert found.cpu.spare == 0 < found.gpu.spare
    seven = Shape(3584, 28, 18944, 152064, 28, 4, 128, tied=False)
    (large,) = [need for need in needs(params, seven, 130) if need.stage == "format_tuning"]
    assert large.gpu.activations < large.cpu.activations / 4


@pytest.mark.parametrize("changed", [{"pass_tokens": 700}, {"recompute": True}, {"processes": 4}])
def test_what_bounds_memory_does(params: Params, changed: dict[str, Any]) -> None:
    less = params.model_copy(update={"training": params.training.model_copy(update=changed)})
    assert of(less)["format_tuning"].cpu.total < of(params)["format_tuning"].cpu.total


def test_sharding_and_adapters_divide_the_states(params: Params) -> None:
    sharded = params.model_copy(update={"training": params.training.model_copy(update={"processes": 8, "shard": True})})
    one, eight = (of(found)["ppo"].gpu for found in (params, sharded))
    for part in ("weights", "gradients", "optimizer"):
        assert getattr(eight, part) == pytest.approx(getattr(one, part) / 8, rel=1e-6)
    assert (eight.frozen, eight.handed) == (one.frozen, one.handed)  # the reward model, and what our sampler holds for itself
    assert params.ppo is not None
    lora = type(params.ppo).model_validate({**params.ppo.model_dump(), "lora": {"rank": 16, "alpha": 32}})
    adapted = of(params.model_copy(update={"ppo": lora}))
    assert adapted["ppo"].cpu.optimizer < of(params)["ppo"].cpu.optimizer / 10
    assert adapted["orm"] == of(params)["orm"]


def test_a_base_is_known_by_its_config_or_said_to_be_unknown(project: Path, document: dict[str, Any]) -> None:
    none = base_shape(parse(document), History(), Hub())
    assert isinstance(none, str)
    assert none.startswith("the config tells no 'hidden_size'")
    sizes = {"hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536, "vocab_size": 49152}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True}
    Path("models/mine/config.json").write_text(json.dumps(sizes | heads), encoding="utf-8")
    assert base_shape(parse(document), History(), Hub()) == SMOL
    for model, says in (
        ("models/q4.gguf", "the config of models/q4.gguf cannot be read here"), ("org/model@1234567", "org/model cannot be had here"),
        ("org/model/q4.gguf@1234567", "are only read when it is adopted"),
    ):  # fmt: skip
        document["adoption"]["base"] = model
        (line,) = told(parse(document), History(), Hub(), 20)
        assert line.startswith("of trainings: unknown, ")
        assert says in line
