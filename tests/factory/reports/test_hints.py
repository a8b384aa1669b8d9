"""What hints give away."""

from pathlib import Path

import pytest

from factory.language.conversation import said
from factory.reports.hints import Gold, accepted_hints, explorations, gives_answer, hint_of, judged_hints, step_values
from factory.schemas import CriticJudgement, Demonstration, Problem
from factory.storage import write_rows


def gold(answer: str = "15", kind: str = "number") -> Gold:
    return Gold(*(getattr(problem(answer, kind), name) for name in Gold._fields))


def problem(answer: str = "15", kind: str = "number") -> Problem:
    return Problem(
        id="p", source="world", family="tally", group="procedures", split="train", instance="i",
        problem="Tom had 12 apples. He found 7 and lost 4.", answer=answer, answer_kind=kind,
        solution="12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("hint", "answer", "values"),
    [("take away 4.", False, set()), ("12 + 7 is 19.", False, {19}), ("the end is 15.", True, {15}), ("from 19 it is 15.", True, {15, 19})],
)
def test_numbers_that_the_problem_does_not_state(hint: str, answer: bool, values: set[int]) -> None:
    assert gives_answer(gold(), hint) is answer
    assert step_values(gold(), hint) == values


def test_a_stated_answer_gives_nothing_away_and_ruling_out_is_no_answer() -> None:
    assert not gives_answer(gold("12"), "keep 12.")
    assert gives_answer(gold("third", "text"), "try third.")
    assert not gives_answer(gold("third", "text"), "not third.")
    assert not gives_answer(gold("third", "text"), "a thirdly.")


def test_a_hint_is_what_stands_behind_alternatively() -> None:
    assert hint_of("In Step 1: 3 is not 4.\nAlternatively: add 1.") == "add 1."
    assert hint_of("In Step 1: 3 is not 4.") is None
    text = "1 + 1 = 3\n<|reflect|>But wait: no.\n<|explore|>This time, add 1.\n<|continue|>1 + 1 = 2"
    assert list(explorations(text)) == [("1 + 1 = 3\n<|reflect|>But wait: no.", "This time, add 1.")]


def test_shares_of_judged_and_of_accepted_hints(tmp_path: Path) -> None:
    hints = ("take away 4.", "it is 15.", "from 19.")
    judged = [
        CriticJudgement(
            id=str(number), critic="llm", kind="critique", problem_id="p", parent_id="r", request_id="q", parsed=True, leaks=False,
            text=f"In Step 2: 19 - 4 is not 14.\nAlternatively: {hint}", said_step=2, reference_step=2, compared=True,
            accepted=number != 1, reason="", verdict="wrong",
        )
        for number, hint in enumerate(hints)
    ]  # fmt: skip
    for name, row_type, rows in (("judgements", CriticJudgement, judged), ("problems", Problem, [problem()])):
        write_rows(tmp_path / f"{name}.parquet", row_type, rows)
    (found,) = judged_hints(tmp_path / "judgements.parquet", tmp_path / "problems.parquet")
    assert (found.hints, found.answers, found.answers_accepted, found.values, found.new_values) == (3, 1, 0, 2, None)
    texts = [
        f"12 + 7 = 19\n19 - 4 = 14\n<|reflect|>But wait: no.\n<|explore|>This time, {hint}\n<|continue|>\\boxed{{15}}" for hint in hints
    ]
    rows = [
        Demonstration(id=str(number), problem_id="p", type="III-I", prompt=said("user", "…"), completion=text, score=0.0, critic="llm",
                      model="m", prompt_version="v", seed=1, round="base")
        for number, text in enumerate(texts)
    ]  # fmt: skip
    write_rows(tmp_path / "demonstrations.parquet", Demonstration, rows)
    accepted = accepted_hints(tmp_path / "demonstrations.parquet", tmp_path / "problems.parquet")
    assert (accepted.hints, accepted.answers, accepted.answers_accepted) == (3, 1, 1)
    assert (accepted.values, accepted.new_values) == (2, 1)  # 19 stood in the attempt already, 15 did not
