"""Stage `distillation@<round>`: right answers of the policy, for the base to learn. `python -m pipelines.distillation r1`"""

from factory.coat import rollouts
from factory.coat.distillation import hardest
from factory.engines.select import Engines
from factory.errors import ParamsError
from factory.grading import Grader
from factory.language.prompting import Prompts
from factory.params import Params
from factory.rejects import write_rejects
from factory.schemas import Example, Problem
from factory.storage import MODELS, TABLES, read_rows, write_rows
from pipelines import stage


def main(params: Params, item: str) -> None:
    settings = params.require("distillation")
    if "generator" not in params.roles:
        raise ParamsError("params.yaml needs roles.generator: its engine samples the policy")
    role = params.roles["generator"].model_copy(update={"model": str(MODELS / f"policy_{item}")})
    known = read_rows(TABLES / "problems.parquet", Problem)
    problems = rollouts.part_of(known, params.require("rollouts").problems, params.policies[item].part, role)[: settings.problems]
    with Engines(params.requests, f"distillation_{item}", params.budget) as engines, Grader.of(params.grading) as grader:
        engine = engines.engine(role, "generator")
        sampled, failed = rollouts.sample(
            engine, problems, settings.sampling, settings.samples, prompts=Prompts.of(role.prompts), steps=params.steps, seed=params.seed,
            stage="distillation", round=item,
            grader=grader,
        )  # fmt: skip
        rows, rejects = hardest(sampled, keep=settings.keep, seed=params.seed, round=item, steps=params.steps)
        write_rows(TABLES / f"distillation_{item}.parquet", Example, rows)
        write_rejects(f"distillation_{item}", [*failed, *rejects])
    print(f"{rollouts.summary(sampled, failed)}; {len(rows):,} kept of {len({row.problem_id for row in rows}):,} problems")


if __name__ == "__main__":
    stage.run("distillation", main)
