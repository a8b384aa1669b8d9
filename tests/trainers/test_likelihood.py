"""The loss of a part of an answer, beside plain arithmetic on logits; L_struct with templates held out, as its stage runs."""

import json
import math
from pathlib import Path

import pytest
import torch

from factory.language.conversation import said
from factory.params import Params, load
from factory.schemas import Example
from factory.storage import MODELS, read_rows, write_rows
from factory.whole import whole_folder
from pipelines import planner
from trainers import batches, likelihood, run

ROOT = Path(__file__).parents[2]


def example(key: str, prompt: str, completion: str) -> Example:
    return Example(
        id=key, model="m@1", prompt_version="describe@1", seed=1, round="base", parents=(f"t{key}",), problem_id="",
        prompt=said("user", prompt), completion=completion,
    )  # fmt: skip


def test_the_loss_is_that_of_the_tokens_inside_the_spans(start: Path) -> None:
    row = example("a", "Plan:\n", "Tom has apples now")
    ((nats, tokens),) = likelihood.losses(start, [row], [(4, 7, 15, 18)])  # "has" and "now"
    model, words = run.load(start)
    ((head, tail),) = batches.sequences(words, [row.prompt], [row.completion])
    logits = model.eval()(input_ids=torch.tensor([head + tail])).logits[0].float()
    expected = 0.0
    for place in (1, 3):
        line = logits[len(head) + place - 1].tolist()
        expected += math.log(sum(math.exp(value) for value in line)) - line[tail[place]]
    assert tokens == 2
    assert nats == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_no_spans_is_no_loss_and_what_was_learned_costs_less(start: Path) -> None:
    rows = [example("a", "Plan:\n", "Tom has apples now"), example("b", "Plan:\n", "Tom buys red ones")]
    assert likelihood.losses(start, rows[:1], [()]) == [(0, 0)]
    from trainers import sft

    settings = sft.Settings(tokens=2000, batch=2, lr=2e-3)
    sft.tune(rows[:1], settings, seed=1, start=start, target=Path("models/tuned"), log=Path("logs/tuned.csv"))
    before, after = (likelihood.losses(folder, rows, [(0, 18)] * 2) for folder in (start, Path("models/tuned")))
    assert after[0][0] < before[0][0] / 2


def dataset(name: str, rows: list[Example]) -> None:
    with whole_folder(Path("data/datasets") / name) as folder:
        write_rows(folder / "data/train-00000-of-00001.parquet", Example, rows)
        (folder / "manifest.json").write_text(json.dumps({"purpose": "train", "rows": len(rows)}), encoding="utf-8")


def params_with(**keys: object) -> Params:
    params = load(ROOT / "params.yaml")
    return params.model_copy(update={"planner_sft": params.require("planner_sft").model_copy(update={"tokens": 1500, "batch": 4, **keys})})


@pytest.fixture
def released(start: Path) -> list[Example]:
    """The stage's inputs, in the words of the tiny model; the described rows."""
    model, words = run.load(start)
    run.save_model(model, words, MODELS / "base")
    texts = ("Tom has apples", "He buys red ones", "How many apples now", "put together", "take away")
    completion = "Tom {}. has\n".format  # the tiny vocabulary has no `Description`
    rows = [example(str(number), f"Plan:\n{text}\n", completion(text)) for number, text in enumerate(texts)]
    dataset("structure", rows)
    dataset("plans_first", [example("p", "Tom has apples\nPlan:\n", "put together (add, total)")])
    assert read_rows(Path("data/datasets/structure"), Example) == rows
    return rows


@pytest.mark.parametrize(
    ("keys", "described", "measured"),
    [({}, 5, []), ({"heldout_templates": 0.4}, 3, [True, False]), ({"structure": False}, 0, [False])],
)
@pytest.mark.slow
def test_what_is_held_out_is_not_trained_on_and_measured(
    released: list[Example], monkeypatch: pytest.MonkeyPatch, keys: dict[str, object], described: int, measured: list[bool]
) -> None:
    trained: list[Example] = []
    tune = planner.sft.tune
    monkeypatch.setattr(planner.sft, "tune", lambda rows, *rest, **options: (trained.extend(rows), tune(rows, *rest, **options)))
    planner.main(params_with(**keys), "first")
    assert len([row for row in trained if row.id != "p"]) == described
    found = json.loads(Path("data/evaluation/structure_first.json").read_text(encoding="utf-8"))
    assert found["described"] == described
    assert list(dict.fromkeys(sorted((row["trained"] for row in found["templates"]), reverse=True))) == measured
    told = {row["template"] for row in found["templates"] if not row["trained"]}
    assert not told & {parent for row in trained for parent in row.parents if row.id != "p"}
    for side in ("trained", "heldout"):
        assert (found[side]["after"] is None) == (found[side]["templates"] == 0)


@pytest.mark.slow
def test_the_defaults_train_the_same_weights_as_without_the_keys(released: list[Example]) -> None:
    """The rows, their order and the settings of the trainer are those of before: structure first, then plans."""
    from factory.identity import seed_for
    from pipelines import training
    from trainers import sft

    planner.main(params_with(), "first")
    values = training.section(params_with().require("planner_sft"))
    settings = sft.Settings(**{key: values[key] for key in ("tokens", "batch", "lr", "mask_wrong", "lora")})
    rows = [*released, *read_rows(Path("data/datasets/plans_first"), Example)]
    sft.tune(rows, settings, seed=seed_for(1, "planner_first"), start=MODELS / "base", target=MODELS / "again", log=Path("again.csv"))
    assert (MODELS / "again/model.safetensors").read_bytes() == (MODELS / "planner_first/model.safetensors").read_bytes()
