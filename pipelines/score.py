"""Stage `score@<model>` of `pipelines/ablations/stages.yaml`: greedy pass@1 of one model of the line on held-out and unseen
problems, without all the others that `evaluate` asks too.

python -m pipelines.score policy_r1          data/models/policy_r1 → data/evaluation/scores/policy_r1.parquet, policy_r1.json
"""

from pathlib import Path

from factory.errors import ParamsError
from factory.evaluation import greedy
from factory.evaluation.metrics import by_split, cost, self_correction
from factory.grading import Grader
from factory.params import Params
from factory.schemas import Answer, Problem
from factory.storage import TABLES, read_rows, write_rows
from factory.whole import write_json
from pipelines import stage

SCORES = Path("data/evaluation/scores")


def main(params: Params, item: str) -> None:
    if item not in (known := list(greedy.models_of(params))):
        raise ParamsError(f"the line makes no {item}: it makes {', '.join(known)}")
    problems = read_rows(TABLES / "problems.parquet", Problem)
    with Grader.of(params.grading) as grader:
        answers = greedy.answers(params, item, greedy.questions(params, problems), grader)
    print(f"score: {item} {sum(row.verdict == 'correct' for row in answers)} of {len(answers)} right")
    write_rows(SCORES / f"{item}.parquet", Answer, answers)
    known_problems = {problem.id: problem for problem in problems}
    write_json(
        SCORES / f"{item}.json", {**by_split(answers), "self_correction": self_correction(answers, known_problems), "cost": cost(answers)}
    )


if __name__ == "__main__":
    stage.run("score", main)
