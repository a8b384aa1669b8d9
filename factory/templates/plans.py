"""The planner's second supervised view: plan a problem (the first one, L_struct, is in `descriptions`).

    "Tom has 3 apples. …\\nPlan:\\n"   → "put together (add, total)\\ngive away (subtract, left)"

Plan targets of the first planner are proposals of the labelling role, those of each later one the plans that the planner before it samples
(expert iteration). They are filtered for form, and with `plans.tries` for what they are good for: only plans under which the inference
model solves the problem are learned (rejection sampling). A gold strategy never enters.
Source: papers/reasonflux, the end of "Trajectory preference learning".
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from factory.engines.asking import in_json, sampling_params
from factory.engines.protocol import Engine, Request, SamplingParams
from factory.errors import DataError
from factory.grading import Grader
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.params import Params
from factory.problems.draw import in_order
from factory.rejects import reject
from factory.schemas import Example, Problem, Reject, Template
from factory.templates.interplay import parse_plan
from factory.templates.proposing import collect, plan_requests
from factory.templates.reading import plan_schema
from factory.templates.retrieve import label, similar_texts
from factory.templates.trying import Proposal, Trial, share, try_plans

CANDIDATES = 8
NONE_ACCEPTED = (
    "no template is accepted, so no plan can be asked for: read the reasons in data/rejects/templates.parquet and the solve rates in "
    "data/tables/templates.parquet, then raise templates.problems or lower templates.min_support or templates.min_solve_rate"
)


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
    problems: Sequence[Problem], templates: Sequence[Template], key: str, proposer: Engine, params: Params, inference: Engine | None = None
) -> tuple[list[Example], list[Reject]]:
    """The plans that planner `key` learns. `proposer` is asked for `samples` plans a problem: the labeller, which is shown templates that
    fit the problem's text, or the planner that this one starts from. Kept is one plan a problem, of the right form, in the library's own
    names and tags: the first, or with `tries` the one proposed most often of those under which `inference` solves the problem itself.

    Raises DataError without an accepted template."""
    section, prompts = params.require("plans"), Prompts.of(params.asked_with("labeller"))
    accepted = [template for template in templates if template.status == "accepted"]
    if not accepted:
        raise DataError(NONE_ACCEPTED)
    own, table = params.planners[key].start != "base", f"plans_{key}"
    chosen = draw_train(problems, section.problems, params.seed, table if own else "plans")
    if own:
        asked = plan_requests(
            chosen, section.samples, params.require("trajectories").planner, prompts,
            lambda problem, ordinal: seed_for(params.seed, table, problem.id, ordinal),
        )  # fmt: skip
        proposals, rejects = collect(table, asked, proposer, lambda text: parse_plan(text, accepted, section.max_templates))
    else:
        asked = _asked_labeller(chosen, accepted, proposer, params)
        proposals, rejects = collect(table, asked, proposer, lambda text: check_form(text, accepted, section.max_templates))
    if section.tries and inference:
        with Grader.of(params.grading) as grader:
            guided, sampling = Prompts.of(params.asked_with("inference")), params.require("trajectories").inference
            trial = Trial(inference, grader, guided, sampling, section.tries, params.seed)
            kept, unsolved = solving(table, proposals, trial, section.min_reward)
        rejects += unsolved
    else:
        kept = [(proposal, ()) for proposal in {proposal.problem.id: proposal for proposal in reversed(proposals)}.values()]
    version = prompts.version("plan") if own else f"{prompts.version('propose')}+{prompts.version('plan')}"
    examples = [
        Example(
            id=row_id("plans", proposal.problem.id, proposal.request_ids[0], 0), model=proposer.model,
            request_ids=(*proposal.request_ids, *tried), prompt_version=version, seed=proposal.seed, round=key if own else "base",
            parents=(proposal.problem.id, *dict.fromkeys(template.id for template in proposal.templates)), problem_id=proposal.problem.id,
            prompt=prompts.render("plan", problem=proposal.problem.problem), completion=proposal.text,
        )
        for proposal, tried in kept
    ]  # fmt: skip
    return sorted(examples, key=lambda row: row.id), rejects


def _asked_labeller(
    chosen: Sequence[Problem], accepted: Sequence[Template], labeller: Engine, params: Params
) -> list[tuple[Problem, Request]]:
    """`samples` times each problem, with the templates that fit its text."""
    section, prompts = params.require("plans"), Prompts.of(params.asked_with("labeller"))
    sampling, json = sampling_params(section.labeller), in_json(labeller, prompts, "propose")
    return [
        (problem, replace(proposal(problem, fitting, section.max_templates, prompts, sampling, seed, json=json), ordinal=ordinal))
        for problem, fitting in zip(chosen, candidates(chosen, accepted), strict=True)
        for ordinal in range(section.samples)
        for seed in [seed_for(params.seed, "plans", problem.id, *([ordinal] if ordinal else []))]
    ]


def solving(
    table: str, proposals: Sequence[Proposal], trial: Trial, min_reward: float
) -> tuple[list[tuple[Proposal, tuple[str, ...]]], list[Reject]]:
    """Of each problem the plan proposed most often of those with a share of right answers of at least `min_reward`, with the ids of the
    requests that tried it; of equals the one that solves more, then the first by text. A few tries tell a plan that solves from one that
    does not, but not the better of two that do: there the proposer's votes say more. A problem without such a plan is a reject."""
    by_problem: dict[str, list[Proposal]] = defaultdict(list)
    for item in proposals:
        by_problem[item.problem.id].append(item)
    tried = try_plans(((item, [item.problem]) for item in proposals), {}, trial)
    kept, rejects = [], []
    for problem_id, own in by_problem.items():
        rewards = {item.text: share(tried[problem_id, item.text]) for item in own}
        solves = [item for item in own if rewards[item.text] >= min_reward]
        if best := min(solves, key=lambda item: (-len(item.request_ids), -rewards[item.text], item.text), default=None):
            kept.append((best, tuple(attempt.completion.request_id for attempt in tried[problem_id, best.text])))
        else:
            rejects.append(reject(table, {"problem_id": problem_id, "rewards": rewards}, "no plan solves it", problem_id))
    return kept, rejects
