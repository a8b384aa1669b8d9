r"""Process rewards: which steps of a solution are right, from critics' judgements and checked equations (Uesato et al. 2022).

    ProcessReward(prompt="Ben had 12 coins …\nSolve:\n", completions=("12 + 7 = 18", "18 - 4 = 14", "\\boxed{14}"),
                  labels=(False, False, False), first_wrong=1, by="exact", compared=True, exact_step=1, judged=True, critic_step=2,
                  verdict="wrong", parents=("51aa…",), …)

Every graded rollout is a row or a reject; no model is asked. Two sources name the first wrong step of a solution:

    exact    the reference critic: equations beside the gold solution's. It cannot tell where one of the two has no equation
    critic   the model that criticised a wrong solution, or verified a step of a right one, for the demonstrations. Heard is what passed
             the checks of its words, also where the exact check found it wrong later: else its labels could not be measured

`settings.by` ranks them: the first that can tell gives the labels, the other stands beside them. Labels that the verdict contradicts are
rejects: a right answer whose step k is called wrong (luck, or another way), a wrong answer in which nobody finds a wrong step. What was
sound but refused by the check by rollouts is not heard. The label of a right solution by a critic rests on the answer and on one step.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from factory.coat.demonstrations.exact import NOT_FIRST, RIGHT_STEP, WRONG_STEP
from factory.coat.demonstrations.keys import of_solution
from factory.coat.demonstrations.thoughts import with_thoughts
from factory.coat.stepwise import Noise, Told, exact_step, label_noise, labels_of, wrong_line
from factory.identity import row_id, seed_for
from factory.language.conversation import flat
from factory.language.steps import By
from factory.params.sections import ProcessRewards
from factory.rejects import reject
from factory.schemas import CriticJudgement, Problem, Reject, Rollout
from factory.tables import ProcessReward, StepSource

STAGE = "process_rewards"
FOUND_WRONG = (RIGHT_STEP, NOT_FIRST, WRONG_STEP)  # why the exact check refuses a judgement whose words are sound
SAID = {"exact": "the exact check", "critic": "the critic"}


def make_process_rewards(
    problems: Sequence[Problem], rollouts: Sequence[Rollout], judgements: Sequence[CriticJudgement], settings: ProcessRewards, *,
    seed: int, steps: By, thinking: bool,
) -> tuple[list[ProcessReward], list[Reject]]:  # fmt: skip
    """`thinking`: what a model thought is a part of its solution, as it was for the critics. Rows and rejects together are the rollouts."""
    by_id, heard = {problem.id: problem for problem in problems}, _heard(judgements)
    usable, rejects = _usable([with_thoughts(row, steps) if thinking else row for row in rollouts], heard)
    rows, drawn = list[ProcessReward](), Counter[str]()
    for rollout in sorted(usable, key=lambda row: seed_for(seed, STAGE, row.id)):
        said = heard.get(rollout.id)
        told = _told(by_id[rollout.problem_id], rollout, said)
        source = next((name for name in settings.by if name in told), None)
        if source is None:
            rejects.append(_left_out(rollout, "nobody says which step is wrong"))
        elif reason := _contradicted(rollout, source, told[source]):
            rejects.append(_left_out(rollout, reason, told))
        elif drawn[rollout.problem_id] == settings.per_problem:
            rejects.append(_left_out(rollout, "more solutions of this problem", told))
        else:
            drawn[rollout.problem_id] += 1
            rows.append(_row(rollout, source, told, said))
    assert len(rows) + len(rejects) == len(rollouts)
    return rows, rejects


def _heard(judgements: Sequence[CriticJudgement]) -> dict[str, CriticJudgement]:
    """Rollout → what a model said of its own steps in sound words. The reference critic is the exact check itself."""
    return {
        found.parent_id: found
        for found in judgements
        if found.critic != "reference" and (found.accepted or found.reason in FOUND_WRONG) and of_solution(found)
    }


def _usable(rollouts: Sequence[Rollout], heard: Mapping[str, CriticJudgement]) -> tuple[list[Rollout], list[Reject]]:
    """Whole, graded solutions, each text once: of equal ones the one that a critic read, else the first by id."""
    kept, rejects = dict[tuple[str, str], Rollout](), list[Reject]()
    for rollout in sorted(rollouts, key=lambda row: (row.id not in heard, row.id)):
        if reason := _unusable(rollout):
            rejects.append(_left_out(rollout, reason))
        elif kept.setdefault((rollout.problem_id, rollout.completion), rollout) is not rollout:
            rejects.append(_left_out(rollout, "the same text as another rollout"))
    return list(kept.values()), rejects


def _unusable(rollout: Rollout) -> str | None:
    if rollout.finish_reason != "stop":
        return "truncated"
    if rollout.verdict not in ("correct", "wrong"):
        return f"graded {rollout.verdict}"
    return "a step without a word" if any(not step.strip() for step in rollout.steps) else None


def _told(problem: Problem, rollout: Rollout, said: CriticJudgement | None) -> dict[StepSource, Told]:
    told: dict[StepSource, Told] = {}
    if (found := exact_step(problem, rollout.steps)) is not None:
        told["exact"] = found
    if said and (said.said_step is None or said.said_step <= len(rollout.steps)):
        told["critic"] = Told(wrong_line(problem, rollout.steps, said.said_step) if said.said_step else None)
    return told


def _contradicted(rollout: Rollout, source: StepSource, told: Told) -> str | None:
    """Why the verdict refutes what a source says."""
    if rollout.verdict == "correct" and told.step is not None:
        return f"the answer is right, and {SAID[source]} calls a step wrong"
    if rollout.verdict == "wrong" and told.step is None:
        return f"the answer is wrong, and {SAID[source]} finds no wrong step"
    return None


def _row(rollout: Rollout, source: StepSource, told: Mapping[StepSource, Told], said: CriticJudgement | None) -> ProcessReward:
    first, heard = told[source].step, said if "critic" in told else None
    asked = (heard.request_id,) if heard and heard.request_id else ()
    return ProcessReward(
        id=row_id("process_reward", rollout.id, source), model=rollout.model, request_ids=(*rollout.request_ids, *asked),
        prompt_version=rollout.prompt_version, seed=rollout.seed, round=rollout.round,
        parents=(rollout.id, *((heard.id,) if heard else ())), problem_id=rollout.problem_id, prompt=flat(rollout.prompt),
        completions=rollout.steps, labels=labels_of(len(rollout.steps), first), first_wrong=first, by=source,
        compared="exact" in told, exact_step=told["exact"].step if "exact" in told else None,
        judged="critic" in told, critic_step=told["critic"].step if "critic" in told else None, verdict=rollout.verdict,
    )  # fmt: skip


def compared(rows: Sequence[ProcessReward], rejects: Sequence[Reject]) -> Noise:
    """The noise of a critic's labels, wherever both told and the verdict allows the critic's: also where the exact check was refuted by a
    right answer (luck, or another way). Rows alone show less of it, since those are left out."""
    found = [(len(row.labels), row.exact_step, row.critic_step) for row in rows if row.compared and row.judged]
    for left in (json.loads(item.row) for item in rejects):
        if {"exact_step", "critic_step"} <= left.keys() and (left["verdict"] == "correct") == (left["critic_step"] is None):
            found.append((left["steps"], left["exact_step"], left["critic_step"]))
    return label_noise(found)


def _left_out(rollout: Rollout, reason: str, told: Mapping[StepSource, Told] | None = None) -> Reject:
    said = {f"{name}_step": found.step for name, found in (told or {}).items()}
    row = {"problem_id": rollout.problem_id, "verdict": rollout.verdict, "completion": rollout.completion, "steps": len(rollout.steps)}
    row |= said
    return reject(STAGE, row, reason, rollout.id)
