"""Preference pairs of plans: of two plans of one problem the one with the higher reward R is chosen (ReasonFlux §3.2).

    make_pairs(problems, trajectories, params.trajectories)
    → [TrajectoryPair(chosen="put together (add, total)", reward_chosen=0.9, interval=(0.2, 0.9), clear=True, …)], rejects

What the paper leaves open, defined here: chosen is the best plan of the problem (of equals the plan of nothing, which costs nothing, then
the first by id), rejected are the plan of nothing where it fared worse, then the others, the largest gap first, up to `pairs_per_problem`.
A pair needs R(T+) - R(T-) ≥ `min_gap` and > 0, so that ties never pair; each has the 95 % interval of the difference, and is `clear` where
the interval lies above 0 as a whole; `clear_only` leaves the others out. Source: papers/reasonflux, "Trajectory preference learning".
"""

from collections import defaultdict
from collections.abc import Sequence

from factory.evaluation.newcombe import newcombe
from factory.identity import row_id
from factory.params import Trajectories
from factory.rejects import reject
from factory.schemas import Problem, Reject, Trajectory, TrajectoryPair

ROUNDING = 1e-9  # R is a ratio of small integers: a gap of exactly `min_gap` must not fall to a float's last bit


def apart(better: Trajectory, worse: Trajectory) -> float:
    return better.reward - worse.reward


def difference(better: Trajectory, worse: Trajectory) -> tuple[float, float]:
    """95 % interval of R(better) - R(worse), as if each had an X_sim of its own."""
    return newcombe(*_counts(better), *_counts(worse))


def _counts(trajectory: Trajectory) -> tuple[int, int]:
    """Right decodes and all."""
    n = trajectory.n_similar * trajectory.n_decodes
    return round(trajectory.reward * n), n


def make_pairs(
    problems: Sequence[Problem], trajectories: Sequence[Trajectory], section: Trajectories
) -> tuple[list[TrajectoryPair], list[Reject]]:
    """Up to `pairs_per_problem` pairs a problem; a problem without one is a reject."""
    by_problem: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in sorted(trajectories, key=lambda trajectory: trajectory.id):
        by_problem[trajectory.problem_id].append(trajectory)
    pairs, rejects = [], []
    for problem in problems:
        own = by_problem[problem.id]
        best = min(own, key=lambda t: (-t.reward, bool(t.template_ids), t.id), default=None)
        found = [(best, worse) for worse in own if best and best.plan != worse.plan and apart(best, worse) >= section.min_gap - ROUNDING]
        found = [pair for pair in found if apart(*pair) > 0]
        found.sort(key=lambda pair: (bool(pair[1].template_ids), -round(apart(*pair), 9), pair[1].id))
        made = [pair for pair in (_pair(better, worse) for better, worse in found) if pair.clear or not section.clear_only]
        pairs += made[: section.pairs_per_problem]
        if not made:
            row = {"problem_id": problem.id, "rewards": {trajectory.plan: trajectory.reward for trajectory in own}}
            rejects.append(reject("trajectories", row, "no clear gap" if found else "no gap", problem.id))
    assert len({pair.problem_id for pair in pairs}) + len(rejects) == len(problems)
    return pairs, rejects


def _pair(better: Trajectory, worse: Trajectory) -> TrajectoryPair:
    low, high = difference(better, worse)
    return TrajectoryPair(
        id=row_id("trajectory_pair", better.id, worse.id), model=better.model,
        request_ids=(better.request_ids[0], worse.request_ids[0]), prompt_version=better.prompt_version, seed=better.seed,
        round=better.round, parents=(better.id, worse.id), problem_id=better.problem_id, prompt=better.prompt, chosen=better.plan,
        rejected=worse.plan, reward_chosen=better.reward, reward_rejected=worse.reward, n_similar=min(better.n_similar, worse.n_similar),
        n_decodes=better.n_decodes, template_ids=tuple(dict.fromkeys(better.template_ids + worse.template_ids)),
        interval=(low, high), clear=low > 0,
    )  # fmt: skip
