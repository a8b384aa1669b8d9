"""Stage `rollouts@<policy>`: sample and grade solutions of train problems. `python -m pipelines.rollouts base`"""

from factory.coat import rollouts
from factory.engines.select import Engines
from factory.errors import ParamsError
from factory.grading import Grader
from factory.language.prompting import Prompts
from factory.params import Params, Role
from factory.schemas import Problem, Rollout
from factory.storage import MODELS, TABLES, read_rows, write_rejects, write_rows
from pipelines import stage


def main(params: Params, item: str) -> None:
    settings, role = params.require("rollouts"), policy_role(params, item)
    problems = rollouts.part_of(read_rows(TABLES / "problems.parquet", Problem), settings.problems, params.policies[item].part, role)
    samples = len(role.models) if role.engine == "recorded" else settings.samples
    with Engines(params.requests, f"rollouts_{item}", params.budget) as engines, Grader.of(params.grading) as grader:
        rows, rejects = rollouts.sample(
            engines.engine(role, "generator"),
            problems,
            settings.sampling,
            samples,
            prompts=Prompts.of(role.prompts),
            steps=params.steps,
            seed=params.seed,
            stage="rollouts",
            round=item,
            makers=role.models,
            grader=grader,
        )
        write_rows(TABLES / f"rollouts_{item}.parquet", Rollout, rows)
        write_rejects(f"rollouts_{item}", rejects)
    print(f"{len(problems):,} problems: {rollouts.summary(rows, rejects)}")


def policy_role(params: Params, item: str) -> Role:
    """The generator's engine with the policy's model; recorded answers are the policy."""
    if "generator" not in params.roles or item not in params.policies:
        raise ParamsError(f"params.yaml needs roles.generator and policies.{item} for these rollouts")
    role = params.roles["generator"]
    return role if role.engine == "recorded" else role.model_copy(update={"model": str(MODELS / params.policies[item].model)})


if __name__ == "__main__":
    stage.run("rollouts", main)
