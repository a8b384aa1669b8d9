"""Which models a line makes, what they are asked to judge them, and their greedy answers.

for model in models_of(params): answers(params, model, questions(params, problems), grader)
"""

from collections.abc import Iterator, Sequence

from factory.engines.select import Engines
from factory.errors import DataError
from factory.evaluation import arms
from factory.evaluation.metrics import SPLITS
from factory.grading import Grader
from factory.language.prompting import Prompts
from factory.params import Params
from factory.schemas import Answer, Problem
from factory.storage import TABLES


def models_of(params: Params) -> Iterator[str]:
    """The models that the params say the line makes, in its order."""
    yield "base"
    yield from sorted({turn.into for turn in params.distillations.values()} - {"base"})
    if params.demonstrations:
        yield from ("cot_control", "format_tuned")
    for name in params.rounds:
        yield f"policy_{name}"
        if name in params.distillations:
            yield f"distilled_{name}"


def questions(params: Params, problems: Sequence[Problem]) -> list[Problem]:
    """The first n problems by id of each split."""
    n = params.require("evaluate").n
    chosen = [problem for split in SPLITS for problem in [row for row in problems if row.split == split][:n]]
    if not chosen:
        raise DataError(f"{TABLES / 'problems.parquet'} has no problem in {' or '.join(SPLITS)}: nothing to evaluate on")
    return chosen


def answers(params: Params, model: str, asked: Sequence[Problem], grader: Grader) -> list[Answer]:
    """One model in memory at a time."""
    prompts, max_tokens = Prompts.of(params.asked_with("generator")), params.require("evaluate").max_tokens
    with Engines(params.requests, "evaluate", params.budget) as engines:
        return arms.solve(engines.engine(params.own(model, "generator"), model), "policy", asked, max_tokens, prompts, grader)
