"""Steps and texts of published templates: what goes, what stays, and in which order."""

import time
from collections import Counter

import pytest

from factory.templates.cleaning import line_of, lines_of, steps_of, text_of


@pytest.mark.parametrize(
    "written",
    [
        "Step 1: Add it.",
        "STEP1 Add it.",
        "Step1 Add it.",
        "Step 1. Add it.",
        "【Step 1】Add it.",
        "1. Add it.",
        "1) Add it.",
        "**Add it.**",
    ],
)
def test_a_number_written_by_hand_goes(written):
    assert steps_of([written], Counter()) == ("Add it.",)


def test_a_qualifier_stays_before_its_step():
    assert steps_of(["Step 1 (base case): Show it for 1.", "Step 2 - Method 1: Expand."], Counter()) == (
        "base case: Show it for 1.", "Method 1: Expand.",
    )  # fmt: skip


def test_every_step_of_a_branch_begins_with_its_label():
    lines = [
        "Step 1: Draw.",
        "Method 1 (Slopes):",
        "1. Find k.",
        "2. Compare.",
        "",
        "Method 2: Vectors",
        "1. Multiply.",
        "Step 2: Conclude.",
    ]
    assert steps_of(lines, Counter()) == (
        "Draw.", "Method 1 (Slopes): Find k.", "Method 1 (Slopes): Compare.", "Method 2 (Vectors): Multiply.", "Conclude.",
    )  # fmt: skip


def test_a_heading_without_a_number_opens_a_branch_and_a_bracket_holds_until_the_next():
    assert steps_of(["Step 1: Choose.", "Algebraic way:", "  a. Solve.", "  b. Check.", "Step 2: Conclude."], Counter()) == (
        "Choose.", "Algebraic way: Solve.", "Algebraic way: Check.", "Conclude.",
    )  # fmt: skip
    assert steps_of(["[Theorem] Step 1: See it.", "Step 2: Use it.", "[Converse] Step 1: Turn it."], Counter()) == (
        "Theorem: See it.", "Theorem: Use it.", "Converse: Turn it.",
    )  # fmt: skip


def test_items_below_a_step_are_one_line_with_it():
    changes: Counter[str] = Counter()
    lines = [
        "Step 1: Compare:",
        "   - If A=0, stop.",
        "   - Else go on:",
        "     * right",
        "     * left",
        "Step 2: Sum up;\n① first\n② second",
    ]
    assert steps_of(lines, changes) == ("Compare: If A=0, stop; Else go on: right; left", "Sum up; ① first; ② second")
    assert changes["items joined to their step"] == 6


def test_a_heading_that_nothing_follows_stays_for_lint():
    assert steps_of(["Step 1: Add.", "Second way:"], Counter()) == ("Add.", "Second way:")


def test_empty_steps_are_left_out_and_counted():
    changes: Counter[str] = Counter()
    assert steps_of(["", "Add.", "  "], changes) == ("Add.",)
    assert changes["empty steps left out"] == 2


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a\\nB\\n1. c", "a\nB\n1. c"),
        ("$x \\neq y$, \\not, \\times", "$x \\neq y$, \\not, \\times"),
        ("$\\\\frac{1}{2} \\\\\\\\cdot 3$", "$\\frac{1}{2} \\cdot 3$"),
        ("\x0crac{1}{2} 3 \times \theta = \x07rccos", "\\frac{1}{2} 3 \\times \\theta = \\arccos"),
        ("\\begin{cases} a \\\\ b \\end{cases}", "\\begin{cases} a \\\\ b \\end{cases}"),
        ("a\tb", "a   b"),
        ("a\r\nb\n\n\n\nc  ", "a\nb\n\nc"),
        ("half \ud800 and \u202e nul \x00", "half  and \u202e nul"),
    ],
)
def test_escapes_are_restored(written, meant):
    assert text_of(written, Counter()) == meant


def test_any_value_has_lines():
    assert lines_of({"a": ["x", 1, None, True], "b": {"c": "y"}}) == ["x", "1", "True", "y"]
    assert lines_of(float("nan")) == lines_of(None) == lines_of(b"x") == []
    assert line_of("**a**\n b", Counter()) == "a b"


@pytest.mark.slow
def test_long_texts_cost_little():
    start = time.process_time()
    for piece in ("Step 1: ", "**", "(", "\\n", "Method 1 ", "[a] ", "- ", "1. "):
        steps_of([piece * 20_000, *[piece] * 2_000], Counter())
    assert time.process_time() - start < 5
