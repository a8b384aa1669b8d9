"""What a problem leaves out, and what it may."""

import pytest

from factory.templates.given import asks, lacking
from factory.templates.lint import lint_library


@pytest.mark.parametrize(
    ("problem", "solution", "answer", "lacks"),
    [
        ("", "1 + 1 = 2", "2", ["is not stated"]),
        ("Prove that EF⊥plane PAB", "Take M.", "", ["says not what E, F, P, A, B are"]),
        ("In the square ABCD, find the least value of the vectors' product AE·BE.", "M", "", ["says not what E is"]),
        ("The following data were taken; find r.", "r = 1", "1", ["promises data and gives none"]),
        ("Find b, given ∑x=75.", "4.2×6.5≈27.3 (given in the problem)", "", ["does not give 4.2, 6.5, which its solution takes from it"]),
        (
            "A line meets a curve. Which of the following statements are true?",
            "A holds.",
            "ABD",
            ["lets choose among statements that it does not make"],
        ),
        ("Find the angle of these lines:", "1", "1", ["breaks off"]),
    ],
)
def test_what_is_missing(problem, solution, answer, lacks):
    assert lacking(problem, solution, answer) == lacks


@pytest.mark.parametrize(
    "problem",
    [
        "In triangle ABC, AB=2, AC=4, find cos∠MPN where AM and BN are medians meeting at P.",
        "Prove that in the pyramid P-ABCD the line PA is perpendicular to AB.",
        "Which of the following is even? A. 3 B. 4",
        "Ellipse x²/9+y²/6=1, P is on it, find |OP|.",
    ],
)
def test_what_is_there(problem):
    assert lacking(problem, "x = 1", "1") == []


def test_only_where_others_ask_must_a_problem_ask(planner_kit):
    said, asked = (planner_kit.template(example_problem=text) for text in ("Tom has 12. Tom gets 7.", "Tom has 12 and gets 7. How many?"))
    assert [asks(template.example_problem) for template in (said, asked)] == [False, True]
    assert not [f for f in lint_library([said]) if f.code == "data"]
