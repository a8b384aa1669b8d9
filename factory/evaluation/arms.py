"""Sampling the arms of the evaluation: greedy answers of trained models, and of one frozen model under different plans.

    solve(engine, "policy", problems, 200, Prompts.of("instruct"))   → [Answer(model="policy_r1@3fa9…", arm="policy", …)]

Planner arms (ReasonFlux section 3.3; all with the same inference model, decodes and token cap):
direct: no template · random_template: 1 to 3 random accepted ones · sft, dpo: what the planner writes · dpo_agreed: the same where most of
its samples agree, elsewhere no template · oracle: the gold strategy.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from factory.engines.protocol import Completion, Engine, Request, SamplingParams
from factory.errors import DataError
from factory.grading import SHARED, Grader, Task
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.params.sections import Agreement, Retrieval, Sampling
from factory.schemas import Answer, Conversation, Problem, Template, Verdict
from factory.templates.interplay import PlanError, guided_prompt, parse_plan
from factory.templates.proposing import plan_requests
from factory.templates.retrieve import find_templates

MAX_RANDOM = 3


@dataclass(frozen=True)
class Plan:
    """A planned problem. `templates`: () plans nothing, None is malformed; `tokens` and `calls` are what the planner spent on it."""

    problem: Problem
    templates: tuple[Template, ...] | None
    text: str = ""
    tokens: int = 0
    calls: int = 0


def greedy(engine: Engine, prompts: Sequence[Conversation], max_tokens: int) -> list[Completion]:
    """One greedy completion a prompt, all asked for at once."""
    return engine.generate([Request(prompt=prompt, sampling=SamplingParams(max_tokens=max_tokens)) for prompt in prompts])


def answer_row(model: str, arm: str, problem: Problem, completion: Completion, verdict: Verdict, plan: Plan | None = None) -> Answer:
    """The planner's tokens and calls count as the arm's."""
    return Answer(
        id=row_id("answer", model, arm, problem.id, completion.request_id, plan.text if plan else ""), model=model, arm=arm,
        problem_id=problem.id, split=problem.split, family=problem.family, group=problem.group, completion=completion.text,
        verdict=verdict, finish_reason=completion.finish_reason,
        tokens=completion.tokens + (plan.tokens if plan else 0), calls=1 + (plan.calls if plan else 0),
    )  # fmt: skip


def verdicts_of(grader: Grader, problems: Sequence[Problem], completions: Sequence[Completion]) -> list[Verdict]:
    tasks = [Task.of(problem, done.text) for problem, done in zip(problems, completions, strict=True)]
    return [grade.verdict for grade in grader.grade_many(tasks)]


def solve(
    engine: Engine, arm: str, problems: Sequence[Problem], max_tokens: int, prompts: Prompts, grader: Grader = SHARED
) -> list[Answer]:
    completions = greedy(engine, [prompts.render("solve", problem=problem.problem) for problem in problems], max_tokens)
    verdicts = verdicts_of(grader, problems, completions)
    return [answer_row(engine.model, arm, *row) for row in zip(problems, completions, verdicts, strict=True)]


def as_direct(answers: Sequence[Answer]) -> list[Answer]:
    """The answers of the inference model as the arm `direct`: the same requests, not sampled twice."""
    return [replace(row, id=row_id("answer", "direct", row.id), arm="direct") for row in answers]


def follow(engine: Engine, arm: str, plans: Sequence[Plan], max_tokens: int, prompts: Prompts, grader: Grader = SHARED) -> list[Answer]:
    """The inference model's answers under each plan. A malformed plan is a wrong answer that cost the planner's call."""
    followed = [(plan, plan.templates) for plan in plans if plan.templates is not None]
    completions = greedy(engine, [guided_prompt(prompts, plan.problem.problem, templates) for plan, templates in followed], max_tokens)
    verdicts = verdicts_of(grader, [plan.problem for plan, _ in followed], completions)
    rows = [
        answer_row(engine.model, arm, plan.problem, done, verdict, plan)
        for (plan, _), done, verdict in zip(followed, completions, verdicts, strict=True)
    ]
    for plan in plans:
        if plan.templates is None:
            nothing = Completion(text="", token_ids=(), finish_reason="error", prompt_tokens=0, error="malformed plan")
            rows.append(replace(answer_row(engine.model, arm, plan.problem, nothing, "unparsable", plan), calls=plan.calls))
    return rows


def random_plans(problems: Sequence[Problem], templates: Sequence[Template], seed: int) -> list[Plan]:
    """1 to 3 different accepted templates a problem, drawn by (seed, problem id)."""
    plans = []
    for problem in problems:
        generator = random.Random(seed_for(seed, "evaluate", "random_template", problem.id))
        count = min(generator.randint(1, MAX_RANDOM), len(templates))
        plans.append(Plan(problem, tuple(generator.sample(list(templates), count))))
    return plans


def planned(
    planner: Engine, problems: Sequence[Problem], templates: Sequence[Template], max_tokens: int, prompts: Prompts,
    retrieval: Retrieval = "nearest",
) -> list[Plan]:  # fmt: skip
    """What the planner writes for each problem, greedily, with every line's template looked up as `retrieval` says."""
    plans = []
    completions = greedy(planner, [prompts.render("plan", problem=problem.problem) for problem in problems], max_tokens)
    for problem, completion in zip(problems, completions, strict=True):
        plans.append(Plan(problem, read(completion.text, templates, retrieval), completion.text, completion.tokens, 1))
    return plans


def agreed(
    planner: Engine, plans: Sequence[Plan], templates: Sequence[Template], sampling: Sampling, agreement: Agreement, seed: int,
    prompts: Prompts, retrieval: Retrieval = "nearest",
) -> list[Plan]:  # fmt: skip
    """The same plans where `agreement.samples` more of the planner, drawn with `sampling`, say the same often enough; elsewhere the plan of
    nothing. What is sampled costs tokens and calls. A planner does not know which problems are unlike those that it learned from, but on
    those its samples scatter (self-consistency, Wang et al. 2023, as a sign of when to abstain)."""
    asked = plan_requests(
        [plan.problem for plan in plans], agreement.samples, sampling, prompts,
        lambda problem, ordinal: seed_for(seed, "evaluate", "agreement", problem.id, ordinal),
    )  # fmt: skip
    answers = planner.generate([request for _, request in asked])
    kept = []
    for index, plan in enumerate(plans):
        own = answers[index * agreement.samples : (index + 1) * agreement.samples]
        same = plan.templates is not None and sum(read(done.text, templates, retrieval) == plan.templates for done in own)
        followed = plan.templates if same and same / agreement.samples >= agreement.share else ()
        spent = plan.tokens + sum(done.tokens for done in own)
        kept.append(replace(plan, templates=followed, tokens=spent, calls=plan.calls + len(own)))
    return kept


def read(text: str, templates: Sequence[Template], retrieval: Retrieval) -> tuple[Template, ...] | None:
    """None of a malformed plan."""
    try:
        return tuple(parse_plan(text, templates, retrieval=retrieval))
    except PlanError:
        return None


def without_text(templates: Sequence[Template]) -> list[Template]:
    """The same templates by name and tags alone: what retrieval would have added is left out."""
    return [replace(template, description="", scope="", steps=()) for template in templates]


def oracle_plans(problems: Sequence[Problem], templates: Sequence[Template]) -> list[Plan]:
    """The templates of each problem's gold strategy; one that the library lacks is replaced by the nearest by name."""
    return [Plan(problem, tuple(nearest(name, templates) for name in problem.strategy)) for problem in problems]


def nearest(name: str, templates: Sequence[Template]) -> Template:
    """The template of that name, else the one most like it, else (no word shared) the first by id. Raises DataError on an empty library."""
    if not templates:
        raise DataError("the template library has no accepted template: see data/rejects/templates.parquet for why")
    found = find_templates(name, templates, 1)
    return found[0] if found else min(templates, key=lambda template: template.id)
