"""What a family of problems is, and one drawn problem of it.

Task(family=FAMILIES["tally"], facts=Facts(numbers=(12, 7, 4), strategy=("put together", "take away"), key=("12", "+7", "-4")),
     text="Tom had 12 apples. Then he found 7 and lost 4. How many apples does Tom have now?")
.instance   → "tally:12,+7,-4"      whatever the wording
.solution   → ("12 + 7 = 19", "19 - 4 = 15", "\\\\boxed{15}")
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from factory.params import World
from factory.problems.world.arithmetic import Equation, execute
from factory.problems.world.strategies import operations
from factory.schemas import AnswerKind, Group


@dataclass(frozen=True)
class Facts:
    """`numbers` in reading order (the computing order, too); `key` is canonical; `guess` is the right guess of a search family."""

    numbers: tuple[int, ...]
    strategy: tuple[str, ...]
    key: tuple[str, ...]
    guess: tuple[int, ...] = ()


@dataclass(frozen=True)
class Check:
    """One equation of an attempt and the number that it must give; None: nothing to compare with."""

    equation: Equation
    target: int | None


@dataclass(frozen=True)
class Guessing:
    """What a search family adds: how a guess reads, is checked and is boxed, and how a plausible wrong one is drawn."""

    read: Callable[[Facts, tuple[int, ...]], str]  # the line `Try 4.`
    checks: Callable[[Facts, tuple[int, ...]], tuple[Check, ...] | None]  # None: leaves 0 … LARGEST
    box: Callable[[Facts, tuple[int, ...]], str]
    wrong: Callable[[Facts, random.Random], tuple[int, ...]]


@dataclass(frozen=True)
class Family:
    name: str
    group: Group
    unseen: bool
    draw: Callable[[random.Random, World], Facts | None]  # None: this draw does not fit, draw again
    tell: Callable[[Facts, random.Random], str]
    space: Callable[[World], int]  # distinct instances, counted or bounded from below
    guessing: Guessing | None = None


@dataclass(frozen=True)
class Task:
    family: Family
    facts: Facts
    text: str

    @property
    def instance(self) -> str:
        return f"{self.family.name}:{','.join(self.facts.key)}"

    @cached_property
    def equations(self) -> tuple[Equation, ...]:
        if self.family.guessing:
            return tuple(check.equation for check in self.family.guessing.checks(self.facts, self.facts.guess) or ())
        return execute(self.facts.numbers, operations(self.facts.strategy)) or ()

    @cached_property
    def solution(self) -> tuple[str, ...]:
        """The gold steps, one a line, the box last."""
        if guessing := self.family.guessing:
            return attempt(self, self.facts.guess, guessing.checks(self.facts, self.facts.guess) or ())
        return (*map(str, self.equations), boxed(self.equations[-1].value))

    @property
    def answer(self) -> str:
        return self.solution[-1].removeprefix("\\boxed{").removesuffix("}")

    @property
    def answer_kind(self) -> AnswerKind:
        return "number" if self.answer.isdigit() else "literal"


def attempt(task: Task, guess: tuple[int, ...], checks: Sequence[Check]) -> tuple[str, ...]:
    """What is wanted, a guess, its checks as given, how far off they are, and the box: a plain chain of thought cannot go back.

        Make 26. · Try 9 and 20. · 9 + 20 = 29 · 29 - 26 = 3 · Wrong. · \\boxed{9}

    The wanted number stands first, where nothing but the problem says it; a small model compares two numbers by taking one from the other.
    """
    guessing = task.family.guessing
    assert guessing is not None, task.family.name
    wanted, made = next((check.target, check.equation.value) for check in reversed(checks) if check.target is not None)
    high, low = max(made, wanted), min(made, wanted)
    lines = (f"Make {wanted}.", guessing.read(task.facts, guess), *(str(check.equation) for check in checks))
    return (*lines, f"{high} - {low} = {high - low}", "Right." if high == low else "Wrong.", boxed(guessing.box(task.facts, guess)))


FIRST = 2  # lines of an attempt before its first check


def boxed(answer: object) -> str:
    return f"\\boxed{{{answer}}}"


def draw_task(family: Family, rng: random.Random, world: World) -> Task | None:
    """One drawn and told problem; None when the draw does not fit (a fraction, a negative number, more than LARGEST)."""
    facts = family.draw(rng, world)
    if facts is None:
        return None
    if family.guessing is None and execute(facts.numbers, operations(facts.strategy)) is None:
        return None
    return Task(family, facts, family.tell(facts, rng))
