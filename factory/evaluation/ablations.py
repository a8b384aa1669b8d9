"""Arms of an ablation beside the first of them, on all seeds together: tables in Markdown.

    tables({"full": "the whole recipe", "no-orm": "no reward model"}, {1: (answers, problems), 2: …}, resamples=1000)

An arm's answers carry its name as their model. Accuracies have Wilson's interval; differences are paired over the problems that both arms
answered (bootstrap), pooled over seeds, each seed's own behind them.
"""

from collections.abc import Mapping, Sequence

from factory.evaluation.claim import Claim
from factory.evaluation.claims import Evidence, by_group, group_table, interval, judge, points
from factory.evaluation.metrics import SPLITS, groups_of, name_of, self_correction
from factory.evaluation.statistics import wilson
from factory.schemas import Answer


def tables(arms: Mapping[str, str], evidence: Mapping[int, Evidence], *, resamples: int) -> str:
    first, *others = arms
    claims = [Claim(0, arms[name], name, first) for name in others]
    grouped = by_group(claims, groups_of(row for answers, _ in evidence.values() for row in answers))
    seeds = f"seeds {', '.join(map(str, evidence))} together" if len(evidence) > 1 else f"seed {min(evidence)}"
    parts = [
        f"Right of all answers, {seeds}, 95 % intervals over problems; tokens: mean of an answer; corrected, broken: answers that an arm "
        "reflected on and turned from wrong to right, and from right to wrong, of all.",
        _accuracies(arms, evidence),
        f"Points of difference from \u201c{arms[first]}\u201d:",
        _differences(claims, evidence, resamples),
    ]
    if grouped:
        parts += ["The same by group:", _unnumbered(group_table(judge(evidence, grouped, resamples=resamples)))]
    return "\n\n".join(parts)


def _unnumbered(table: str) -> str:
    """Arms are no claims of a paper."""
    return table.replace("| claim |", "| arm |").replace("| 0. ", "| ")


def _accuracies(arms: Mapping[str, str], evidence: Mapping[int, Evidence]) -> str:
    lines = [f"| arm | {' | '.join(SPLITS)} | tokens | corrected, broken |", "|---|" + "---|" * (len(SPLITS) + 2)]
    for name, text in arms.items():
        rows = [row for answers, _ in evidence.values() for row in answers if name_of(row) == name]
        corrected = broken = 0
        for answers, problems in evidence.values():
            found = self_correction([row for row in answers if name_of(row) == name], {problem.id: problem for problem in problems})
            corrected, broken = corrected + found["wrong_to_right"], broken + found["right_to_wrong"]
        cells = [accuracy([row for row in rows if row.split == split]) for split in SPLITS]
        tokens = sum(row.tokens for row in rows) / max(1, len(rows))
        lines.append(f"| {text} | {' | '.join(cells)} | {tokens:.1f} | {corrected}, {broken} of {len(rows):,} |")
    return "\n".join(lines)


def accuracy(rows: Sequence[Answer]) -> str:
    correct = sum(row.verdict == "correct" for row in rows)
    low, high = wilson(correct, len(rows))
    return f"{100 * correct / len(rows):.1f} [{100 * low:.1f}, {100 * high:.1f}]" if rows else "–"


def _differences(claims: Sequence[Claim], evidence: Mapping[int, Evidence], resamples: int) -> str:
    verdicts = judge(evidence, claims, resamples=resamples)
    cells = {(verdict.claim.text, verdict.split): verdict for verdict in verdicts}
    seeds = ", ".join(map(str, evidence))
    columns = [column for split in SPLITS for column in (split, f"seeds {seeds}")]
    lines = [f"| arm | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for claim in claims:
        row = [claim.text]
        for split in SPLITS:
            verdict = cells[claim.text, split]
            row += [interval(verdict), ", ".join(points(value) for value in verdict.seeds.values())]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)
