"""Which templates are one, into which they would merge, and which only look alike."""

from factory.templates.duplicates import duplicates

OTHER = {"steps": ("Divide by the count.",), "description": "Split evenly among all.", "scope": "Shares are equal.", "tags": ("divide",)}


def test_equal_steps_under_one_name_or_description_are_one(planner_kit):
    rows = [planner_kit.template(id="b"), planner_kit.template(id="a", name="join"), planner_kit.template(id="c", name="other", **OTHER)]
    assert [(m.gone, m.kept, m.merges, m.why) for m in duplicates(rows)] == [("b", "a", True, "the same steps")]


def test_equal_steps_for_two_purposes_stay_two(planner_kit):
    rows = [
        planner_kit.template(id="a"),
        planner_kit.template(id="b", name="undo a loss", description="Give back.", scope="Before a loss.", tags=("back",)),
    ]
    assert [(m.merges, m.why) for m in duplicates(rows)] == [(False, "the same steps under another description")]


def test_the_same_name_over_another_text_is_for_a_person(planner_kit):
    rows = [planner_kit.template(id="a"), planner_kit.template(id="b", **OTHER)]
    assert [(m.gone, m.merges, m.why) for m in duplicates(rows)] == [("a", False, "the same name over another text")]


def test_kept_is_what_is_accepted_then_what_solved_more_then_what_says_more(planner_kit):
    short = planner_kit.template(id="a", status="quarantined")
    assert duplicates([short, planner_kit.template(id="b")])[0].kept == "b"
    assert duplicates([planner_kit.template(id="a", solve_rate=0.1), planner_kit.template(id="b", solve_rate=0.9)])[0].kept == "b"
    assert duplicates([planner_kit.template(id="a"), planner_kit.template(id="b", example_solution="Longer: 12 + 7 = 19")])[0].kept == "b"


def test_templates_of_their_own_do_not_merge(planner_kit):
    assert duplicates(planner_kit.library()) == duplicates([]) == duplicates([planner_kit.template()]) == []
