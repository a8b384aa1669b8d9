"""A fresh response becomes a start state: whose sign is its own, cut within what was said there."""

from dataclasses import replace

import pytest

from factory.coat.cutting import Cuts, again
from factory.language.conversation import said
from factory.schemas import Restart

PLAIN = Restart(
    id="s", problem_id="p", parent_id=None, buffer="0", backtrack=0, prompt=said("user", "Tom has 12. …"), prefix="",
    prefix_has_answer=False, answer="15", answer_kind="number", pass_rate=0.25, round="r1",
)  # fmt: skip
SOLVED = "12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}"


def test_it_keeps_the_problem_and_takes_the_sign_of_the_response() -> None:
    rows = [again(PLAIN, SOLVED, "correct", Cuts(2), seed) for seed in range(30)]
    made = {row.prefix: row for row in rows if row is not None}
    assert len(rows) == 30
    assert set(made) == {
        "12 + 7 = 19\n<|reflect|>", "12 + 7 = 19\n19 - 4 = 15\n<|reflect|>", "12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}\n<|reflect|>",
    }  # fmt: skip
    for row in made.values():
        assert (row.buffer, row.parent_id, row.problem_id, row.prompt, row.answer) == ("+", "s", "p", PLAIN.prompt, "15")
        assert row.prefix_has_answer == ("boxed" in row.prefix)
    assert len({row.id for row in made.values()}) == 3
    wrong = again(PLAIN, SOLVED, "wrong", Cuts(0), 1)
    assert wrong is not None
    assert wrong.buffer == "-"


@pytest.mark.parametrize("cuts", [Cuts(9), Cuts(0, (0.0, 0.2))])
def test_the_cut_never_falls_before_the_response(cuts: Cuts) -> None:
    start = replace(PLAIN, buffer="-", prefix="12 + 7 = 18\n<|reflect|>")
    response = "But wait: 12 + 7 is not 18.\n<|explore|>12 + 7 = 19\n\\boxed{15}"
    rows = [again(start, response, "correct", cuts, seed) for seed in range(30)]
    first = "12 + 7 = 18\n<|reflect|>But wait: 12 + 7 is not 18.\n"
    assert all(row is not None and row.prefix.startswith(first) and row.buffer == "+" for row in rows)
    assert f"{first}<|reflect|>" in {row.prefix for row in rows if row is not None}


@pytest.mark.parametrize(
    ("response", "verdict"), [(SOLVED, "unparsable"), (SOLVED, "timeout"), ("1 <|reflect|>\n2", "wrong"), ("<|reflect|>1", "wrong")]
)
def test_without_a_sign_or_outside_of_the_grammar_there_is_none(response: str, verdict: str) -> None:
    assert again(PLAIN, response, verdict, Cuts(2), 1) is None


def test_a_response_that_goes_on_with_a_begun_step_makes_no_start_state_before_it() -> None:
    """Paragraphs: the response's first words belong to the last of the prefix, so that a cut behind its own first step falls before it."""
    start = replace(PLAIN, prefix="We have:\n\n1. Add 3 and 4\n")
    rows = [again(start, "   more\n\n   still\n\n\\boxed{15}", "correct", Cuts(9, by="paragraph"), seed) for seed in range(30)]
    assert all(row is None or row.prefix.startswith(start.prefix) for row in rows)
    assert None in rows
