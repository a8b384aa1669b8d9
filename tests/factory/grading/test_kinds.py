"""Choices, labels, literals and text: what is read, what is the same, and that nothing raises or hangs."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.grading.kinds import (
    SYNONYMS,
    compare_choice,
    compare_label,
    compare_literal,
    compare_text,
    normalise,
    read_choice,
    read_label,
    readable,
)
from factory.schemas import AnswerKind, Verdict

COMPARISONS = [compare_choice, compare_label, compare_literal, compare_text]
COMPARED: list[AnswerKind] = ["choice", "label", "literal", "text"]
KINDS: list[AnswerKind] = [*COMPARED, "table"]


@pytest.mark.parametrize(
    "text",
    ["B", "(B)", "B.", "b", "[B]", r"\text{B}", r"\text{(B)}", r"\mathbf{(B)}", r"\textbf{B}", "**B**", "$B$", '"B"', "B) 42",
     "B: 42", "(B) 42",
     "B. 42", "option B", "Option (B)", "the correct answer is B", "B) both A and C"],
)  # fmt: skip
def test_choices(text: str) -> None:
    assert read_choice(text).value == "B"
    assert compare_choice(text, "B") == compare_choice("B", text) == ("correct", "")
    assert compare_choice(text, "C")[0] == "wrong"


@pytest.mark.parametrize(
    "text",
    ["", "Because", "A dog", "1", "(a) The first part", "none of them", "B or C", "BC", "A, B", "(B) and (C)", "(B) 4 or (C) 5", "A/B"],
)
def test_what_is_no_choice(text: str) -> None:
    assert compare_choice(text, "B")[0] == compare_choice("B", text)[0] == "unparsable"
    assert ("several" in readable("choice", text)) == (text[:1] in "AB(" and text not in ("", "Because", "A dog", "(a) The first part"))


def test_every_synonym_is_its_group_and_no_other() -> None:
    for group, words in SYNONYMS.items():
        for word in words:
            for written in (word, word.upper(), f"{word.capitalize()}.", f"\\text{{{word}}}", f"**{word}**", f'"{word}"'):
                assert read_label(written).value == group
            for other, others in SYNONYMS.items():
                assert all(compare_label(word, gold)[0] == ("correct" if group == other else "wrong") for gold in others)


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("not true", "negative"), ("it isn't true", "negative"), ("untrue", "negative"), ("never true", "negative"),
        ("not correct", "negative"),
        ("not false", "positive"), ("not incorrect", "positive"), ("cannot be determined", "open"), ("can't be determined", "open"),
        ("It is not known", "open"), ("not certain", "open"), ("neither true nor false", "open"), ("neither proved nor disproved", "open"),
        ("cannot be proved or disproved", "open"), ("We do not have enough information.", "open"),
        ("not enough to prove or disprove it", "open"),
        ('the statement is proved and the answer is "yes".', "positive"), ("No, because hamsters eat it", "negative"), ("Yes!", "positive"),
        ("the statement is disproved", "negative"), ("it is unknown", "open"),
    ],
)  # fmt: skip
def test_labels_in_words(text: str, group: str) -> None:
    assert read_label(text) == (group, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not proved", "no label"), ("cannot be proved", "no label"), ("isn't proven", "no label"), ("not disproved", "no label"),
        ("not entailed", "no label"), ("not unknown", "no label"), ("there is no way", "no label"), ("that is correct of him", "no label"),
        ("", "empty"), ("true or false", "names several labels"), ("yes or no", "names several labels"),
        ("true, or rather unknown", "names several labels"), ("Yes and no", "names several labels"),
    ],
)  # fmt: skip
def test_what_is_no_label(text: str, reason: str) -> None:
    assert readable("label", text) == reason
    assert compare_label(text, "true") == ("unparsable", reason)
    assert compare_label("true", text) == ("unparsable", f"the gold answer: {reason}")


@pytest.mark.parametrize(
    ("answer", "gold", "verdict"),
    [
        ("[1, 2]", "[1,2]", "correct"), ("1", "1.0", "correct"), ("True", "1", "correct"), ("'a'", '"a"', "correct"),
        ("{1, 2}", "{2, 1}", "correct"),
        ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", "correct"), ("[nan, inf]", "[nan, inf]", "correct"), ("nan", "nan", "correct"),
        (r"\{1, 2\}", "{1, 2}", "correct"), ("`[1]`", "[1]", "correct"), ("set()", "set()", "correct"), ("[1] # why", "[1]", "correct"),
        (r"'\d'", r"'\\d'", "correct"), ("1", "'1'", "wrong"), ("[1, 2]", "(1, 2)", "wrong"), ("[1, 2]", "[2, 1]", "wrong"),
        ("nan", "1.0", "wrong"),
        ("0x" + "f" * 9_000, "1", "wrong"), ("abc", "'abc'", "unparsable"), ("[1, 2", "[1, 2]", "unparsable"),
        ("'a' * 3", "'aaa'", "unparsable"),
        ("{[1]: 2}", "1", "unparsable"), ("f(1)", "1", "unparsable"), ("", "1", "unparsable"), ("__import__('os')", "1", "unparsable"),
    ],
)  # fmt: skip
def test_literals(answer: str, gold: str, verdict: Verdict) -> None:
    assert compare_literal(answer, gold)[0] == compare_literal(gold, answer)[0] == verdict


def test_text() -> None:
    assert compare_text("in  Paris.", "In Paris") == ("correct", "")
    assert compare_text(r"\text{in Paris}", "In Paris") == ("correct", "")
    assert compare_text("Paris", "in Paris") == ("wrong", "Paris is not in Paris")
    assert compare_text(" . ", "Paris") == ("unparsable", "empty")
    assert normalise("  A b.\n") == "a b"


HOSTILE = [
    "[" * 10**5, "[" * 4_000 + "]" * 4_000, "1" * 10**6, "1" * 9_000, "-" * 10**5, "-" * 9_000 + "1", "1+" * 10**5,
    "1+" * 4_900 + "1", "\x00",
    "a\x00b", "\ud800", "'\ud800'", "not " * 2_400 + "true", "~" * 9_999, "1**" * 3_000 + "1", "f" + "(1)" * 3_000, "x" + ".a" * 4_900,
    "lambda:" * 1_400 + "1", "A, " * 3_000, "(A) or " * 1_400, "true or " * 1_200, "neither true nor " * 500,
    "\\text{" * 1_600, '"' * 9_000,
    "{" + ", ".join(str(k * (2**61 - 1)) for k in range(400)) + "}",  # integers of one hash
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
@pytest.mark.slow
def test_hostile_answers_cost_bounded_time(number: int) -> None:
    text = HOSTILE[number]
    start = time.process_time()
    for compare in COMPARISONS:
        assert compare(text, text)[0] in ("correct", "unparsable")
        assert compare(text, "true")[0] == compare("true", text)[0]
    assert all(isinstance(readable(kind, text), str) for kind in KINDS)
    assert time.process_time() - start < 5  # measured: 0.05 s


ANSWERS = st.text(st.characters(), max_size=60) | st.text("ABC()[]{}.,: tructfalsenoty'\"1+-\\*", max_size=30)


@given(ANSWERS, ANSWERS)
@settings(max_examples=200)
@pytest.mark.slow
def test_no_text_raises_and_every_comparison_is_symmetric(first: str, second: str) -> None:
    for kind, compare in zip(COMPARED, COMPARISONS, strict=True):
        verdict, reason = compare(first, second)
        assert verdict == compare(second, first)[0]
        assert (verdict == "correct") == (not reason)
        assert compare(first, first)[0] == ("unparsable" if readable(kind, first) else "correct")
