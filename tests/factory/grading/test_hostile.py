"""Hostile answers: each gets its verdict in bounded time, here and in the workers, and the memory of both stays bounded."""

import resource
import subprocess
import sys
import time

import pytest

from factory.grading import ALL_RULES, Grader, Task

pytestmark = pytest.mark.slow

SECONDS = 1.5


def nested(before: str, behind: str, levels: int, inside: str) -> str:
    return before * levels + inside + behind * levels


HOSTILE = {
    "cubes of roots": nested(r"\sqrt{", "+1}^{3}", 28, "2"), "tangents": nested(r"\tan(", ")", 28, "x"),
    "inverse roots": nested(r"\frac{1}{\sqrt{", "+y}+1}", 16, "x"), "cubes of sums": nested(r"(\sqrt{", "+y}+1)^3", 14, "x"),
    "thin spaces": "1" + r"\!" * 4_800 + "1", "long coefficients": f"({'9' * 900}x+{'7' * 900}y+z)^{{18}}",
    "exponents": "+".join(["1e999+1e-999"] * 190), "marks": "3" + "!" * 5_000, "percents": "3" + "%" * 5_000, "sines": r"\sin " * 300 + "x",
    "bare roots": r"\sqrt" * 1_900 + "2", "groups": ";".join(["x=1,y=2"] * 1_000), "a product of roots": "*".join(
    rf"(\sqrt{{x+{n}}}+1)" for n in range(30)), "many signs": ", ".join(rf"\pm{{{n}}}\pm x\pm y" for n in range(199)),
    "a million digits": "1" * 10**6, "nine thousand digits": "1" * 9_000, "nested roots": r"\sqrt{" * 1_000 + "2" + "}" * 1_000,
    "a tower": "9^{9^{9^{9^9}}}", "a tall tower": "9^" * 3_000 + "9", "brackets": "(" * 10**5,
    "closed brackets": "(" * 4_000 + "1" + ")" * 4_000,
    "a factorial": "1000000000!", "a factorial of one": "((1000!)!)!", "a large exponent": r"2^{10^{10}}", "a polynomial": "x^{1000000}",
    "a large product": "(x+y+z+w)^{39}(a+b+c)^{39}(d+e+f)^{39}", "NUL": "5\x00", "a surrogate": "5\ud800",
    "a binomial": r"\binom{10^9}{10^8}",
    "fractions": r"\frac{1}{" * 1_000 + "2" + "}" * 1_000, "a long sum": "+".join(["1"] * 4_000), "signs": "-" * 9_000 + "1",
    "a long list": ",".join(["1"] * 4_000), "plus and minus": r"\pm 1" * 50, "bars": "|" * 9_000, "dollars": "$" * 10**5,
    "braces": "{" * 10**5,
    "boxes": r"\boxed{" * 10**5, "many roots": "+".join(rf"\sqrt{{{n}}}" for n in range(2, 390)),
    "a large root": r"\sqrt{" + "7" * 900 + "}",
    "many factors": "".join(f"(x_{{{n}}}+1)" for n in range(99)), "an exponent": "1e9999", "sum": r"\sum_{k=1}^{10^{12}} \frac{1}{k^2}",
    "a product": r"\prod_{k=1}^{10^9} (x+k)", "an integral": r"\int_0^1 x^{x^{x^x}} dx",
    "roots of roots": r"\sqrt{2+" * 50 + "2" + "}" * 50,
    "commas": "," * 10**5, "spaces": " " * 10**6 + "6", "words": "a " * 10**5, "regex bombs": "1,111" * 2_000 + "!",
    "backslashes": "\\" * 9_999,
    "text": r"\text{" * 2_000, "a matrix": r"\begin{pmatrix}" + "&".join(["x"] * 390) + r"\end{pmatrix}", "a wide determinant":
    r"\begin{vmatrix}" + r"\\".join("&".join(f"x_{{{i}{j}}}" for j in range(9)) for i in range(9)) + r"\end{vmatrix}",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_ends_in_this_process(name: str) -> None:
    """Extraction and the fast path have no clock of their own, so that they must be fast by themselves."""
    from factory.grading.extraction import extract
    from factory.grading.grader import decide

    answer = HOSTILE[name]
    start = time.process_time()
    for response in (answer, f"so \\boxed{{{answer}}}", f"The final answer is {answer}.", f"${answer}$"):
        found = extract(response, ALL_RULES, "math")
        for text in {found.text if found else answer, answer}:
            decide(text, "5", "math")
            decide("5", text, "math")
            decide(f"{text}+0", text, "math")
    assert time.process_time() - start < 5


def test_a_batch_of_hostile_answers_ends_in_time() -> None:
    tasks = [Task(f"\\boxed{{{answer}}}", gold, "math") for answer in HOSTILE.values() for gold in ("5", r"\sqrt{2+\sqrt{3}}")]
    with Grader(seconds=SECONDS, memory_mb=512) as grader:
        start = time.perf_counter()
        grades = grader.grade_many([*tasks, Task(r"\boxed{\sec^2 y}", r"\tan^2 y + 1", "math")])
        spent = time.perf_counter() - start
    assert {found.verdict for found in grades[:-1]} <= {"wrong", "unparsable", "timeout"}
    assert grades[-1].correct
    late = sum(found.verdict == "timeout" for found in grades)
    assert spent < 60 + late * (SECONDS + 2)  # a worker that is killed is started again


MEASURED = """
import resource
from factory.grading import ALL_RULES, Grader, Task
from tests.factory.grading.test_hostile import HOSTILE
def peak(who): return resource.getrusage(who).ru_maxrss // 1024
before = peak(resource.RUSAGE_SELF)
with Grader(ALL_RULES, seconds=1.5, memory_mb=512) as grader:
    grader.grade_many([Task(answer, "5", "math") for answer in HOSTILE.values()])
print(peak(resource.RUSAGE_SELF) - before, peak(resource.RUSAGE_CHILDREN))
"""


def test_memory_is_bounded() -> None:
    ran = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, timeout=500, check=False)
    assert ran.returncode == 0, ran.stderr
    here, workers = map(int, ran.stdout.split())
    assert here < 150  # MB above what the imports take: some inputs have 100,000 to 1,000,000 characters
    assert workers < 900  # sympy takes 100 to 150, a task 512 at the most
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
