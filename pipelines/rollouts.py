"""Stage `rollouts@<policy>`: sample and grade solutions of train problems. `python -m pipelines.rollouts base`"""

from factory.coat.rollouts import Samples, sampled
from factory.coat.rollouts_table import places, problems_at, set_aside
from factory.engines.select import Engines
from factory.errors import ParamsError
from factory.grading import Grader
from factory.language.prompting import Prompts
from factory.merging import merge, merge_rejects, scratch
from factory.params import Params, Role
from factory.schemas import Rollout
from factory.storage import MODELS, TABLES
from factory.tables import DrawnRollout
from pipelines import stage


def main(params: Params, item: str) -> None:
    settings, role = params.require("rollouts"), policy_role(params, item)
    table, row_type = TABLES / "problems.parquet", DrawnRollout if settings.drawn_tokens else Rollout
    chosen = places(table, settings.problems, params.policies[item].part, role)
    wanted = Samples(
        count=len(role.models) if role.engine == "recorded" else settings.samples,
        sampling=settings.sampling,
        prompts=Prompts.of(role.prompts),
        seed=params.seed,
        stage="rollouts",
        round=item,
        steps=params.steps,
        makers=tuple(role.models),
        drawn=settings.drawn_tokens,
    )
    with (
        scratch(f"rollouts_{item}") as folder,
        Engines(params.requests, f"rollouts_{item}", params.budget) as engines,
        Grader.of(params.grading) as grader,
    ):
        engine = engines.engine(role, "generator")
        made = set_aside(folder, sampled(engine, problems_at(table, chosen), wanted, grader, len(chosen)), row_type)
        merge(TABLES / f"rollouts_{item}.parquet", row_type, made.rows)
        merge_rejects(f"rollouts_{item}", made.rejects)
    print(f"{len(chosen):,} problems: {made.tally}")


def policy_role(params: Params, item: str) -> Role:
    """The generator's engine with the policy's model; recorded answers are the policy."""
    if "generator" not in params.roles or item not in params.policies:
        raise ParamsError(f"params.yaml needs roles.generator and policies.{item} for these rollouts")
    role = params.roles["generator"]
    return role if role.engine == "recorded" else role.model_copy(update={"model": str(MODELS / params.policies[item].model)})


if __name__ == "__main__":
    stage.run("rollouts", main)
