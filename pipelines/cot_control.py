"""The control of format tuning: the base tuned on plain solutions of the same problems, with format tuning's settings and its number of
tokens. data/datasets/cot_demonstrations → data/models/cot_control.

python -m pipelines.cot_control
"""

from factory.identity import seed_for
from factory.params import Params
from factory.schemas import Demonstration
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from trainers import run, sft


def main(params: Params) -> None:
    sft.tune(
        run.load_dataset_rows(DATASETS / "cot_demonstrations", Demonstration),
        sft.Settings(**training.section(params.require("format_tuning"))),
        seed=seed_for(params.seed, "cot_control"),
        start=MODELS / "base",
        target=MODELS / "cot_control",
        log=LOGS / "cot_control.csv",
        machine=training.machine(params),
    )


if __name__ == "__main__":
    stage.run("cot_control", main, trains=True)
