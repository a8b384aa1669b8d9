"""Defects that texts show, each beside a text that looks like it and has none."""

import pytest

from factory.grading import SHARED
from factory.templates.defects import example_defects, text_defects


def codes(planner_kit, **values):
    return [defect.code for defect in text_defects(planner_kit.template(**values)) if defect.blocking]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"steps": ("Add.", "Method 2")}, "heading"),
        ({"steps": ("Second way:",)}, "heading"),
        ({"steps": ("Step 3:", "Add.")}, "heading"),
        ({"description": " "}, "undescribed"),
        ({"steps": ("Add as in Example 2.",)}, "book"),
        ({"steps": ("Regroup (e.g., Example 1(3)).",)}, "book"),
        ({"scope": "The cases of example 7 of the textbook."}, "book"),
        ({"example_solution": "See exercise 12."}, "book"),
        ({"example_problem": "In the figure, AB is 3. Find BC."}, "figure"),
        ({"example_problem": "The angles are as shown. Find A."}, "figure"),
        ({"example_solution": "Draw a plot (Figure B)."}, "figure"),
        ({"example_problem": "Use the following table. Find the mean."}, "figure"),
        ({"example_problem": ""}, "data"),
        ({"example_answer": "ABD"}, "data"),
        ({"steps": ("Use Formula Three.",)}, "book"),
        ({"example_answer": "3 (the actual correct answer is 4)"}, "draft"),
        ({"steps": ("TODO: say more.",)}, "draft"),
        ({"example_solution": "Wait, let me recalculate."}, "draft"),
        ({"example_solution": "12 + 7 = 20 (details omitted)"}, "draft"),
        ({"example_solution": "m = n: contradiction found. Check calculations."}, "draft"),
        ({"steps": ("Add the numbers and then …",)}, "draft"),
        ({"steps": ("Divide.", "Subtract the speed.", "subtract  the speed.", "Subtract the speed.")}, "circle"),  # a 0.5B model's
        ({"steps": ("Add the counts of Monday and Tuesday and Tuesday and Tuesday and Tuesday and Tuesday.",)}, "circle"),
        ({"scope": "Selling the DVD and the DVD and the DVD and the DVD and the D"}, "circle"),
    ],
)
def test_a_defect(planner_kit, values, code):
    assert code in codes(planner_kit, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"steps": ("Check: the sum is right.", "Method 2: add.")},
        {"steps": ("Draw a figure and mark what is known.", "Observe the graph.")},
        {"steps": ("A contradiction shows that it does not hold.", "It needs to be verified.")},
        {"steps": ("Use Formula 3 and Theorem 2.", "Pick an example with 2 terms.")},
        {"steps": ("Write the sum 1 + 2 + ... + n.",)},
        {"example_problem": "|x|1|2|3|\n|y|4|5|6|\nUse the table below."},
        {"example_problem": "A set is shown to be finite. Which figure is it?"},
        {"steps": ("Add the first.", "Add the next.", "Add the first.", "Divide by the number of parts, of parts.")},
    ],
)
def test_none(planner_kit, values):
    assert codes(planner_kit, **values) == []


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"example_problem": "", "example_solution": ""}, "no-example"),
        ({"example_solution": " "}, "no-example"),
        ({"example_answer": ""}, "no-answer"),
        ({"example_answer": "Option B"}, "option"),
    ],
)
def test_a_warning(planner_kit, values, code):
    assert [(d.code, d.blocking) for d in text_defects(planner_kit.template(**values))] == [(code, False)]


def test_an_option_that_the_problem_states_is_an_answer(planner_kit):
    assert text_defects(planner_kit.template(example_problem="Which? A. 3 B. 4", example_answer="B")) == []


def test_an_example_that_does_not_follow(planner_kit):
    wrong = planner_kit.template(example_solution="12 + 7 = 18\n18 + 1 = 19", example_answer="19")
    assert [d.problem for d in example_defects(wrong, SHARED)] == ["the example states '12 + 7 = 18', which does not hold"]
    unreached = planner_kit.template(example_solution="Add.\n12 + 7 = 19\nAnswer: 21", example_answer="21")
    assert [d.problem for d in example_defects(unreached, SHARED)] == ["the solution never states the answer '21'"]
    curve = planner_kit.template(
        example_problem="The ellipse passes through points A(3,-2) and B(-2√3,1), find its equation.", example_solution="…",
        example_answer="x²/15 + y²/5 = 1",
    )  # fmt: skip
    assert [d.problem for d in example_defects(curve, SHARED)] == ["the curve 'x²/15 + y²/5 = 1' does not pass through (3, -2)"]
    assert example_defects(planner_kit.template(), SHARED) == []


TOLD = "Leo caught 45 fish and Agrey 20 more."


@pytest.mark.parametrize(
    ("values", "retells"),
    [
        ({"description": "So they caught 45 + 20 = 65 fish.", "example_problem": TOLD}, True),
        ({"scope": r"The answer is \boxed{100}."}, True),
        ({"description": "Of 45 fish some are caught.", "example_problem": TOLD}, False),
        ({"description": "Numbers like 10 and 100, 2 and 3.", "example_problem": "Of 100 boxes with 10 pens in 2 rows of 3."}, False),
    ],
)
def test_a_description_of_one_problem_is_a_warning(planner_kit, values, retells):
    assert ("retells" in [defect.code for defect in text_defects(planner_kit.template(**values)) if not defect.blocking]) == retells
