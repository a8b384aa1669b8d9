"""Sample solutions, grade them, and keep every one as a row (Satori §3.2, §4.1): where ORM pairs, restarts and demonstrations begin.

    Rollout(id="9d02…", problem_id="a07b…", prompt=(Message("user", "Tom has 12 apples. …"),), completion="12 + 7 = 19\\n\\\\boxed{19}",
            steps=("12 + 7 = 19", "\\\\boxed{19}"), answer="19", verdict="correct", finish_reason="stop", tokens=9, model="base@3fa9…",
            right=3, samples=8, pass_rate=0.375, pass_low=0.137, pass_high=0.694, …)

Identical samples stay distinct rows: their share is a fact about the model. Run: `python -m pipelines.rollouts base`.
"""

from collections import Counter
from collections.abc import Sequence

from factory.coat.pass_rates import counted
from factory.engines.asking import sampling_params
from factory.engines.protocol import Completion, Engine, Request
from factory.errors import ParamsError
from factory.grading import SHARED, Grade, Grader, Task
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.language.steps import By, split
from factory.params import Role, Sampling
from factory.problems.draw import in_order
from factory.schemas import Conversation, Problem, Reject, Rollout
from factory.storage import reject


def part_of(problems: Sequence[Problem], count: int, part: int, role: Role) -> list[Problem]:
    """Part number `part` of the train problems, `count` of them, in the order of drawing (factory/problems/draw.py). Recorded answers exist
    for a benchmark's problems: of those, all, whatever their split. Raises ParamsError when no problem is left for the part."""
    if role.engine == "recorded":
        return sorted(problems, key=lambda problem: problem.id)
    train = in_order(problem for problem in problems if problem.split == "train")
    found = train[part * count : (part + 1) * count]
    if not found:
        raise ParamsError(f"part {part} of {count} problems begins behind the last of {len(train)} train problems: lower it or draw more")
    return found


def sample(
    engine: Engine,
    problems: Sequence[Problem],
    sampling: Sampling,
    samples: int,
    *,
    prompts: Prompts,
    steps: By = "line",
    seed: int,
    stage: str,
    round: str,
    makers: Sequence[str] = (),
    grader: Grader = SHARED,
) -> tuple[list[Rollout], list[Reject]]:
    """`samples` graded solutions of each problem, with its pass rate; a failed request is a reject. rows + rejects = problems × samples.

    `makers`: the models behind recorded answers, one an ordinal.
    """
    asked = [(problem, ordinal) for problem in problems for ordinal in range(samples)]
    questions = {problem.id: prompts.render("solve", problem=problem.problem) for problem in problems}
    requests = [
        Request(
            prompt=questions[problem.id],
            sampling=sampling_params(sampling),
            seed=seed_for(seed, stage, round, problem.id, ordinal),
            ordinal=ordinal,
        )
        for problem, ordinal in asked
    ]
    rows: list[Rollout] = []
    rejects: list[Reject] = []
    completions = engine.generate(requests)
    grades = grader.grade_many(Task.of(problem, completion.text) for (problem, _), completion in zip(asked, completions, strict=True))
    for (problem, _), request, completion, grade in zip(asked, requests, completions, grades, strict=True):
        if completion.finish_reason == "error":
            failure = {"prompt": request.prompt, "seed": request.seed, "ordinal": request.ordinal, "error": completion.error}
            rejects.append(reject(f"{stage}_{round}", failure, "the request failed", problem.id))
        else:
            name, at, revision = engine.model.partition("@")
            model = f"{makers[request.ordinal] if makers else name}{at}{revision}"
            lineage = {"model": model, "prompt_version": prompts.version("solve"), "round": round}
            rows.append(_rollout(problem, questions[problem.id], request, completion, grade, split(completion.text, steps), lineage))
    assert len(rows) + len(rejects) == len(asked)
    return counted(rows), rejects


def _rollout(
    problem: Problem, prompt: Conversation, request: Request, completion: Completion, grade: Grade, steps: tuple[str, ...],
    lineage: dict[str, str],
) -> Rollout:  # fmt: skip
    return Rollout(
        id=row_id("rollout", problem.id, completion.request_id, request.ordinal, lineage["round"]),
        problem_id=problem.id,
        prompt=prompt,
        completion=completion.text,
        reasoning=completion.reasoning,
        steps=steps,
        answer=grade.extracted,
        verdict=grade.verdict,
        reason=grade.reason,
        finish_reason=completion.finish_reason,
        tokens=completion.tokens,
        logprob=None if completion.logprobs is None else sum(completion.logprobs),
        request_ids=(completion.request_id,),
        seed=request.seed,
        parents=(problem.id,),
        model=lineage["model"],
        prompt_version=lineage["prompt_version"],
        round=lineage["round"],
    )


def duplicates(rows: Sequence[Rollout]) -> int:
    """How many samples say, word for word, what another sample of their problem says."""
    return len(rows) - len({(row.problem_id, row.completion) for row in rows})


def summary(rows: Sequence[Rollout], rejects: Sequence[Reject]) -> str:
    verdicts = Counter(row.verdict for row in rows)
    shares = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(verdicts.items()))
    truncated = sum(row.finish_reason == "length" for row in rows)
    return f"{len(rows):,} rollouts ({shares}; {truncated:,} truncated, {duplicates(rows):,} duplicates), {len(rejects):,} rejects"
