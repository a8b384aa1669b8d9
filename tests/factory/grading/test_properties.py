"""What holds for every answer: reflexive, symmetric, blind to harmless rewritings, never an exception."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from factory.grading import clean_gold, grade, grade_answer
from factory.grading.maths import judge, unreadable
from factory.schemas import AnswerKind

pytestmark = pytest.mark.slow

# -- LaTeX as people write it
integers = st.integers(-99, 999).map(str)
decimals = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda parts: f"{parts[0]}.{parts[1]:02d}")
atoms = st.one_of(integers, decimals, st.sampled_from(["x", "y", r"\pi", "e", "n", r"\alpha", "2x", "x^2", "ab"]))


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda ab: rf"\frac{{{ab[0]}}}{{{ab[1]}}}"), two.map(lambda ab: f"({ab[0]})({ab[1]})"),
        two.map(lambda ab: f"{ab[0]}+({ab[1]})"),
        inner.map(lambda a: rf"\sqrt{{{a}}}"), inner.map(lambda a: f"({a})^{{2}}"), inner.map(lambda a: rf"\sqrt[3]{{{a}}}"),
        two.map(lambda ab: rf"{ab[0]} - \frac{{1}}{{{ab[1]}}}"), inner.map(lambda a: rf"\sin({a})"), inner.map(lambda a: f"|{a}|"),
    )  # fmt: skip


expressions = st.recursive(atoms, _grow, max_leaves=5)
lists = st.lists(expressions, min_size=1, max_size=3)
answers = st.one_of(
    expressions,
    lists.map(lambda items: r"\{" + ", ".join(items) + r"\}"),
    lists.map(", ".join),
    st.tuples(st.sampled_from("(["), expressions, expressions, st.sampled_from(")]")).map(lambda p: f"{p[0]}{p[1]}, {p[2]}{p[3]}"),
    expressions.map(lambda a: f"x = {a}"),
    st.tuples(integers, st.sampled_from([r"\text{ cm}", r"\%", r"^\circ", r"\text{ eggs}", " km/h"])).map("".join),
    st.sampled_from([r"\text{Evelyn}", "odd", "(C)", "12:30", "7:32", "1010_2", r"(-\infty, 3] \cup (5, \infty)", r"1 \pm \sqrt{2}"]),
    st.sampled_from(["x > 3", r"-2 \le x < 7", r"x \neq 2", "2x + 3y = 5", r"\begin{pmatrix} 1 & 2 \\ 3 & x \end{pmatrix}"]),
)
junk = st.one_of(st.text(max_size=60), st.text(alphabet="\\{}()[]$^_|,;.0123456789xa+-*/%&<>= \n", max_size=80))


def _verdict(gold: str, answer: str) -> str:
    """ "" where only a worker can say."""
    outcome = judge(gold, answer)
    return outcome[0] if outcome else ""


@settings(max_examples=300)
@given(answers)
def test_an_answer_equals_itself(answer: str) -> None:
    assert clean_gold(answer, "math")[1] in ("", "the answer cannot be read: a division by zero")
    assert judge(answer, answer) == ("correct", "")
    assert judge(answer, f" {answer} .") == ("correct", "")


@settings(max_examples=300)
@given(answers, answers)
def test_exchanging_gold_and_answer_changes_nothing(gold: str, answer: str) -> None:
    assert _verdict(gold, answer) == _verdict(answer, gold)


def spaced(text: str) -> str:
    return re.sub(r"([+=,()])", r" \1 ", text)


def left_right(text: str) -> str:
    return re.sub(r"(?<![\\A-Za-z])\(", r"\\left(", text).replace(")", r"\right)")


REWRITINGS = {
    "dfrac": lambda text: text.replace(r"\frac", r"\dfrac"),
    "left and right": lambda text: left_right(text) if text.count("(") == text.count(")") else text,
    "dollars": lambda text: f"${text}$",
    "display": lambda text: rf"\[ {text} \]",
    "spaces": spaced,
    "thin spaces": lambda text: re.sub(r"([+,])", r"\1\\, ", text),
    "a full stop": lambda text: f"{text}.",
    "a box": lambda text: rf"\boxed{{{text}}}",
    "times": lambda text: text.replace(")(", r") \cdot ("),
    "text": lambda text: text.replace(r"\text{", r"\mbox{"),
    "minus": lambda text: text.replace("-", "\N{MINUS SIGN}"),
}  # fmt: skip


@settings(max_examples=300)
@given(answers, st.sampled_from(sorted(REWRITINGS)))
def test_a_harmless_rewriting_changes_nothing(answer: str, name: str) -> None:
    assume(not unreadable(answer))
    written = REWRITINGS[name](answer)
    assert _verdict(answer, written) in ("correct", ""), (answer, written, judge(answer, written))


@settings(max_examples=150)
@given(expressions, expressions, expressions)
def test_sums_and_products_commute(a: str, b: str, c: str) -> None:
    assume(not unreadable(f"({a}) + ({b})({c})"))  # 0/0 is nothing
    assert _verdict(f"({a}) + ({b})({c})", f"({c})({b}) + ({a})") in ("correct", "")


@settings(max_examples=150)
@given(expressions, st.integers(1, 99))
def test_another_value_is_never_correct(a: str, n: int) -> None:
    assert _verdict(a, f"({a}) + {n}") in ("wrong", "", "unparsable")


@settings(max_examples=400)
@given(junk, junk, st.sampled_from(["number", "math", "choice", "label", "literal", "table", "text"]))
def test_any_text_gets_a_verdict(gold: str, answer: str, kind: AnswerKind) -> None:
    if kind in ("number", "math"):
        assert _verdict(gold, answer) in ("correct", "wrong", "unparsable", "")
    else:
        assert grade_answer(answer, gold, kind).verdict in ("correct", "wrong", "unparsable")
    assert grade(answer, "18", "number").verdict in ("correct", "wrong", "unparsable")
    clean_gold(gold, kind)
