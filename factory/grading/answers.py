"""What an answer can state: values with units, lists, sets, tuples, intervals, unions, relations, named values, ratios, words."""

from dataclasses import dataclass

from factory.grading import units
from factory.grading.trees import Node
from factory.grading.units import Unit

FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}


@dataclass(frozen=True)
class Value:
    node: Node
    unit: Unit = units.NONE
    base: int = 10  # of `204_5`: the digits stay as they are written


@dataclass(frozen=True)
class Words:
    """Case and spaces folded."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list without brackets, or a set (`braces`): order and repetition do not count. `joined` by and, or, a comma."""

    items: tuple["Answer", ...]
    braces: bool = False


@dataclass(frozen=True)
class Ordered:
    """A tuple, and an open interval, which looks the same; with a square bracket on either side an interval."""

    items: tuple["Answer", ...]
    left: str = "("
    right: str = ")"


@dataclass(frozen=True)
class Union:
    parts: tuple["Answer", ...]


@dataclass(frozen=True)
class Named:
    """One value, or a set of values, with its names in front: `x = y = 3`, `f(x) = 3`, `x ∈ [0, 1]`."""

    names: tuple[str, ...]
    value: "Answer"
    argument: str = ""  # x of f(x)


@dataclass(frozen=True)
class Relation:
    """What is no named value: equations and inequalities, member by member."""

    members: tuple[Node, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Ratio:
    """`clock`: it looks like a time; `half`: am, pm or nothing."""

    members: tuple[Node, ...]
    clock: bool
    half: str = ""


Answer = Value | Words | Items | Ordered | Union | Named | Relation | Ratio
