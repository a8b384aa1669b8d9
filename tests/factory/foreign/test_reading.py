"""Records of somebody else's as rows of ours, and what is none with its reason."""

from typing import Any

import pytest

from factory.foreign.columns import mapped
from factory.foreign.reading import Shaper, Unfit, table_of_rows
from factory.schemas import Message


def shaped(kind: str, record: dict[str, Any], turns: str | None = None, **given: str) -> dict[str, Any]:
    return Shaper(kind, mapped(kind, list(record), given), "line", turns).row(record).values


def test_a_text_is_a_users_turn_and_turns_stay() -> None:
    assert shaped("distillation", {"prompt": "12 + 7?", "completion": "19"})["prompt"] == (Message("user", "12 + 7?"),)
    turns = [{"role": "system", "content": "Be brief."}, {"from": "human", "value": "12 + 7?"}]
    row = shaped("distillation", {"prompt": turns, "completion": [{"role": "assistant", "content": "19"}]})
    assert row["prompt"] == (Message("system", "Be brief."), Message("user", "12 + 7?"))
    assert row["completion"] == "19"


def test_a_conversation_is_its_question_and_its_last_answer() -> None:
    turns = [{"role": "user", "content": "12 + 7?"}, {"role": "assistant", "content": "19"}]
    row = shaped("distillation", {"messages": turns}, turns="messages")
    assert (row["prompt"], row["completion"]) == ((Message("user", "12 + 7?"),), "19")


def test_a_preference_without_a_prompt_has_that_of_its_conversations() -> None:
    asked = {"role": "user", "content": "12 + 7?"}
    row = shaped("orm_pairs", {"chosen": [asked, {"role": "assistant", "content": "19"}],
                               "rejected": [asked, {"role": "assistant", "content": "18"}]})  # fmt: skip
    assert (row["prompt"], row["chosen"], row["rejected"]) == ((Message("user", "12 + 7?"),), "19", "18")


def test_an_answer_behind_the_mark_of_gsm8k_is_cut_there() -> None:
    row = shaped("problems", {"question": "12 + 7 - 4?", "answer": "12 + 7 = <<12+7=19>>19\n19 - 4 = 15\n#### 15"})
    assert (row["answer"], row["solution"], row["answer_kind"]) == ("15", "12 + 7 = 19\n19 - 4 = 15", "number")


def test_a_row_of_no_id_has_one_by_its_content() -> None:
    one, other, again = (shaped("distillation", {"prompt": text, "completion": "1"})["id"] for text in ("a", "b", "a"))
    assert one == again != other
    assert shaped("distillation", {"prompt": "a", "completion": "1", "id": 7})["id"] == "7"


def test_a_verdict_may_be_yes_or_no() -> None:
    record = {"prompt": "a", "completion": "1", "is_correct": True}
    assert shaped("rollouts", record)["verdict"] == "correct"
    assert shaped("rollouts", record | {"is_correct": False})["verdict"] == "wrong"


@pytest.mark.parametrize(("kind", "record", "reason"), [
    ("distillation", {"prompt": None, "completion": "1"}, "prompt is empty"),
    ("distillation", {"prompt": 7, "completion": "1"}, "the question is neither a text nor turns"),
    ("distillation", {"prompt": [{"role": "robot", "content": "x"}], "completion": "1"}, "a turn without a role"),
    ("distillation", {"prompt": "a", "completion": "\ud83d"}, "half of a surrogate pair"),
    ("process_rewards", {"prompt": "a", "completions": "1", "labels": [True]}, "completions is no list"),
    ("process_rewards", {"prompt": "a", "completions": ["1"], "labels": ["yes"]}, "labels is no bool"),
    ("restarts", {"prompt": "a", "prefix": "1", "buffer": "?"}, "buffer is none of 0, +, -, t"),
    ("orm_pairs", {"prompt": "a", "chosen": "1", "rejected": "2", "margin": "wide"}, "margin is no double"),
    ("orm_pairs", {"prompt": "a", "chosen": "1", "rejected": "2", "margin": "1e999"}, "^margin is infinite$"),  # a cell of CSV
    ("problems", {"question": "a", "answer": float("nan")}, "^answer is NaN$"),
    ("problems", {"question": "a", "answer": float("-inf")}, "^answer is infinite$"),
    ("distillation", {"prompt": "a", "completion": "1", "problem_id": float("nan")}, "^problem_id is NaN$"),
    ("rollouts", {"prompt": "a", "completion": "1", "steps": ["x", float("inf")]}, "^steps holds NaN or an infinity$"),
])  # fmt: skip
def test_what_is_no_row_says_why(kind: str, record: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unfit, match=reason.replace("+", r"\+").replace("?", r"\?")):
        shaped(kind, record)


def test_what_nothing_says_is_absent_and_empty() -> None:
    record = {"question": "a", "response": "1"}
    shaper = Shaper("rollouts", mapped("rollouts", list(record), {}), "line")
    assert {"verdict", "model", "tokens", "parents"} <= shaper.absent
    assert {"id", "problem_id", "steps"} <= shaper.made
    row = shaper.row(record).values
    assert (row["tokens"], row["model"], row["steps"]) == (0, "", ("1",))
    assert table_of_rows("rollouts", [row]).num_rows == 1
