"""Plans as somebody proposes them: samples of a labeller or a planner, read, equal ones of a problem as one.

    asked = plan_requests(problems, samples=8, sampling, prompts, seed=lambda problem, ordinal: …)   → [(problem, Request), …]
    collect("trajectories", asked, planner, read)
    → [Proposal(problem, (put_together,), request_ids=("9f0c…", "77ab…"), seed=4821), …], rejects

Source: papers/reasonflux, "Trajectory preference learning".
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from factory.engines.asking import sampling_params
from factory.engines.protocol import Completion, Engine, Request
from factory.language.prompting import Prompts
from factory.params import Sampling
from factory.rejects import reject
from factory.schemas import Problem, Reject, Template
from factory.templates.interplay import PlanError, plan_text
from factory.templates.trying import Proposal


def plan_requests(
    problems: Sequence[Problem], samples: int, sampling: Sampling, prompts: Prompts, seed: Callable[[Problem, int], int]
) -> list[tuple[Problem, Request]]:
    """`samples` times each problem, asked of a planner, which knows the library's names by heart."""
    return [
        (
            problem,
            Request(
                prompts.render("plan", problem=problem.problem), sampling_params(sampling), seed=seed(problem, ordinal), ordinal=ordinal
            ),
        )
        for problem in problems
        for ordinal in range(samples)
    ]


def collect(
    stage: str, asked: Sequence[tuple[Problem, Request]], engine: Engine, read: Callable[[str], Iterable[Template]]
) -> tuple[list[Proposal], list[Reject]]:
    """All requests in one call. Every sample is part of a proposal or a reject of `stage`; `read` raises PlanError for a text that is no
    plan. Proposals are in the order of problems and of their first samples."""
    found: dict[tuple[str, str], Proposal] = {}
    rejects = []
    for (problem, request), completion in zip(asked, engine.generate([request for _, request in asked]), strict=True):
        try:
            plan = tuple(read(finished_text(completion)))
        except PlanError as error:
            row = {"problem_id": problem.id, "text": completion.text, "request_id": completion.request_id, "error": completion.error}
            rejects.append(reject(stage, row, str(error), problem.id))
            continue
        before = found.get(key := (problem.id, plan_text(plan)), Proposal(problem, plan, (), request.seed))
        found[key] = replace(before, request_ids=(*before.request_ids, completion.request_id))
    assert len(asked) == sum(len(proposal.request_ids) for proposal in found.values()) + len(rejects)
    return list(found.values()), rejects


def finished_text(completion: Completion) -> str:
    """The text of a finished completion. Raises PlanError for a failed or truncated one."""
    if completion.finish_reason == "error":
        raise PlanError("request failed")
    if completion.finish_reason == "length":
        raise PlanError("truncated plan")
    return completion.text
