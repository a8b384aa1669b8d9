"""The planner's first stage (ReasonFlux §3.2): template structure (description and scope from name and tags, L_struct) and problem → plan
rows together. data/datasets/{structure,plans}, from data/models/base → data/models/planner_sft.

python -m pipelines.planner_sft
"""

from factory.identity import seed_for
from factory.params import Params
from factory.schemas import Example
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from trainers import run, sft


def main(params: Params) -> None:
    rows = [row for name in ("structure", "plans") for row in run.load_dataset_rows(DATASETS / name, Example)]
    sft.tune(
        rows,
        sft.Settings(**training.section(params.require("planner_sft"))),
        seed=seed_for(params.seed, "planner_sft"),
        start=MODELS / "base",
        target=MODELS / "planner_sft",
        log=LOGS / "planner_sft.csv",
        machine=training.machine(params),
    )


if __name__ == "__main__":
    stage.run("planner_sft", main, trains=True)
