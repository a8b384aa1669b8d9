"""Claims about the arms of a line, judged on the answers of several seeds together.

    judge({1: (answers, problems), 2: …, 3: …}, claims, resamples=1000)
    → [Verdict(claim=claims[0], split="heldout", value=0.21, low=0.19, high=0.24, n=3000, seeds={1: 0.2, …}, holds=True), …]

Each seed draws its own problems, so that "pooled" means all problems of all seeds, both arms of a problem resampled together (paired
bootstrap). *Above* means that the 95 % interval of the difference excludes 0, *not below* that its lower end is at least -2 points.
A failed or unparsable answer counts as wrong. The claims of the laptop's line are those of its world.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from factory.evaluation.claim import Claim
from factory.evaluation.metrics import SPLITS, corrected, name_of
from factory.identity import seed_for
from factory.schemas import Answer, Problem

NOT_BELOW = -0.02
ROUNDING = 1e-9
Evidence = tuple[Sequence[Answer], Sequence[Problem]]  # of one seed
Counts = np.ndarray  # (problems, 4): numerator and denominator of the first arm, then of the second


@dataclass(frozen=True)
class Verdict:
    """`value`: the difference over all seeds together, None when nothing could be counted; `seeds`: the same within each seed."""

    claim: Claim
    split: str
    first: float | None
    second: float | None
    value: float | None
    low: float | None
    high: float | None
    n: int
    seeds: dict[int, float | None]

    @property
    def holds(self) -> bool:
        if self.value is None or self.low is None:
            return False
        return self.low >= NOT_BELOW if self.claim.not_below else self.low > 0 and self.value >= self.claim.margin - ROUNDING


def judge(evidence: Mapping[int, Evidence], claims: Sequence[Claim], *, resamples: int) -> list[Verdict]:
    """A verdict a claim and split. A claim about an arm that some seed lacks is left out."""
    verdicts = []
    arms = {seed: _by_arm(answers) for seed, (answers, _) in evidence.items()}
    for claim in claims:
        if not all({claim.first, claim.second} <= set(found) for found in arms.values()):
            continue
        for split in SPLITS:
            counts = {seed: _counts(claim, split, arms[seed], problems) for seed, (_, problems) in evidence.items()}
            verdicts.append(_verdict(claim, split, counts, resamples))
    return verdicts


def by_group(claims: Sequence[Claim], groups: Iterable[str]) -> list[Claim]:
    """Each claim about all problems, once for each group: no claims themselves, they show where a difference comes from."""
    names = list(groups)
    return [replace(claim, group=group) for claim in claims if claim.group is None for group in names]


def _by_arm(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """A trained model's answers under the model's name, a planner arm's under the arm's."""
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(name_of(answer) if answer.arm == "policy" else answer.arm, []).append(answer)
    return found


def _counts(claim: Claim, split: str, arms: Mapping[str, Sequence[Answer]], problems: Sequence[Problem]) -> Counts:
    """One row a problem that both arms answered."""
    known = {problem.id: problem for problem in problems}

    def score(answer: Answer) -> tuple[int, int]:
        return corrected(answer, known[answer.problem_id]) if claim.correction else (int(answer.verdict == "correct"), 1)

    sides = [
        {row.problem_id: score(row) for row in arms[name] if row.split == split and claim.group in (None, row.group)}
        for name in (claim.first, claim.second)
    ]
    shared = sorted(sides[0].keys() & sides[1].keys())
    return np.array([(*sides[0][key], *sides[1][key]) for key in shared], dtype=float).reshape(-1, 4)


def _verdict(claim: Claim, split: str, counts: Mapping[int, Counts], resamples: int) -> Verdict:
    pooled = np.concatenate(list(counts.values()))
    first, second = _shares(pooled)
    value, low, high = _difference(pooled), None, None
    if value is not None:
        generator = np.random.default_rng(seed_for(0, "claims", claim.first, claim.second, claim.group, split))
        drawn = [_difference(pooled[generator.integers(0, len(pooled), len(pooled))]) for _ in range(resamples)]
        low, high = map(float, np.percentile([found for found in drawn if found is not None], [2.5, 97.5]))
    return Verdict(claim, split, first, second, value, low, high, len(pooled), {seed: _difference(part) for seed, part in counts.items()})


def _shares(counts: Counts) -> tuple[float | None, float | None]:
    a, of_a, b, of_b = counts.sum(axis=0)
    return (float(a / of_a) if of_a else None, float(b / of_b) if of_b else None)


def _difference(counts: Counts) -> float | None:
    first, second = _shares(counts)
    return None if first is None or second is None else first - second


def table(verdicts: Sequence[Verdict]) -> str:
    """The table of the README, in Markdown: points of difference with the pooled interval, each seed's own behind it."""
    seeds = sorted({seed for verdict in verdicts for seed in verdict.seeds})
    lines = [
        f"| claim | split | first | second | difference [95 %] | seeds {', '.join(map(str, seeds))} | holds |",
        "|---|---|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        each = ", ".join(points(verdict.seeds[seed]) for seed in seeds)
        lines.append(
            f"| {verdict.claim.number}. {verdict.claim.text} | {verdict.split} | {_share(verdict.first)} | {_share(verdict.second)} "
            f"| {interval(verdict)} | {each} | {'yes' if verdict.holds else 'no'} |"
        )
    return "\n".join(lines)


def group_table(verdicts: Sequence[Verdict]) -> str:
    """The differences of `by_group`'s claims in Markdown, a column a group."""
    lines: dict[tuple[int, str, str], dict[str, str]] = {}
    for verdict in verdicts:
        claim = verdict.claim
        lines.setdefault((claim.number, claim.text, verdict.split), {})[str(claim.group)] = interval(verdict)
    groups = list(dict.fromkeys(str(verdict.claim.group) for verdict in verdicts))
    head = [f"| claim | split | {' | '.join(groups)} |", "|---|---" + "|---" * len(groups) + "|"]
    rows = [
        f"| {number}. {text} | {split} | {' | '.join(cells[group] for group in groups)} |" for (number, text, split), cells in lines.items()
    ]
    return "\n".join(head + rows)


def interval(verdict: Verdict) -> str:
    """Points of difference with their interval."""
    if verdict.value is None:
        return "not measurable"
    return f"{points(verdict.value)} [{points(verdict.low)}, {points(verdict.high)}]"


def points(value: float | None) -> str:
    """`+2.1`"""
    return "–" if value is None else f"{100 * value:+.1f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".removeprefix("0")
