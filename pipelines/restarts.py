"""Stage `restarts@<round>`: start states of PPO. `python -m pipelines.restarts r1`"""

from factory.coat.restarts import Buffers, plain_states, restart_states
from factory.language.prompting import Prompts
from factory.params import Params
from factory.schemas import Problem, Restart, Rollout
from factory.storage import TABLES, read_rows, write_rejects, write_rows
from pipelines import stage


def main(params: Params, item: str) -> None:
    """A line without rounds (recorded solutions) makes both signs, of all its problems whatever their split."""
    settings, round = params.require("restarts"), params.rounds.get(item)
    problems = read_rows(TABLES / "problems.parquet", Problem)
    rollouts = read_rows(TABLES / f"rollouts_{item}.parquet", Rollout)
    sampled = {rollout.problem_id for rollout in rollouts}
    startable = [problem for problem in problems if (problem.split == "train" and problem.id in sampled) or round is None]
    buffers, prompts = Buffers([], [], len(rollouts)), Prompts.of(params.asked_with("generator"))
    per_sign = settings.per_sign if round is None or round.restarts else 0
    if per_sign:
        buffers = restart_states(
            problems, rollouts, max_backtrack=settings.max_backtrack, per_sign=per_sign, seed=params.seed, round=item, steps=params.steps
        )  # fmt: skip
    buffers.rows.extend(plain_states(startable, settings.plain, prompts=prompts, seed=params.seed, round=item))
    write_rows(TABLES / f"restarts_{item}.parquet", Restart, buffers.rows)
    write_rejects(f"restarts_{item}", buffers.rejects)
    print(buffers.summary(settings.plain, per_sign))


if __name__ == "__main__":
    stage.run("restarts", main)
