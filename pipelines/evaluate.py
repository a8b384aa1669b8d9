"""Stage `evaluate`: greedy pass@1 of every model and planner arm on held-out and unseen problems, with intervals.

Reads problems (the only stage that reads `heldout` and `unseen`), models under data/models by the params' names, accepted templates;
writes data/tables/answers.parquet and data/evaluation/metrics.json. Source: both papers' evaluation sections.

    python -m pipelines.evaluate
"""

from pathlib import Path

from factory.engines.select import Engines
from factory.evaluation import arms, greedy
from factory.evaluation.interplay import interplay, stepwise
from factory.evaluation.metrics import SPLITS, compute, settling
from factory.grading import Grader
from factory.language.prompting import Prompts
from factory.params import Params
from factory.schemas import Answer, Problem, Template
from factory.storage import DATASETS, MODELS, TABLES, read_rows, write_rows
from factory.whole import write_json
from pipelines import stage

METRICS = Path("data/evaluation/metrics.json")


def planner_answers(params: Params, asked: list[Problem], base: list[Answer], grader: Grader) -> list[Answer]:
    max_tokens = params.require("evaluate").max_tokens
    library = [row for row in read_rows(DATASETS / "templates", Template) if row.status == "accepted"]
    trajectories = params.require("trajectories")
    library = arms.without_text(library) if trajectories.retrieval == "none" else library
    shared = params.roles["inference"].model == str(MODELS / "base") and params.asked_with("inference") == params.asked_with("generator")
    asking, planning = Prompts.of(params.asked_with("inference")), Prompts.of(params.asked_with("labeller"))
    with Engines(params.requests, "evaluate", params.budget) as engines:
        inference = engines.engine(params.roles["inference"], "inference")
        answers = arms.as_direct(base) if shared else arms.solve(inference, "direct", asked, max_tokens, asking, grader)
        answers += arms.follow(inference, "random_template", arms.random_plans(asked, library, params.seed), max_tokens, asking, grader)
        for arm in ("sft", "dpo"):
            planner = engines.engine(params.own(f"planner_{arm}", "generator"), arm)
            plans = arms.planned(planner, asked, library, trajectories.planner.max_tokens, planning, trajectories.retrieval)
            answers += arms.follow(inference, arm, plans, max_tokens, asking, grader)
        if agreement := params.require("evaluate").agreement:  # of the planner by DPO, the last of the two
            sampling = trajectories.planner
            plans = arms.agreed(planner, plans, library, sampling, agreement, params.seed, planning, trajectories.retrieval)
            answers += arms.follow(inference, "dpo_agreed", plans, max_tokens, asking, grader)
        if all(problem.strategy for problem in asked):
            answers += arms.follow(inference, "oracle", arms.oracle_plans(asked, library), max_tokens, asking, grader)
    return answers


def interplay_answers(params: Params, asked: list[Problem], grader: Grader) -> list[Answer]:
    """The first `evaluate.interplay` problems of each split through the loop with the planner by DPO: every step kept, and adjusted."""
    count, answers = params.require("evaluate").interplay, list[Answer]()
    few = [problem for split in SPLITS for problem in [row for row in asked if row.split == split][:count]]
    library = [row for row in read_rows(DATASETS / "templates", Template) if row.status == "accepted"]
    for arm, evaluator in (("interplay", ""), ("interplay_adjusted", "planner_adjust")):
        with Engines(params.requests, "evaluate", params.budget) as engines:
            prompts = {"prompts": params.asked_with("labeller")}
            planner, watching = (params.own(name, "generator").model_copy(update=prompts) for name in ("planner_dpo", evaluator))
            solver = stepwise(params, engines, library, planner, watching if evaluator else None)
            answers += interplay(arm, few, solver, grader)[0]
    return answers


def settled(params: Params, problems: list[Problem], grader: Grader) -> dict[str, object]:
    """What the level end of the base's pretraining added, on `dev`: a base that was cut short would still be rising. {} for a Hub's."""
    asked = [problem for problem in problems if problem.split == "dev"]
    if not (MODELS / "base/early").exists() or not asked:
        return {}
    early, end = (greedy.answers(params, name, asked, grader) for name in ("base/early", "base"))
    return settling(early, end, resamples=params.require("evaluate").bootstrap, seed=params.seed)


def main(params: Params) -> None:
    section = params.require("evaluate")
    problems = read_rows(TABLES / "problems.parquet", Problem)
    asked = greedy.questions(params, problems)
    answers: list[Answer] = []
    with Grader.of(params.grading) as grader:
        for name in greedy.models_of(params):
            found = greedy.answers(params, name, asked, grader)
            print(f"evaluate: {name} {sum(row.verdict == 'correct' for row in found)} of {len(found)} right")
            answers += found
        if params.planners and params.planner_dpo:
            answers += planner_answers(params, asked, answers[: len(asked)], grader)
        assert len(answers) % len(asked) == 0, f"{len(answers)} answers to {len(asked)} questions: every question of every arm is a row"
        if params.planner_adjust and section.interplay:
            answers += interplay_answers(params, asked, grader)
        settling_of_base = settled(params, problems, grader)
    write_rows(TABLES / "answers.parquet", Answer, answers)
    metrics = compute(answers, problems, resamples=section.bootstrap, seed=params.seed)
    write_json(METRICS, {**metrics, "settling": settling_of_base})


if __name__ == "__main__":
    stage.run("evaluate", main)
