"""Plans tried by the inference model: which answers are right under a plan (ReasonFlux §3.2).

    tried = try_plans([(proposal, [problem])], {}, Trial(inference, grader, prompts, sampling, decodes=4, seed=1))
    tried[problem.id, "put together (add, total)"]   → [Attempt(completion, "correct"), Attempt(completion, "wrong"), …], four of them
    share(tried[…])   → 0.75

A plan of no template, `none`, is tried with the question of an ordinary solution.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from factory.engines.asking import sampling_params
from factory.engines.protocol import Completion, Engine, Request
from factory.grading import Grader, Task
from factory.identity import seed_for
from factory.language.prompting import Prompts
from factory.params import Sampling
from factory.schemas import Problem, Template, Verdict
from factory.templates.interplay import guided_prompt, plan_text


@dataclass(frozen=True)
class Attempt:
    """An answer of the inference model under a plan. `verdict` is None where the request failed: an error is no wrong answer."""

    completion: Completion
    verdict: Verdict | None


Tried = Mapping[tuple[str, str], list[Attempt]]  # (problem id, plan) → `decodes` attempts


@dataclass(frozen=True)
class Proposal:
    """A plan of one problem and the planner's requests that proposed it: none for the plan of nothing that every problem may have."""

    problem: Problem
    templates: tuple[Template, ...]
    request_ids: tuple[str, ...]
    seed: int

    @property
    def text(self) -> str:
        return plan_text(self.templates)


@dataclass(frozen=True)
class Trial:
    """Who tries plans, and how often each problem is solved under each."""

    inference: Engine
    grader: Grader
    prompts: Prompts
    sampling: Sampling
    decodes: int
    seed: int


def try_plans(planned: Iterable[tuple[Proposal, Sequence[Problem]]], known: Tried, trial: Trial) -> Tried:
    """`known` and what these plans on these problems lack in it. Neighbours share problems and plans: each combination is asked once."""
    jobs = {
        (problem.id, proposal.text): (problem, proposal.templates)
        for proposal, similar in planned
        for problem in similar
        if (problem.id, proposal.text) not in known
    }
    requests = [
        Request(
            guided_prompt(trial.prompts, problem.problem, templates), sampling_params(trial.sampling),
            seed=seed_for(trial.seed, "trajectories", "guided", problem_id, plan, ordinal), ordinal=ordinal,
        )
        for (problem_id, plan), (problem, templates) in jobs.items()
        for ordinal in range(trial.decodes)
    ]  # fmt: skip
    answers = trial.inference.generate(requests)
    asked = [problem for problem, _ in jobs.values() for _ in range(trial.decodes)]
    graded = trial.grader.grade_many(Task.of(problem, answer.text) for problem, answer in zip(asked, answers, strict=True))
    found = [
        Attempt(answer, None if answer.finish_reason == "error" else grade.verdict) for answer, grade in zip(answers, graded, strict=True)
    ]
    return {**known, **{key: found[index * trial.decodes : (index + 1) * trial.decodes] for index, key in enumerate(jobs)}}


def share(attempts: Sequence[Attempt]) -> float:
    """Of right answers, in [0, 1]."""
    return sum(attempt.verdict == "correct" for attempt in attempts) / len(attempts)
