"""Stitching: the text to the letter, and wrong spans that cut out the wrong attempts and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.coat import grammar
from factory.coat.demonstrations.lead_ins import LEAD_INS
from factory.coat.demonstrations.stitch import Trajectory, said

LINE = st.text(st.characters(blacklist_characters="\n\r<|>", blacklist_categories=("Cs",)), min_size=1).filter(str.strip)


def test_two_corrections_to_the_letter() -> None:
    made = (
        Trajectory()
        .attempt(("12 + 7 = 19", "19 + 4 = 23"), wrong_from=0)
        .correct("But wait:", "do not add 4.", "This time,", "take away 4.")
        .attempt(("19 - 4 = 14",), wrong_from=0)
        .correct("Let me look again:", "19 - 4 is\nnot 14.", "Another way:", "Take away 4.")
        .attempt(("19 - 4 = 15", "\\boxed{15}"))
    )
    assert made.text == (
        "12 + 7 = 19\n19 + 4 = 23\n<|reflect|>But wait: do not add 4.\n<|explore|>This time, take away 4.\n<|continue|>19 - 4 = 14\n"
        "<|reflect|>Let me look again: 19 - 4 is not 14.\n<|explore|>Another way: take away 4.\n<|continue|>19 - 4 = 15\n\\boxed{15}"
    )
    spans = made.wrong_spans
    assert [made.text[spans[i] : spans[i + 1]] for i in (0, 2)] == ["12 + 7 = 19\n19 + 4 = 23", "19 - 4 = 14"]
    assert grammar.problems_of(made.text) == []


def test_plain_is_the_text_without_meta_action_tokens() -> None:
    made = Trajectory().attempt(("a",)).verify("Is this right?", "The a is\nright.").attempt(("b",), wrong_from=0)
    made = made.correct("But wait:", "The b is not.", "This time,", "c.").attempt(("\\boxed{1}",))
    assert made.plain == "a\nIs this right? The a is right.\nb\nBut wait: the b is not.\nThis time, c.\n\\boxed{1}"
    assert not any(token in made.plain for token in grammar.ACTIONS.values())


def test_a_wrong_span_begins_at_the_first_wrong_step() -> None:
    """What stands before it is right, and in a miss that is owned up to nothing is wrong: an empty span still parts the attempts."""
    steps = ("Try up down.", "20 + 7 = 27", "Wrong.")
    for first, wrong in enumerate(("Try up down.\n20 + 7 = 27\nWrong.", "20 + 7 = 27\nWrong.", "Wrong.", "")):
        made = Trajectory().attempt(steps, wrong_from=first).correct("But wait:", "27 is not 17.", "This time,", "not up down.")
        start, end = made.attempt(("\\boxed{down up}",)).wrong_spans
        assert made.text[start:end] == wrong
        assert end == len("\n".join(steps))
        assert made.right_parts[0] == made.text[:start]


def test_a_sentence_behind_a_lead_in() -> None:
    """It keeps its capital behind a full stop or a question, and only there."""
    assert said("Let me check.", "The sum is 3.") == "Let me check. The sum is 3."
    assert said("Is this right?", "The sum is 3.") == "Is this right? The sum is 3."
    assert said("But wait:", "The sum\nis 3. ") == "But wait: the sum is 3."


def test_a_verification_marks_nothing_as_wrong() -> None:
    made = Trajectory().attempt(("12 + 7 = 19",)).verify("Let me check.", "12 + 7 is 19. Right.\n").attempt(("19 - 4 = 15", "\\boxed{15}"))
    assert made.text == "12 + 7 = 19\n<|reflect|>Let me check. 12 + 7 is 19. Right.\n<|continue|>19 - 4 = 15\n\\boxed{15}"
    assert made.wrong_spans == ()


def test_names_keep_their_capital_behind_a_lead_in() -> None:
    made = Trajectory().attempt(("a",), wrong_from=0).correct("But wait:", "The sum is wrong.", "This time,", "Janet eats three.")
    assert "But wait: the sum is wrong." in made.text
    assert "This time, Janet eats three." in made.text


@given(st.lists(LINE, min_size=1, max_size=4), LINE, LINE, st.lists(LINE, min_size=1, max_size=4))
@pytest.mark.slow
def test_spans_cut_out_exactly_the_wrong_attempt(wrong: list[str], statement: str, hint: str, right: list[str]) -> None:
    made = Trajectory().attempt(wrong, wrong_from=0).correct("But wait:", statement, "This time,", hint).attempt([*right, "\\boxed{1}"])
    start, end = made.wrong_spans
    assert made.text[start:end] == "\n".join(wrong)
    assert made.right_parts == ("", made.text[end:])
    assert made.text[end:].startswith("\n<|reflect|>But wait:")
    assert grammar.problems_of(made.text) == []
    assert grammar.parse(made.text) == made.steps, "it parses back into the steps that it was made of"


def test_lead_ins_are_few_short_and_plain() -> None:
    assert len(LEAD_INS) <= 12
    assert len(set(LEAD_INS)) == len(LEAD_INS)
    assert all(len(phrase.split()) <= 6 and not any(sign.isdigit() or sign in "<|\n" for sign in phrase) for phrase in LEAD_INS)
