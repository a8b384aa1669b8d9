"""The leak test by the grader: sixty hints that a person labelled, what `given` excuses, and hostile text."""

import time

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from factory.coat.demonstrations.leaks import gives_answer
from factory.coat.demonstrations.mentions import MOST, ascii_of, mentions, number_words
from factory.schemas import AnswerKind, Problem

EGGS = "Tom had 12 eggs. He found 7 and lost 4. How many eggs does Tom have now?"
HALF = "A bag holds 3 red and 3 blue marbles. What is the chance of a red one?"
ROOT = "A square has an area of 8. How long is its side?"
RANGE = "For which x is the square root of x - 1 real and x at most 3, x not 1?"
PAIR = "Solve x^2 - 5x + 6 = 0."
DAY = "It is Sunday. Which day is it nine days later?"
CHOICE = "How many legs has a spider?\n(A) 6\n(B) 8\n(C) ten legs"
LABEL = "Facts: the cat is cold. Is it true or false that the cat eats?"
PRICE = "A coat of $80 is 25% cheaper today. What does it cost?"
SHARE = "Of 40 pupils 10 walk. What share walks?"
METRES = "A rope of 9 m is cut into pieces of 3 m. How long are 4 pieces?"
LIST = "What does f([2, 1]) return, when f sorts a list?"


def problem(text: str, answer: str, kind: AnswerKind) -> Problem:
    return Problem(
        id="p", source="s", family="f", group="g", split="train", instance="i", problem=text, answer=answer, answer_kind=kind, solution="…"
    )


LEAKS: list[tuple[str, str, AnswerKind, str]] = [
    (EGGS, "15", "number", "Write 15 instead."),
    (EGGS, "15", "number", "Take 4 from 19, which is 15.0 eggs."),
    (EGGS, "15", "number", "It should be fifteen."),
    (EGGS, "15", "number", "Do 19 - 4 = 15."),
    (EGGS, "15", "number", "Tom ends with (15) eggs"),
    (EGGS, "15", "number", "Finish with $\\frac{30}{2}$."),
    (EGGS, "15", "number", "Put it into \\boxed{}."),
    (EGGS, "15", "number", "Work out 19 - 4."),
    (EGGS, "12", "number", "Stay with 12, for the answer is 12."),
    (EGGS, "12", "number", "Stay where you were: 12 is the answer."),
    (EGGS, "1500", "number", "There are 1,500 of them."),
    (EGGS, "1500", "number", "You need one thousand five hundred."),
    (EGGS, "-5", "number", "Go down to \N{MINUS SIGN}5."),
    (HALF, "1/2", "math", "The chance is 0.5, not 3."),
    (HALF, "\\frac{1}{2}", "math", "Use \\(\\dfrac{3}{6}\\) and shorten it."),
    (HALF, "\\frac{1}{2}", "math", "It is 50%."),
    (HALF, "\\frac{1}{2}", "math", "So it is fifty percent."),
    (HALF, "0.5", "math", "Every second one, so one half."),
    (HALF, "0.5", "math", "Write ½."),
    (ROOT, "2\\sqrt{2}", "math", "Take $\\sqrt{8}$ as the side."),
    (ROOT, "2\\sqrt{2}", "math", "The side is 2√2 long."),
    (ROOT, "\\sqrt{8}", "math", "Set s = 2 * sqrt(2) there."),
    (RANGE, "(1,3]", "math", "All x in (1, 3] are left."),
    (RANGE, "(1,3]", "math", "It holds for $1 < x \\le 3$."),
    (PAIR, "2, 3", "math", "The roots are 3 and 2."),
    (PAIR, "x=2, x=3", "math", "Try x = 3, and then x = 2."),
    (DAY, "Tuesday", "text", "Count on to a tuesday."),
    (DAY, "\\text{Tuesday}", "math", "That is **Tuesday**."),
    (CHOICE, "B", "choice", "Choose (b)."),
    (CHOICE, "(B)", "choice", "Option B fits."),
    (CHOICE, "B", "choice", "A spider has eight legs."),
    (CHOICE, "C", "choice", "Look for ten legs."),
    (LABEL, "false", "label", "No rule says so: it is not true."),
    (PRICE, "60", "number", "Today it costs 60 dollars."),
    (PRICE, "\\$60", "math", "Pay $60."),
    (SHARE, "25%", "math", "Divide, and you get .25 of them."),
    (SHARE, "25\\%", "math", "It is a quarter of all."),
    (METRES, "12 \\text{ m}", "math", "They are 12 m long."),
    (METRES, "twelve", "text", "They are 12 m long."),
    (LIST, "[1, 2]", "literal", "It gives `[1,2]`."),
]
CLEAN: list[tuple[str, str, AnswerKind, str]] = [
    (EGGS, "15", "number", "Take away the 4 eggs that he lost."),
    (EGGS, "15", "number", "Go back to Step 15 and subtract."),
    (EGGS, "15", "number", "Add 12 and 7 first."),
    (EGGS, "15", "number", "Subtract four from the sum of twelve and seven."),
    (EGGS, "15", "number", "It is more than 14."),
    (EGGS, "15", "number", "Use 150 or 1.5 for nothing."),
    (EGGS, "12", "number", "Begin with 12 eggs."),
    (EGGS, "12", "number", "Begin with the twelve eggs."),
    (EGGS, "12", "number", "The answer is not 12."),
    (EGGS, "1", "number", "Read the second one of the sentences again."),
    (EGGS, "3", "number", "Check step 3 again."),
    (EGGS, "15", "number", "$12 + 7$ comes first."),
    (HALF, "1/2", "math", "Count the red marbles and divide by the number of all."),
    (HALF, "\\frac{1}{2}", "math", "Use 3 over the sum of 3 and 3."),
    (HALF, "\\frac{1}{2}", "math", "It is less than \\frac{2}{3}."),
    (HALF, "\\frac{1}{3}", "math", "In the third step count all marbles."),
    (ROOT, "2\\sqrt{2}", "math", "The side times itself is 8."),
    (ROOT, "2\\sqrt{2}", "math", "Take the root of the area."),
    (ROOT, "2\\sqrt{2}", "math", "It is not $4\\sqrt{2}$."),
    (RANGE, "(1,3]", "math", "Look at what stands under the root, and at the end of [0, 3]."),
    (PAIR, "2, 3", "math", "Look for two factors of 6 with the sum 5."),
    (PAIR, "2, 3", "math", "Write it as a product of two brackets."),
    (DAY, "Tuesday", "text", "Count nine days on from Sunday."),
    (DAY, "Tuesday", "text", "Seven days later it is Sunday again."),
    (CHOICE, "A", "choice", "A better approach is to count a pair at a time."),
    (CHOICE, "B", "choice", "Count the pairs of legs and double them."),
    (CHOICE, "B", "choice", "It is not (A)."),
    (LABEL, "false", "label", "Look at what the facts say about the cat."),
    (PRICE, "60", "number", "Take 25% of $80 off."),
    (PRICE, "60", "number", "Find how much a quarter of the price is."),
    (SHARE, "25%", "math", "Divide 10 by 40."),
    (SHARE, "0.25", "math", "Compare those who walk with all 40 pupils."),
    (METRES, "12 \\text{ m}", "math", "Multiply the length of a piece, 3 m, by 4."),
    (LIST, "[1, 2]", "literal", "Sort [2, 1] first."),
]

# written after the rules, without a look at them
UNSEEN_LEAKS: list[tuple[str, str, AnswerKind, str]] = [
    ("How much?", "3.75", "number", "the price is 3 3/4 dollars"),
    ("?", "1000000", "number", "about one million of them"),
    ("?", "0.2", "math", "take $\\tfrac15$ of it"),
    ("?", "\\frac{\\pi}{4}", "math", "use π/4 here"),
    ("?", "\\frac{\\pi}{4}", "math", "the angle is 45 degrees, i.e. $\\pi/4$"),
    ("?", "\\frac{1+\\sqrt{5}}{2}", "math", "the golden ratio $(1+\\sqrt 5)/2$ appears"),
    ("?", "x=-2", "math", "so that x equals -2"),
    ("?", "-2", "math", "x is minus two"),
    ("?", "[0,\\infty)", "math", "all x with $x \\ge 0$"),
    ("?", "10:30", "math", "be there at 10:30"),
    ("?", "3:2", "math", "in the ratio 3:2"),
    ("?", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", "math", "it is $\\begin{pmatrix}1\\\\2\\end{pmatrix}$"),
    ("?", "2^{10}", "math", "write 1024"),
    ("?", "1024", "number", "write 2^10"),
    ("?", "12", "number", "A dozen are left."),
    ("?", "25", "number", "twenty five percent of 100"),
    ("?", "x^2-1", "math", "multiply out to (x-1)(x+1)"),
    ("?", "yes", "label", "yes, it is possible."),
    ("?", "uncertain", "label", "this cannot be determined"),
    ("Pick.\nA. red\nB. dark blue", "B", "choice", "the sky is dark blue"),
    ("Pick.\nA) $\\frac{1}{2}$\nB) $\\frac{1}{3}$", "A", "choice", "you get 0.5"),
    ("?", "'abc'", "literal", "it returns 'abc'"),
    ("?", "True", "literal", "so it is True"),
    ("?", "{'a': 1}", "literal", "you get {'a': 1} back"),
    ("?", "5", "number", "that leaves 5%."),
    ("?", "no solution", "math", "there is no solution here"),
    ("?", "(3, 4)", "math", "x = 3 and y = 4"),
    ("?", "\\{1, 3\\}", "math", "both 1 and 3 work"),
    ("?", "1.5\\times 10^3", "math", "1500 in all"),
    ("?", "7", "number", "result=7"),
    ("?", "7", "number", "**7**"),
    ("?", "70", "number", "seventy"),
    ("?", "1/3", "number", "a third of it"),
    ("?", "150", "number", "a hundred and fifty"),
    ("?", "18", "number", "$18.00"),
    ("?", "204_5", "math", "it is 204 in base 5"),
    ("?", "\\sqrt[3]{2}", "math", "take \\sqrt[3]{2}"),
    ("?", "e^2", "math", "e^2 it is"),
    ("?", "n(n+1)/2", "math", "use $\\frac{n(n+1)}{2}$"),
]
SAID_LEAKS = [
    ("24", "It is 2 more than 22."), ("24", "two more than twenty-two"), ("20", "2 less than 22"), ("20", "two fewer than 22"),
    ("24", "twice 12"), ("24", "twice twelve."), ("24", "thrice 8"), ("24", "double of 12"), ("1200", "1.2k"), ("5000", "about 5K"),
]  # fmt: skip
SAID_CLEAN = [
    ("24", "2 more than 21"), ("14", "more than 12"), ("3", "thrice"), ("2", "twice as many"), ("24", "twice 12%"),
    ("12", "1.2k"), ("2000", "set 2k + 1"), ("5000", "5km"),
]  # fmt: skip
UNSEEN_CLEAN: list[tuple[str, str, AnswerKind, str]] = [
    ("?", "3.75", "number", "the price is 3 3/8 dollars"),
    ("?", "7", "number", "use 17, 70, 0.7 and 7x"),
    ("?", "x", "math", "solve for x"),
    ("?", "\\frac{\\pi}{4}", "math", "the angle is in the first quadrant"),
    ("?", "[0,\\infty)", "math", "look at where it is negative"),
    ("?", "even", "math", "check whether it is odd"),
    ("?", "no", "label", "there are more facts"),
    ("Pick.\nA. red\nB. dark blue", "B", "choice", "a red sky is rare"),
    ("Pick.\nA. red\nB. dark blue", "A", "choice", "I think a closer look helps"),
    ("?", "True", "literal", "evaluate the condition again"),
    ("?", "10:30", "math", "add 30 minutes to 10"),
    ("?", "1", "number", "use the other one"),
    ("?", "2", "number", "do the second step again"),
    ("?", "4", "number", "see Step 4."),
    ("?", "x^2-1", "math", "multiply out both brackets"),
]


@pytest.mark.parametrize(("text", "answer", "kind", "hint"), [*LEAKS, *UNSEEN_LEAKS])
def test_no_leak_is_missed(text: str, answer: str, kind: AnswerKind, hint: str) -> None:
    assert gives_answer(problem(text, answer, kind), hint, text)


@pytest.mark.parametrize("kind", ["number", "math"])
def test_a_value_that_is_worked_out_in_words_leaks(kind: AnswerKind) -> None:
    assert [hint for answer, hint in SAID_LEAKS if not gives_answer(problem("?", answer, kind), hint, "")] == []
    assert [hint for answer, hint in SAID_CLEAN if gives_answer(problem("?", answer, kind), hint, "")] == []
    twice = problem("?", "24", kind)
    assert not gives_answer(twice, "work out twice 12.", "He has twice 12 pens.")  # it may be said as it stands there
    assert gives_answer(twice, "write 24.", "He has twice 12 pens.")  # and excuses no value


def test_false_alarms_are_few() -> None:
    """Hints that give nothing away; what is refused all the same is named here."""
    assert len(LEAKS) >= 30
    assert len(CLEAN) >= 30
    alarms = [hint for text, answer, kind, hint in CLEAN if gives_answer(problem(text, answer, kind), hint, text)]
    assert alarms == []
    unseen = [hint for text, answer, kind, hint in UNSEEN_CLEAN if gives_answer(problem(text, answer, kind), hint, text)]
    assert unseen == ["use 17, 70, 0.7 and 7x", "solve for x"]  # a factor is a number too, and x the answer


@pytest.mark.parametrize(
    ("answer", "kind", "text", "given", "leaking"),
    [
        ("15", "number", "go on from 15.", "19 - 4 = 15", False),
        ("15", "number", "go on from fifteen.", "19 - 4 = 15", False),
        ("15", "number", "19 - 4 is not 14.", "19 - 4 = 14", False),  # what is to be worked out may be repeated
        ("15", "number", "that is fifteen.", "19 - 4 = 14", True),  # and excuses no value
        ("15", "number", "that is \\frac{30}{2}.", "19 - 4 = 14", True),
        ("2\\sqrt{2}", "math", "simplify $\\sqrt{8}$.", "Simplify \\(\\sqrt{8}\\).", False),
        ("2\\sqrt{2}", "math", "write $2\\sqrt{2}$.", "Simplify \\(\\sqrt{8}\\).", True),
        ("0.5", "number", "write 0.5.", "Turn 50% into a decimal.", True),
        ("x^2+2x+1", "math", "expand (x+1)^2 once more.", "Expand (x+1)^2.", False),
        ("x^2+2x+1", "math", "the middle is missing: x^2 + 2x + 1.", "Expand (x+1)^2.", True),
        ("15", "number", "the answer is 15.", "19 - 4 = 15", True),
        ("15", "number", "15 is the answer.", "19 - 4 = 15", True),
        ("Tuesday", "text", "it is Tuesday.", "Today is Tuesday.", False),
        ("Tuesday", "text", "the answer is Tuesday.", "Today is Tuesday.", True),
        ("B", "choice", "(B) says too much.", "So (B).", False),
        ("[1, 2]", "literal", "[1, 2] is sorted.", "So [1, 2].", False),
        ("a, b", "table", "the cells are a and b", "", True),
    ],
)  # fmt: skip
def test_what_stands_there_may_be_named_as_it_is_written(answer: str, kind: AnswerKind, text: str, given: str, leaking: bool) -> None:
    assert gives_answer(problem("?", answer, kind), text, given) == leaking


def test_the_problem_of_a_choice_excuses_no_choice() -> None:
    spider = problem(CHOICE, "B", "choice")
    assert gives_answer(spider, "it is (B).", f"{CHOICE}\nSo (A).")
    assert not gives_answer(spider, "it is (B).", f"{CHOICE}\nNot (B).\nSo (A).")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("twenty-five and two thirds", ["25", "2/3"]), ("two hundred and five", ["205"]), ("minus three", ["-3", "3"]),
        ("one and a half", ["3/2"]), ("fifty percent", ["50%", "50"]), ("the third step", []), ("one of the first ones", []),
        ("three quarters", ["3/4"]), ("zero point two five", ["1/4"]), ("two dozen", ["24"]), ("a thousand two hundred", ["1200"]),
        ("two and three", ["2", "3"]),
    ],
)  # fmt: skip
def test_numbers_in_words(text: str, values: list[str]) -> None:
    assert [word.text for word in number_words(text)] == values


def test_a_text_of_more_expressions_than_a_hint_has_counts_as_a_leak() -> None:
    assert gives_answer(problem("?", "-3.5", "number"), " ".join(str(n) for n in range(MOST + 1)), "")
    assert gives_answer(problem("?", "-3.5", "number"), "no number " * 2000, "")


@settings(max_examples=60)
@drawn(
    st.sampled_from(["15", "\\frac{1}{2}", "(1,3]", "B", "false", "[1, 2]", "a | b", "2, 3", "x > 2", ""]),
    st.sampled_from(["number", "math", "choice", "label", "literal", "table", "text"]),
    st.text(alphabet="1 2.,/$\\(){}[]=<>-+^_%abBxI\nansweri sqrtfrac:½√", max_size=120),
)
def test_it_never_raises(answer: str, kind: AnswerKind, text: str) -> None:
    assert gives_answer(problem("?", answer, kind), text, text[::-1]) in (True, False)


@pytest.mark.parametrize(
    "part",
    [
        "1",
        "(",
        "$",
        "\\frac{",
        "1,",
        "1 ",
        "one ",
        "answer is ",
        "{",
        "[1,",
        "x^",
        "\\sqrt{1}",
        "a\n",
        "- ",
        "1/",
        "9:",
        "twice ",
        "1 more than ",
        "one more than ",
        "2k ",
    ],
)
@pytest.mark.slow
def test_time_is_linear_in_a_hostile_text(part: str) -> None:
    def seconds(size: int) -> float:
        began = time.process_time()
        list(mentions(ascii_of(part * (size // len(part)))))
        return time.process_time() - began

    def least(size: int) -> float:
        """Of three: the garbage of all tests before may be collected in one of them."""
        return min(seconds(size) for _ in range(3))

    assert least(40_000) < 20 * max(least(10_000), 0.01)
