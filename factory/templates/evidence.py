"""What attempts at solving with a template say of it: one rule for induced templates and for imported ones.

    decide(template, [(True, "4c18…"), (False, "9e02…"), …], 0.05)   → Template(status="accepted", resolved=24, solve_rate=0.08, …)

An induced template is tried on its source problems under their whole plans, an imported one on its own worked example. Of a library that
is to be small (`templates.most`) the best supported stay.
"""

from collections.abc import Collection, Sequence
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


def best_supported(templates: Sequence[Template], problem_ids: Collection[str], most: int | None) -> list[Template]:
    """The same templates, of which at most `most` stay accepted: those that come from the most problems, of equal ones the one with the
    higher solve rate. The others are retired; imported ones come from no problem of the line, so that they are so first."""
    known = frozenset(problem_ids)

    def rank(template: Template) -> tuple[int, float, str]:
        return -len(known.intersection(template.parents)), -(template.solve_rate or 0.0), template.id

    accepted = sorted((template for template in templates if template.status == "accepted"), key=rank)
    gone = {template.id for template in accepted[most:]} if most is not None else set()
    return [replace(template, status="retired") if template.id in gone else template for template in templates]
