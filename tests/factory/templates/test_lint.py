"""Every defect that lint names, on a template made to have it."""

import time

import pytest

from factory.templates.lint import blocked, lint_library, lint_template


def test_a_good_library_has_no_finding(planner_kit):
    assert lint_library(planner_kit.library()) == []


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"steps": ()}, "empty steps"),
        ({"steps": ("Add.", " ")}, "empty steps"),
        ({"steps": tuple(f"Add the number {sign}." for sign in "abcdefghijklm")}, "too long"),
        ({"tags": ()}, "no tags"),
        ({"name": "put (together"}, "no plan line"),
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


def of_example(planner_kit, step, problem, solution, answer):
    values = {"steps": (step,), "example_problem": problem, "example_solution": solution, "example_answer": answer}
    return [finding.problem.split(",")[0] for finding in lint_template(planner_kit.template(**values))]


@pytest.mark.parametrize(
    ("step", "problem", "solution", "answer"),
    [
        ("Use $a^2 + b^2 = c^2$.", "The distance of $(1,2)$ and $(4,6)$?", "$\\sqrt{3^2+4^2} = \\boxed{5}$", "5"),
        ("Divide by 100.", "20% of 50?", "20/100 * 50 = 10", "10"),
        ("Divide by 100 for a share.", "50% of 200?", "200 * 50/100 = 100", "100"),
        ("Angles of a triangle sum to 180.", "Angles of 50 and 60?", "180 - 110 = 70", "70"),
        ("Use $x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}$.", "$x^2 + 4x + 4 = 0$", "16 - 4 * 4 = 0", "-2"),
        ("Use $\\sqrt[5]{x}$, $\\log_{12} y$, $x_7$ and $x^{15}$.", "5, 7, 12, 15", "5 + 7 = 12", "12"),
        ("Use $\\sin^2 x + \\cos^2 x = 1$.", "1 + 0", "1", "1"),
        ("Set the derivative f'(x) = 0.", "Least value of $x^2$?", "2x = 0", "0"),
        ("Step 4: Check the units.", "4 pens at 7", "4 * 7 = 28", "28"),
        ("The area is 4 times that of a side.", "A side of 5.", "5 * 5 = 25\n4 * 25 = 100", "100"),
    ],
)
def test_a_constant_of_the_method_is_general(planner_kit, step, problem, solution, answer):
    assert of_example(planner_kit, step, problem, solution, answer) == []


@pytest.mark.parametrize(
    ("step", "problem", "solution", "answer", "numbers"),
    [
        ("Multiply 12 by the price.", "12 pens at 2", "12 * 2 = 24", "24", ["12"]),
        ("Get 24.", "12 pens at 2", "12 * 2 = 24", "24", ["24"]),
        ("The answer is 2.", "4 shared by 2", "4 / 2 = 2", "2", ["2"]),
        ("So $x = 0$.", "Least value of $x^2$?", "2x = 0", "0", ["0"]),
        ("The result: $\\boxed{100}$", "10 squared", "10 * 10 = 100", "100", ["100"]),
        ("So \\(x = 2\\).", "4 less 2", "4 - 2 = 2", "2", ["2"]),
        ("Compute 3 + 4 = 7.", "3 and 4", "3 + 4 = 7", "7", ["4", "7"]),
        ("First 16 * 3 = 48.", "16 threes and 2", "16 * 3 = 48\n48 + 2 = 50", "50", ["16", "48"]),
    ],
)
def test_a_number_of_the_problem_or_a_stated_result_leaks(planner_kit, step, problem, solution, answer, numbers):
    assert of_example(planner_kit, step, problem, solution, answer) == [f"steps hold {number}" for number in numbers]


@pytest.mark.slow
def test_long_steps_of_numbers_cost_little(planner_kit):
    start = time.process_time()
    for piece in ("1 ", "= ", "( 1", "^{", "a = 1 "):
        lint_template(planner_kit.template(steps=(piece * 20_000,), example_problem="5", example_solution="1", example_answer="1"))
    assert time.process_time() - start < 5


@pytest.mark.slow
def test_near_duplicate_names_and_entries_that_retrieve_another(planner_kit):
    library = [planner_kit.template(id="a"), planner_kit.template(id="b", name="put togethers", tags=("more",))]
    assert [(f.name, f.blocking, f.code, f.other) for f in lint_library(library)] == [("put togethers", True, "duplicate", "a")]
    other = planner_kit.template(id="b", name="put togethers", tags=("more",), steps=("Count on.",), description="Count.", scope="Many.")
    assert [(f.name, f.blocking, f.code) for f in lint_library([library[0], other])] == [("put togethers", False, "near-duplicate")]
    twins = [planner_kit.template(id="a"), planner_kit.template(id="b")]
    problems = [f.problem for f in lint_library(twins) if f.template_id == "b"]
    assert problems == [
        "the same steps (cosine 1.00): would merge into put together (a)", "its name and tags retrieve a before it",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "blocks"), [("$", True), ("+ 3", True), ("x", True), ("add", False), ("和差", False), ("pi r", False)])
def test_a_name_has_a_word(planner_kit, name: str, blocks: bool) -> None:
    assert ("a name without a word" in [finding.problem for finding in lint_template(planner_kit.template(name))]) == blocks
    assert blocked(planner_kit.template(name)) == blocks
