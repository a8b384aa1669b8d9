"""Which kind a file's rows are of, and which column is what: by the names that public data sets have, unless somebody says otherwise."""

from typing import Any

import pytest

from factory.errors import DataError
from factory.foreign.columns import AUDITED, guess, mapped
from factory.schemas import field_types
from factory.tables import TABLES


@pytest.mark.parametrize(("columns", "kind"), [
    ("question answer", "problems"), ("problem solution", "problems"), ("prompt chosen rejected", "orm_pairs"),
    ("chosen rejected", "orm_pairs"),
    ("prompt completion", "distillation"), ("messages", "distillation"), ("problem generated_solution expected_answer", "distillation"),
    ("question response is_correct", "rollouts"), ("prompt completions labels", "process_rewards"), ("prompt prefix answer", "restarts"),
    ("text", "corpus"), ("name steps description", "templates"), ("prompt plan reward", "trajectories"),
])  # fmt: skip
def test_a_kind_is_told_by_its_columns(columns: str, kind: str) -> None:
    assert guess(columns.split(), [{}]) == kind


@pytest.mark.parametrize("kind", [kind for kind in AUDITED if kind not in ("structure", "plans", "cot_demonstrations")])
def test_every_kind_of_the_line_is_known_by_its_own_columns(kind: str) -> None:
    assert guess(list(field_types(TABLES[kind])), [{}]) == kind


def test_supervised_pairs_with_meta_actions_are_demonstrations() -> None:
    assert guess(["prompt", "completion"], [{"prompt": "?", "completion": "1\n<|reflect|>No."}]) == "demonstrations"


def test_columns_that_mean_nothing_are_refused_with_what_to_say() -> None:
    with pytest.raises(DataError, match=r"its columns \(colour, size\) are of no kind that is known: say --as KIND and --map OURS=THEIRS"):
        guess(["size", "colour"], [{}])


@pytest.mark.parametrize(("kind", "columns", "given", "expected"), [
    ("problems", "question answer", {}, {"problem": "question", "answer": "answer"}),
    ("distillation", "problem generated_solution expected_answer", {},
     {"prompt": "problem", "problem": "problem", "completion": "generated_solution", "answer": "expected_answer"}),
    ("distillation", "q r", {"prompt": "q", "completion": "r"}, {"prompt": "q", "completion": "r"}),
    ("orm_pairs", "question accepted rejected", {},
     {"prompt": "question", "problem": "question", "chosen": "accepted", "rejected": "rejected"}),
    ("problems", "question answer solution", {"answer": "solution"}, {"problem": "question", "answer": "solution"}),
])  # fmt: skip
def test_columns_are_mapped_by_their_names_unless_told(kind: str, columns: str, given: dict[str, str], expected: dict[str, Any]) -> None:
    found = mapped(kind, columns.split(), given)
    assert {name: theirs for name, theirs in found.items() if theirs in columns.split()} == found
    assert found == expected


@pytest.mark.parametrize(("given", "message"), [
    ({"completion": "respnse"}, "there is no column respnse, expected one of prompt, response, did you mean response?"),
    ({"compltion": "response"}, "distillation have no compltion, .*did you mean completion?"),
    ({"response": "completion"}, "--map response=completion: the name here stands first, OURS=THEIRS: --map completion=response"),
    ({"prompt": "completion"}, "--map prompt=completion: the name here stands first, OURS=THEIRS: --map completion=prompt"),
])  # fmt: skip
def test_a_wrong_mapping_is_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        mapped("distillation", ["prompt", "response"], given)
