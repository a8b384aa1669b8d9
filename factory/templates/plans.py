"""The planner's two supervised views: describe a template (L_struct), and plan a problem.

    structure   "Name: put together\\nTags: add, total\\nDescribe:\\n"   → "Description: Two amounts are joined.\\nScope: Something joins …"
    plans       "Tom has 3 apples. …\\nPlan:\\n"                         → "put together (add, total)\\ngive away (subtract, left)"

Plan targets are proposals of the labelling role filtered for form only: what works has to be learned from R (`trajectories`), and a
gold strategy never enters. Source: papers/reasonflux, "Structure-based fine-tuning" and the end of "Trajectory preference learning".
"""

from collections.abc import Sequence

from factory.engines.asking import in_json, sampling_params
from factory.engines.protocol import Completion, Engine, Request, SamplingParams
from factory.errors import DataError
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.params import Params
from factory.problems.draw import in_order
from factory.schemas import Example, Problem, Reject, Template
from factory.storage import reject
from factory.templates.interplay import PlanError, parse_plan, plan_text
from factory.templates.reading import plan_schema
from factory.templates.retrieve import label, similar_texts

CANDIDATES = 8
NONE_ACCEPTED = (
    "no template is accepted, so no plan can be asked for: read the reasons in data/rejects/templates.parquet and the solve rates in "
    "data/tables/templates.parquet, then raise templates.problems or lower templates.min_support or templates.min_solve_rate"
)


def structure_examples(templates: Sequence[Template], prompts: Prompts) -> list[Example]:
    """One row an accepted template: name and tags in the prompt, description and scope to be learned."""
    return [
        Example(
            id=row_id("structure", template.id), model=template.model, request_ids=template.request_ids,
            prompt_version=prompts.version("describe"), seed=template.seed, round=template.round, parents=(template.id,), problem_id="",
            prompt=prompts.render("describe", name=template.name, tags=template.tags),
            completion=f"Description: {template.description}\nScope: {template.scope}",
        )
        for template in templates
        if template.status == "accepted"
    ]  # fmt: skip


def draw_train(problems: Sequence[Problem], count: int, *seed: object) -> list[Problem]:
    """`count` problems of the train split (all, when there are fewer), drawn by their ids and their sources' weights."""
    return in_order((problem for problem in problems if problem.split == "train"), *seed)[:count]


def check_form(text: str, templates: Sequence[Template], max_templates: int) -> list[Template]:
    """The plan's templates when its form is right. Raises PlanError: malformed, too long, or a name that the library lacks."""
    return parse_plan(text, templates, max_templates, "exact")


def candidates(problems: Sequence[Problem], templates: Sequence[Template]) -> list[list[Template]]:
    """The `CANDIDATES` templates whose text is most like each problem's: what a labeller chooses from, when its prompt shows them."""
    by_id = {template.id: template for template in templates}
    texts = {template.id: " ".join((label(template), template.description, template.scope)) for template in templates}
    found = similar_texts([problem.problem for problem in problems], texts, CANDIDATES) if texts else [[]] * len(problems)
    return [[by_id[key] for key in keys] or list(templates[:CANDIDATES]) for keys in found]


def proposal(
    problem: Problem, fitting: Sequence[Template], most: int, prompts: Prompts, sampling: SamplingParams, seed: int, *, json: bool
) -> Request:
    """Ask for at most `most` of the `fitting` templates; `json`: as a document, in which no other name can stand."""
    asked = prompts.render("propose", problem=problem.problem, templates=fitting, most=most, json=json)
    return Request(asked, sampling, seed=seed, schema=plan_schema([template.name for template in fitting], most) if json else None)


def plan_examples(
    problems: Sequence[Problem], templates: Sequence[Template], labeller: Engine, params: Params
) -> tuple[list[Example], list[Reject]]:
    """Ask the labeller for one plan a problem, from the templates that fit its text; keep what has the right form, in the library's own
    names and tags. Raises DataError without an accepted template."""
    section, prompts = params.require("plans"), Prompts.of(params.asked_with("labeller"))
    accepted = [template for template in templates if template.status == "accepted"]
    if not accepted:
        raise DataError(NONE_ACCEPTED)
    chosen = draw_train(problems, section.problems, params.seed, "plans")
    sampling = sampling_params(section.labeller)
    json = in_json(labeller, prompts, "propose")
    requests = [
        proposal(problem, fitting, section.max_templates, prompts, sampling, seed_for(params.seed, "plans", problem.id), json=json)
        for problem, fitting in zip(chosen, candidates(chosen, accepted), strict=True)
    ]
    prompt_version = f"{prompts.version('propose')}+{prompts.version('plan')}"
    examples, rejects = [], []
    for problem, request, completion in zip(chosen, requests, labeller.generate(requests), strict=True):
        try:
            plan = check_form(finished_text(completion), accepted, section.max_templates)
        except PlanError as error:
            row = {"problem_id": problem.id, "text": completion.text, "request_id": completion.request_id, "error": completion.error}
            rejects.append(reject("plans", row, str(error), problem.id))
            continue
        examples.append(
            Example(
                id=row_id("plans", problem.id, completion.request_id, 0), model=labeller.model, request_ids=(completion.request_id,),
                prompt_version=prompt_version, seed=request.seed, round="base",
                parents=(problem.id, *dict.fromkeys(template.id for template in plan)), problem_id=problem.id,
                prompt=prompts.render("plan", problem=problem.problem), completion=plan_text(plan),
            )
        )  # fmt: skip
    assert len(examples) + len(rejects) == len(chosen)
    return examples, rejects


def finished_text(completion: Completion) -> str:
    """The text of a finished completion. Raises PlanError for a failed or truncated one."""
    if completion.finish_reason == "error":
        raise PlanError("request failed")
    if completion.finish_reason == "length":
        raise PlanError("truncated plan")
    return completion.text
