"""Checks of templates, of their descriptions and of plans, as `checks` holds those of all tables.

    proven(row, background)   → False for an accepted template that never solved a problem
    plan_in_library(row, background)   → False for a plan with a line that names no accepted template

Source: ReasonFlux sections 3.1 (templates) and 3.2 (structure, plans).
"""

from typing import Any

from factory.errors import DataError
from factory.gate.background import Background
from factory.grading import extract_answer, grade, normalise, parse_number
from factory.language.conversation import flat
from factory.schemas import AnswerKind
from factory.templates.interplay import plan_lines

IMPORTED = "import@"  # how the model of an imported row begins
ROUNDING = 1e-6


def plan_readable(row: Any, _: Background) -> bool:
    return _readable_plan(row.completion)


def _readable_plan(text: str) -> bool:
    try:
        plan_lines(text)
    except DataError:
        return False
    return True


def plans_readable(row: Any, _: Background) -> bool:
    return all(_readable_plan(text) for text in (row.chosen, row.rejected))


def plan_in_library(row: Any, background: Background) -> bool:
    """Every line names an accepted template."""
    try:
        return all(normalise(name) in background.accepted_names for name, _ in plan_lines(row.completion))
    except DataError:
        return False


def describes_template(row: Any, background: Background) -> bool:
    """The completion holds description and scope of an accepted template that the prompt names."""
    return any(
        template.name in flat(row.prompt) and template.description in row.completion and template.scope in row.completion
        for template in background.accepted
    )


def has_steps(row: Any, _: Background) -> bool:
    return len(row.steps) > 0 and all(step.strip() for step in row.steps)


def has_tags(row: Any, _: Background) -> bool:
    return len(row.tags) > 0 and all(tag.strip() for tag in row.tags)


def example_right(row: Any, _: Background) -> bool:
    """The worked example reaches its answer: boxed, or (a source's solution without boxes) anywhere."""
    if row.status != "accepted" and row.model.startswith(IMPORTED):
        return True  # kept for people to look at: lint says what is wrong
    if extract_answer(row.example_solution) is None:
        return normalise(row.example_answer) in normalise(row.example_solution)
    kinds: tuple[AnswerKind, ...] = ("text", "math") if parse_number(row.example_answer) is None else ("number",)
    return any(grade(row.example_solution, row.example_answer, kind).correct for kind in kinds)


def example_from_train(row: Any, background: Background) -> bool:
    return background.sides.unseen_text(row.example_problem)


def proven(row: Any, _: Background) -> bool:
    """An accepted template was tried and solved at least one problem; a rate is that of whole attempts, and there is none without any."""
    if row.resolved == 0 or row.solve_rate is None:
        return row.status != "accepted" and row.resolved == 0 and row.solve_rate is None
    solved = row.solve_rate * row.resolved
    return abs(solved - round(solved)) < ROUNDING and (row.status != "accepted" or solved > 0)
