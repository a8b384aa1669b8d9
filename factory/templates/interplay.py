"""Planner and inference model talk in plans: read a plan, tie each line to a template, write the guided prompt (ReasonFlux §3.3).

A plan is one template a line, its name and tags:

    put together (add, total)
    give away (subtract, left)

Source: papers/reasonflux, "Inference scaling" steps 1 and 2.
"""

import re
from collections.abc import Sequence

from factory.errors import DataError
from factory.language.prompting import render
from factory.schemas import Template
from factory.templates.retrieve import find_templates, label

_LINE = re.compile(r"(?P<name>[^()\n]*[^()\s]) \((?P<tags>[^()\n]+)\)")


class PlanError(DataError):
    """A text that is no plan. The message is short and names no detail, so that rejects with one cause count as one reason."""


def plan_lines(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """(name, tags) of every line. Raises PlanError on an empty plan or a line that is not `name (tag, tag)`."""
    lines = text.strip().split("\n")
    if lines == [""]:
        raise PlanError("empty plan")
    matches = [_LINE.fullmatch(line.strip()) for line in lines]
    found = [(match["name"].strip(), tuple(tag.strip() for tag in match["tags"].split(","))) for match in matches if match]
    if len(found) < len(lines) or not all(tag for _, tags in found for tag in tags):
        raise PlanError("malformed plan")
    return found


def parse_plan(text: str, templates: Sequence[Template], max_templates: int | None = None) -> list[Template]:
    """Tie each line to the template that its name and tags retrieve. Raises PlanError: malformed, too long, or nothing retrieved."""
    lines = plan_lines(text)
    if max_templates is not None and len(lines) > max_templates:
        raise PlanError("too many templates")
    plan = []
    for name, tags in lines:
        best = find_templates(f"{name} ({', '.join(tags)})", templates)
        if not best:
            raise PlanError("no template retrieved")
        plan.append(best[0])
    return plan


def plan_text(templates: Sequence[Template]) -> str:
    """The plan in the library's own names and tags; `parse_plan` of it gives the templates back when their names are distinct."""
    return "\n".join(label(template) for template in templates)


def guided_prompt(problem: str, templates: Sequence[Template]) -> str:
    """What the inference model reads: the problem and the steps of the templates in the plan's order."""
    return render("guided", problem=problem, templates=templates)
