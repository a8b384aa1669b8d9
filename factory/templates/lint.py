"""What is wrong with a template: findings that quarantine it, and warnings for a person.

    Finding(template_id="51aa…", name="put together", problem="steps hold 12, a number of its own example", blocking=True)

A library that people import carries such defects by the dozen (papers/reasonflux, "Template T"): empty steps, steps that solve one example
only, duplicate names, entries that their own name and tags do not retrieve.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from factory.grading import normalise
from factory.schemas import Template
from factory.templates.retrieve import label, similar_texts

MAX_STEPS = 12
MAX_WORDS = 200  # of all steps: the guided prompt repeats them for every template of a plan
NEAR_DUPLICATE = 90.0  # rapidfuzz ratio of two normalised names, 0 to 100
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Finding:
    template_id: str
    name: str
    problem: str
    blocking: bool  # the template must not be used as it is


def lint_template(template: Template) -> list[Finding]:
    """Findings that the template alone shows."""
    found = []
    steps = " ".join(template.steps)
    if not steps.strip() or not all(step.strip() for step in template.steps):
        found.append("empty steps")
    if len(template.steps) > MAX_STEPS or len(steps.split()) > MAX_WORDS:
        found.append(f"too long: {len(template.steps)} steps, {len(steps.split())} words (at most {MAX_STEPS} and {MAX_WORDS})")
    if not template.tags:
        found.append("no tags")
    if any(mark in template.name for mark in "()\n") or not template.name.strip():
        found.append("a name that no plan line can hold")
    example = set(_NUMBER.findall(f"{template.example_problem} {template.example_solution}"))
    for number in sorted(example & set(_NUMBER.findall(steps))):
        found.append(f"steps hold {number}, a number of its own example")
    return [Finding(template.id, template.name, problem, blocking=True) for problem in found]


def lint_library(templates: Sequence[Template]) -> list[Finding]:
    """Every template's own findings, then near-duplicate names, then templates that their own name and tags do not retrieve first."""
    from rapidfuzz import fuzz

    ordered = sorted(templates, key=lambda template: template.id)
    found = [finding for template in ordered for finding in lint_template(template)]
    names = [normalise(template.name) for template in ordered]
    for index, template in enumerate(ordered):
        for other, name in zip(ordered[:index], names[:index], strict=True):
            if fuzz.ratio(names[index], name) >= NEAR_DUPLICATE:
                found.append(Finding(template.id, template.name, f"name nearly that of {other.name} ({other.id})", blocking=False))
    documents = {template.id: label(template) for template in ordered}
    for template, best in zip(ordered, similar_texts(list(documents.values()), documents, 1), strict=True):
        if best != [template.id]:
            problem = f"its name and tags retrieve {best[0] if best else 'nothing'} before it"
            found.append(Finding(template.id, template.name, problem, blocking=False))
    return found
