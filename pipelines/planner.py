"""A planner by SFT (ReasonFlux §3.2): template structure (description and scope from name and tags, L_struct) and problem → plan rows
together. data/datasets/{structure,plans_<key>}, from the model that it starts from → data/models/planner_<key>;
data/evaluation/structure_<key>.json says what L_struct is on the templates that were trained on and on those that were not, where some
were not.

python -m pipelines.planner first
"""

from pathlib import Path

from factory.identity import seed_for
from factory.params import Params
from factory.schemas import Example
from factory.storage import DATASETS, LOGS, MODELS
from factory.templates.structure import REPORTS, report, spans_of, split_templates
from factory.whole import write_json
from pipelines import stage, training
from trainers import likelihood, machine, run, sft


def main(params: Params, key: str) -> None:
    section, name, start = params.require("planner_sft"), f"planner_{key}", MODELS / params.planners[key].start
    structure, plans = (run.load_dataset_rows(DATASETS / dataset, Example) for dataset in ("structure", f"plans_{key}"))
    trained, _ = split_templates(structure, section.heldout_templates, params.seed)
    trained = trained if section.structure else []
    sft.tune(
        [*trained, *plans],
        sft.Settings(**training.section(section, without=("structure", "heldout_templates"))),
        seed=seed_for(params.seed, name),
        start=start,
        target=MODELS / name,
        log=LOGS / f"{name}.csv",
        machine=training.machine(params),
    )
    if machine.rank() == 0:
        write_json(REPORTS / f"structure_{key}.json", measured(params, structure, trained, start, MODELS / name))


def measured(params: Params, structure: list[Example], trained: list[Example], start: Path, target: Path) -> dict[str, object]:
    """Nothing is measured where all were trained on: a model that is spread over several GPUs is not read whole for nothing."""
    rows = structure if len(trained) < len(structure) else []
    spans, on = [spans_of(row.completion) for row in rows], training.machine(params)
    before, after = (likelihood.losses(folder, rows, spans, on) if rows else [] for folder in (start, target))
    return report(rows, trained, before, after)


if __name__ == "__main__":
    stage.run("planner", main, trains=True)
