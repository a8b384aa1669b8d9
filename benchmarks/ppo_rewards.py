"""A round of PPO whose every reward is computed once more from the text alone, by other means; and whether its numbers are finite.

python benchmarks/ppo_rewards.py r1          # in a copy of a project whose line has run as far as `ppo@r1`: its policy is written anew
"""

import csv
import math
import re
import sys
from pathlib import Path

from factory.coat.rewards import Reward
from factory.params import load
from pipelines import ppo

BONUS = {("-", True): 1, ("+", False): -1}


def number(text: str) -> float | None:
    found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    return float(found[-1].replace(",", "")) if found else None


def right(response: str, gold: str) -> bool:
    boxes = re.findall(r"\\boxed\{([^{}]*)\}", response)
    return bool(boxes) and number(boxes[-1]) == number(gold)


def main(item: str) -> None:
    params, given, asked = load(), ppo.reward, list[tuple[Reward, bool, str]]()

    def watched(start, response, logit, weights):  # type: ignore[no-untyped-def]
        made = given(start, response, logit, weights)
        asked.append((made, right(response, start.answer), start.buffer))
        return made

    ppo.reward = watched
    ppo.main(params, item)
    assert params.ppo is not None
    beta, weight = params.ppo.beta, params.ppo.orm_weight
    rule = sum(made.rule == (0.0 if ok else -1.0) for made, ok, _ in asked)
    bonus = sum(made.bonus == beta * BONUS.get((buffer, ok), 0) for made, ok, buffer in asked)
    orm = sum(0.0 <= made.orm <= weight and math.isfinite(made.orm) for made, _, _ in asked)
    with Path(f"data/logs/policy_{item}.csv").open(encoding="utf-8") as stream:
        values = [float(value) for row in csv.DictReader(stream) for value in row.values() if value]
    print(
        f"{len(asked)} samples, {sum(ok for _, ok, _ in asked)} right: rule as re-graded {rule}, bonus {bonus}, ORM's share in range {orm}"
    )
    print(f"{sum(map(math.isfinite, values))} of {len(values)} logged numbers are finite")


if __name__ == "__main__":
    main(sys.argv[1])
