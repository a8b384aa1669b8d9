"""What a thinking model thought before its answer, as a part of its solution (`demonstrations.thinking`).

with_thoughts(rollout, "line").completion   → "12 and 7 are 19 …\\n\\n12 + 7 = 19\\n\\\\boxed{19}"
"""

from dataclasses import replace

from factory.language.steps import By, split
from factory.schemas import Rollout


def with_thoughts(rollout: Rollout, steps: By) -> Rollout:
    """The rollout itself where nothing was thought."""
    if not rollout.reasoning or not rollout.reasoning.strip():
        return rollout
    text = f"{rollout.reasoning.strip()}\n\n{rollout.completion}"
    return replace(rollout, completion=text, steps=split(text, steps))
