"""Stage `trajectories`: the tuned planner's plans, their rewards, and preference pairs. Run: python -m pipelines.trajectories"""

from factory.engines.select import Engines
from factory.params import Params
from factory.rejects import write_rejects
from factory.schemas import Problem, Template, Trajectory, TrajectoryPair
from factory.storage import DATASETS, TABLES, read_rows, write_rows
from factory.templates.trajectories import make_trajectories
from pipelines import stage


def main(params: Params) -> None:
    problems = read_rows(TABLES / "problems.parquet", Problem)
    templates = read_rows(DATASETS / "templates", Template)
    roles = params.own("planner_sft", "inference"), params.roles["inference"]
    with Engines(params.requests, "trajectories", params.budget) as engines:
        planner, inference = (engines.engine(role, name) for role, name in zip(roles, ("planner", "inference"), strict=True))
        trajectories, pairs, rejects = make_trajectories(problems, templates, planner, inference, params)
        write_rows(TABLES / "trajectories.parquet", Trajectory, trajectories)
        write_rows(TABLES / "trajectory_pairs.parquet", TrajectoryPair, pairs)
        write_rejects("trajectories", rejects)
    print(f"trajectories: {len(trajectories)} with a reward, {len(pairs)} pairs, {len(rejects)} rejects")


if __name__ == "__main__":
    stage.run("trajectories", main)
