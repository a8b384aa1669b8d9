"""L_struct on templates that were trained on and on others: which are held out, and what is reported of them.

    trained, heldout = split_templates(rows, 0.3, seed=1)
    spans_of("Description: Two amounts are joined.\\nScope: Something joins.")   → (13, 36, 44, 60): what L_struct is a loss on
    report(rows, trained, before, after)   → {"trained": {"templates": 10, "tokens": 212, "before": 0.41, "after": 0.05, …}, "heldout": …}

A template that is held out stays in the library and in plans: only its description and scope are never trained on. Losses are in nats a
token of description and scope, without the words that introduce them and without the end of the turn.
Source: papers/reasonflux, "Structure-based fine-tuning"; held-out templates are ours.
"""

from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import Any

from factory.identity import seed_for
from factory.language.conversation import flat
from factory.schemas import Example

Loss = tuple[float, int]  # nats, tokens: of one row
REPORTS = Path("data/evaluation")  # structure_<planner>.json
LEADS = ("Description: ", "\nScope: ")


def split_templates(rows: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """(to train on, held out) rows of `structure`, drawn by their templates' ids; with a share above 0 one at least is on each side."""
    order = sorted(rows, key=lambda row: seed_for(seed, "structure", *row.parents))
    count = min(max(1, round(share * len(rows))), len(rows) - 1) if share else 0
    heldout = {row.id for row in order[:count]}
    return [row for row in rows if row.id not in heldout], [row for row in rows if row.id in heldout]


def spans_of(completion: str) -> tuple[int, ...]:
    """Character offsets (start, end, start, end) of the description and of the scope."""
    first, second = LEADS
    description, _, scope = completion.removeprefix(first).partition(second)
    start = len(completion) - len(completion.removeprefix(first))
    return start, start + len(description), len(completion) - len(scope), len(completion)


def report(rows: Sequence[Example], trained: Sequence[Example], before: Sequence[Loss], after: Sequence[Loss]) -> dict[str, Any]:
    """Of `rows`, those that were measured; `trained` are described to the planner. `before` and `after`: of each row."""
    known = {row.id for row in trained}
    measured = list(zip(rows, before, after, strict=True))
    return {
        "described": len(trained), "trained": _summary([(a, b) for row, a, b in measured if row.id in known]),
        "heldout": _summary([(a, b) for row, a, b in measured if row.id not in known]),
        "templates": [
            {
                "template": row.parents[0], "asked": " ".join(flat(row.prompt).split()), "trained": row.id in known, "tokens": count,
                "before": round(nats / max(1, count), 4), "after": round(later / max(1, count), 4),
            }
            for row, (nats, count), (later, _) in measured
        ],
    }  # fmt: skip


def _summary(losses: Sequence[tuple[Loss, Loss]]) -> dict[str, Any]:
    """Means over all tokens, and their perplexities; None where no token was measured."""
    tokens = sum(count for (_, count), _ in losses)
    means = [sum(side[0] for side in sides) / tokens if tokens else None for sides in (zip(*losses, strict=True) if losses else ((), ()))]
    found: dict[str, Any] = {"templates": len(losses), "tokens": tokens}
    for name, mean in zip(("before", "after"), means, strict=True):
        found |= {name: None if mean is None else round(mean, 4), f"perplexity_{name}": None if mean is None else round(exp(mean), 3)}
    return found
