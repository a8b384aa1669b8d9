"""A claim that a line is an experiment about: one arm beside another.

Claim(3, "r1 above plain CoT with the same PPO, hard problems", "policy_r1", "policy_cot", group="hard")
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """`first` minus `second`, over `group`'s problems; at least `margin`, and above 0 (or `not_below`: no more than 2 points under)."""

    number: int
    text: str
    first: str
    second: str
    margin: float = 0.0
    group: str | None = None
    not_below: bool = False
    correction: bool = False  # compares how often a first attempt that is not right ends right all the same, not accuracies
