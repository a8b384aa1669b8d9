"""The planner's first stage (ReasonFlux §3.2): template structure (description and scope from name and tags, L_struct) and problem → plan
rows together. data/datasets/{structure,plans}, from data/models/base → data/models/planner_sft; data/evaluation/structure.json says what
L_struct is on the templates that were trained on and on those that were not, where some were not.

python -m pipelines.planner_sft
"""

from factory.identity import seed_for
from factory.params import Params
from factory.schemas import Example
from factory.storage import DATASETS, LOGS, MODELS, write_json
from factory.templates.structure import STRUCTURE, report, spans_of, split_templates
from pipelines import stage, training
from trainers import likelihood, machine, run, sft

TARGET = MODELS / "planner_sft"


def main(params: Params) -> None:
    section = params.require("planner_sft")
    structure, plans = (run.load_dataset_rows(DATASETS / name, Example) for name in ("structure", "plans"))
    trained, _ = split_templates(structure, section.heldout_templates, params.seed)
    trained = trained if section.structure else []
    sft.tune(
        [*trained, *plans],
        sft.Settings(**training.section(section, without=("structure", "heldout_templates"))),
        seed=seed_for(params.seed, "planner_sft"),
        start=MODELS / "base",
        target=TARGET,
        log=LOGS / "planner_sft.csv",
        machine=training.machine(params),
    )
    if machine.rank() == 0:
        write_json(STRUCTURE, measured(params, structure, trained))


def measured(params: Params, structure: list[Example], trained: list[Example]) -> dict[str, object]:
    """Nothing is measured where all were trained on: a model that is spread over several GPUs is not read whole for nothing."""
    rows = structure if len(trained) < len(structure) else []
    spans, on = [spans_of(row.completion) for row in rows], training.machine(params)
    before, after = (likelihood.losses(folder, rows, spans, on) if rows else [] for folder in (MODELS / "base", TARGET))
    return report(rows, trained, before, after)


if __name__ == "__main__":
    stage.run("planner_sft", main, trains=True)
