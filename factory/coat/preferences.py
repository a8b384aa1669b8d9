"""Pairs for the outcome reward model (Satori §4.2): a right and a wrong solution of one problem, a Bradley-Terry margin apart.

    OrmPair(id="77b0…", problem_id="a07b…", prompt=(Message("user", "Tom has 12 apples. …"),), chosen="12 + 7 = 19\\n\\\\boxed{19}",
            rejected="12 - 7 = 5\\n\\\\boxed{5}", margin=2.0, chosen_id="9d02…", rejected_id="51aa…", round="r1")

Run: `python -m pipelines.orm_pairs r1`.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence

from factory.identity import row_id, seed_for
from factory.schemas import OrmPair, Reject, Rollout, Verdict
from factory.storage import reject


def orm_pairs(rollouts: Sequence[Rollout], *, per_problem: int, margin: float, seed: int, round: str) -> tuple[list[OrmPair], list[Reject]]:
    """Up to `per_problem` pairs of each problem that has finished solutions of both signs; the other problems are rejects.

    Unparsable and truncated solutions are in no pair: what would be learned from them is to box an answer, not to be right.
    """
    by_problem: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in sorted(rollouts, key=lambda rollout: rollout.id):
        by_problem[rollout.problem_id].append(rollout)
    pairs: list[OrmPair] = []
    rejects: list[Reject] = []
    kept = 0
    for problem_id, samples in sorted(by_problem.items()):
        rng = random.Random(seed_for(seed, "orm_pairs", round, problem_id))
        right, wrong = _shuffled(samples, "correct", rng), _shuffled(samples, "wrong", rng)
        if not right or not wrong:
            unfit = {"problem_id": problem_id, "samples": len(samples), "right": len(right), "wrong": len(wrong)}
            rejects.append(reject(f"orm_pairs_{round}", unfit, "no wrong sample" if right else "no right sample", problem_id))
            continue
        kept += 1
        pairs += [_pair(right[i], wrong[j], margin, round) for i, j in _diagonals(len(right), len(wrong), per_problem)]
    assert kept + len(rejects) == len(by_problem)
    return pairs, rejects


def _shuffled(samples: Sequence[Rollout], verdict: Verdict, rng: random.Random) -> list[Rollout]:
    """One sample of each distinct text, in seeded order."""
    texts: dict[str, Rollout] = {}
    for rollout in samples:
        if rollout.verdict == verdict and rollout.finish_reason == "stop":
            texts.setdefault(rollout.completion, rollout)
    distinct = list(texts.values())
    rng.shuffle(distinct)
    return distinct


def _diagonals(rows: int, columns: int, count: int) -> list[tuple[int, int]]:
    """`count` distinct cells of a rows × columns table (all, if fewer), along diagonals so that no text returns before it must."""
    period = math.lcm(rows, columns)
    return [(k % rows, (k + k // period) % columns) for k in range(min(count, rows * columns))]


def _pair(right: Rollout, wrong: Rollout, margin: float, round: str) -> OrmPair:
    return OrmPair(
        id=row_id("orm_pair", right.id, wrong.id),
        problem_id=right.problem_id,
        prompt=right.prompt,
        chosen=right.completion,
        rejected=wrong.completion,
        margin=margin,
        chosen_id=right.id,
        rejected_id=wrong.id,
        round=round,
    )
