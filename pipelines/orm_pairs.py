"""Stage `orm_pairs@<policy>`: right and wrong solutions of one problem, in pairs. `python -m pipelines.orm_pairs r1`"""

from factory.coat.preferences import orm_pairs
from factory.params import Params
from factory.schemas import OrmPair, Rollout
from factory.storage import TABLES, read_rows, write_rejects, write_rows
from pipelines import stage


def main(params: Params, item: str) -> None:
    settings = params.require("orm_pairs")
    rollouts = read_rows(TABLES / f"rollouts_{item}.parquet", Rollout)
    pairs, rejects = orm_pairs(rollouts, per_problem=settings.per_problem, margin=settings.margin, seed=params.seed, round=item)
    write_rows(TABLES / f"orm_pairs_{item}.parquet", OrmPair, pairs)
    write_rejects(f"orm_pairs_{item}", rejects)
    print(f"{len(pairs):,} pairs of {len({pair.problem_id for pair in pairs}):,} problems; {len(rejects):,} problems without both signs")


if __name__ == "__main__":
    stage.run("orm_pairs", main)
