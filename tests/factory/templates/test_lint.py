"""Every defect that lint names, on a template made to have it."""

import pytest

from factory.templates.lint import lint_library, lint_template


def test_a_good_library_has_no_finding(planner_kit):
    assert lint_library(planner_kit.library()) == []


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"steps": ()}, "empty steps"),
        ({"steps": ("Add.", " ")}, "empty steps"),
        ({"steps": ("Add the next number.",) * 13}, "too long"),
        ({"tags": ()}, "no tags"),
        ({"name": "put (together)"}, "no plan line"),
        ({"steps": ("Add 7 to the number.",)}, "steps hold 7, a number of its own example"),
    ],
)
def test_blocking_findings(planner_kit, values, problem):
    findings = lint_template(planner_kit.template(**values))
    assert len(findings) == 1
    assert problem in findings[0].problem
    assert findings[0].blocking


def test_a_number_that_is_not_the_examples_is_general(planner_kit):
    assert lint_template(planner_kit.template(steps=("Multiply by 2.",))) == []


def test_near_duplicate_names_and_entries_that_retrieve_another(planner_kit):
    library = [planner_kit.template(id="a"), planner_kit.template(id="b", name="put togethers", tags=("more",))]
    assert [(f.name, f.blocking) for f in lint_library(library)] == [("put togethers", False)]
    twins = [planner_kit.template(id="a"), planner_kit.template(id="b")]
    problems = [f.problem for f in lint_library(twins) if f.template_id == "b"]
    assert problems == ["name nearly that of put together (a)", "its name and tags retrieve a before it"]
