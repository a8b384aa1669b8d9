"""What recorded plans say of each choice after a step, on trajectories whose verdicts are written out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import yaml

from factory.evaluation.newcombe import newcombe
from factory.language.conversation import flat, said
from factory.language.prompting import SETS
from factory.params import Params
from factory.schemas import Reject, Template, Trajectory
from factory.tables import ADJUSTS, Adjustment
from factory.templates.adjusting import SPOKEN, prompts_of, question
from factory.templates.adjustments import make_adjustments
from factory.templates.choices import read_choice
from factory.templates.judged import judge, relation, steps_before_answer

PROBLEM = "Tom has 3 bags of 4 apples. He eats 2."
RIGHT, WRONG = "correct", "wrong"
LINES = "3 * 4 = 12\n12 - 2 = 10\n\\boxed{10}"


def plan(names: str, right: int, *, problem: str = "p", solution: str = LINES, similar: Sequence[str] = ("p", "q")) -> Trajectory:
    """A trajectory under templates of one letter each, `right` of four decodes correct."""
    return Trajectory(
        id=f"{problem}-{names}", model="planner@1", request_ids=("r",), prompt_version="plan@1", seed=1, round="base", problem_id=problem,
        prompt=said("user", PROBLEM), plan="\n".join(f"{name} (tag)" for name in names), template_ids=tuple(names),
        similar_ids=tuple(similar), instantiations=(solution,) if solution else (), decodes=(RIGHT,) * right + (WRONG,) * (4 - right),
        reward=right / 4, n_similar=2, n_decodes=2, interval=(0.0, 1.0),
    )  # fmt: skip


@pytest.fixture
def library(planner_kit) -> list[Template]:
    return [planner_kit.template(id=name, name=name, tags=("tag",)) for name in "abcd"]


@pytest.fixture
def make(planner_kit, library: list[Template]):
    def made(*plans: Trajectory, **section: object) -> tuple[list[Adjustment], list[Reject]]:
        params: Params = planner_kit.params(adjustments={"margin": 0.25, "keep_share": 1.0, "per_problem": 100, **section})
        return make_adjustments(plans, dict.fromkeys(("p", "q", "z"), PROBLEM), library, params)

    return made


def of(rows: Sequence[Adjustment], names: str, place: int) -> Adjustment:
    return next(row for row in rows if (row.template_ids, row.place) == (tuple(names), place))


@pytest.mark.parametrize(("before", "after", "place", "choice"), [
    ("ab", "ab", 1, "keep"), ("ab", "ac", 1, "revise"), ("ab", "abc", 1, "revise"), ("ab", "a", 1, "stop"), ("ab", "c", 1, "fetch"),
    ("ab", "cb", 1, "fetch"), ("ab", "ac", 2, "fetch"), ("ab", "abc", 2, "revise"), ("ab", "a", 2, None), ("ab", "cb", 2, None),
    ("ab", "", 1, None), ("a", "", 1, None), ("abc", "ab", 2, "stop"),
])  # fmt: skip
def test_what_becomes_of_a_plan(before: str, after: str, place: int, choice: str | None) -> None:
    assert relation(tuple(before), tuple(after), place) == choice


def test_the_value_of_a_choice_is_the_accuracy_of_the_plans_that_make_it(make) -> None:
    rows, rejects = make(plan("ab", 1), plan("ac", 3), plan("ad", 1), plan("a", 2), plan("cb", 0), plan("", 4))
    row = of(rows, "ab", 1)
    assert (row.value_keep, row.n_keep) == (0.25, 4)
    assert (row.value_revise, row.n_revise) == (0.5, 8)  # 3 and 1 of four each
    assert (row.value_stop, row.n_stop) == (0.5, 4)
    assert (row.value_fetch, row.n_fetch) == (0.0, 4)
    assert (row.choice, row.gain, row.margin) == ("stop", 0.25, 0.25)  # of equal values what undoes least
    assert row.interval == newcombe(2, 4, 1, 4)
    assert (row.steps, row.completion) == (("3 * 4 = 12",), "stop")
    assert set(row.parents) == {"p-ab", "p-ac", "p-ad", "p-a", "p-cb"}
    assert row.parents[0] == "p-ab"
    assert [item.reason for item in rejects if item.parent_id == "p-"] == ["plan of no template"]


def test_each_choice_can_win_and_ties_keep(make) -> None:
    rows, _ = make(plan("ab", 0), plan("ac", 4), plan("a", 1), plan("db", 0))
    assert of(rows, "ab", 1).choice == "revise"
    assert of(rows, "ac", 1).choice == "keep"
    assert of(rows, "ab", 2).choice == "fetch"  # c in the place of b
    assert (of(rows, "a", 1).choice, of(rows, "a", 1).value_stop) == ("revise", None)  # nothing is left of the plan to leave out
    assert of(rows, "db", 1).choice == "fetch"
    tied, _ = make(plan("ab", 2), plan("ac", 2))
    assert {row.choice for row in tied} == {"keep"}
    assert {row.gain for row in tied} == {0.0}
    assert {row.choice for row in make(plan("ab", 2), plan("ac", 2), margin=0.0)[0]} == {"keep"}


def test_the_margin_is_inclusive_and_less_keeps(make) -> None:
    plans = (plan("ab", 1), plan("ac", 2))
    assert of(make(*plans, margin=0.25)[0], "ab", 1).choice == "revise"
    kept = of(make(*plans, margin=0.26)[0], "ab", 1)
    assert (kept.choice, kept.completion, kept.gain) == ("keep", "next", 0.25)


def test_only_plans_over_the_same_problems_are_compared(make) -> None:
    rows, rejects = make(plan("ab", 0), plan("ac", 4, similar=("p", "z")), plan("ad", 4, problem="q"))
    assert rows == []
    assert Counter(item.reason for item in rejects) == {"no other plan recorded": 6}


def test_steps_are_those_before_the_answer_and_one_a_template() -> None:
    assert steps_before_answer(LINES, "line") == ("3 * 4 = 12", "12 - 2 = 10")
    assert steps_before_answer("First,\n\n3 * 4 = 12.\n\nSo \\boxed{12}.", "paragraph") == ("First,\n\n3 * 4 = 12.",)
    assert steps_before_answer("\\boxed{12}", "line") == ()


def test_what_has_no_state_is_a_reject_with_its_reason(make) -> None:
    rows, rejects = make(plan("abc", 1), plan("ab", 1, solution="7\n\\boxed{7}"), plan("a", 1, solution=""))
    assert Counter((item.parent_id, item.reason) for item in rejects) == {
        ("p-abc", "answered before this place"): 1, ("p-ab", "answered before this place"): 1, ("p-a", "no guided solution recorded"): 1,
    }  # fmt: skip
    assert {(row.template_ids, row.place) for row in rows} == {(("a", "b", "c"), 1), (("a", "b", "c"), 2), (("a", "b"), 1)}


def test_every_different_solution_is_a_state_of_its_own(make) -> None:
    two = replace(plan("ab", 0), instantiations=(LINES, LINES, "3 + 4 = 7\n7 - 2 = 5\n\\boxed{5}"))
    rows, _ = make(two, plan("ac", 4))
    assert {row.steps[0] for row in rows if row.parents[0] == "p-ab" and row.place == 1} == {"3 * 4 = 12", "3 + 4 = 7"}
    assert len([row for row in rows if row.parents[0] == "p-ab"]) == 4
    assert len({row.id for row in rows}) == len(rows)


def test_rows_are_balanced_and_what_is_above_is_kept_as_rejects(make) -> None:
    plans = (plan("ab", 0), plan("ac", 4), plan("ad", 4), plan("acb", 4))
    every, _ = make(*plans)
    half, rejects = make(*plans, keep_share=0.5)
    adjusting = [row for row in every if row.choice != "keep"]
    assert len(half) == 2 * len(adjusting) < len(every)
    assert Counter(item.reason for item in rejects)["more that keep the plan"] == len(every) - len(half)
    few, rejects = make(*plans, per_problem=2)
    assert (len(few), Counter(item.reason for item in rejects)["more states of this problem"]) == (2, len(every) - 2)
    assert make(*plans, per_problem=2)[0] == few


def test_newcombe_s_interval_is_the_published_one() -> None:
    """Newcombe 1998, table II, method 10: 56/70 less 48/80, and 9/10 less 3/10."""
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_nothing_is_judged_without_another_plan_or_without_a_decode() -> None:
    assert judge(("a", "b"), 1, [plan("ab", 2)]) is None
    assert judge(("a", "b"), 1, [replace(plan("ab", 0), decodes=()), plan("ac", 2)]) is None


def test_the_loop_reads_every_choice_that_is_said() -> None:
    assert set(SPOKEN) == set(ADJUSTS)
    for choice, word in SPOKEN.items():
        found = read_choice(word)
        assert found is not None
        assert found.choice == choice


@pytest.mark.parametrize("name", SETS)
def test_the_question_shows_problem_plan_and_steps(name: str, library: list[Template]) -> None:
    asked = question(prompts_of(name), PROBLEM, library[:3], ["3 * 4 = 12", "12 - 2 = 10"])
    assert [message.role for message in asked] == ["user"]
    for text in (PROBLEM, "a (tag)", "c (tag)", "3 * 4 = 12", "12 - 2 = 10"):
        assert text in flat(asked)
    assert not prompts_of(name).asks_json("evaluate")
    if name != "laptop":
        assert all(f"\n{word}: " in flat(asked) for word in SPOKEN.values())


def test_the_laptop_s_question_sets_each_step_beside_its_template(library: list[Template]) -> None:
    asked = question(prompts_of("laptop"), PROBLEM, library[:2], ["3 * 4 = 12"])
    assert flat(asked) == f"{PROBLEM}\nPlan:\na (tag): 3 * 4 = 12\nb (tag)\nWhat is next?\n"


def test_a_folder_of_one_s_own_is_asked_as_instruct(tmp_path) -> None:
    assert prompts_of(str(tmp_path)).version("evaluate") == prompts_of("instruct").version("evaluate")


def test_params_of_adjustments_need_what_they_are_made_of() -> None:
    from pathlib import Path

    from factory.params import ParamsError, parse

    document = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text())
    for gone, says in (("trajectories", "needs the section trajectories"), ("planner_dpo", "planner_adjust needs the section planner_dpo")):
        with pytest.raises(ParamsError, match=says):
            parse({key: value for key, value in document.items() if key != gone})
    document["datasets"].pop("adjustments")
    with pytest.raises(ParamsError, match="datasets lacks adjustments, which planner_adjust trains on"):
        parse(document)


def test_a_plan_by_names_alone_is_shown_by_its_names(make) -> None:
    """With retrieval off the templates of a plan are none of the library's."""
    other = {"a": "x", "b": "y", "c": "z"}
    named = [replace(row, template_ids=tuple(other[key] for key in row.template_ids)) for row in (plan("ab", 0), plan("ac", 4))]
    rows, _ = make(*named)
    row = next(row for row in rows if row.template_ids == ("x", "y") and row.place == 1)
    assert row.choice == "revise"
    assert "a (tag)" in flat(row.prompt)
