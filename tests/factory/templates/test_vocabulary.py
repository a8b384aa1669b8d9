"""One vocabulary: synonyms by stems and by a labeller's word, and a budget of tags that occur once."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from labelling import labeller, words

from factory.templates.reading import Analysis
from factory.templates.vocabulary import budgeted, in_use, united_tags


def analysis(*tags: str) -> Analysis:
    return Analysis("a", tags, "It is done.", "Always.", ("Do it.",))


TAGGED = [
    analysis("rule conflict", "preference"), analysis("rule conflict"), analysis("rules conflicts", "preference"),
    analysis("conflict of rules", "not proved"), analysis("proved"),
]  # fmt: skip


def kit_params(planner_kit, **tags: object):
    section = planner_kit.params().require("templates")
    return planner_kit.params(templates={"tags": section.tags.model_copy(update=tags)})


def same(prompt: str) -> str:
    return words(set(re.findall(r'"([^"]+)"', prompt)) == {"rule conflict", "conflict of rules"})


def test_the_default_changes_nothing_and_asks_nobody(tmp_path, planner_kit) -> None:
    with labeller(tmp_path, same) as (engine, server):
        assert united_tags(TAGGED, engine, planner_kit.params()) == (TAGGED, [])
        assert server.asked == []


def test_the_same_stems_are_one_tag_the_most_used(tmp_path, planner_kit) -> None:
    with labeller(tmp_path, same) as (engine, server):
        found, records = united_tags(TAGGED, engine, kit_params(planner_kit, synonyms="stems"))
        assert server.asked == []
    assert found[2].tags == ("rule conflict", "preference")
    assert found[3:] == TAGGED[3:]
    assert [(record.kind, record.gone_name, record.kept_name, record.why) for record in records] == [
        ("tag", "rules conflicts", "rule conflict", "the same stems")
    ]


def test_a_labeller_unites_what_it_calls_the_same_both_ways_and_refusals_are_kept(tmp_path, planner_kit) -> None:
    with labeller(tmp_path, same) as (engine, server):
        found, records = united_tags(TAGGED, engine, kit_params(planner_kit, synonyms="labeller"))
    assert found[3].tags == ("rule conflict", "not proved")
    assert found[4].tags == ("proved",)
    said = {(record.gone_name, record.kept_name): (record.merges, record.answers) for record in records if record.answers}
    assert said["conflict of rules", "rule conflict"] == (True, ("yes", "yes"))
    assert said["proved", "not proved"] == (False, ("no", "no"))
    assert len(server.asked) == 2 * len(said)


def test_tags_in_use_are_the_most_used_ones() -> None:
    assert in_use([("b", "a"), ("b", "c"), ("c", "b", "b")], 2) == ("b", "c")
    assert in_use([], 3) == ()


def library(planner_kit, *tags: tuple[str, ...]):
    return {str(number): planner_kit.template(id=str(number), tags=own) for number, own in enumerate(tags)}


@pytest.mark.parametrize(("once", "dropped"), [(1.0, []), (0.5, ["d"]), (0.0, ["d", "c"])])
def test_single_tags_beyond_the_budget_go_the_least_used_first(planner_kit, once: float, dropped: list[str]) -> None:
    rows = library(planner_kit, ("a", "b", "c", "d"), ("a", "b"), ("a", "e"))
    found, records = budgeted(rows, Counter(a=9, b=5, c=3, d=1, e=2), once)
    assert [record.gone_name for record in records] == dropped
    assert found["0"].tags == tuple(tag for tag in ("a", "b", "c", "d") if tag not in dropped)
    assert found["2"].tags == ("a", "e")  # e would leave one tag
    assert {key: replace(row, tags=()) for key, row in found.items()} == {key: replace(row, tags=()) for key, row in rows.items()}
