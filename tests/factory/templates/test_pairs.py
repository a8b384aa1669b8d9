"""Pairs that a labeller is asked about: both ways round, read strictly, replayed, and united whatever their order."""

from itertools import permutations

import pytest
from labelling import labeller, named, words

from factory.engines.protocol import Completion
from factory.params import Sampling
from factory.templates.pairs import Asking, Judged, Pair, judged, read_answer, united

SAMPLING = Sampling(temperature=0.7, top_p=1.0, max_tokens=32)
BOTH, ONCE = Asking("same", SAMPLING, 2, 1), Asking("same", SAMPLING, 1, 1)


def completion(text: str, finish: str = "stop") -> Completion:
    return Completion(text, (), finish, 0)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", "yes"), ("No.", "no"), ("**Yes**, both divide.", "yes"), ("Answer: no", "no"), ('{"answer": "yes"}', "yes"),
        ('```json\n{"answer": "No"}\n```', "no"), ("Yes and no.", "unreadable"), ("They are alike.", "unreadable"), ("", "unreadable"),
        ('{"answer": "maybe"}', "unreadable"), ("Nothing differs: yes", "unreadable"), ("I think so, yes", "unreadable"),
    ],
)  # fmt: skip
def test_an_answer_is_one_of_two_words_or_none(text: str, answer: str) -> None:
    assert read_answer(completion(text)) == answer
    assert read_answer(completion(text, "error")) == "failed"


def test_both_orders_are_asked_and_a_preference_for_a_place_is_no_agreement(tmp_path, planner_kit) -> None:
    rows, pair = planner_kit.library(), [Pair(0, 1, 2.0)]
    with labeller(tmp_path, lambda prompt: words(named(prompt)[0] == rows[0].name)) as (engine, server):
        (once,) = judged(pair, rows, "templates", engine, ONCE)
        (both,) = judged(pair, rows, "templates", engine, BOTH)
    assert (once.answers, once.agreed) == (("yes",), True)
    assert (both.answers, both.agreed) == (("yes", "no"), False)
    assert [named(prompt) for prompt, _ in server.asked] == [(rows[0].name, rows[1].name), (rows[1].name, rows[0].name)]
    assert all(schema for _, schema in server.asked)
    assert both.request_ids[0] == once.request_ids[0] != both.request_ids[1]


def test_what_is_unreadable_or_fails_is_no_agreement(tmp_path, planner_kit) -> None:
    rows, pairs = planner_kit.library(), [Pair(0, 1, 2.0), Pair(0, 2, 1.0)]

    def says(prompt: str) -> str:
        return "!the server said no" if rows[1].name in named(prompt) else "They look alike to me."

    with labeller(tmp_path, says) as (engine, _):
        found = judged(pairs, rows, "templates", engine, BOTH)
    assert [item.answers for item in found] == [("failed", "failed")] * 2
    assert not any(item.agreed for item in found)


def test_a_second_run_asks_nothing_and_finds_the_same(tmp_path, planner_kit) -> None:
    rows, pairs = planner_kit.library(), [Pair(0, 1, 2.0), Pair(1, 2, 1.0)]
    with labeller(tmp_path, lambda prompt: words("take away" not in prompt)) as (engine, server):
        first = judged(pairs, rows, "templates", engine, BOTH)
        assert len(server.asked) == 4
    with labeller(tmp_path, lambda prompt: words(False)) as (engine, server):
        assert judged(pairs, rows, "templates", engine, BOTH) == first
        assert server.asked == []


def test_groups_grow_from_the_best_score_and_never_over_a_refusal() -> None:
    yes, no = ("yes", "yes"), ("yes", "no")
    found = [
        Judged(Pair(0, 1, 3.0), yes, ()),
        Judged(Pair(1, 2, 9.0), yes, ()),
        Judged(Pair(0, 2, 1.0), no, ()),
        Judged(Pair(2, 3, 2.0), yes, ()),
    ]
    assert {tuple(united(5, order)) for order in permutations(found)} == {(0, 1, 1, 1, 4)}
    assert united(3, found[:2]) == [0, 0, 0]
    assert united(2, []) == [0, 1]
