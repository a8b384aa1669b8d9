"""Where a trajectory is cut into a start state of PPO, and what a fresh response becomes while PPO runs (Satori Algorithm 1).

Cuts(2).backtrack("12 + 7 = 19\\n19 - 4 = 15\\n\\\\boxed{15}", rng)          → 0, 1 or 2 of its last steps
Cuts(2, (0.1, 0.9)).backtrack(…, rng)                                    → as many as leave that share of its steps
again(Restart(buffer="0", prefix="", …), "12 + 7 = 18\\n\\\\boxed{18}", "wrong", Cuts(2), seed)
→ Restart(buffer="-", prefix="12 + 7 = 18\\n<|reflect|>", backtrack=1, …)
"""

import random
from dataclasses import dataclass, replace

from factory.coat import grammar
from factory.grading import boxed_answers
from factory.identity import row_id
from factory.language.steps import By
from factory.schemas import Buffer, Restart

SIGNS: dict[str, Buffer] = {"correct": "+", "wrong": "-"}  # of a parent's verdict


@dataclass(frozen=True)
class Cuts:
    """`prefix_share`: of a parent's steps, the fewest and the most that are kept; None: the last 0 to `max_backtrack` are dropped."""

    max_backtrack: int
    prefix_share: tuple[float, float] | None = None
    by: By = "line"

    def backtrack(self, text: str, rng: random.Random) -> int:
        """How many steps are dropped off a trajectory; `grammar.cut` leaves one at least."""
        if self.prefix_share is None:
            return rng.randint(0, self.max_backtrack)
        count = len(grammar.split_steps(text, self.by))
        return min(count - 1, count - round(rng.uniform(*self.prefix_share) * count))


def again(start: Restart, response: str, verdict: str, cuts: Cuts, seed: int) -> Restart | None:
    """The start state that a finished response to another makes, None for one without a sign or outside of the grammar. The cut falls
    into the response, of which one step remains: what came before may be of the other sign."""
    sign, text = SIGNS.get(verdict), start.prefix + response
    if sign is None:
        return None
    try:
        grammar.parse(text, cuts.by)
    except grammar.CoatError:
        return None
    own = len(grammar.split_steps(response, cuts.by))
    prefix, dropped = grammar.cut(text, min(cuts.backtrack(response, random.Random(seed)), own - 1), cuts.by)
    if not prefix.startswith(start.prefix):  # a response can go on with a step that was begun before it
        return None
    return replace(
        start, id=row_id("restart", start.round, sign, start.problem_id, start.id, prefix), parent_id=start.id, buffer=sign,
        backtrack=dropped, prefix=prefix, prefix_has_answer=bool(boxed_answers(prefix)),
    )  # fmt: skip
