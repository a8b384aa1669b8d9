"""Checks of process rewards, as those of checks.py: steps, labels and verdict of the rollout, and the first wrong step that was named.

exact_again(row, background)   → False where the reference critic, asked again, names another step than the row has
critic_accepts(columns)        → Measured(0.05, 0.038, 0.067): of the steps that the exact check calls wrong, those that the critic accepts
"""

from dataclasses import asdict

from factory.coat.stepwise import Noise, Told, exact_step, label_noise, labels_of
from factory.evaluation.statistics import wilson
from factory.gate.background import Background
from factory.gate.measures import Columns, Measured
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


def _noise(columns: Columns) -> Noise:
    """Of the rows on which the exact check and a critic both have a say."""
    names = ("labels.length", "compared", "judged", "exact_step", "critic_step")
    rows = zip(*(columns[name].to_pylist() for name in names))
    return label_noise((count, exact, critic) for count, compared, judged, exact, critic in rows if compared and judged)


def critic_agrees(columns: Columns) -> Measured:
    """Solutions whose first wrong step both name alike. The exact check's own noise is measured by `factory audit critics`."""
    found = _noise(columns)
    return _share(found.same, found.solutions, found)


def critic_accepts(columns: Columns) -> Measured:
    """False accepts, of steps; the interval takes the steps of one solution as drawn independently."""
    found = _noise(columns)
    return _share(found.accepted, found.wrong, found)


def critic_refuses(columns: Columns) -> Measured:
    """False alarms, of steps."""
    found = _noise(columns)
    return _share(found.refused, found.right, found)


def _share(part: int, whole: int, found: Noise) -> Measured:
    if not whole:
        return Measured(None)
    low, high = wilson(part, whole)
    return Measured(round(part / whole, 4), round(low, 4), round(high, 4), asdict(found))
