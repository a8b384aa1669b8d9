"""Plan trajectories and their reward R (ReasonFlux §3.2): mean accuracy of the guided inference model over similar problems.

    Trajectory(problem_id="a07b…", plan="put together (add, total)\\ngive away (subtract, left)", similar_ids=("a07b…", "9e02…", …),
               decodes=("correct", "wrong", …), reward=0.625, n_similar=4, n_decodes=2, interval=(0.31, 0.86), …)

What the paper leaves open, defined here: X_sim is the problem and the train problems most like it in words (BM25, numbers dropped), of size
`similar`; every one is solved `decodes` times under the plan; `decodes` lists the verdicts, problem by problem; anything but "correct"
counts 0; equal plans of one problem collapse into one row that lists their requests; a pair needs R(T+) - R(T-) ≥ `min_gap` and > 0, so
ties never pair. Source: papers/reasonflux, "Trajectory preference learning".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from factory.engines.asking import sampling_params
from factory.engines.protocol import Completion, Engine, Request
from factory.evaluation.statistics import wilson
from factory.grading import Grader, Task
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.params import Params
from factory.schemas import Problem, Reject, Template, Trajectory, TrajectoryPair
from factory.storage import reject
from factory.templates.interplay import PlanError, guided_prompt, parse_plan, plan_text
from factory.templates.plans import draw_train, finished_text
from factory.templates.retrieve import similar_texts

ROUNDING = 1e-9  # R is a ratio of small integers: a gap of exactly `min_gap` must not fall to a float's last bit


@dataclass(frozen=True)
class Proposal:
    """A plan of one problem and the planner's requests that proposed it."""

    problem: Problem
    templates: tuple[Template, ...]
    request_ids: tuple[str, ...]
    seed: int

    @property
    def text(self) -> str:
        return plan_text(self.templates)


def propose(
    problems: Sequence[Problem], templates: Sequence[Template], planner: Engine, params: Params
) -> tuple[list[Proposal], list[Reject]]:
    """Sample `samples` plans a problem, all in one call; equal plans collapse. Every sample is part of a proposal or a reject."""
    section, max_templates = params.require("trajectories"), params.require("plans").max_templates
    prompts = Prompts.of(params.asked_with("labeller"))  # plans were learned as the labeller is asked for them
    asked = [(problem, ordinal) for problem in problems for ordinal in range(section.samples)]
    requests = [
        Request(
            prompts.render("plan", problem=problem.problem), sampling_params(section.planner),
            seed=seed_for(params.seed, "trajectories", "plan", problem.id, ordinal), ordinal=ordinal,
        )
        for problem, ordinal in asked
    ]  # fmt: skip
    proposals: dict[tuple[str, str], Proposal] = {}
    rejects = []
    for (problem, _), request, completion in zip(asked, requests, planner.generate(requests), strict=True):
        try:
            plan = tuple(parse_plan(finished_text(completion), templates, max_templates, section.retrieval))
        except PlanError as error:
            row = {"problem_id": problem.id, "text": completion.text, "request_id": completion.request_id, "error": completion.error}
            rejects.append(reject("trajectories", row, str(error), problem.id))
            continue
        key = (problem.id, plan_text(plan))
        before = proposals.get(key, Proposal(problem, plan, (), request.seed))
        proposals[key] = Proposal(problem, plan, (*before.request_ids, completion.request_id), before.seed)
    assert len(asked) == sum(len(proposal.request_ids) for proposal in proposals.values()) + len(rejects)
    return list(proposals.values()), rejects


def similar_problems(problems: Sequence[Problem], train: Sequence[Problem], size: int) -> dict[str, list[Problem]]:
    """problem id → X_sim: the problem itself first, then those of `train` most like it, `size` in all."""
    by_id = {problem.id: problem for problem in train}
    found = similar_texts([problem.problem for problem in problems], {problem.id: problem.problem for problem in train}, size)
    return {problem.id: [problem, *(by_id[i] for i in ids if i != problem.id)][:size] for problem, ids in zip(problems, found, strict=True)}


def solve_guided(
    proposals: Sequence[Proposal], similar: dict[str, list[Problem]], inference: Engine, params: Params
) -> dict[tuple[str, str], list[Completion]]:
    """(problem id, plan) → `decodes` completions; neighbours share problems and plans, and each combination is asked once."""
    section, prompts = params.require("trajectories"), Prompts.of(params.asked_with("inference"))
    jobs = {
        (problem.id, proposal.text): (problem, proposal.templates) for proposal in proposals for problem in similar[proposal.problem.id]
    }
    requests = [
        Request(
            guided_prompt(prompts, problem.problem, templates), sampling_params(section.inference),
            seed=seed_for(params.seed, "trajectories", "guided", problem_id, plan, ordinal), ordinal=ordinal,
        )
        for (problem_id, plan), (problem, templates) in jobs.items()
        for ordinal in range(section.decodes)
    ]  # fmt: skip
    answers = inference.generate(requests)
    assert len(answers) == len(requests)
    return {key: answers[index * section.decodes : (index + 1) * section.decodes] for index, key in enumerate(jobs)}


def reward_trajectory(
    proposal: Proposal, similar: Sequence[Problem], solved: dict[tuple[str, str], list[Completion]], model: str, grader: Grader,
    prompts: Prompts,
) -> Trajectory | None:  # fmt: skip
    """The row of a proposal; None when a guided request failed: an error is no wrong answer."""
    text = proposal.text
    attempts = [(problem, completion) for problem in similar for completion in solved[problem.id, text]]
    if any(completion.finish_reason == "error" for _, completion in attempts):
        return None
    graded = grader.grade_many(Task.of(problem, completion.text) for problem, completion in attempts)
    verdicts = tuple(grade.verdict for grade in graded)
    own = solved[proposal.problem.id, text]
    right = verdicts.count("correct")
    return Trajectory(
        id=row_id("trajectory", proposal.problem.id, text, proposal.request_ids),
        model=model, request_ids=(*proposal.request_ids, *(completion.request_id for _, completion in attempts)),
        prompt_version=prompts.version("plan"), seed=proposal.seed, round="base",
        parents=(proposal.problem.id, *dict.fromkeys(template.id for template in proposal.templates)),
        problem_id=proposal.problem.id, prompt=prompts.render("plan", problem=proposal.problem.problem), plan=text,
        template_ids=tuple(template.id for template in proposal.templates), similar_ids=tuple(problem.id for problem in similar),
        instantiations=tuple(completion.text for completion in own), decodes=verdicts, reward=right / len(verdicts),
        n_similar=len(similar), n_decodes=len(own), interval=wilson(right, len(verdicts)),
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
    similar = similar_problems(chosen, train, section.similar)
    solved = solve_guided(proposals, similar, inference, params)
    with Grader.of(params.grading) as grader:
        asked = Prompts.of(params.asked_with("labeller"))
        rewarded = [
            reward_trajectory(proposal, similar[proposal.problem.id], solved, planner.model, grader, asked) for proposal in proposals
        ]
    trajectories = []
    for proposal, trajectory in zip(proposals, rewarded, strict=True):
        if trajectory:
            trajectories.append(trajectory)
        else:
            row = {"problem_id": proposal.problem.id, "plan": proposal.text, "request_ids": proposal.request_ids}
            rejects.append(reject("trajectories", row, "a guided request failed", proposal.problem.id))
    pairs, without = make_pairs(chosen, trajectories, section.min_gap, section.pairs_per_problem)
    return trajectories, pairs, rejects + without


def make_pairs(
    problems: Sequence[Problem], trajectories: Sequence[Trajectory], min_gap: float, per_problem: int
) -> tuple[list[TrajectoryPair], list[Reject]]:
    """Up to `per_problem` pairs a problem, the largest gap first, then by ids; a problem without one is a reject."""
    pairs, rejects = [], []
    for problem in problems:
        own = sorted((trajectory for trajectory in trajectories if trajectory.problem_id == problem.id), key=lambda t: t.id)
        found = [
            (better, worse)
            for better in own
            for worse in own
            if better.reward > worse.reward and better.reward - worse.reward >= min_gap - ROUNDING and better.plan != worse.plan
        ]
        found.sort(key=lambda pair: (round(pair[1].reward - pair[0].reward, 9), pair[0].id, pair[1].id))
        pairs += [_pair(better, worse) for better, worse in found[:per_problem]]
        if not found:
            row = {"problem_id": problem.id, "rewards": {trajectory.plan: trajectory.reward for trajectory in own}}
            rejects.append(reject("trajectories", row, "no gap", problem.id))
    assert len({pair.problem_id for pair in pairs}) + len(rejects) == len(problems)
    return pairs, rejects


def _pair(better: Trajectory, worse: Trajectory) -> TrajectoryPair:
    return TrajectoryPair(
        id=row_id("trajectory_pair", better.id, worse.id), model=better.model,
        request_ids=(better.request_ids[0], worse.request_ids[0]), prompt_version=better.prompt_version, seed=better.seed,
        round=better.round, parents=(better.id, worse.id), problem_id=better.problem_id, prompt=better.prompt, chosen=better.plan,
        rejected=worse.plan, reward_chosen=better.reward, reward_rejected=worse.reward, n_similar=better.n_similar,
        n_decodes=better.n_decodes, template_ids=tuple(dict.fromkeys(better.template_ids + worse.template_ids)),
    )  # fmt: skip
