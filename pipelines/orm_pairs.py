"""Stage `orm_pairs@<policy>`: right and wrong solutions of one problem, in pairs. `python -m pipelines.orm_pairs r1`"""

from factory.coat.preferences import pairs_of_table
from factory.merging import merge, merge_rejects, scratch
from factory.params import Params
from factory.processes import workers
from factory.schemas import OrmPair
from factory.storage import TABLES
from pipelines import stage


def main(params: Params, item: str) -> None:
    settings = params.require("orm_pairs")
    with scratch(f"orm_pairs_{item}") as folder:
        with workers() as each:
            made = pairs_of_table(
                TABLES / f"rollouts_{item}.parquet", folder, each,
                per_problem=settings.per_problem, margin=settings.margin, seed=params.seed, round=item,
            )  # fmt: skip
        pairs = merge(TABLES / f"orm_pairs_{item}.parquet", OrmPair, made.rows)
        lost = merge_rejects(f"orm_pairs_{item}", made.rejects)
    print(f"{pairs:,} pairs of {made.problems:,} problems; {lost:,} problems without both signs")


if __name__ == "__main__":
    stage.run("orm_pairs", main)
