"""Can this labeller compare? Pairs of known truth, made of the very templates that it is asked about, and what its answers to them say.

    pairs, rows = control_pairs(candidates, proposed, 20, seed)
    checked = Checked.of(judged(pairs, rows, "templates", labeller, asking), asking.odds)
    checked.least       → -1.8: mean log-odds of yes that at most one in twenty pairs of two patterns reaches
    checked.told()      → "of 20 control pairs of one pattern 13 would merge, of 20 of two patterns 1"

One: a template's description against its steps, each under a name of its own (its name, its tags), which is the same pattern in other
words. Two: the description of one against the steps of another that the index does not propose for it. A labeller whose yes does not tell
these apart (one-sided Fisher's exact test above 5 %) merges nothing, and it is said so: no small model's habit of a word passes for a
judgement. The two of a control share no sentence, but controls of two patterns are easier than what the index proposes: false merges of
near patterns are more frequent than among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb, floor

from factory.identity import seed_for
from factory.schemas import Template
from factory.templates.pairs import Judged, Pair

FALSE = 0.05  # of the controls of two patterns, at most, that may reach the threshold
CHANCE = 0.05  # level of the test
ONE, TWO = 1.0, 0.0  # a control's score is its truth


def control_pairs(candidates: Sequence[Template], proposed: Sequence[Pair], most: int, seed: int) -> tuple[list[Pair], list[Template]]:
    """At most `most` pairs of each truth, drawn by the seed and the ids, and the halves that they are places of. Score 1: one pattern."""
    near = {frozenset((pair.first, pair.second)) for pair in proposed}
    fit = [place for place, row in enumerate(candidates) if row.description.strip() and row.steps and row.tags]
    order = sorted(fit, key=lambda place: (seed_for(seed, "templates", "control", candidates[place].id), place))
    rows: list[Template] = []
    pairs: list[Pair] = []
    for number, place in enumerate(order[:most]):
        others = [other for other in (*order[number + 1 :], *order[:number]) if frozenset((place, other)) not in near]
        begin = len(rows)
        rows += [_what(candidates[place]), _how(candidates[place])]
        pairs.append(Pair(begin, begin + 1, ONE))
        if others:
            rows.append(_how(candidates[others[0]]))
            pairs.append(Pair(begin, begin + 2, TWO))
    return pairs, rows


def _what(row: Template) -> Template:
    return replace(row, steps=(row.description,))


def _how(row: Template) -> Template:
    return replace(row, name=", ".join(row.tags[:2]), scope="")


@dataclass(frozen=True)
class Checked:
    """Controls that merge, and all, of each truth. `least`: as in `Judged`."""

    one: int
    of_one: int
    two: int
    of_two: int
    least: float | None = None

    @classmethod
    def of(cls, found: Sequence[Judged], odds: bool) -> "Checked":
        least = _least(found) if odds else None
        ruled = [replace(item, least=least) for item in found]
        one, two = ([item.agreed for item in ruled if item.pair.score == truth] for truth in (ONE, TWO))
        return cls(sum(one), len(one), sum(two), len(two), least)

    @property
    def chance(self) -> float:
        """How often so many of the controls of one pattern, or more, merge where truth has no part in it: Fisher's exact test, one-sided.
        It holds for odds as well, whose threshold is a rank among the controls of two patterns."""
        every, merged = self.of_one + self.of_two, self.one + self.two
        tail = sum(comb(self.of_one, k) * comb(self.of_two, merged - k) for k in range(self.one, min(self.of_one, merged) + 1))
        return tail / comb(every, merged)

    @property
    def tells(self) -> bool:
        return not self.of_one or self.chance <= CHANCE

    def told(self) -> str:
        return (
            f"of {self.of_one:,} control pairs of one pattern {self.one:,} would merge, of {self.of_two:,} of two patterns {self.two:,} "
            f"(p {self.chance:.2g})"
        )


BELIEVED = Checked(0, 0, 0, 0)  # who is asked no control


def _least(found: Sequence[Judged]) -> float:
    """The smallest value that at most FALSE of the controls of two patterns reach."""
    two = sorted((item.sureness for item in found if item.pair.score == TWO and item.sureness is not None), reverse=True)
    if not two:
        return float("inf")
    passing = floor(FALSE * len(two))
    above = [item.sureness for item in found if item.sureness is not None and item.sureness > two[passing]]
    return min(above, default=float("inf"))
