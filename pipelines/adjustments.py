"""Stage `adjustments`: what is best done after a step of a plan, by the recorded trajectories; no model is asked.

data/tables/trajectories.parquet, problems, data/datasets/templates → data/tables/adjustments.parquet, data/rejects/adjustments.parquet

python -m pipelines.adjustments
"""

from collections import Counter

from factory.params import Params
from factory.rejects import write_rejects
from factory.schemas import Problem, Template, Trajectory
from factory.storage import DATASETS, TABLES, read_rows, write_rows
from factory.tables import ADJUSTS, Adjustment
from factory.templates.adjustments import make_adjustments
from pipelines import stage


def main(params: Params) -> None:
    problems = {row.id: row.problem for row in read_rows(TABLES / "problems.parquet", Problem)}
    templates = read_rows(DATASETS / "templates", Template)
    rows, rejects = make_adjustments(read_rows(TABLES / "trajectories.parquet", Trajectory), problems, templates, params)
    write_rows(TABLES / "adjustments.parquet", Adjustment, rows)
    write_rejects("adjustments", rejects)
    counts = Counter(row.choice for row in rows)
    said = ", ".join(f"{choice} {counts[choice]:,}" for choice in ADJUSTS)
    print(f"adjustments: {len(rows):,} states of {len({row.problem_id for row in rows}):,} problems ({said}), {len(rejects):,} left out")


if __name__ == "__main__":
    stage.run("adjustments", main)
