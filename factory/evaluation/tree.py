"""A tree of solutions for Monte Carlo tree search: what to try next, and what the tree says in the end. No model in here.

    root = Node("")
    root.grow([Node("12 + 7 = 19\\n", prior=0.75), Node("12 * 7 = 84\\n", prior=0.25)])
    for child, value in zip(root.children, (0.8, 0.3)): child.back_up(value)
    select(root, explore=1.0).text                       → "12 + 7 = 19\\n"
    child.solve(Solution("12 + 7 = 19\\n\\\\boxed{19}", "19", 0.9)); chosen(root, "visits")

A node is open, or closed: finished, or with closed children alone; closed ones are not tried again. Selection is PUCT: the mean value of
all that lies below, and a bonus for what the model often writes and the search seldom tried. Ties go to the child sampled first.

Source: Silver et al. 2017 (PUCT: Q + c · P · √N / (1 + n)); the prior is the share of the samples that wrote this step.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Optional

Chooses = Literal["visits", "value", "vote"]


@dataclass(frozen=True)
class Solution:
    """A path that came to an answer. `value`: in [0, 1]."""

    text: str
    answer: str
    value: float


@dataclass(eq=False)
class Node:
    """`text`: the solution so far, from the first word on. `prior`: the share of its siblings' samples. `visits`, `total`: how many values
    were found at and below it, and their sum."""

    text: str
    prior: float = 1.0
    parent: Optional["Node"] = None
    children: list["Node"] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0
    solutions: list[Solution] = field(default_factory=list)  # that end or were rolled out here
    reaches: bool = False  # whether a solution lies here or below
    closed: bool = False

    @property
    def mean(self) -> float:
        return self.total / self.visits if self.visits else 0.0

    def upwards(self) -> Iterator["Node"]:
        node: Node | None = self
        while node:
            yield node
            node = node.parent

    def grow(self, children: Sequence["Node"]) -> None:
        for child in children:
            child.parent = self
        self.children = list(children)

    def back_up(self, value: float) -> None:
        for node in self.upwards():
            node.visits += 1
            node.total += value

    def solve(self, solution: Solution) -> None:
        self.solutions.append(solution)
        for node in self.upwards():
            node.reaches = True

    def close(self) -> None:
        for node in self.upwards():
            node.closed = node is self or all(child.closed for child in node.children)
            if not node.closed:
                return

    def below(self) -> Iterator["Node"]:
        """This one and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)


def select(root: Node, explore: float) -> Node | None:
    """The open leaf to grow next, None where the whole tree is closed."""
    if root.closed:
        return None
    node = root
    while node.children:
        scale = explore * math.sqrt(node.visits)
        node = max((child for child in node.children if not child.closed), key=lambda child: _puct(child, scale))
    return node


def _puct(child: Node, scale: float) -> float:
    return round(child.mean + scale * child.prior / (1 + child.visits), 9)  # so that the order of a sum decides no tie


def most_visited(root: Node, *, solved: bool) -> Node:
    """The end of the most visited path; of children visited alike the better one. `solved`: only where solutions lie."""
    node = root
    while among := [child for child in node.children if child.reaches or not solved]:
        node = max(among, key=lambda child: (child.visits, round(child.mean, 9)))
    return node


def chosen(root: Node, by: Chooses) -> Solution | None:
    """The tree's solution, None without any: at the end of the most visited path that has one · of the highest value · the best of the
    answer whose solutions' values have the highest sum."""
    solutions = [solution for node in root.below() for solution in node.solutions]
    if not solutions:
        return None
    if by == "visits":
        node = most_visited(root, solved=True)
        while not node.solutions and node.parent:
            node = node.parent
        solutions = node.solutions or solutions
    if by == "vote":
        votes: dict[str, float] = defaultdict(float)
        for solution in solutions:
            votes[solution.answer] += solution.value
        best = max(votes, key=lambda answer: round(votes[answer], 9))
        solutions = [solution for solution in solutions if solution.answer == best]
    return max(solutions, key=lambda solution: solution.value)
