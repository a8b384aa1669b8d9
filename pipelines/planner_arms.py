"""Stage `planner_arms` of `pipelines/ablations/stages.yaml`: the planner's arms of `evaluate` on held-out and unseen problems, without the
policies: direct, random_template, sft, dpo, (where problems know their strategy) oracle, and the loop without and with adjusting.

    python -m pipelines.planner_arms    → data/evaluation/scores/planner_arms.{parquet,json}
"""

from factory.evaluation import greedy
from factory.evaluation.metrics import PLANNER_ARMS, by_split, cost
from factory.grading import Grader
from factory.params import Params
from factory.schemas import Answer, Problem
from factory.storage import TABLES, read_rows, write_rows
from factory.whole import write_json
from pipelines import stage
from pipelines.evaluate import interplay_answers, planner_answers
from pipelines.score import SCORES

NAME = "planner_arms"


def main(params: Params) -> None:
    asked = greedy.questions(params, read_rows(TABLES / "problems.parquet", Problem))
    with Grader.of(params.grading) as grader:
        answers = planner_answers(params, asked, greedy.answers(params, "base", asked, grader), grader)
        if params.planner_adjust and params.require("evaluate").interplay:
            answers += interplay_answers(params, asked, grader)
    arms = {arm: [row for row in answers if row.arm == arm] for arm in PLANNER_ARMS if any(row.arm == arm for row in answers)}
    for arm, rows in arms.items():
        print(f"planner_arms: {arm} {sum(row.verdict == 'correct' for row in rows)} of {len(rows)} right")
    write_rows(SCORES / f"{NAME}.parquet", Answer, answers)
    write_json(SCORES / f"{NAME}.json", {arm: {**by_split(rows), "cost": cost(rows)} for arm, rows in arms.items()})


if __name__ == "__main__":
    stage.run("planner_arms", main)
