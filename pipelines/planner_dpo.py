"""The planner's second stage (ReasonFlux §3.2): preferences between template trajectories. data/datasets/trajectory_pairs, from
data/models/planner_sft → data/models/planner_dpo.

python -m pipelines.planner_dpo
"""

from factory.identity import seed_for
from factory.params import Params
from factory.schemas import TrajectoryPair
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from trainers import dpo, run


def main(params: Params) -> None:
    dpo.prefer(
        run.load_dataset_rows(DATASETS / "trajectory_pairs", TrajectoryPair),
        dpo.Settings(**training.section(params.require("planner_dpo"))),
        seed=seed_for(params.seed, "planner_dpo"),
        start=MODELS / "planner_sft",
        target=MODELS / "planner_dpo",
        log=LOGS / "planner_dpo.csv",
        machine=training.machine(params),
    )


if __name__ == "__main__":
    stage.run("planner_dpo", main, trains=True)
