"""Plan trajectories and their reward R (ReasonFlux §3.2): mean accuracy of the guided inference model over similar problems.

    Trajectory(problem_id="a07b…", plan="put together (add, total)\\ngive away (subtract, left)", similar_ids=("a07b…", "9e02…", …),
               decodes=("correct", "wrong", …), reward=0.625, n_similar=4, n_decodes=2, interval=(0.31, 0.86), …)

What the paper leaves open, defined here: X_sim is the problem and the train problems most like it in words (BM25, numbers dropped), of size
`similar`; every one is tried `decodes` times under the plan; `decodes` lists the verdicts, problem by problem; anything but "correct"
counts 0; equal plans of one problem collapse into one row that lists their requests.

With `nothing` the plan of no template, under which a problem is tried as it is, is a trajectory of every problem: a planner that hurts can
learn to leave it, and `gain` is R less its reward. With `final` the best `final.plans` of each problem and the plan of nothing are measured
over `final.similar` problems: the best of many small samples is best by luck as a rule. Pairs: factory/templates/pairing.py.
Source: papers/reasonflux, "Trajectory preference learning".
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from factory.engines.protocol import Engine
from factory.evaluation.statistics import wilson
from factory.grading import Grader
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.params import Params
from factory.rejects import reject
from factory.schemas import Problem, Reject, Template, Trajectory, TrajectoryPair
from factory.templates.interplay import NOTHING, parse_plan
from factory.templates.pairing import make_pairs
from factory.templates.plans import draw_train
from factory.templates.proposing import collect, plan_requests
from factory.templates.retrieve import similar_texts
from factory.templates.trying import Proposal, Trial, Tried, share, try_plans


def propose(
    problems: Sequence[Problem], templates: Sequence[Template], planner: Engine, params: Params
) -> tuple[list[Proposal], list[Reject]]:
    """Sample `samples` plans a problem, all in one call; equal plans collapse. Every sample is part of a proposal or a reject.

    With `nothing` each problem has the plan of no template besides, whether it was sampled or not."""
    section, max_templates = params.require("trajectories"), params.require("plans").max_templates
    prompts = Prompts.of(params.asked_with("labeller"))  # plans were learned as the labeller is asked for them
    asked = plan_requests(
        problems, section.samples, section.planner, prompts,
        lambda problem, ordinal: seed_for(params.seed, "trajectories", "plan", problem.id, ordinal),
    )  # fmt: skip
    found, rejects = collect("trajectories", asked, planner, lambda text: parse_plan(text, templates, max_templates, section.retrieval))
    nothing = {problem.id: Proposal(problem, (), (), params.seed) for problem in problems} if section.nothing else {}
    sampled = {proposal.problem.id: proposal for proposal in found if not proposal.templates}
    return [*{**nothing, **sampled}.values(), *(proposal for proposal in found if proposal.templates)], rejects


def similar_problems(problems: Sequence[Problem], train: Sequence[Problem], size: int) -> dict[str, list[Problem]]:
    """problem id → X_sim: the problem itself first, then those of `train` most like it, `size` in all."""
    by_id = {problem.id: problem for problem in train}
    found = similar_texts([problem.problem for problem in problems], {problem.id: problem.problem for problem in train}, size)
    return {problem.id: [problem, *(by_id[i] for i in ids if i != problem.id)][:size] for problem, ids in zip(problems, found, strict=True)}


def reward_trajectory(proposal: Proposal, similar: Sequence[Problem], tried: Tried, model: str, prompts: Prompts) -> Trajectory | None:
    """The row of a proposal; None when a guided request failed."""
    text = proposal.text
    attempts = [attempt for problem in similar for attempt in tried[problem.id, text]]
    unguided = [attempt for problem in similar for attempt in tried.get((problem.id, NOTHING), [])]
    verdicts = tuple(attempt.verdict for attempt in attempts if attempt.verdict)
    if len(verdicts) < len(attempts):
        return None
    own = [attempt.completion for attempt in tried[proposal.problem.id, text]]
    reward = share(attempts)
    measured = len(unguided) == len(attempts) and all(attempt.verdict for attempt in unguided)
    return Trajectory(
        id=row_id("trajectory", proposal.problem.id, text, proposal.request_ids),
        model=model, request_ids=(*proposal.request_ids, *(attempt.completion.request_id for attempt in attempts)),
        prompt_version=prompts.version("plan"), seed=proposal.seed, round="base",
        parents=(proposal.problem.id, *dict.fromkeys(template.id for template in proposal.templates)),
        problem_id=proposal.problem.id, prompt=prompts.render("plan", problem=proposal.problem.problem), plan=text,
        template_ids=tuple(template.id for template in proposal.templates), similar_ids=tuple(problem.id for problem in similar),
        instantiations=tuple(completion.text for completion in own), decodes=verdicts, reward=reward,
        n_similar=len(similar), n_decodes=len(own), interval=wilson(verdicts.count("correct"), len(verdicts)),
        gain=reward - share(unguided) if measured else None,
    )  # fmt: skip


def make_trajectories(
    problems: Sequence[Problem], templates: Sequence[Template], planner: Engine, inference: Engine, params: Params
) -> tuple[list[Trajectory], list[TrajectoryPair], list[Reject]]:
    """The whole stage. Rejects hold samples that are no plan, trajectories whose solves failed, and problems without a pair."""
    section = params.require("trajectories")
    train = [problem for problem in problems if problem.split == "train"]
    chosen = draw_train(train, section.problems, params.seed, "trajectories")
    accepted = [template for template in templates if template.status == "accepted"]
    proposals, rejects = propose(chosen, accepted, planner, params)
    final = section.final
    similar = similar_problems(chosen, train, max(section.similar, final.similar if final else 0))
    over = [(proposal, similar[proposal.problem.id][: section.similar]) for proposal in proposals]
    with Grader.of(params.grading) as grader:
        trial = Trial(inference, grader, Prompts.of(params.asked_with("inference")), section.inference, section.decodes, params.seed)
        tried = try_plans(over, {}, trial)
        if final:
            last = finalists(over, tried, final.plans)
            over = [(proposal, similar[proposal.problem.id] if proposal in last else few) for proposal, few in over]
            tried = try_plans(over, tried, trial)
    asked = Prompts.of(params.asked_with("labeller"))
    trajectories = []
    for proposal, measured_on in over:
        if trajectory := reward_trajectory(proposal, measured_on, tried, planner.model, asked):
            trajectories.append(trajectory)
        else:
            row = {"problem_id": proposal.problem.id, "plan": proposal.text, "request_ids": proposal.request_ids}
            rejects.append(reject("trajectories", row, "a guided request failed", proposal.problem.id))
    pairs, without = make_pairs(chosen, trajectories, section)
    return trajectories, pairs, rejects + without


def finalists(over: Iterable[tuple[Proposal, Sequence[Problem]]], tried: Tried, most: int) -> set[Proposal]:
    """The `most` plans of each problem with the highest reward (of equals the first by text), and the plan of nothing."""
    by_problem: dict[str, list[tuple[float, str, Proposal]]] = defaultdict(list)
    for proposal, similar in over:
        reward = share([attempt for problem in similar for attempt in tried[problem.id, proposal.text]])
        by_problem[proposal.problem.id].append((-reward, proposal.text, proposal))
    ranked = [sorted(own, key=lambda item: item[:2]) for own in by_problem.values()]
    best = {proposal for own in ranked for _, _, proposal in [item for item in own if item[2].templates][:most]}
    return best | {proposal for own in ranked for _, _, proposal in own if not proposal.templates}
