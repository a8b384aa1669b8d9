"""Planner and inference model talk in plans: read a plan, tie each line to a template, write the guided prompt (ReasonFlux §3.3).

A plan is one template a line, its name and tags, or the word `none`: then the problem is solved without templates.

    put together (add, total)
    give away (subtract, left)

Source: papers/reasonflux, "Inference scaling" steps 1 and 2.
"""

from collections.abc import Sequence
from dataclasses import replace

from factory.grading import normalise
from factory.identity import row_id
from factory.language.prompting import Prompts
from factory.params.sections import Retrieval
from factory.schemas import Conversation, Template
from factory.templates.plan_reading import NOTHING, PlanError, plan_lines
from factory.templates.retrieve import find_templates, label

__all__ = ["NOTHING", "PlanError", "guided_prompt", "parse_plan", "plan_lines", "plan_text", "planned"]


def parse_plan(
    text: str, templates: Sequence[Template], max_templates: int | None = None, retrieval: Retrieval = "nearest"
) -> list[Template]:
    """Tie each line to the template that its name and tags retrieve, or to none; [] of a plan of no template.

    Raises PlanError: malformed, too long, or nothing found."""
    lines = plan_lines(text)
    if max_templates is not None and len(lines) > max_templates:
        raise PlanError("too many templates")
    plan = []
    for name, tags in lines:
        if retrieval == "none":
            plan.append(planned(name, tags))
            continue
        best = find_templates(f"{name} ({', '.join(tags)})" if tags else name, templates)
        if not best:
            raise PlanError("no template retrieved")
        if retrieval == "exact" and normalise(name) != normalise(best[0].name):
            raise PlanError("no template of that name")
        plan.append(best[0])
    return plan


def planned(name: str, tags: tuple[str, ...]) -> Template:
    """What a plan's line says of a template, of which nothing else is known. Raises PlanError without tags: no plan can be written so."""
    if not tags:
        raise PlanError("a name without tags")
    return Template(
        id=row_id("planned", name, tags), model="", prompt_version="", seed=0, round="", name=name, tags=tags, description="", scope="",
        steps=(), example_problem="", example_solution="", example_answer="", source="planned", licence="", status="quarantined",
        resolved=0, solve_rate=None, version=0,
    )  # fmt: skip


def plan_text(templates: Sequence[Template]) -> str:
    """The plan in the library's own names and tags; `parse_plan` of it gives the templates back when their names are distinct."""
    return "\n".join(label(template) for template in templates) or NOTHING


def guided_prompt(prompts: Prompts, problem: str, templates: Sequence[Template]) -> Conversation:
    """What the inference model reads: the problem and the steps of the templates in the plan's order, of those without steps name and tags;
    the question of an ordinary solution where the plan has none."""
    if not templates:
        return prompts.render("solve", problem=problem)
    shown = [template if template.steps else replace(template, name=label(template)) for template in templates]
    return prompts.render("guided", problem=problem, templates=shown)
