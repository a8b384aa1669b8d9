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
from factory.schemas import AnswerKind


@dataclass(frozen=True)
class Facts:
    """`numbers` in reading order (the computing order, too); `key` is canonical; in a search family `guess` is the right
    way's number."""

    numbers: tuple[int, ...]
    strategy: tuple[str, ...]
    key: tuple[str, ...]
    guess: int = 0


@dataclass(frozen=True)
class Check:
    """One equation of an attempt and the number that it must give; None: nothing to compare with."""

    equation: Equation
    target: int | None


@dataclass(frozen=True)
class Family:
    name: str
    group: str  # a label for reports
    unseen: bool
    draw: Callable[[random.Random, World], Facts | None]  # None: this draw does not fit, draw again
    tell: Callable[[Facts, random.Random], str]
    space: Callable[[World], int]  # distinct instances, counted or bounded from below
    checks: Callable[[Facts, int], tuple[Check, ...] | None] | None = None  # of a guess, in a search family; None leaves 0 … LARGEST


@dataclass(frozen=True)
class Task:
    family: Family
    facts: Facts
    text: str

    @property
    def instance(self) -> str:
        return f"{self.family.name}:{','.join(self.facts.key)}"

    def checks(self, guess: int) -> tuple[Check, ...]:
        """Of way number `guess`; none in a family of procedures."""
        return (self.family.checks(self.facts, guess) or ()) if self.family.checks else ()

    def attempt(self, guess: int) -> tuple[str, ...]:
        """An honest attempt of a search: way number `guess`, checked."""
        return attempt(guess, self.checks(guess))

    @cached_property
    def equations(self) -> tuple[Equation, ...]:
        if self.family.checks:
            return tuple(check.equation for check in self.checks(self.facts.guess))
        return execute(self.facts.numbers, operations(self.facts.strategy)) or ()

    @cached_property
    def solution(self) -> tuple[str, ...]:
        """The gold steps, one a line, the box last."""
        if self.family.checks:
            return self.attempt(self.facts.guess)
        return (*map(str, self.equations), boxed(self.equations[-1].value))

    @property
    def answer(self) -> str:
        return self.solution[-1].removeprefix("\\boxed{").removesuffix("}")

    @property
    def answer_kind(self) -> AnswerKind:
        return "number" if self.answer.isdigit() else "text"


def attempt(guess: int, checks: Sequence[Check]) -> tuple[str, ...]:
    """What is wanted, a guess, its checks as given, how far off they are, and the box: a plain chain of thought cannot go back.

        Make 32. · Try none. · 20 + 7 = 27 · 27 + 4 = 31 · 31 + 9 = 40 · 40 - 32 = 8 · Wrong. · \\boxed{none}

    The wanted number stands first, where nothing but the problem says it; a small model compares two numbers by taking one from the other.
    """
    wanted, made = next((check.target, check.equation.value) for check in reversed(checks) if check.target is not None)
    high, low, name = max(made, wanted), min(made, wanted), WAYS[guess % len(WAYS)]
    lines = (f"Make {wanted}.", f"Try {name}.", *(str(check.equation) for check in checks))
    return (*lines, f"{high} - {low} = {high - low}", RIGHT if high == low else WRONG, boxed(name))


WAYS = ("none", "first", "second", "third")  # the guesses of a search (which of three went), in the order in which they are tried
RIGHT, WRONG = "Right.", "Wrong."
FIRST = 2  # lines of an attempt before its first check


def boxed(answer: object) -> str:
    return f"\\boxed{{{answer}}}"


def draw_task(family: Family, rng: random.Random, world: World) -> Task | None:
    """One drawn and told problem; None when the draw does not fit (a fraction, a negative number, more than LARGEST)."""
    facts = family.draw(rng, world)
    if facts is None:
        return None
    if family.checks is None and execute(facts.numbers, operations(facts.strategy)) is None:
        return None
    return Task(family, facts, family.tell(facts, rng))
