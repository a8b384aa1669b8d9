"""Worked examples in the shapes that people publish them in."""

import time
from collections import Counter

import pytest

from factory.templates.examples import Example, example_of, without_answer


def read(value):
    return example_of(value, Counter())


def test_keys_of_an_object():
    found = read({"example_question": "2 + 3?", "Solution Steps": ["1. Add.", "2 + 3 = 5"], "final_answer": "5.", "key_points": ["Add"]})
    assert found == Example("2 + 3?", "1. Add.\n2 + 3 = 5\nAnswer: 5", "5", "key_points: Add")
    assert read({"problem": "p", "solution": ["Answer: 7"]}) == Example("p", "Answer: 7", "7", "")
    assert read({"problem": "p", "answer": ["(1) 6.4", "(2) 1.1"]}).answer == "(1) 6.4; (2) 1.1"


@pytest.mark.parametrize(
    "text",
    [
        "Example: Find x.\n\nSolution Steps:\n1. Do it.\nAnswer: 4",
        "**Example Problem** (Textbook Example 3): Find x.\n\n**Solution**:\n1. Do it.\n**Answer**: 4",
        "Example 7(1)② Find x.\n1. Do it.\nAnswer: 4.",
        "Example problem: Find x. (Textbook Example 12)\n\nProblem-solving steps:\n1. Do it.\nAnswer: 4",
        "【Example】Find x.\n\n【Solution Steps】\n1. Do it.\n【Answer】4",
        "Based on textbook example 2\nProblem: Find x.\n\nAnalysis:\n1. Do it.\nFinal answer: 4",
        "Find x.\n\n1. Do it.\nAnswer: 4",
    ],
)
def test_a_text_by_its_labels(text):
    found = read(text)
    assert (found.problem, found.answer) == ("Find x.", "4")
    assert found.solution.startswith("1. Do it.")


def test_nothing_is_invented():
    assert read("Example 4(1) Analysis:\n1. Rearrange.\n2. Conclude.") == Example("", "1. Rearrange.\n2. Conclude.", "", "")
    assert read("Find x.") == Example("Find x.", "", "", "")
    assert read("") == read([]) == read(None) == read({}) == Example("", "", "", "")
    assert read("Example: Prove it.\n1. See.\n2. So it holds.").answer == ""


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("Conclusion: a = -3.", "a = -3"),
        ("Hence the range is {m | m ≤ 4}.", "{m | m ≤ 4}"),
        ("Final equation: x²/15 + y²/5 = 1.", "x²/15 + y²/5 = 1"),
        ("Final result gives a₇ = -2.", "a₇ = -2"),
        ("The answer is \\boxed{7}", "\\boxed{7}"),
        ("So the identity is shown.", ""),
    ],
)
def test_an_answer_in_the_last_line(line, answer):
    assert read(f"Example: Find it.\n1. Look.\n{line}").answer.replace("\\boxed{7}", "7") == answer.replace("\\boxed{7}", "7")


def test_answer_may_head_a_solution():
    found = read("Example: How many?\nAnswer:\n1. Count them.\n2. There are 5.")
    assert (found.problem, found.solution) == ("How many?", "1. Count them.\n2. There are 5.")


def test_the_first_of_several_examples_is_the_templates():
    changes: Counter[str] = Counter()
    found = example_of("Example 1: Find x.\n1. Do.\nAnswer: 4\n\nExample 2: Find y.\n1. Do.\nAnswer: 5", changes)
    assert (found.problem, found.answer) == ("Find x.", "4")
    assert found.left.startswith("Example 2: Find y.")
    assert changes["examples after the first left out"] == 1
    assert read([{"problem": "p"}, {"problem": "q"}]) == Example("p", "", "", "q")


def test_a_solution_without_its_answer():
    assert without_answer("1. Add.\nAnswer: 4") == "1. Add."


def test_odd_and_long_values_cost_little():
    start = time.process_time()
    for value in (
        5,
        True,
        [1, [2]],
        {"a": {"b": {"c": {"d": {"e": "f"}}}}},
        *("Example 1(" * 5_000, "Answer: " * 5_000, "(" * 50_000, "Example: " * 5_000),
    ):
        read(value)
    assert time.process_time() - start < 5
