"""What accuracy costs: arms of an evaluation with their tokens and seconds, as rows of one table, and who is best for no more.

    print(HEAD, *(arm.row(arms[0]) for arm in arms), sep="\\n")
    print(*told(arms, "interplay", "cpu"), sep="\\n")
    → interplay evaluated (63.8 tokens) loses against best-of 2 (60.2), the best arm of no more tokens: -4.1 [-7.9, -0.4] points.

Accuracy has Wilson's 95 % interval, a little wide where a problem's entry is a chance and no 0 or 1; differences are paired over problems.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.evaluation.statistics import paired_bootstrap, wilson

Clock = Literal["wall", "cpu"]
RESAMPLES = 2000
HEAD = (
    "| arm | k, or tokens | accuracy [95 %] | beside direct | tokens out | read | requests | reward model: passes (tokens) | seconds | "
    "cpu-seconds |\n|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass
class Arm:
    """`right`: each problem's chance of a right answer, in [0, 1]. Tokens, requests and passes are means a problem, seconds those of all
    problems. `read`: the prompts of the requests; `passes`, `pass_tokens`: of the reward model, and what they read."""

    name: str
    size: str
    right: list[float]
    out: float = 0.0
    read: float = 0.0
    requests: float = 0.0
    passes: float = 0.0
    pass_tokens: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0

    @property
    def title(self) -> str:
        return f"{self.name} {self.size}".strip()

    @property
    def accuracy(self) -> float:
        return sum(self.right) / len(self.right)

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(sum(self.right), len(self.right))  # type: ignore[arg-type]

    def seconds(self, clock: Clock) -> float:
        return self.cpu if clock == "cpu" else self.wall

    def beside(self, other: "Arm") -> tuple[float, float, float]:
        """The difference of the accuracies with its interval, in points."""
        mean, low, high = paired_bootstrap(self.right, other.right, resamples=RESAMPLES, seed=1)
        return 100 * mean, 100 * low, 100 * high

    def row(self, direct: "Arm") -> str:
        low, high = self.interval
        accuracy = f"{100 * self.accuracy:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        difference = "" if self is direct else _points(self.beside(direct))
        passes = f"{self.passes:.1f} ({self.pass_tokens:,.0f})" if self.passes else ""
        return (
            f"| {self.name} | {self.size} | {accuracy} | {difference} | {self.out:.1f} | {self.read:,.0f} | {self.requests:.1f} | "
            f"{passes} | {self.wall:.1f} | {self.cpu:.1f} |"
        )


def told(arms: Sequence[Arm], name: str, clock: Clock) -> Iterator[str]:
    """Of every arm of that name: how it compares with the best other one that costs no more, in tokens and in seconds, and which of those
    that are at least as good writes the fewest tokens."""
    units: dict[str, Callable[[Arm], float]] = {"tokens": lambda arm: arm.out, f"{clock}-seconds": lambda arm: arm.seconds(clock)}
    others = [arm for arm in arms if arm.name != name]
    for arm in (arm for arm in arms if arm.name == name):
        for unit, cost in units.items():
            rivals = [other for other in others if cost(other) <= cost(arm)]
            yield (
                _compared(arm, max(rivals, key=lambda other: other.accuracy), unit, cost)
                if rivals
                else (f"{arm.title} ({cost(arm):.1f} {unit}): no other arm costs as little.")
            )
        if as_good := [other for other in others if other.accuracy >= arm.accuracy]:
            least = min(as_good, key=lambda other: other.out)
            yield f"At least as good with the fewest tokens: {least.title}, {least.out:.1f} against {arm.out:.1f} of {arm.title}."
        else:
            yield f"No other arm is as good as {arm.title}."


def _compared(arm: Arm, rival: Arm, unit: str, cost: Callable[[Arm], float]) -> str:
    difference = arm.beside(rival)
    verb = "wins against" if difference[1] > 0 else "loses against" if difference[2] < 0 else "cannot be told from"
    return (
        f"{arm.title} ({cost(arm):.1f} {unit}) {verb} {rival.title} ({cost(rival):.1f}), the best arm of no more {unit}: "
        f"{_points(difference)} points."
    )


def _points(difference: tuple[float, float, float]) -> str:
    mean, low, high = difference
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
