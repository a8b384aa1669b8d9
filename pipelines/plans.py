"""Stage `plans`: what a planner learns, plans of the labeller or of the planner that it starts from.

python -m pipelines.plans first
"""

from factory.engines.select import Engines
from factory.params import Params
from factory.rejects import write_rejects
from factory.schemas import Example, Problem, Template
from factory.storage import DATASETS, TABLES, read_rows, write_rows
from factory.templates.plans import plan_examples
from pipelines import stage


def main(params: Params, key: str) -> None:
    problems = read_rows(TABLES / "problems.parquet", Problem)
    templates = read_rows(DATASETS / "templates", Template)
    start = params.planners[key].start
    with Engines(params.requests, f"plans_{key}", params.budget) as engines:
        inference = engines.engine(params.roles["inference"], "inference") if params.require("plans").tries else None
        if start == "base":
            proposer = engines.engine(params.roles["labeller"], "labeller")
        else:
            proposer = engines.engine(params.own(start, "inference"), "planner")
        plans, rejects = plan_examples(problems, templates, key, proposer, params, inference)
        write_rows(TABLES / f"plans_{key}.parquet", Example, plans)
        write_rejects(f"plans_{key}", rejects)
    print(f"plans_{key}: {len(plans)} plans, {len(rejects)} rejected")


if __name__ == "__main__":
    stage.run("plans", main)
