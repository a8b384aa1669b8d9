"""Distillation as a reset (Satori §3.4): the base, not the policy, is tuned on what a round's policy solved; or another base, which the
params name (`into`): weak-to-strong where that is larger. The next round starts from the result, whichever it is.
data/datasets/distillation_<round>, from data/models/<into> → data/models/distilled_<round>.

python -m pipelines.distill r1
"""

from factory.errors import ParamsError
from factory.identity import seed_for
from factory.params import Params
from factory.schemas import Example
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from trainers import run, sft


def main(params: Params, item: str) -> None:
    if item not in params.distillations:
        raise ParamsError(f"distillations has no {item}: it names {', '.join(params.distillations) or 'none'}")
    name = f"distilled_{item}"
    sft.tune(
        run.load_dataset_rows(DATASETS / f"distillation_{item}", Example),
        sft.Settings(**training.section(params.require("distill"))),
        seed=seed_for(params.seed, "distill", item),
        start=MODELS / params.distillations[item].into,
        target=MODELS / name,
        log=LOGS / f"{name}.csv",
        machine=training.machine(params),
    )


if __name__ == "__main__":
    stage.run("distill", main, trains=True)
