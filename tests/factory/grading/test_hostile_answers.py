"""Answers that are written to hang, to crash or to be believed: each comes back in time, and the one beside it is graded."""

import time
from collections.abc import Iterator

import pytest

from factory.grading.workers import Pool

pytestmark = pytest.mark.slow

HOSTILE = {
    "tower": "9^{9^{9^{9}}}",
    "roots": r"\sqrt{" * 1_000 + "2" + "}" * 1_000,
    "bare roots": r"\sqrt" * 1_000 + "2",
    "brackets": "(" * 100_000 + "1" + ")" * 100_000,
    "open brackets": "{" * 9_000,
    "digits": "1" * 1_000_000,
    "many digits": "1" * 9_990,
    "factorial": "(10^9)!",
    "power": "2^{10^{10}}",
    "sum": r"\sum_{k=1}^{10^{12}} k",
    "hard sum": r"\sum_{k=1}^{10^{12}} \frac{1}{k^k+1}",
    "integral": r"\int_0^1 \sin(\tan(x^x)+e^{x^2})^{x} dx",
    "nul": "1\0+1",
    "surrogate": "\ud800",
    "fractions": r"\frac{1}{1+" * 300 + "1" + "}" * 300,
    "plus": "+".join(["x"] * 4_000),
    "code": "__import__('os').system('true')",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_come_back_in_time(algebra: Pool, name: str) -> None:
    begin = time.monotonic()
    answers = algebra.run([(HOSTILE[name], "1"), (r"\frac{1}{2}", "0.5"), ("1", HOSTILE[name])])
    assert time.monotonic() - begin < 2 * 2 + 60
    assert answers[1] == ("correct", "")
    expected = {"wrong"} if name == "sum" else {"unparsable", "timeout", "wrong"}
    assert {answers[0][0], answers[2][0]} <= expected, answers


@pytest.fixture(scope="module")
def algebra() -> Iterator[Pool]:
    with Pool(workers=2, seconds=2, memory_mb=300) as made:
        yield made
