"""The planner's third view (ReasonFlux §3.3, evaluate and adjust), as an evaluator of its own: what is done after a step. The planner
itself stays what it is. data/datasets/adjustments, from data/models/planner_dpo → data/models/planner_adjust.

python -m pipelines.planner_adjust
"""

from factory.identity import seed_for
from factory.params import Params
from factory.storage import DATASETS, LOGS, MODELS
from factory.tables import Adjustment
from pipelines import stage, training
from trainers import run, sft


def main(params: Params) -> None:
    sft.tune(
        run.load_dataset_rows(DATASETS / "adjustments", Adjustment),
        sft.Settings(**training.section(params.require("planner_adjust"))),
        seed=seed_for(params.seed, "planner_adjust"),
        start=MODELS / "planner_dpo",
        target=MODELS / "planner_adjust",
        log=LOGS / "planner_adjust.csv",
        machine=training.machine(params),
    )


if __name__ == "__main__":
    stage.run("planner_adjust", main, trains=True)
