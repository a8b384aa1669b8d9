"""Arms of an ablation of the planner beside the first of them, on all seeds together: tables in Markdown.

    tables({"recipe": "the whole", "no-structure": "no L_struct"}, {1: (answers, problems), …}, {"recipe": {1: Made(…)}, …}, resamples=1000)

Each arm was evaluated with all planner arms (direct, sft, dpo …): an answer's `arm` is both, `no-structure/dpo`. Differences are paired
over the problems that both answered (bootstrap), pooled over seeds, each seed's own behind them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from factory.evaluation.ablations import accuracy
from factory.evaluation.claim import Claim
from factory.evaluation.claims import Evidence, by_group, interval, judge, points
from factory.evaluation.metrics import PLANNER_ARMS, SPLITS, groups_of
from factory.schemas import Answer

WITHIN = (
    ("dpo", "direct"),
    ("dpo_agreed", "direct"),
    ("dpo", "sft"),
    ("sft", "direct"),
    ("oracle", "direct"),
    ("interplay_adjusted", "interplay"),
)


@dataclass(frozen=True)
class Made:
    """What an arm made with one seed: accepted templates, plans to learn from, preference pairs, and data/evaluation/structure_sft.json."""

    templates: int
    plans: int
    pairs: int
    structure: Mapping[str, Any] = field(default_factory=dict)


def named(arm: str, planner: str) -> str:
    return f"{arm}/{planner}"


def tables(arms: Mapping[str, str], evidence: Mapping[int, Evidence], made: Mapping[str, Mapping[int, Made]], *, resamples: int) -> str:
    answers = _by_arm(row for rows, _ in evidence.values() for row in rows)
    planners = [planner for planner in PLANNER_ARMS if any(named(arm, planner) in answers for arm in arms)]
    seeds = f"seeds {', '.join(map(str, evidence))} together" if len(evidence) > 1 else f"seed {min(evidence)}"
    groups = groups_of(row for rows, _ in evidence.values() for row in rows)
    parts = []
    for split in SPLITS:
        parts += [f"Right of all answers to {split} problems, {seeds}, 95 % intervals over problems:"]
        parts += [_grid(arms, planners, answers, lambda rows, split=split: accuracy([row for row in rows if row.split == split]))]
    parts += ["Tokens of an answer, its plan included, both splits:", _grid(arms, planners, answers, _tokens)]
    parts += [_differences(arms, planners, answers, evidence, groups, resamples), _within(arms, evidence, resamples), _made(arms, made)]
    return "\n\n".join(parts)


def _by_arm(rows: Iterable[Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for row in rows:
        found.setdefault(row.arm, []).append(row)
    return found


def _grid(arms: Mapping[str, str], planners: Sequence[str], answers: Mapping[str, list[Answer]], cell: Any) -> str:
    lines = [f"| arm | {' | '.join(planners)} |", "|---" * (len(planners) + 1) + "|"]
    for arm, text in arms.items():
        lines.append(f"| {text} | {' | '.join(cell(answers.get(named(arm, planner), [])) for planner in planners)} |")
    return "\n".join(lines)


def _tokens(rows: Sequence[Answer]) -> str:
    return f"{sum(row.tokens for row in rows) / len(rows):.1f}" if rows else "–"


def _differences(
    arms: Mapping[str, str], planners: Sequence[str], answers: Mapping[str, list[Answer]], evidence: Mapping[int, Evidence],
    groups: Sequence[str], resamples: int,
) -> str:  # fmt: skip
    """From the first arm, of every planner that answers otherwise there."""
    first, *others = arms
    claims = [
        Claim(0, f"{arms[arm]} | {planner}", named(arm, planner), named(first, planner))
        for arm in others
        for planner in planners
        if _said(answers.get(named(arm, planner), [])) != _said(answers.get(named(first, planner), []))
    ]
    about = f"Points of difference from \u201c{arms[first]}\u201d; planners whose answers are the same there are left out:"
    return f"{about}\n\n{_table('arm | planner', claims, evidence, groups, resamples)}" if claims else f"{about} all are the same."


def _said(rows: Sequence[Answer]) -> set[tuple[str, str]]:
    return {(row.problem_id, row.completion) for row in rows}


def _within(arms: Mapping[str, str], evidence: Mapping[int, Evidence], resamples: int) -> str:
    claims = [
        Claim(0, f"{text} | {first} − {second}", named(arm, first), named(arm, second))
        for arm, text in arms.items()
        for first, second in WITHIN
    ]
    return f"Points of difference within an arm (a plan or none):\n\n{_table('arm | of', claims, evidence, [], resamples)}"


def _table(head: str, claims: Sequence[Claim], evidence: Mapping[int, Evidence], groups: Sequence[str], resamples: int) -> str:
    """A line a claim: both splits with the pooled interval, each seed's own, and the groups' differences."""
    seeds = f"seeds {', '.join(map(str, evidence))}" if len(evidence) > 1 else ""
    found = {(v.claim.text, v.split, v.claim.group): v for v in judge(evidence, [*claims, *by_group(claims, groups)], resamples=resamples)}
    columns = [part for split in SPLITS for part in (split, *([seeds] if seeds else []), *(f"{split}, {group}" for group in groups))]
    lines = [f"| {head} | {' | '.join(columns)} |", "|---" * (len(columns) + head.count("|") + 1) + "|"]
    for claim in claims:
        cells = []
        for split in SPLITS:
            if (verdict := found.get((claim.text, split, None))) is None:
                continue  # a planner that this seed's line lacks
            cells += [interval(verdict)] + ([", ".join(points(value) for value in verdict.seeds.values())] if seeds else [])
            cells += [interval(found[claim.text, split, group]) for group in groups]
        if cells:
            lines.append(f"| {claim.text} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _made(arms: Mapping[str, str], made: Mapping[str, Mapping[int, Made]]) -> str:
    """What stands behind the figures, and L_struct where templates were left out of it."""
    lines = ["| arm | templates | described | plans | pairs | loss on described templates | on the others |", "|---" * 7 + "|"]
    for arm, text in arms.items():
        rows = list(made.get(arm, {}).values())
        counts = [(row.templates, row.structure.get("described", "–"), row.plans, row.pairs) for row in rows]
        losses = [loss([row.structure.get(side, {}) for row in rows]) for side in ("trained", "heldout")]
        cells = [", ".join(map(str, column)) for column in zip(*counts, strict=True)] if counts else ["–"] * 4
        lines.append(f"| {text} | {' | '.join([*cells, *losses])} |")
    about = (
        "What each made, seed by seed. Loss: nats a token of description and scope, of the base and then of the planner by SFT, all seeds "
        "together, with the number of templates; measured where some are not described."
    )
    return about + "\n\n" + "\n".join(lines)


def loss(summaries: Sequence[Mapping[str, Any]]) -> str:
    """`0.412 → 0.051 (10)`: means over all tokens of all seeds' templates; – where none was measured."""
    measured = [row for row in summaries if row.get("tokens")]
    tokens = sum(row["tokens"] for row in measured)
    if not tokens:
        return "–"
    before, after = (sum(row[side] * row["tokens"] for row in measured) / tokens for side in ("before", "after"))
    return f"{before:.3f} → {after:.3f} ({sum(row['templates'] for row in measured)})"
