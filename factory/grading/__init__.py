"""Grade answers: strict, explained, fast, and impossible to hang. The rules are in docs/grading.md.

    grade(r"so \\boxed{\\frac{1}{2}}", "0.5", "math")             → Grade("correct", "", r"\\frac{1}{2}", "box", "fast")
    grade(r"so \\boxed{5\\text{ m}}", r"5\\text{ cm}", "math")     → Grade("wrong", "unit differs: m against cm", …)
    grade("3 * 4 = 12", "12", "number")                         → Grade("unparsable", "no answer was found")

Stages make a `Grader` with the rules and limits of their params and call `grade_many`.
"""

from factory.grading.extraction import boxed_answers, extract, extract_answer
from factory.grading.grader import SHARED, Grader, Task, clean_gold, grade, grade_answer, grade_many
from factory.grading.kinds import normalise
from factory.grading.numbers import LONGEST, parse_number
from factory.grading.protocol import ALL_RULES, BOX, Extraction, Grade

__all__ = [
    "ALL_RULES", "BOX", "LONGEST", "SHARED", "Extraction", "Grade", "Grader", "Task", "boxed_answers", "clean_gold", "extract",
    "extract_answer", "grade", "grade_answer", "grade_many", "normalise", "parse_number",
]  # fmt: skip
