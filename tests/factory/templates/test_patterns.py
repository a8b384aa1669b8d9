"""Analyses of one pattern under one name: what names say, what the index proposes, what the labeller says, and the record of it."""

import random

import pytest
from labelling import labeller, named, words

from factory.templates.merging import unite
from factory.templates.patterns import Named, united_patterns
from factory.templates.reading import Analysis

SWAP = ("Exchange one part for a working one.", "Test the device again.")
REPLACE = ("Replace one part.", "Test the device.", "Go on with the next part.")
PARTS = Analysis("replace parts one by one", ("repair", "parts"), "Parts are replaced until the device works.", "A device fails.", REPLACE)
NAMED = [
    Named(PARTS, "p1"),
    Named(PARTS, "p2"),
    Named(Analysis("swap until it works", ("repair", "swap"), "Parts of a device are swapped.", "A device fails.", SWAP), "p3"),
    Named(Analysis("compare two dates", ("time",), "The smaller year is earlier.", "Two are dated.", ("Find both years.",)), "p4"),
    Named(Analysis("test a working device", ("device",), "A device is tested.", "A device works.", ("Test the device.",)), "p5"),
]
MERGED = {"replace parts one by one", "swap until it works"}


def same(prompt: str) -> str:
    return words(set(named(prompt)) == MERGED)


def by(planner_kit, **merge: object):
    params = planner_kit.params()
    section = params.require("templates")
    return planner_kit.params(templates={"merge": section.merge.model_copy(update=merge)})


@pytest.mark.slow
def test_names_alone_ask_nobody_and_change_no_result(tmp_path, planner_kit) -> None:
    with labeller(tmp_path, same) as (engine, server):
        analyses, records = united_patterns([*NAMED, Named(NAMED[0].analysis, "p6")], engine, by(planner_kit, by="names"))
        assert server.asked == []
    assert analyses == unite([*(item.analysis for item in NAMED), NAMED[0].analysis])
    assert records == []


def test_a_merge_by_names_is_recorded(tmp_path, planner_kit) -> None:
    other = Analysis("Comparing the two dates".lower(), ("time",), "Years.", "Dates.", ("Compare.",))
    with labeller(tmp_path, same) as (engine, _):
        _, (record,) = united_patterns([*NAMED, *[Named(other, "p7")]], engine, by(planner_kit, by="names"))
    assert (record.kind, record.merges, record.why, record.answers) == ("template", True, "names", ())
    assert {record.gone_name, record.kept_name} == {"comparing the two dates", "compare two dates"}


@pytest.mark.slow
def test_one_pattern_keeps_the_best_supported_wording(tmp_path, planner_kit) -> None:
    with labeller(tmp_path, same) as (engine, _):
        analyses, records = united_patterns(NAMED, engine, by(planner_kit, by="labeller"))
    assert [item.name for item in analyses] == ["replace parts one by one"] * 3 + ["compare two dates", "test a working device"]
    assert analyses[2].steps == REPLACE
    assert analyses[2].tags == ("repair", "swap")  # tags are counted over all
    (merged,) = [record for record in records if record.merges]
    assert (merged.gone_name, merged.kept_name, merged.why, merged.answers) == (
        "swap until it works", "replace parts one by one", "labeller", ("yes", "yes"),
    )  # fmt: skip
    assert (merged.model, merged.prompt_version[:15]) == ("m@1", "templates/same@")
    assert len(set(merged.request_ids)) == 2


@pytest.mark.slow
def test_every_refusal_is_recorded_with_its_score(tmp_path, planner_kit) -> None:
    with labeller(tmp_path, same) as (engine, server):
        _, records = united_patterns(NAMED, engine, by(planner_kit, by="labeller"))
    refused = {frozenset((record.gone_name, record.kept_name)): record for record in records if not record.merges}
    device = refused[frozenset(("test a working device", "replace parts one by one"))]
    assert (device.answers, device.score > 0) == (("no", "no"), True)
    assert len(server.asked) == 2 * len(records)  # each pair once, both ways round


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.slow
def test_the_index_bounds_what_is_asked(tmp_path, planner_kit, most: int) -> None:
    with labeller(tmp_path, same) as (engine, server):
        _, records = united_patterns(NAMED, engine, by(planner_kit, by="labeller", candidates=most, orders=1))
    assert len(server.asked) == len(records) <= 4 * most


@pytest.mark.slow
def test_the_order_of_the_analyses_changes_nothing(tmp_path, planner_kit) -> None:
    shuffled = NAMED[:]
    random.Random(5).shuffle(shuffled)
    with labeller(tmp_path, same) as (engine, server):
        analyses, records = united_patterns(NAMED, engine, by(planner_kit, by="labeller"))
        asked = len(server.asked)
        again, others = united_patterns(shuffled, engine, by(planner_kit, by="labeller"))
        assert len(server.asked) == asked  # the same questions, all stored
    assert others == records
    assert {item.problem_id: found for item, found in zip(shuffled, again, strict=True)} == {
        item.problem_id: found for item, found in zip(NAMED, analyses, strict=True)
    }
