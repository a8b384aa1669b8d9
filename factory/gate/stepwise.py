"""Checks of process rewards: steps, labels and verdict of the rollout, and the first wrong step that was named (entries: table.py).

exact_again(row, background)   → False where the reference critic, asked again, names another step than the row has
"""

from factory.coat.stepwise import Told, exact_step, labels_of
from factory.gate.background import Background
from factory.tables import ProcessReward


def asks_problem(row: ProcessReward, background: Background) -> bool:
    """White space aside."""
    problem = background.problems.get(row.problem_id)
    return problem is not None and " ".join(problem.problem.split()) in " ".join(row.prompt.split())


def label_a_step(row: ProcessReward, _: Background) -> bool:
    return len(row.labels) == len(row.completions) > 0 and all(step.strip() for step in row.completions)


def false_from_first_wrong(row: ProcessReward, _: Background) -> bool:
    return row.labels == labels_of(len(row.completions), row.first_wrong)


def last_of_verdict(row: ProcessReward, _: Background) -> bool:
    return row.labels[-1:] == (row.verdict == "correct",)


def steps_of_parent(row: ProcessReward, background: Background) -> bool:
    """Joined they are what the first parent, a rollout of this problem and verdict, wrote: behind its thoughts where those are a part."""
    parent = background.rollouts.get(row.parents[0]) if row.parents else None
    if not parent or (parent.problem_id, parent.verdict) != (row.problem_id, row.verdict):
        return False
    thought = (parent.reasoning or "").strip()
    return "\n".join(row.completions) in (parent.completion, f"{thought}\n\n{parent.completion}")


def exact_again(row: ProcessReward, background: Background) -> bool:
    problem = background.problems.get(row.problem_id)
    return problem is not None and exact_step(problem, row.completions) == (Told(row.exact_step) if row.compared else None)


def first_wrong_of_source(row: ProcessReward, _: Background) -> bool:
    """The labels are of the source that `by` names, which said something; a critic's judgement is a parent."""
    known, said = (row.compared, row.exact_step) if row.by == "exact" else (row.judged, row.critic_step)
    silent = (row.compared or row.exact_step is None) and (row.judged or row.critic_step is None)
    return known and said == row.first_wrong and silent and len(row.parents) == 1 + row.judged
