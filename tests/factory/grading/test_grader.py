"""The grader as stages use it: the box by default, kinds, golds, batches, threads; no exception that becomes a wrong."""

import threading
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.grading import ALL_RULES, BOX, Grader, Task, clean_gold, grade, grade_answer, grade_many, parse_number
from factory.params import Grading

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18), ("-7", -7), ("+7", 7), ("007", 7), ("1,234", 1234), ("1 234", 1234), ("1,234,567.50", Fraction("1234567.5")),
        ("$5.50", 5 + HALF), ("-$5.50", -5 - HALF), (r"\$5", 5), ("20%", 20), (r"20\%", 20), ("5.", 5), (".5", HALF), ("€12", 12),
        ("3/4", Fraction(3, 4)), ("-3/4", Fraction(-3, 4)), ("1 1/2", 1 + HALF), ("-1 1/2", -1 - HALF), ("1.5/3", HALF),
        ("\N{MINUS SIGN}4", -4),
    ],
)  # fmt: skip
def test_plain_numbers(text: str, value: Fraction) -> None:
    assert parse_number(text) == value


NO_NUMBERS = ["", " ", "+", "-", "x", "16 eggs", "1/0", "1 1/0", "1,23", "0,111", "12 34", "1,2,3", "(1,2)", "[1,300]", "1e5", "3/4/5", "²"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_plain_number(text: str) -> None:
    assert parse_number(text) is None


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**6))
def test_every_written_number_is_read_back(whole: int, decimals: int) -> None:
    assert parse_number(f"{whole:,}") == whole
    assert parse_number(f"{whole}.{decimals:06d}") == Fraction(f"{whole}.{decimals:06d}")
    assert parse_number(f"{whole}/{decimals + 1}") == Fraction(whole, decimals + 1)


@given(st.integers(0, 999), st.integers(0, 999))
def test_only_the_gold_value_is_correct(answer: int, gold: int) -> None:
    assert grade(f"\\boxed{{{answer}}}", str(gold), "number").verdict == ("correct" if answer == gold else "wrong")


@pytest.mark.parametrize(("answer", "gold"), [("2024.5", "2025"), ("0.33", "1/3"), ("15", "5"), ("1300", "3"), ("5%", "$5"), ("$5", "5%")])
def test_near_is_not_right(answer: str, gold: str) -> None:
    assert grade_answer(answer, gold, "number").verdict == "wrong"


@pytest.mark.parametrize(("answer", "gold"), [("(1,2,3,4,5,6)", "5"), ("[1,300]", "3"), ("5 or 6", "5"), ("x", "5"), (r"\pi", "3.14")])
def test_what_is_no_number_is_unparsable_as_one(answer: str, gold: str) -> None:
    assert grade_answer(answer, gold, "number").verdict == "unparsable"


@pytest.mark.parametrize("answer", ["16 eggs", r"16\text{ eggs}", "$16", r"\frac{32}{2}", "16.0", "x = 16", "1.6e1", r"\boxed{16}"])
def test_a_number_may_have_a_unit_a_name_or_latex(answer: str) -> None:
    assert grade_answer(answer, "16", "number").correct


@pytest.mark.parametrize("number", ["1" * 5000, "0." + "3" * 5000, "1" * 1001, "1/" + "3" * 5000])
def test_an_endless_number_is_unparsable(number: str) -> None:
    assert grade(f"\\boxed{{{number}}}", "3", "number").verdict == "unparsable"
    assert parse_number("1" * 300) == int("1" * 300)


def test_an_empty_reply_to_a_prefix_that_holds_the_answer_earns_nothing() -> None:
    prefix = "12 + 7 = 19\n\\boxed{19}\n<|reflect|>"
    assert grade(prefix, "19", "number").correct  # this is why only the response may be graded
    assert grade("", "19", "number").verdict == "unparsable"


def test_the_gold_is_found_by_the_same_rules() -> None:
    assert grade(r"\boxed{18}", "Janet has 18.\n#### 18", "number").correct
    assert grade(r"\boxed{\frac12}", r"Hence it is $\boxed{0.5}$.", "math").correct
    assert grade_answer("5", r"\boxed{5} or \boxed{6}", "math").verdict == "wrong"


def test_a_gold_that_cannot_be_read_is_never_a_wrong() -> None:
    assert grade_answer("16", "sixteen eggs", "number") == ("unparsable", "the gold answer 'sixteen eggs' is no number", "16", None, "fast")
    assert grade_answer("16", r"\cancel{16}", "math").reason == r"the gold answer: an unknown command \cancel"


@pytest.mark.parametrize(
    ("gold", "kind", "answer", "reason"),
    [
        ("18", "number", "18", ""), ("so 9\n#### 18", "number", "18", ""), (r"\boxed{\frac{3}{4}}", "math", r"\frac{3}{4}", ""),
        (r"\sqrt{2}", "math", r"\sqrt{2}", ""), ("(1,3]", "math", "(1,3]", ""), (r"\sqrt{2}", "number", r"\sqrt{2}",
        "the answer is no number"),
        (r"\int_0^1 x dx", "math", r"\int_0^1 x dx", ""), ("", "text", "", "the answer is empty"), ("perhaps", "label", "perhaps", "…"),
        ("[1, 2", "literal", "[1, 2", "…"), ("[1, 2]", "literal", "[1, 2]", ""), ("B", "choice", "B", ""), ("cat", "choice", "cat", "…"),
        (r"\frac{1}{", "math", r"\frac{1}{", "…"), ("5 +", "math", "5 +", "…"), ("Paris", "text", "Paris", ""), ("a, b", "table",
        "a, b", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_graded_against_itself_is_no_gold(gold: str, kind: str, answer: str, reason: str) -> None:
    found, why = clean_gold(gold, kind)  # type: ignore[arg-type]
    assert found == answer
    assert why.startswith("the answer cannot be read: ") if reason == "…" else why == reason
    if not why:
        assert grade_answer(found, found, kind).correct  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_batch_keeps_its_order_and_asks_equal_questions_once() -> None:
    tasks = [
        Task(r"\boxed{\sec^2 y}", r"\tan^2 y + 1", "math"), Task("no box", "1", "math"), Task(r"\boxed{4}", "4", "number"),
        Task(r"so \boxed{\sec^2 y}", r"\tan^2 y + 1", "math"), Task(r"\boxed{\sec^3 y}", r"\tan^2 y + 1", "math"),
    ]  # fmt: skip
    with Grader(BOX) as grader:
        asked: list[tuple] = []
        run = grader.pool.run
        grader.pool.run = lambda batch: asked.extend(batch) or run(batch)  # type: ignore[method-assign, func-returns-value]
        grades = grader.grade_many(tasks)
    assert [found.verdict for found in grades] == ["correct", "unparsable", "correct", "correct", "wrong"]
    assert [found.by for found in grades] == ["worker", "fast", "fast", "worker", "fast"]
    assert asked == [(r"\tan^2 y + 1", r"\sec^2 y", None)]


@pytest.mark.slow
def test_a_hostile_answer_costs_its_own_row_only() -> None:
    tasks = [Task(r"\boxed{9^{9^{9^9}}}", "1", "math"), Task(r"\boxed{\sec^2 y}", r"\tan^2 y + 1", "math"), Task(r"\boxed{1}", "1", "math")]
    with Grader(seconds=1.0) as grader:
        assert [found.verdict for found in grader.grade_many(tasks)] == ["timeout", "correct", "correct"]


@pytest.mark.slow
def test_threads_share_a_grader() -> None:
    found: list[bool] = []

    def work(number: int) -> None:
        found.append(grade(rf"\boxed{{\sqrt{{{number}+2\sqrt{{{number}}}+1}}}}", rf"\sqrt{{{number}}}+1", "math").correct)

    threads = [threading.Thread(target=work, args=(number,)) for number in (2, 3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_rules_and_limits_come_from_the_params() -> None:
    with Grader.of(Grading(rules=["hash", "last_line"], seconds=3, memory_mb=512, workers=1)) as grader:
        assert grader.grade("#### 5", "5", "number").rule == "hash"
        assert grader.grade(r"\boxed{5} is what I say", "5", "number").verdict == "unparsable"
        assert (grader.pool.seconds, grader.pool.memory_mb, grader.pool.size) == (3, 512, 1)


def test_a_stated_tolerance_counts_and_no_other() -> None:
    assert grade_answer("3.14", r"\pi", "math").verdict == "wrong"
    assert grade_answer("3.14", r"\pi", "math", decimals=2).correct
    assert grade_answer("3.15", r"\pi", "math", decimals=2).verdict == "wrong"
    assert grade_answer("(0.33, 0.2)", r"(\frac13, \frac15)", "math", decimals=2).correct
    assert grade_answer("0.33", "1/3", "number", decimals=2).correct


@pytest.mark.slow
def test_a_million_answers_in_a_minute() -> None:
    """On one core; the bound is loose for busy machines, docs/benchmarks.md has the figure."""
    tail = "She sells the rest for $2 each, so she makes 9 * 2 = 18 dollars every day at the market. " * 3
    tasks = (Task(f"{tail}\n#### {n % 997:,}", f"{n % 991}", "number") for n in range(200_000))
    with Grader(ALL_RULES) as grader:
        start = time.process_time()
        grades = grader.grade_many(tasks)
    assert time.process_time() - start < 40
    assert sum(found.correct for found in grades) == sum(n % 997 == n % 991 for n in range(200_000))


def test_many_is_one_and_one() -> None:
    tasks = [Task(rf"\boxed{{{n}}}", "3", "number") for n in range(6)]
    assert grade_many(tasks) == [grade(*task) for task in tasks]
