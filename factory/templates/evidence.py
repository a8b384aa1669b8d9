"""What attempts at solving with a template say of it: one rule for induced templates and for imported ones.

    decide(template, [(True, "4c18…"), (False, "9e02…"), …], 0.05)   → Template(status="accepted", resolved=24, solve_rate=0.08, …)

An induced template is tried on its source problems under their whole plans, an imported one on its own worked example.
"""

from collections.abc import Sequence
from dataclasses import replace

from factory.evaluation.statistics import wilson
from factory.schemas import Template
from factory.templates.lint import blocked


def decide(template: Template, attempts: Sequence[tuple[bool, str]], min_solve_rate: float) -> Template:
    """(whether it is right, request id) of every attempt that was answered; a template without any stays in quarantine.

    An attempt fails with any step of its plan that the labeller named wrong, so that failures prove little against a template: it is
    quarantined where none was right, or where the whole 95 % interval of its rate lies below `min_solve_rate`."""
    solved = sum(right for right, _ in attempts)
    rate = solved / len(attempts) if attempts else None
    good = solved > 0 and wilson(solved, len(attempts))[1] >= min_solve_rate and not blocked(template)
    return replace(
        template, request_ids=template.request_ids + tuple(request_id for _, request_id in attempts), resolved=len(attempts),
        solve_rate=rate, status="accepted" if good else "quarantined",
    )  # fmt: skip
