"""Controls: pairs of known truth made of templates' halves, the threshold that they set, and who fails them."""

import math
from dataclasses import replace

import pytest
from labelling import labeller, named, words

from factory.params.sections import Merging
from factory.templates.controls import ONE, TWO, Checked, control_pairs
from factory.templates.doubts import doubts
from factory.templates.merges import Merge, counted
from factory.templates.pairs import Judged, Pair
from factory.templates.patterns import Named, united_patterns
from factory.templates.reading import Analysis

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "jetty", "knoll", "ledge")
ANALYSES = [
    Analysis(f"{word} way", (word, f"{word}s"), f"The {word} is turned.", f"{word} is there.", (f"Turn the {word}.",)) for word in WORDS
]
NAMED = [Named(analysis, f"p{number}") for number, analysis in enumerate(ANALYSES)]


def rows(planner_kit, count: int):
    one = planner_kit.library()[0]
    return [
        replace(one, id=f"{number:020x}", name=f"{word} way", tags=(word, f"{word}s"), description=f"About {word}.", steps=(f"Do {word}.",))
        for number, word in enumerate(WORDS[:count])
    ]


def said(truth: float, *odds: float | None) -> Judged:
    return Judged(Pair(0, 1, truth), ("no",) * len(odds), (), odds)


def test_a_control_of_one_pattern_is_a_templates_halves_and_of_two_another_ones_that_is_not_proposed(planner_kit) -> None:
    candidates = rows(planner_kit, 6)
    near = [Pair(a, b, 1.0) for a in range(6) for b in range(a + 1, 6) if (a, b) != (0, 5)]
    pairs, halves = control_pairs(candidates, near, 6, seed=1)
    ones = [(halves[pair.first], halves[pair.second]) for pair in pairs if pair.score == ONE]
    twos = [(halves[pair.first], halves[pair.second]) for pair in pairs if pair.score == TWO]
    assert {what.id for what, _ in ones} == {row.id for row in candidates}
    for what, how in ones:
        row = next(row for row in candidates if row.id == what.id == how.id)
        assert (what.name, what.steps, how.name, how.steps) == (row.name, (row.description,), ", ".join(row.tags), row.steps)
        assert (what.scope, how.scope) == (row.scope, "")  # or the line of the same words would give it away
    assert sorted((what.id, how.id) for what, how in twos) == sorted(
        [(candidates[0].id, candidates[5].id), (candidates[5].id, candidates[0].id)]
    )


def test_controls_are_bounded_drawn_by_the_seed_and_need_both_halves(planner_kit) -> None:
    candidates = rows(planner_kit, 12)
    pairs, halves = control_pairs(candidates, [], 4, seed=1)
    assert [sum(pair.score == truth for pair in pairs) for truth in (ONE, TWO)] == [4, 4]
    again = {halves[pair.first].id for pair in pairs}
    assert again == {item.id for item in control_pairs(candidates[::-1], [], 4, seed=1)[1][:1]} | again  # by ids, not by places
    assert again != {control_pairs(candidates, [], 4, seed=2)[1][pair.first].id for pair in pairs}
    bare = [replace(row, description=" ") for row in candidates]
    assert control_pairs(bare, [], 4, seed=1) == ([], [])


def test_the_threshold_lets_at_most_one_in_twenty_of_two_patterns_pass() -> None:
    two = [said(TWO, -5.0 + number / 10) for number in range(20)]  # -5.0 … -3.1
    one = [said(ONE, -3.15, -3.05), said(ONE, -3.2), said(ONE, -4.0), said(ONE, None), said(ONE, 2.0, None)]
    checked = Checked.of(two + one, odds=True)
    assert checked.least == pytest.approx(-3.1)  # of -3.1 and -3.2 the one that lies above the second of two patterns, -3.2
    assert (checked.one, checked.of_one, checked.two, checked.of_two) == (1, 5, 1, 20)
    assert Checked.of(two[:19] + one, odds=True).two == 0  # of 19 none


def test_an_unread_word_has_no_odds_and_passes_no_threshold() -> None:
    assert said(ONE, 1.0, None).sureness is None
    assert not replace(said(ONE, 9.0, None), least=-9.0).agreed
    assert replace(said(ONE, -1.0, -2.0), least=-1.5).agreed
    assert not replace(said(ONE, -1.0, -2.1), least=-1.5).agreed


@pytest.mark.parametrize(
    ("one", "two", "chance", "tells"),
    [(3, 0, 1 / 20, True), (3, 3, 1.0, False), (0, 0, 1.0, False), (2, 0, 0.2, False), (0, 3, 1.0, False)],
)
def test_who_tells_them_apart_by_chance_is_not_believed(one: int, two: int, chance: float, tells: bool) -> None:
    checked = Checked(one, 3, two, 3)
    assert checked.chance == pytest.approx(chance)  # (3 of 3 merge, none of the others: 1 of 6 over 3 ways)
    assert checked.tells is tells


def by(planner_kit, **merge: object):
    section = planner_kit.params().require("templates")
    return planner_kit.params(templates={"merge": section.merge.model_copy(update={"by": "labeller", **merge})})


def halves_match(prompt: str) -> bool:
    first, second = (name.split(" way")[0].split(",")[0] for name in named(prompt))
    return first == second


def test_a_labeller_that_says_no_to_everything_is_asked_no_pair_and_it_is_said(tmp_path, planner_kit) -> None:
    with labeller(tmp_path, lambda prompt: words(False)) as (engine, server):
        analyses, records = united_patterns(NAMED, engine, by(planner_kit, controls=10, candidates=2))
        assert len(server.asked) == 40  # ten of each truth, both ways round
    assert [item.name for item in analyses] == [item.analysis.name for item in NAMED]
    assert {record.kind for record in records} == {"control"}
    (doubt,) = doubts(records)
    assert doubt.startswith(
        "m@1 cannot tell one pattern from two: of 10 control pairs of one pattern 0 would merge, of 10 of two patterns 0"
    )
    assert "10 of 20 controls right" in counted(records)


def test_a_labeller_that_passes_its_controls_is_asked_the_pairs(tmp_path, planner_kit) -> None:
    other = replace(ANALYSES[0], name="amber way again", steps=("Turn the amber around.",))
    with labeller(tmp_path, lambda prompt: words(halves_match(prompt))) as (engine, _):
        analyses, records = united_patterns([*NAMED, Named(other, "p99")], engine, by(planner_kit, controls=10, candidates=2))
    assert len({item.name for item in analyses}) == len(NAMED)
    assert [(record.gone_name, record.kept_name) for record in records if record.kind == "template" and record.merges] != []
    assert doubts(records) == []
    assert "20 of 20 controls right" in counted(records)


def test_a_labeller_that_says_no_to_everything_is_heard_where_it_says_it_less_surely(tmp_path, planner_kit) -> None:
    other = replace(ANALYSES[0], name="amber way again", steps=("Turn the amber around.",))
    params = by(planner_kit, controls=10, candidates=2, decide="odds")
    with labeller(tmp_path, lambda prompt: "no") as (engine, server):
        server.surely = lambda prompt: math.log(0.7 if halves_match(prompt) else 0.9)
        analyses, records = united_patterns([*NAMED, Named(other, "p99")], engine, params)
        assert not any(schema for _, schema in server.asked)  # one word, whatever the engine can hold
    (merged,) = [record for record in records if record.kind == "template" and record.merges]
    assert {merged.gone_name, merged.kept_name} == {"amber way", "amber way again"}
    assert (merged.answers, merged.why) == (("no", "no"), "labeller: yes 0.300, least 0.300")
    assert len({item.name for item in analyses}) == len(NAMED)
    assert doubts(records) == []


def test_as_sure_of_one_pattern_as_of_two_is_no_judgement(tmp_path, planner_kit) -> None:
    params = by(planner_kit, controls=10, candidates=2, decide="odds")
    with labeller(tmp_path, lambda prompt: "yes") as (engine, server):
        server.surely = lambda prompt: math.log(0.9)
        analyses, records = united_patterns(NAMED, engine, params)
    assert [item.name for item in analyses] == [item.analysis.name for item in NAMED]
    assert doubts(records)[0].startswith("m@1 cannot tell one pattern from two")


def answered(kind: str, answers: tuple[str, ...], count: int, why: str = "labeller") -> list[Merge]:
    return [
        Merge(id=str(number), kind=kind, gone_name="a", kept_name="b", merges=False, why=why, score=1.0, answers=answers, model="m@1")
        for number in range(count)
    ]  # fmt: skip


def test_a_habit_of_one_word_is_said_once_it_can_be_seen() -> None:
    assert doubts(answered("template", ("no", "no"), 4)) == []  # eight answers are too few
    assert doubts(answered("template", ("no", "no"), 5))[0].startswith(
        "10 of 10 answers about templates were no: either so they are, or m@1"
    )
    assert doubts(answered("tag", ("yes",), 10))[0].startswith("10 of 10 answers about tags were yes")
    assert doubts(answered("template", ("no", "yes"), 9)) == []
    seen = answered("template", ("no", "no"), 32) + answered("template", ("no", "yes"), 1)
    assert doubts(seen)[0].startswith("65 of 66 answers about templates were no")
    assert doubts([*seen, replace(seen[0], merges=True)]) == []  # one merged: it can say yes
    assert doubts(answered("template", ("no", "no"), 9, "labeller: yes 0.031, least 0.052")) == []  # odds decided
    no, unread = doubts(answered("template", ("no", "unreadable", "failed"), 5))
    assert no.startswith("5 of 15 answers about templates were no")
    assert unread.startswith("10 of 15 answers about templates cannot be read")


def test_odds_need_controls_to_take_a_threshold_from() -> None:
    with pytest.raises(ValueError, match="set controls to 10 or more, it is 9"):
        Merging(decide="odds", controls=9)
    assert Merging(decide="odds", controls=10).controls == 10


def test_the_odds_of_a_word_are_those_of_its_first_token() -> None:
    from factory.engines.protocol import Completion
    from factory.templates.pairs import read_odds

    def odds(text: str, *logprobs: float, finish: str = "length") -> float | None:
        return read_odds(Completion(text, (1,), finish, 5, logprobs=logprobs))

    assert odds("yes", math.log(0.8)) == pytest.approx(math.log(4))
    assert odds(" No", math.log(0.8)) == pytest.approx(-math.log(4))
    assert odds("no", 0.0) == pytest.approx(-math.log(1e6))
    assert odds("maybe", -0.1) is None
    assert odds("yes") is None
    assert odds("yes", -0.1, finish="error") is None
