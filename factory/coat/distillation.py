"""What a policy teaches the base between two rounds (Satori §4.2, "parameter reset"): right answers to the hardest problems.

    Example(id="0c55…", problem_id="a07b…", prompt=(Message("user", "Tom has 12 apples. …"),), completion="12 + 7 = 18\\n<|reflect|>…", …)

Run: `python -m pipelines.distillation r1`.
"""

from collections import defaultdict
from collections.abc import Sequence

from factory.coat import grammar
from factory.identity import row_id, seed_for
from factory.language.steps import By
from factory.rejects import reject
from factory.schemas import Example, Reject, Rollout

PER_PROBLEM = 2  # a problem that is solved rarely would otherwise count for less than one solved always


def hardest(rollouts: Sequence[Rollout], *, keep: int, seed: int, round: str, steps: By = "line") -> tuple[list[Example], list[Reject]]:
    """`keep` right samples of the problems with the lowest `pass_rate` above 0; every other sample is a reject."""
    stage = f"distillation_{round}"
    by_problem: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in sorted(rollouts, key=lambda rollout: seed_for(seed, stage, rollout.id)):
        by_problem[rollout.problem_id].append(rollout)
    rejects: list[Reject] = []
    ranked: list[tuple[float, int, Rollout]] = []
    for samples in by_problem.values():
        right: dict[str, Rollout] = {}
        for rollout in samples:
            if reason := _unfit(rollout, right, steps):
                rejects.append(reject(stage, rollout, reason, rollout.problem_id))
            else:
                right[rollout.completion] = rollout
        ranked += [(rollout.pass_rate, seed_for(seed, stage, rollout.problem_id), rollout) for rollout in right.values()]
    ranked.sort(key=lambda item: (item[0], item[1], item[2].id))
    rejects += [reject(stage, rollout, "beyond the quota: easier problems", rollout.problem_id) for _, _, rollout in ranked[keep:]]
    rows = [_example(rollout) for _, _, rollout in ranked[:keep]]
    assert len(rows) + len(rejects) == len(rollouts)
    return rows, rejects


def _unfit(rollout: Rollout, right: dict[str, Rollout], steps: By) -> str | None:
    if rollout.finish_reason != "stop":
        return "truncated"
    if rollout.verdict != "correct":
        return rollout.verdict
    if grammar.problems_of(rollout.completion, steps):
        return "no COAT trajectory"
    if rollout.completion in right:
        return "the same text as another sample"
    if len(right) == PER_PROBLEM:
        return f"more than {PER_PROBLEM} right samples of the problem"
    return None


def _example(rollout: Rollout) -> Example:
    return Example(
        id=row_id("distillation", rollout.id),
        problem_id=rollout.problem_id,
        prompt=rollout.prompt,
        completion=rollout.completion,
        model=rollout.model,
        request_ids=rollout.request_ids,
        prompt_version=rollout.prompt_version,
        seed=rollout.seed,
        round=rollout.round,
        parents=(rollout.problem_id,),
    )
