"""A sample of distinct answers out of very many attempts, drawn by their hashes in bounded memory.

draw = Draw(200)
draw.add(("1/3", "0.333333", "math"), "What is …", "wrong", 4)
draw.found()   → {("1/3", "0.333333", "math"): Same("What is …", Counter({"wrong": 4})), …}, at most 200
"""

import heapq
from collections import Counter
from dataclasses import dataclass

from factory.identity import digest
from factory.schemas import AnswerKind, Verdict

Key = tuple[str, str, AnswerKind]


@dataclass
class Same:
    """The attempts of one key: the first of their problems' texts, and how many rows have which verdict on record."""

    problem: str
    verdicts: Counter[Verdict | None]


class Draw:
    """The `most` keys whose hashes are lowest, whatever the order in which they come; of the others only that they were there."""

    def __init__(self, most: int) -> None:
        self.most, self.rows = most, 0
        self.seen: set[int] = set()
        self._highest: list[tuple[int, Key]] = []  # a heap, the highest hash first
        self._kept: dict[Key, Same] = {}

    def add(self, key: Key, problem: str, verdict: Verdict | None, rows: int) -> None:
        place = int(digest(*key), 16)
        self.rows += rows
        if key not in self._kept:
            new = place not in self.seen
            self.seen.add(place)
            if not new or (len(self._kept) == self.most and place > -self._highest[0][0]):
                return  # what was pushed out once stays out: the highest of those kept only falls
            heapq.heappush(self._highest, (-place, key))
            self._kept[key] = Same(problem, Counter())
            if len(self._kept) > self.most:
                del self._kept[heapq.heappop(self._highest)[1]]
                if key not in self._kept:
                    return
        same = self._kept[key]
        same.problem = min(same.problem, problem)
        same.verdicts[verdict] += rows

    def found(self) -> dict[Key, Same]:
        """In the order of the hashes."""
        return {key: self._kept[key] for _, key in sorted(self._highest, reverse=True)}
