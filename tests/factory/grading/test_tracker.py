"""Faults on record in Math-Verify's tracker (issues 2, 14, 25, 37, 60, 64, 65, 76 and what its later tests added), on inputs of our own."""

import threading

import pytest

from factory.grading import ALL_RULES, Grader, Task, grade_answer

NOT_EQUAL = [
    (14, r"\frac{1}{1999!}", r"\frac{1}{2001!}"), (14, r"2^{-97}", r"2^{-98}"), (14, "m = 3, 5, 8", "m = 2, 5, 8"), (14, "S = (2, 5)",
    "S = (2, 5.5)"),
    (14, r"a_n = \sum_{j=1}^{n} a_j b_{n-j}", r"a_n = \sum_{j=1}^{n-1} a_j b_{n-j-1}"), (14, "4, 9, and 31", "6, 9, and 31"),
    (14, r"\frac{3^{700}+1}{2 \cdot 3^{701}}", r"\frac{1}{2 \cdot 3^{701}}"),
    (14, r"2 - \frac{1}{\mathrm{e}}", r"2 + \frac{1}{\mathrm{e}}"),
    (14, r"\pm 305", "305"), (14, "9:15", "10:15"), (14, r"2, 4, \ldots, 2n", r"1, 3, \ldots, 2n-1"),
    (14, r"1:3:9:\ldots", r"1:2:4:\ldots"),
    (60, "2*x - 5*y + 7 = 0", "2x + 5y + 7 = 0"), (64, "g(x) = 1", r"\forall x > 0, g(x) = 1"), (2, "7", r"7\sqrt{3}"),
    (2, r"5\sqrt{3}", "5"),
    (37, "31", "32"), (65, "[3, 8]", "(3, 8)"), (76, "61", "234"),
]  # fmt: skip
EQUAL = [
    (25, r"k \geq \sqrt{5}", r"k \in [\sqrt{5}, +\infty)"), (25, "0 < t < 9.5", "(0, 9.5)"), (25, "x < 4", r"(-\infty, 4)"),
    (64, r"\sqrt{1/m}", r"\frac{1}{\sqrt{m}}"), (37, r"\text{31}", "31"), (76, "**61**", "61"), (2, r"\frac{3}{4}", "0.75"),
    (26, "3x + 6y - 4 = 0", r"y = -\frac{1}{2}x + \frac{2}{3}"),
    (14, r"b_n = \sum_{j=1}^{n} b_j c_{n-j}", r"b_n = \sum_{j=1}^{n} c_{n-j} b_j"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("issue", "gold", "answer"), [pytest.param(*row, marks=[pytest.mark.slow] if r"\sum" in row[1] else []) for row in NOT_EQUAL]
)
def test_what_was_called_equal_and_is_not(issue: int, gold: str, answer: str) -> None:
    assert grade_answer(answer, gold, "math").verdict != "correct"
    assert grade_answer(gold, answer, "math").verdict != "correct"


@pytest.mark.parametrize(("issue", "gold", "answer"), EQUAL)
def test_what_was_called_different_or_only_one_way(issue: int, gold: str, answer: str) -> None:
    assert grade_answer(answer, gold, "math").correct
    assert grade_answer(gold, answer, "math").correct


def test_an_answer_in_stars_behind_its_mark_is_found() -> None:
    response = "Sum: 905 = 671 + 234, which is consistent.\nSo **61** people own all four.\n\nFinal Answer: **61**"
    with Grader(ALL_RULES) as grader:
        assert grader.grade(response, "61", "math")[:3] == ("correct", "", "61")


@pytest.mark.slow
def test_grading_off_the_main_thread_is_grading() -> None:
    """Issue 65: its time-outs are signals, which only the main thread gets."""
    found: list[str] = []
    tasks = [Task(r"\boxed{\sec^2 t}", r"1 + \tan^2 t", "math"), Task(r"\boxed{9^{9^{9^9}}}", "2", "math")]

    def work() -> None:
        with Grader(seconds=1.0) as grader:
            found.extend(grade.verdict for grade in grader.grade_many(tasks))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["correct", "timeout"]
