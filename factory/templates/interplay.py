"""Planner and inference model talk in plans: read a plan, tie each line to a template, write the guided prompt (ReasonFlux §3.3).

A plan is one template a line, its name and tags, or the word `none`: then the problem is solved without templates.

    put together (add, total)
    give away (subtract, left)

Source: papers/reasonflux, "Inference scaling" steps 1 and 2.
"""

from collections.abc import Sequence

from factory.language.prompting import Prompts
from factory.schemas import Conversation, Template
from factory.templates.plan_reading import NOTHING, PlanError, plan_lines
from factory.templates.retrieve import find_templates, label

__all__ = ["NOTHING", "PlanError", "guided_prompt", "parse_plan", "plan_lines", "plan_text"]


def parse_plan(text: str, templates: Sequence[Template], max_templates: int | None = None) -> list[Template]:
    """Tie each line to the template that its name and tags retrieve; [] of a plan of no template.

    Raises PlanError: malformed, too long, or nothing retrieved."""
    lines = plan_lines(text)
    if max_templates is not None and len(lines) > max_templates:
        raise PlanError("too many templates")
    plan = []
    for name, tags in lines:
        best = find_templates(f"{name} ({', '.join(tags)})" if tags else name, templates)
        if not best:
            raise PlanError("no template retrieved")
        plan.append(best[0])
    return plan


def plan_text(templates: Sequence[Template]) -> str:
    """The plan in the library's own names and tags; `parse_plan` of it gives the templates back when their names are distinct."""
    return "\n".join(label(template) for template in templates) or NOTHING


def guided_prompt(prompts: Prompts, problem: str, templates: Sequence[Template]) -> Conversation:
    """What the inference model reads: the problem and the steps of the templates in the plan's order; the question of an ordinary solution
    where the plan has none."""
    if not templates:
        return prompts.render("solve", problem=problem)
    return prompts.render("guided", problem=problem, templates=templates)
