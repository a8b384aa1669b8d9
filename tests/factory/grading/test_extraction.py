"""Extraction: every rule of the table in docs/grading.md, what must not be found, and bounded time on hostile text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.grading.extraction import boxed_answers, extract, extract_answer
from factory.grading.protocol import ALL_RULES, KINDS, Extraction, Rule
from factory.schemas import AnswerKind


def found(text: str, kind: AnswerKind = "math") -> tuple[str, Rule] | None:
    extraction = extract(text, ALL_RULES, kind)
    return (extraction.text, extraction.rule) if extraction else None


def test_boxes() -> None:
    assert boxed_answers(r"\boxed{\frac{1}{2}} and \boxed{ {a} b }") == [r"\frac{1}{2}", "{a} b"]
    assert boxed_answers("\\boxed{5\n<|reflect|>\n\\boxed{6}") == ["6"]  # the first is never closed
    assert boxed_answers(r"} \boxed{a \boxed{b} c} \boxed{d \boxed{e}") == [r"a \boxed{b} c", "e"]
    assert boxed_answers(r"\fbox{7} \beginboxed{8} \\boxed{9} \boxed {10}") == ["7", "8", "9", "10"]
    assert boxed_answers(r"\boxed{\left\{ x \right.} \boxed{\{1\}}") == [r"\left\{ x \right.", r"\{1\}"]  # \{ is no brace of TeX
    assert boxed_answers("no box, boxed{5} is none") == []


@given(st.lists(st.text(st.characters(blacklist_characters="{}\\")), max_size=4))
@settings(max_examples=50)
def test_boxes_come_back_in_order(answers: list[str]) -> None:
    assert boxed_answers(" so ".join(f"\\boxed{{{answer}}}" for answer in answers)) == [answer.strip() for answer in answers]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3} no: \boxed{4}", "4"),
        (r"\boxed{5}. I wrote it in \boxed{} as asked", "5"),  # an empty box says nothing
        ("no box", None),
        (r"\boxed{5", None),
        (r"\boxed{}", None),
        (r"\boxed{1}\boxed{2}", "1, 2"),
        (r"\boxed{1} papers and \boxed{2} bins", "1, 2"),
        (r"\boxed{(3, 3)} \text{ for part (a) and } \boxed{(1, 1)}", "(3, 3), (1, 1)"),
        (r"\boxed{35 cm} ++++++ \boxed{4}", "35 cm, 4"),
        (r"y_1 = \boxed{-2x} \) and \( y_2 = \boxed{3x}", "-2x, 3x"),
        (r"$\boxed{-2} \quad \text{and} \quad \boxed{1}$", "-2, 1"),
        (r"\boxed{5} or \boxed{6}", "5, 6"),
        (r"\boxed{1},\boxed{2} and \boxed{3}", "1, 2, 3"),
        ("\\boxed{1},\n\\boxed{2}", "1, 2"),
        ("\\boxed{1} and\n\\boxed{2}", "1, 2"),
        ("\\boxed{1}\n\\boxed{2}", "2"),
        ("\\boxed{1},\n\n\\boxed{2}", "2"),
        ("x &= \\boxed{1} \\\\\n y &= \\boxed{2}", "2"),
        (r"\boxed{1} no no no no no \boxed{2}", "2"),
        (r"\boxed{3}, so the answer is \boxed{4}", "4"),
        (r"\boxed{3}, wait, \boxed{4}", "4"),
        (r"\boxed{3}. And \boxed{4}", "4"),
        (r"\boxed{3} \Rightarrow \boxed{4}", "4"),
        (r"So \boxed{143}. **Final Answer** \boxed{143}", "143"),
        (r"\boxed{2} and \boxed{2}", "2"),
        (r"\boxed{1}, " + "x" * 60 + r" \boxed{2}", "2"),
    ],
)
def test_the_box_rule(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer
    assert extract(text) == (Extraction(answer, "box") if answer is not None else None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("She has 9 * 2 = 18.\n#### 18", ("18", "hash")),
        ("#### 18\n\nQuestion: and now?", ("18", "hash")),
        ("#### $1,200.<|im_end|>", ("$1,200", "hash")),
        ("#### Step 1: add\n5 + 5 = 10\n#### Conclusion\nSo it is 10.", ("10", "last_maths")),  # headings
        ("<answer> 5 </answer>", ("5", "tag")),
        ("[ANSWER]5[/ANSWER] or rather [answer]6[/answer] [ANSWER]7", ("6", "tag")),
        (r"<answer>\boxed{5}</answer>", ("5", "box")),
        (r"\boxed{5} #### 6", ("6", "hash")),
        (r"#### 6 \boxed{5}", ("5", "box")),
        (r"\boxed{143}. Final Answer: 144", ("144", "final_answer")),
        (r"\boxed{5}. The answer is 6.", ("5", "box")),  # the weaker rule is asked only where the stronger ones find nothing
    ],
)
def test_strong_rules_and_which_of_them_counts(text: str, answer: tuple[str, Rule] | None) -> None:
    assert found(text, "number") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Final Answer: The volume of $ABCDEFGH$ is 120. I hope it is correct.", "120"),
        ("Final Answer: Jane started growing Sphere 3 hours ago. I hope it is correct. <|im_start|>user", "3"),
        (r"The final answer is $28 \%$. I hope it is correct.", r"28 \%"),
        (r"Final Answer: The final answer is \((-6, 10)\).", "(-6, 10)"),
        (r"Final Answer: The final answer is \"$12 $ and $13 $\". I hope it is correct.", "$12 $ and $13 $"),
        ("Final Answer: 12 de octubre", "12 de octubre"),
        ("Final Answer: The largest $n$ is 34.", "34"),
        ("**Final Answer:** **73**", "73"),
        ("**Final Answer**\n\n\\[ 5 \\]", "5"),
        ("**Final Answer**\n$$\nx = 5\n$$\nDone.", "x = 5"),
        ("The final answer is: $\\frac{1}{2}$.", r"\frac{1}{2}"),
        ("The final answer is 3.14. Note: 3.15 is wrong", "3.14"),
        ("The final answer is 5 or 6.", "5 or 6"),
        ("The final answer is $x = 1$ and $y = 2$.", "$x = 1$ and $y = 2$"),
        ("Final answer: we see that $f(x) = 3x + 1$.", "f(x) = 3x + 1"),
        ("The final answer is even", "even"),
        ("the final answer is 7. I checked that the final answer is correct.", "7"),
    ],
)
def test_final_answer(text: str, answer: str) -> None:
    assert found(text) == (answer, "final_answer")


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [
        ("Therefore, answer is 189.\n\nAnother thought: 7?", "math", "189"),
        ("Answer:\n\n42", "number", "42"),
        ("The answer to this question is 7", "number", "7"),
        ("Therefore the answer is $5.", "number", "$5"),
        ("the answer is 7! = 5040.", "math", "7! = 5040"),
        ("The answer is (E).", "choice", "(E)"),
        ("The answer is (C) 12 m.\n\n", "choice", "(C) 12 m"),
        ("The answer is B because A is wrong.", "choice", "B"),
        ("The answer is (B), since (C) is wrong.", "choice", "(B)"),
        ("The answer is (B) or (F).", "choice", "(B) or (F)"),  # a hedge stays one
        ("The answer is A1's share. The answer is (E).", "choice", "(E)"),
        ('is disproved and the answer is "no".', "label", "no"),
        ("The answer is true or false.", "label", "true or false"),
        ("The answer is that it cannot be determined", "label", "that it cannot be determined"),
        ("Answer: [1, 2]", "literal", "[1, 2]"),
        ("Answer: 'a. b'", "literal", "'a. b'"),
        ("Answer: a, b. c, 0.5.", "table", "a, b. c, 0.5."),
        ("Answer:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nDone.", "table", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("The answer is the river Thames. It flows.", "text", "the river Thames."),
    ],
)
def test_answer_is(text: str, kind: AnswerKind, answer: str) -> None:
    assert found(text, kind) == (answer, "answer_is")


@pytest.mark.parametrize(
    "statement",
    ["the final answer is correct.", "The final answer is not among the options.", "Final Answer:", "the final answer is as follows.",
     "The final answer is at least 9."],
)  # fmt: skip
def test_a_statement_without_an_answer_wins_over_nothing(statement: str) -> None:
    assert found(f"\\boxed{{5}} and {statement}") == ("5", "box")
    assert found(f"#### 5\nI think {statement}", "number") == ("5", "hash")


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [
        ("words.\nodd $n$", "math", "odd $n$"),
        ("Evelyn", "math", "Evelyn"),
        (r"$g(x)=x$ for some $a>0$", "math", r"$g(x)=x$ for some $a>0$"),
        (r"Answer \( (9+1) \)", "math", "(9+1)"),
        ("Ans: 16 duck eggs", "number", "16 duck eggs"),
        ("So, x = [0, 1)<|im_end|>\n<|im_start|>user", "math", "x = [0, 1)"),
        (r"(-\infty, 2) \cup (3, 5)", "math", r"(-\infty, 2) \cup (3, 5)"),
        ("That is all.\nA: 18", "number", "18"),
        ("That is all.\nA: 18", "choice", "A: 18"),
        ("I think.\n**B**", "choice", "B"),
        ("I think.\n(B) 42", "choice", "(B) 42"),
        ("Hence: not true", "label", "not true"),
        ("It follows\n{'a': 1}", "literal", "{'a': 1}"),
        ("So:\n| 1 | 2 |\n| 3 | 4 |", "table", "| 1 | 2 |\n| 3 | 4 |"),
        ("So:\nSpain, France", "table", "Spain, France"),
    ],
)
def test_last_line(text: str, kind: AnswerKind, answer: str) -> None:
    assert found(text, kind) == (answer, "last_line")


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [
        (r"Therefore $x \geq 5$ is the solution.", "math", r"x \geq 5"),
        ("Soucis : 2,74 $ a..", "math", "2,74"),
        ("so the number is 10 which is 1,000.99m²", "number", "1,000.99m²"),
        ("the number is not 10 which is 1,000.99€", "number", "1,000.99€"),
        ("Tom has $5 and pays $3.", "number", "$3"),
        ("There it is -5 and not 10-5.", "number", "5"),
        ("It takes 3 1/2 cups.", "number", "3 1/2"),
        ("The 3rd of 1 234 is 20% of it, the 2nd.", "number", "20%"),
        ("We get $a=1$ as \\$2 is not it\nand that was all there was", "math", "a=1"),
        ("Answer \\[ \n 9 \n \\]", "math", "9"),
        (r"\begin{align*} a &= 1 \\ &= 2.\end{align*}", "math", "= 2"),
        ("so (A) fits, which is (B), but (C) is not right", "choice", "(B)"),
        ("It is true or not. We find that the statement is disproved", "label", "disproved"),
    ],
)
def test_last_maths(text: str, kind: AnswerKind, answer: str) -> None:
    if kind == "label":
        assert found(text + ", as was shown, and so it is that it has to be." + " So it goes." * 30, kind) == (answer, "last_maths")
    else:
        assert found(text, kind) == (answer, "last_maths")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "math"), ("This is a sentence", "math"), ("Answer $ \n 9 \n $", "math"), ("the AZYUK2A is it", "number"),
        ("Because", "choice"),
        ("A dog has it.", "choice"), ("(a) The first part", "choice"), ("there is no way", "label"), ("a = b", "literal"),
        ("Paris", "text"),
        ("The fact is that all of it is a sentence.", "table"),
    ],
)  # fmt: skip
def test_where_there_is_no_answer(text: str, kind: AnswerKind) -> None:
    assert found(text, kind) is None


def test_a_box_that_is_no_choice_leaves_the_choice_to_the_other_rules() -> None:
    assert found(r"We get $\boxed{17}$. The answer is (F).", "choice") == ("(F)", "answer_is")
    assert found(r"We get $\boxed{17}$.", "choice") == ("17", "box")
    assert found(r"\boxed{B or C}. The answer is (F).", "choice") == ("B or C", "box")


def test_only_the_rules_that_are_named_count() -> None:
    assert extract("##### 18", ("hash",)) is None
    assert extract("<answer>5[/ANSWER] 6</answer", ("tag",)) is None
    text = "#### 1\n[ANSWER]2[/ANSWER]\nThe final answer is 3.\n\\boxed{4}"
    rules: list[Rule] = ["hash", "tag", "final_answer", "box"]
    assert [extract(text, (rule,)) for rule in rules] == [Extraction(str(index + 1), rule) for index, rule in enumerate(rules)]
    assert extract(text, ("answer_is",)) == Extraction("3", "answer_is")
    assert extract("18", ()) is None


def test_the_assertion_of_a_literal() -> None:
    assert found("[ANSWER]\nassert f('x == y') == [1, 2]\n[/ANSWER]", "literal") == ("[1, 2]", "tag")
    assert found("[ANSWER]\n```python\n[1, 2]\n```\n[/ANSWER]", "literal") == ("[1, 2]", "tag")


HOSTILE = [
    "x" * 10**6, "{" * 10**5, "\\boxed{" * 10**5, "\\boxed{1} and " * 10**4, "\\boxed{" * 10**5 + "}" * 10**5, "$" * 10**6, "$1 " * 10**5,
    "answer is " * 10**5, "answer of " * 10**5, "final answer: $" * 10**5, "#### " * 10**5, "[ANSWER]" * 10**5,
    "[ANSWER]x[/ANSWER]" * 10**5,
    "\n" * 10**6, " " * 10**6, "1" * 10**6, "1,111" * 10**5, "1 1/" * 10**5, "(B) or " * 10**5, "\\(" * 10**5, "\\begin{align}" * 10**5,
    "neither true nor " * 10**5, "the answer is a " + "= " * 10**5, "\x00" * 10**5, "\ud800" * 10**5, "<|im_end|>" * 10**5, "|a|\n" * 10**5,
    "é" * 10**6 + "[/ANSWER]", "the answer is \\(x " * 10**5, "answer: " + ".;" * 10**5, "answer is \\text{" + "\\text{" * 10**5,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
@pytest.mark.slow
def test_hostile_text_costs_bounded_time(number: int) -> None:
    for kind in ("math", "choice", "label", "table"):
        start = time.process_time()
        extract(HOSTILE[number], ALL_RULES, kind)
        assert time.process_time() - start < 5  # measured: 0.3 s


@given(st.text(st.characters(), max_size=200) | st.text("\\boxed{}$()[]AB answer is:.#\n1,2|*'\"<>/", max_size=200), st.sampled_from(KINDS))
@settings(max_examples=200)
@pytest.mark.slow
def test_no_text_raises(text: str, kind: AnswerKind) -> None:
    for answer in (text, f"The answer is {text}", f"\\boxed{{{text}}}"):
        extraction = extract(answer, ALL_RULES, kind)
        assert extraction is None or extraction.text


def test_a_usual_response_is_read_in_microseconds() -> None:
    for text, rules in (("some words are here. " * 13 + r"\boxed{18}", ("box",)), ("some words are here. " * 13 + "\n#### 18", ALL_RULES)):
        best = min(_seconds(text, rules) for _ in range(5))
        assert best < 1e-4  # measured: 4e-6; the machine of the tests may be busy


def _seconds(text: str, rules: tuple[Rule, ...]) -> float:
    start = time.process_time()
    for _ in range(200):
        extract(text, rules, "number")
    return (time.process_time() - start) / 200
