"""Format tuning (Satori §3.2): data/datasets/demonstrations, from data/models/base → data/models/format_tuned.

python -m pipelines.format_tuning
"""

from factory.identity import seed_for
from factory.params import Params
from factory.schemas import Demonstration
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from trainers import run, sft


def main(params: Params) -> None:
    sft.tune(
        run.load_dataset_rows(DATASETS / "demonstrations", Demonstration),
        sft.Settings(**training.section(params.require("format_tuning"))),
        seed=seed_for(params.seed, "format_tuning"),
        start=MODELS / "base",
        target=MODELS / "format_tuned",
        log=LOGS / "format_tuned.csv",
        machine=training.machine(params),
    )


if __name__ == "__main__":
    stage.run("format_tuning", main, trains=True)
