"""The planner's two supervised views: describe a template (L_struct), and plan a problem.

    structure   "Name: put together\\nTags: add, total\\nDescribe:\\n"   → "Description: Two amounts are joined.\\nScope: Something joins …"
    plans       "Tom has 3 apples. …\\nPlan:\\n"                         → "put together (add, total)\\ngive away (subtract, left)"

Plan targets are proposals of the labelling role, filtered for form, and with `plans.tries` for what they are good for: of several
proposals stays the one under which the inference model solves the problem most often (rejection sampling). A gold strategy never enters.
Source: papers/reasonflux, "Structure-based fine-tuning" and the end of "Trajectory preference learning".
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from factory.engines.asking import in_json, sampling_params
from factory.engines.protocol import Completion, Engine, Request, SamplingParams
from factory.errors import DataError
from factory.grading import Grader
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.params import Params
from factory.problems.draw import in_order
from factory.schemas import Example, Problem, Reject, Template
from factory.storage import reject
from factory.templates.interplay import NOTHING, PlanError, parse_plan, plan_text
from factory.templates.reading import plan_schema
from factory.templates.retrieve import label, similar_texts
from factory.templates.trying import Proposal, Trial, share, try_plans

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
    problems: Sequence[Problem], templates: Sequence[Template], labeller: Engine, params: Params, inference: Engine | None = None
) -> tuple[list[Example], list[Reject]]:
    """Ask the labeller for `samples` plans a problem, from the templates that fit its text; keep one that has the right form, in the
    library's own names and tags: the first, or with `tries` the best under which `inference` solves the problem itself.

    Raises DataError without an accepted template."""
    section, prompts = params.require("plans"), Prompts.of(params.asked_with("labeller"))
    accepted = [template for template in templates if template.status == "accepted"]
    if not accepted:
        raise DataError(NONE_ACCEPTED)
    chosen = draw_train(problems, section.problems, params.seed, "plans")
    proposals, rejects = _proposals(chosen, accepted, labeller, params)
    if section.tries and inference:
        with Grader.of(params.grading) as grader:
            guided, sampling = Prompts.of(params.asked_with("inference")), params.require("trajectories").inference
            kept, unsolved = solving(proposals, Trial(inference, grader, guided, sampling, section.tries, params.seed), section.min_reward)
        rejects += unsolved
    else:
        kept = [(proposal, ()) for proposal in {proposal.problem.id: proposal for proposal in reversed(proposals)}.values()]
    prompt_version = f"{prompts.version('propose')}+{prompts.version('plan')}"
    examples = [
        Example(
            id=row_id("plans", proposal.problem.id, proposal.request_ids[0], 0), model=labeller.model,
            request_ids=(*proposal.request_ids, *tried), prompt_version=prompt_version, seed=proposal.seed, round="base",
            parents=(proposal.problem.id, *dict.fromkeys(template.id for template in proposal.templates)), problem_id=proposal.problem.id,
            prompt=prompts.render("plan", problem=proposal.problem.problem), completion=proposal.text,
        )
        for proposal, tried in kept
    ]  # fmt: skip
    return sorted(examples, key=lambda row: row.id), rejects


def _proposals(
    chosen: Sequence[Problem], accepted: Sequence[Template], labeller: Engine, params: Params
) -> tuple[list[Proposal], list[Reject]]:
    """Different plans of the right form, in the order of problems and samples. Every sample is part of one or a reject."""
    section, prompts = params.require("plans"), Prompts.of(params.asked_with("labeller"))
    sampling, json = sampling_params(section.labeller), in_json(labeller, prompts, "propose")
    asked = [
        (problem, ordinal, fitting)
        for problem, fitting in zip(chosen, candidates(chosen, accepted), strict=True)
        for ordinal in range(section.samples)
    ]
    requests = [
        replace(
            proposal(problem, fitting, section.max_templates, prompts, sampling, seed, json=json),
            ordinal=ordinal,
        )
        for problem, ordinal, fitting in asked
        for seed in [seed_for(params.seed, "plans", problem.id, *([ordinal] if ordinal else []))]
    ]
    found: dict[tuple[str, str], Proposal] = {}
    rejects = []
    for (problem, _, _), request, completion in zip(asked, requests, labeller.generate(requests), strict=True):
        try:
            plan = tuple(check_form(finished_text(completion), accepted, section.max_templates))
        except PlanError as error:
            row = {"problem_id": problem.id, "text": completion.text, "request_id": completion.request_id, "error": completion.error}
            rejects.append(reject("plans", row, str(error), problem.id))
            continue
        before = found.get(key := (problem.id, plan_text(plan)), Proposal(problem, plan, (), request.seed))
        found[key] = replace(before, request_ids=(*before.request_ids, completion.request_id))
    assert len(asked) == sum(len(plan.request_ids) for plan in found.values()) + len(rejects)
    return list(found.values()), rejects


def solving(proposals: Sequence[Proposal], trial: Trial, min_reward: float) -> tuple[list[tuple[Proposal, tuple[str, ...]]], list[Reject]]:
    """Of each problem the plan with the highest share of right answers, at least `min_reward` and no fewer than without a plan, with the
    ids of the requests that tried it. Of equals the one that was proposed most often, then the first by text. A problem without one is a
    reject."""
    by_problem: dict[str, list[Proposal]] = defaultdict(list)
    for item in proposals:
        by_problem[item.problem.id].append(item)
    nothing = [Proposal(own[0].problem, (), (), own[0].seed) for own in by_problem.values()]
    tried = try_plans(((item, [item.problem]) for item in [*proposals, *nothing]), {}, trial)
    kept, rejects = [], []
    for problem_id, own in by_problem.items():
        rewards = {item.text: share(tried[problem_id, item.text]) for item in own}
        best = min(own, key=lambda item: (-rewards[item.text], -len(item.request_ids), item.text))
        if rewards[best.text] >= max(min_reward, share(tried[problem_id, NOTHING])):
            kept.append((best, tuple(attempt.completion.request_id for attempt in tried[problem_id, best.text])))
        else:
            row = {"problem_id": problem_id, "rewards": rewards, "without a plan": share(tried[problem_id, NOTHING])}
            rejects.append(reject("plans", row, "no plan solves it", problem_id))
    return kept, rejects


def finished_text(completion: Completion) -> str:
    """The text of a finished completion. Raises PlanError for a failed or truncated one."""
    if completion.finish_reason == "error":
        raise PlanError("request failed")
    if completion.finish_reason == "length":
        raise PlanError("truncated plan")
    return completion.text
