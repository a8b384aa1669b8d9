"""Which rollouts demonstrations are made from, and which drafts become rows: valid, right, the best of their type, few by reference.

kept, rejects = sources(problems, rollouts, keep=4, seed=1)
rows, rejects = accepted(drafts, scorer, max_reference_share=0.5, seed=1, round="base", model="base@3fa9…")
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from factory import grading
from factory.coat import grammar
from factory.coat.demonstrations.divergence import gold_text
from factory.coat.demonstrations.drafts import Draft, Source
from factory.coat.demonstrations.equations import equations_of
from factory.coat.demonstrations.exact import first_wrong
from factory.coat.demonstrations.thoughts import with_thoughts
from factory.coat.pass_rates import ALL, Window, outside
from factory.engines.protocol import Scorer
from factory.identity import row_id, seed_for
from factory.language.steps import By, split
from factory.problems.manners import manners_of
from factory.rejects import reject
from factory.schemas import Demonstration, Problem, Reject, Rollout

STAGE = "demonstrations"
MOST = 16  # trajectories a problem (Satori App. C)


def sources(
    problems: Sequence[Problem], rollouts: Sequence[Rollout], *, keep: int, seed: int, steps: By = "line", thinking: bool = False,
    pass_rate: Window = ALL,
) -> tuple[list[Source], list[Reject], int]:  # fmt: skip
    """At most `keep` right and `keep` wrong rollouts a problem, distinct texts in seeded order; invalid ones are rejects, and those whose
    problem's pass rate lies outside of the window. `thinking`: what a model thought before its answer is a part of its solution here.

    Returns (kept, rejects, not drawn); the three sum up to the rollouts.
    """
    by_id = {problem.id: problem for problem in problems}
    groups: dict[tuple[str, str], dict[str, Rollout]] = defaultdict(dict)
    rejects: list[Reject] = []
    for rollout in sorted(rollouts, key=lambda rollout: seed_for(seed, STAGE, "keep", rollout.id)):
        group = groups[rollout.problem_id, rollout.verdict]
        rollout = with_thoughts(rollout, steps) if thinking else rollout
        if reason := outside(rollout.pass_rate, pass_rate, "demonstrations.pass_rate") or _invalid(rollout, group, steps):
            rejects.append(reject(STAGE, rollout, reason, rollout.problem_id))
        else:
            group[rollout.completion] = rollout
    kept = [Source(by_id[key[0]], rollout) for key, group in sorted(groups.items()) for rollout in list(group.values())[:keep]]
    not_drawn = sum(len(group) for group in groups.values()) - len(kept)
    assert len(kept) + len(rejects) + not_drawn == len(rollouts)
    return kept, rejects, not_drawn


def _invalid(rollout: Rollout, same: dict[str, Rollout], steps: By) -> str | None:
    if rollout.finish_reason != "stop":
        return "invalid: truncated"
    if rollout.verdict not in ("correct", "wrong"):
        return f"invalid: {rollout.verdict}"
    if any(grammar.action_counts(rollout.completion).values()) or grammar.problems_of(rollout.completion, steps):
        return "invalid: no plain solution with its answer in the last step"
    return "the same text as another rollout" if rollout.completion in same else None


def accepted(
    drafts: Sequence[Draft],
    scorer: Scorer | None,
    *,
    max_reference_share: float,
    seed: int,
    round: str,
    model: str | None,
    versions: Callable[[str], str],
    steps: By = "line",
) -> tuple[list[Demonstration], list[Reject]]:
    """The best valid draft of every (problem, type); one by the reference critic, whose share is limited, only where there is no other.

    Without a scorer all scores are 0.0 and the seed decides. `versions`: the version of each question that a draft asked.
    """
    valid: list[Draft] = []
    rejects: list[Reject] = []
    made: dict[str, int] = defaultdict(int)
    for draft in drafts:
        fault = _fault(draft, made[draft.source.problem.id], steps)
        if fault:
            rejects.append(_reject(draft, fault))
        else:
            made[draft.source.problem.id] += 1
            valid.append(draft)
    scores = scorer.score([(draft.source.rollout.prompt, draft.trajectory.text) for draft in valid]) if scorer else [0.0] * len(valid)
    rejects += [_reject(draft, "the reward model gives no score") for score, draft in zip(scores, valid, strict=True) if math.isnan(score)]
    scored = [(score, draft) for score, draft in zip(scores, valid, strict=True) if not math.isnan(score)]
    best: dict[tuple[str, str], tuple[float, Draft]] = {}
    for score, draft in sorted(scored, key=lambda item: (item[1].critic == "reference", -item[0], _order(item[1], seed))):
        key = (draft.source.problem.id, draft.type)
        if key in best:
            rejects.append(_reject(draft, "not the best of its type"))
        else:
            best[key] = (score, draft)
    few, over = within_share([draft for _, draft in best.values()], max_reference_share, seed)
    rejects += [_reject(draft, "over the reference share") for draft in over]
    chosen = {id(draft) for draft in few}
    rows = [_demonstration(draft, score, round, model, versions) for score, draft in best.values() if id(draft) in chosen]
    assert len(rows) + len(rejects) == len(drafts)
    return rows, rejects


def _fault(draft: Draft, made: int, by: By) -> str | None:
    problem, text = draft.source.problem, draft.trajectory.text
    if found := grammar.problems_of(text, by):
        return "no COAT trajectory: " + found[0].split(":")[0]
    if _told(grammar.parse(text, by)) != _told(draft.trajectory.steps):
        return "no COAT trajectory: its text does not parse back into its steps"
    if not grading.grade(text, problem.answer, problem.answer_kind, problem.decimals).correct:
        return "not correct after stitching"
    if any(not equation.holds for part in draft.trajectory.right_parts for equation in equations_of(split(part, by))):
        return "right by luck: an equation outside the wrong attempts is false"
    last = split(draft.trajectory.right_parts[-1], by)
    if manners_of(problem).starts_anew(problem) and first_wrong(problem, last):  # only then the last attempt is a whole one
        return "right by luck: a check of the last attempt fails"
    return f"more than {MOST} trajectories of the problem" if made == MOST else None


def _told(steps: Sequence[grammar.Step]) -> list[tuple[str | None, str]]:
    """Each action and what is said under it, wherever a splitter cuts that: it sees more in a whole text than in its parts."""
    told: list[tuple[str | None, str]] = []
    for step in steps:
        if step.action or not told:
            told.append((step.action, step.text))
        else:
            told[-1] = (told[-1][0], f"{told[-1][1]}\n{step.text}")
    return told


def within_share(drafts: Sequence[Draft], share: float, seed: int) -> tuple[list[Draft], list[Draft]]:
    """(kept, over): the most drafts such that those by the reference critic are at most `share` of the kept ones."""
    reference = sorted((draft for draft in drafts if draft.critic == "reference"), key=lambda draft: _order(draft, seed))
    others = [draft for draft in drafts if draft.critic != "reference"]
    allowed = len(reference)
    while allowed and allowed > share * (allowed + len(others)):
        allowed -= 1
    return [*others, *reference[:allowed]], reference[allowed:]


def _order(draft: Draft, seed: int) -> int:
    return seed_for(seed, STAGE, "choice", draft.source.rollout.id, draft.type, draft.trajectory.text)


def _reject(draft: Draft, reason: str) -> Reject:
    row = {"type": draft.type, "rollout": draft.source.rollout.id, "completion": draft.trajectory.text, "critic": draft.critic or "none"}
    return reject(STAGE, row, reason, draft.source.rollout.id)


def _demonstration(draft: Draft, score: float, round: str, model: str | None, versions: Callable[[str], str]) -> Demonstration:
    rollout = draft.source.rollout
    return Demonstration(
        id=row_id("demonstration", draft.type, rollout.id, draft.request_ids, draft.trajectory.text),
        problem_id=rollout.problem_id,
        type=draft.type,
        prompt=rollout.prompt,
        completion=draft.trajectory.text,
        wrong_spans=draft.trajectory.wrong_spans,
        score=score,
        critic=draft.critic or "none",
        critique=draft.critique,
        model=model or rollout.model,
        request_ids=(*rollout.request_ids, *draft.request_ids),
        prompt_version="+".join(versions(name) for name in dict.fromkeys(draft.prompts)),
        seed=rollout.seed,
        round=round,
        parents=(rollout.id,),
    )


def controls(kept: Sequence[Source], demonstrations: Sequence[Demonstration], *, seed: int) -> list[Demonstration]:
    """Plain solutions of the same problems, at most as many of each as it has demonstrations: right rollouts, else the gold solution."""
    count: dict[str, int] = defaultdict(int)
    for row in demonstrations:
        count[row.problem_id] += 1
    right: dict[str, list[Source]] = defaultdict(list)
    problems = {source.problem.id: source for source in kept}
    for source in sorted(kept, key=lambda source: source.rollout.id):
        if source.rollout.verdict == "correct":
            right[source.problem.id].append(source)
    rows = []
    for problem_id, wanted in sorted(count.items()):
        found = right[problem_id]
        random.Random(seed_for(seed, "cot_demonstrations", problem_id)).shuffle(found)
        rows += [_control(source.rollout, source.rollout.completion) for source in found[:wanted]]
        if not found:
            source = problems[problem_id]
            rows.append(replace(_control(source.rollout, gold_text(source.problem)), model="gold", request_ids=(), parents=()))
    return rows


def _control(rollout: Rollout, completion: str) -> Demonstration:
    return Demonstration(
        id=row_id("cot_demonstration", rollout.problem_id, completion),
        problem_id=rollout.problem_id,
        type="I",
        prompt=rollout.prompt,
        completion=completion,
        score=0.0,
        critic="none",
        model=rollout.model,
        request_ids=rollout.request_ids,
        prompt_version=rollout.prompt_version,
        seed=rollout.seed,
        round=rollout.round,
        parents=(rollout.id,),
    )
