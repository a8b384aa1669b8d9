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
from factory.templates.reading import balanced
from factory.templates.retrieve import label, similar_texts

MAX_STEPS = 12
MAX_WORDS = 200  # of all steps: the guided prompt repeats them for every template of a plan
NEAR_DUPLICATE = 90.0  # rapidfuzz ratio of two normalised names, 0 to 100
REACH = 80  # characters before a number that say whether it is a result
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# numbers of a method: places, percent, minutes and seconds, angles, π
_CONSTANTS = frozenset((0, 1, 2, 3, 10, 100, 1000, 0.5, 0.1, 0.01, 60, 3600, 90, 180, 270, 360, 3.14))
_PLACES = re.compile(
    r"[\^_]\s*(?:\{[^{}]{0,40}\}|[-+]?\d+(?:\.\d+)?)"  # exponents and indices
    r"|\\[a-zA-Z]{1,20}\s?\[[^\[\]]{0,40}\]"  # \sqrt[3]{x}
    r"|\b(?:steps?|cases?|parts?|property|formula|method|type)\s?\d{1,2}\b|^\W{0,4}\d{1,2}[.:)]\s"  # what is numbered
    r"|\b4(?=\s?(?:a\s?c\b|\\pi|π)|/3)",  # of the discriminant and the sphere
    re.IGNORECASE,
)
_RESULT = re.compile(
    r"(?:(?:^|(?:[:;,.$]|\\[(\[])\s?|[a-zA-Z]{2}\s)(?:[a-zA-Z]|[(\d][\d\s.+*/×÷()-]{0,60})\s?=|\b[a-zA-Z]{2,20}\s=|[→⇒≈]|\\boxed\{|"
    r"\b(?:is|are|equals|equal to|gets?|gives?|obtain|yields?|leaves|answer|result)\b:?)[\s$(-]{0,4}$",
)
_FACTOR = re.compile(
    r"[a-zA-Zα-ω√|(]|\\[a-zA-Z]|\s?(?:[/*+^×·-]|times\b|\\(?:pi|times|cdot|sqrt)\b)"
)  # what follows a number within a formula


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
    if "\n" in template.name or not template.name.strip() or not balanced(template.name):
        found.append("a name that no plan line can hold")
    found += [f"steps hold {number}, a number of its own example" for number in _leaked(template)]
    return [Finding(template.id, template.name, problem, blocking=True) for problem in found]


def _leaked(template: Template) -> list[str]:
    """The numbers of the example's problem or answer that the steps hold, and those of its solution that a step states as a result.
    No leak are exponents, indices, numbers of steps, and constants of a method unless a step states them as the result that they are."""
    asked = set(_NUMBER.findall(f"{template.example_problem} {template.example_answer}"))
    solved = set(_NUMBER.findall(template.example_solution))
    answer = set(_NUMBER.findall(template.example_answer))
    leaked = set()
    for step in template.steps:
        text = _PLACES.sub(lambda match: "·" * len(match[0]), step)
        for match in _NUMBER.finditer(text):
            number = match[0]
            if number in asked and float(number) not in _CONSTANTS:
                leaks = True
            else:
                leaks = (answer == {number} if float(number) in _CONSTANTS else number in solved) and _is_result(text, match)
            leaked |= {number} if leaks else set()
    return sorted(leaked)


def _is_result(text: str, number: re.Match[str]) -> bool:
    return bool(_RESULT.search(text, max(0, number.start() - REACH), number.start())) and not _FACTOR.match(text, number.end())


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
