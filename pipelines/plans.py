"""Stage `plans`: the planner's supervised views, describe a template and plan a problem. Run: python -m pipelines.plans"""

from factory.engines.select import Engines
from factory.language.prompting import Prompts
from factory.params import Params
from factory.schemas import Example, Problem, Template
from factory.storage import DATASETS, TABLES, read_rows, write_rejects, write_rows
from factory.templates.plans import plan_examples, structure_examples
from pipelines import stage


def main(params: Params) -> None:
    problems = read_rows(TABLES / "problems.parquet", Problem)
    templates = read_rows(DATASETS / "templates", Template)
    structure = structure_examples(templates, Prompts.of(params.asked_with("labeller")))
    with Engines(params.requests, "plans", params.budget) as engines:
        inference = engines.engine(params.roles["inference"], "inference") if params.require("plans").tries else None
        plans, rejects = plan_examples(problems, templates, engines.engine(params.roles["labeller"], "labeller"), params, inference)
        write_rows(TABLES / "structure.parquet", Example, structure)
        write_rows(TABLES / "plans.parquet", Example, plans)
        write_rejects("plans", rejects)
    print(f"plans: {len(structure)} templates described, {len(plans)} plans, {len(rejects)} rejected")


if __name__ == "__main__":
    stage.run("plans", main)
