"""What the recorded decodes of a problem's plans say of each choice after a step (factory/templates/adjustments.py defines them).

judge(("a", "b"), 1, trajectories)   → Judged(counts={"keep": Count(0, 4), "revise": Count(5, 8), …}, best="revise", gain=0.625, …)
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from factory.evaluation.newcombe import newcombe
from factory.grading import extract_answer
from factory.language.steps import By, split
from factory.schemas import Trajectory
from factory.tables import Adjust

CHEAPEST: tuple[Adjust, ...] = ("stop", "revise", "fetch")  # of equal values the first
ROUNDING = 1e-9  # values are ratios of small integers: a gain of exactly `margin` must not fall to a float's last bit
Plan = tuple[str, ...]  # template ids


@dataclass(frozen=True)
class Count:
    """`right` of `n` decodes."""

    right: int = 0
    n: int = 0

    @property
    def value(self) -> float | None:
        return self.right / self.n if self.n else None


@dataclass(frozen=True)
class Judged:
    """What the recorded decodes say of a state: the counts of each choice, and the best other choice beside keeping the plan."""

    counts: dict[Adjust, Count]
    best: Adjust
    gain: float
    interval: tuple[float, float]

    def choice(self, margin: float) -> Adjust:
        return self.best if self.gain > 0 and self.gain >= margin - ROUNDING else "keep"


def steps_before_answer(solution: str, by: By) -> tuple[str, ...]:
    """The steps of a guided solution up to the one with the final answer, blank ones aside."""
    found: list[str] = []
    for step in split(solution, by):
        if extract_answer(step) is not None:
            break
        if step.strip():
            found.append(step.strip())
    return tuple(found)


def relation(plan: Plan, other: Plan, place: int) -> Adjust | None:
    """What becomes of `plan` after its step `place` where `other` is what is carried out in the end; None: it cannot become that.

    >>> relation(("a", "b"), ("a", "c"), 1), relation(("a", "b"), ("a",), 1), relation(("a", "b"), ("c", "b"), 1)
    ('revise', 'stop', 'fetch')
    """
    if plan == other:
        return "keep"
    if len(other) >= place and other[:place] == plan[:place]:
        return "revise" if len(other) > place else "stop"
    same = other[: place - 1] == plan[: place - 1]
    return "fetch" if same and len(other) >= place else None


def related(plan: Plan, place: int, recorded: Sequence[Trajectory]) -> list[tuple[Adjust, Trajectory]]:
    """What of a problem's trajectories says something about the state, itself first: measured over the same problems, or over more of them
    (X_sim of the best plans may be larger, and begins with that of the others)."""
    own = [row for row in recorded if row.template_ids == plan]
    found = [(choice, row) for row in recorded if row.template_ids != plan and (choice := relation(plan, row.template_ids, place))]
    return [("keep", row) for row in own] + [(choice, row) for choice, row in found if own and _nested(own[0].similar_ids, row.similar_ids)]


def _nested(a: Plan, b: Plan) -> bool:
    shared = min(len(a), len(b))
    return a[:shared] == b[:shared]


def judge(plan: Plan, place: int, recorded: Sequence[Trajectory]) -> Judged | None:
    """`recorded`: the trajectories of one problem; of each count the decodes of the similar problems that all have, so that a difference is
    the plans' and not the problems'. None where nothing but keeping the plan was recorded."""
    right, n = Counter[Adjust](), Counter[Adjust]()
    compared = related(plan, place, recorded)
    shared = min((len(row.similar_ids) for _, row in compared), default=0)
    for choice, row in compared:
        decodes = row.decodes[: shared * row.n_decodes]  # they are listed problem by problem
        right[choice] += decodes.count("correct")
        n[choice] += len(decodes)
    counts: dict[Adjust, Count] = {choice: Count(right[choice], n[choice]) for choice in ("keep", *CHEAPEST)}
    kept = counts["keep"]
    others = [(value - kept.right / kept.n, choice) for choice in CHEAPEST if (value := counts[choice].value) is not None] if kept.n else []
    if not others:
        return None
    gain, best = max(others, key=lambda found: round(found[0], 9))  # the first of equal ones
    return Judged(counts, best, gain, newcombe(counts[best].right, counts[best].n, kept.right, kept.n))


def by_problem(trajectories: Sequence[Trajectory]) -> Iterator[list[Trajectory]]:
    groups: dict[str, list[Trajectory]] = {}
    for row in sorted(trajectories, key=lambda row: row.id):
        groups.setdefault(row.problem_id, []).append(row)
    yield from groups.values()
