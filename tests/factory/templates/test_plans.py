"""The planner's supervised views: form is checked, gold strategies are never seen, every problem is a row or a reject."""

from collections import Counter
from dataclasses import replace

import pytest

from factory.errors import DataError
from factory.language.conversation import flat, said
from factory.language.prompting import Prompts
from factory.templates.descriptions import structure_examples
from factory.templates.interplay import PlanError
from factory.templates.plans import check_form, draw_train, plan_examples


def test_structure_has_accepted_templates_only(planner_kit):
    library = [*planner_kit.library(), planner_kit.template("other", status="quarantined"), planner_kit.template("old", status="retired")]
    rows = structure_examples(library, Prompts.of("laptop"))
    assert len(rows) == 3
    row = next(row for row in rows if "put together" in flat(row.prompt))
    assert row.prompt == said("user", "Name: put together\nTags: add, gain\nDescribe:\n")
    assert row.completion == "Description: Add what comes in.\nScope: There is a gain."
    assert row.problem_id == ""
    assert row.parents == (planner_kit.template("put together").id,)


def test_form_needs_the_name_of_an_accepted_template(planner_kit):
    library = planner_kit.library()
    assert [t.name for t in check_form("Take Away (sum)", library, 4)] == ["take away"]
    with pytest.raises(PlanError, match="no template of that name"):
        check_form("take some (subtract, loss)", library, 4)


def test_drawing_takes_train_problems_by_their_ids(planner_kit):
    problems = [planner_kit.problem(f"Tom has {n}. Gets 7.", "+", split="train" if n % 2 else "dev") for n in range(20)]
    drawn = draw_train(problems, 4, 1, "plans")
    assert all(problem.split == "train" for problem in drawn)
    assert drawn == draw_train(problems[::-1], 4, 1, "plans")
    assert drawn == draw_train(problems, 10, 1, "plans")[:4]
    assert len(draw_train(problems, 100, 1)) == 10


def test_without_an_accepted_template_nothing_is_asked(planner_kit):
    engine = planner_kit.RuleEngine(lambda request: "put together (add, gain)")
    for library in ([], [planner_kit.template(status="quarantined")]):
        with pytest.raises(DataError, match=r"data/rejects/templates\.parquet") as raised:
            plan_examples([planner_kit.problem("Tom has 3. Gets 7.", "+")], library, "first", engine, planner_kit.params())
        assert "\n" not in str(raised.value)
    assert engine.asked == []


def test_every_problem_is_a_plan_or_a_reject_with_its_reason(planner_kit):
    answers = [
        "Put together (add)\ntake away (loss, subtract)",
        "take away",
        "zebra (stripes)",
        "!",
        "take away (loss)!",
        "take aways (loss)",
    ]
    problems = [planner_kit.problem(f"Tom has {n}. Gets 7. Loses 3.", "++") for n in range(6)]
    order = [problem.problem for problem in draw_train(problems, 6, 1, "plans")]
    engine = planner_kit.RuleEngine(lambda request: answers[order.index(flat(request.prompt).split("\nPlan:")[0])])
    rows, rejects = plan_examples(problems, planner_kit.library(), "first", engine, planner_kit.params(plans={"problems": 6}))
    assert [row.completion for row in rows] == ["put together (add, gain)\ntake away (subtract, loss)"]
    assert rows[0].prompt == said("user", order[0] + "\nPlan:\n")
    assert rows[0].parents == (rows[0].problem_id, planner_kit.template("put together").id, planner_kit.template("take away").id)
    assert rows[0].request_ids == (engine.generate(engine.asked[:1])[0].request_id,)
    assert Counter(item.reason for item in rejects) == {
        "malformed plan": 1, "no template retrieved": 1, "request failed": 1, "truncated plan": 1, "no template of that name": 1,
    }  # fmt: skip


def test_the_gold_strategy_and_the_answer_change_nothing(planner_kit):
    problem = planner_kit.problem("Tom has 3. Gets 7.", "+")
    other = replace(problem, strategy=("take away",), solution=None, answer="0")
    engine, params = planner_kit.RuleEngine(lambda request: "put together (add, gain)"), planner_kit.params()
    assert plan_examples([problem], planner_kit.library(), "first", engine, params) == plan_examples(
        [other], planner_kit.library(), "first", engine, params
    )
    assert len({request.seed for request in engine.asked}) == 1


def test_of_several_proposals_stays_the_one_that_solves_the_problem(planner_kit):
    """Rejection sampling: the proposal that came most often is wrong, one of four is right."""
    problems = [planner_kit.problem(f"Tom has {n} apples. Tom gets 7.", "+") for n in (11, 12)]
    plans = ["take away (subtract, loss)", "take away (subtract, loss)", "put together (add, gain)", "zebra (stripes)"]
    labeller = planner_kit.RuleEngine(lambda request: plans[request.ordinal])
    inference = planner_kit.RuleEngine(lambda request: planner_kit.follow(request) if "Templates:" in flat(request.prompt) else "no idea")
    params = planner_kit.params(plans={"problems": 2, "samples": 4, "tries": 3, "min_reward": 0.5})
    rows, rejects = plan_examples(problems, planner_kit.library(), "first", labeller, params, inference)
    assert [row.completion for row in rows] == ["put together (add, gain)"] * 2
    assert len(inference.asked) == 2 * 2 * 3  # two different plans, three times each, on two problems
    assert all(len(row.request_ids) == 1 + 3 for row in rows)  # the proposal and its tries
    assert Counter(item.reason for item in rejects) == {"no template retrieved": 2}


@pytest.mark.slow
def test_of_plans_that_solve_the_one_proposed_most_often_stays(planner_kit):
    """Three tries of four and four of four are no difference: two proposals against one are."""
    problem = planner_kit.problem("Tom has 11 apples. Tom gets 7.", "+")
    plans = ["put together (add, gain)", "put together (add, gain)", "take away (subtract, loss)"]
    labeller = planner_kit.RuleEngine(lambda request: plans[request.ordinal])
    inference = planner_kit.RuleEngine(
        lambda request: "\\boxed{0}" if "put together" in flat(request.prompt) and request.ordinal == 3 else "\\boxed{18}"
    )
    for least, kept in ((0.75, "put together (add, gain)"), (1.0, "take away (subtract, loss)")):
        params = planner_kit.params(plans={"problems": 1, "samples": 3, "tries": 4, "min_reward": least})
        rows, rejects = plan_examples([problem], planner_kit.library(), "first", labeller, params, inference)
        assert ([row.completion for row in rows], rejects) == ([kept], [])


def test_a_problem_that_no_plan_solves_teaches_nothing(planner_kit):
    problem = planner_kit.problem("Tom has 11 apples. Tom gets 7.", "+")
    labeller = planner_kit.RuleEngine(lambda request: "take away (subtract, loss)")
    params = planner_kit.params(plans={"problems": 1, "samples": 2, "tries": 2, "min_reward": 0.5})
    rows, rejects = plan_examples([problem], planner_kit.library(), "first", labeller, params, planner_kit.RuleEngine(planner_kit.follow))
    assert rows == []
    assert [(item.stage, item.reason, item.parent_id) for item in rejects] == [("plans_first", "no plan solves it", problem.id)]
    assert '"take away (subtract, loss)": 0.0' in rejects[0].row


@pytest.mark.slow
def test_a_later_planner_learns_of_the_plans_that_the_one_before_it_proposes(planner_kit):
    """It is asked for a plan of the problem, as it was trained to, without templates to choose from; inexact names become the library's."""
    problems = [planner_kit.problem(f"Tom has {n} apples. Tom gets 7.", "+") for n in (11, 12)]
    planner = planner_kit.RuleEngine(lambda request: ["take away (subtract)", "Put together (add)", "!"][request.ordinal])
    params = planner_kit.params(plans={"problems": 2, "samples": 3, "tries": 2, "min_reward": 0.5})
    rows, rejects = plan_examples(problems, planner_kit.library(), "sft", planner, params, planner_kit.RuleEngine(planner_kit.follow))
    assert {flat(request.prompt) for request in planner.asked} == {f"{problem.problem}\nPlan:\n" for problem in problems}
    assert len({request.seed for request in planner.asked}) == 2 * 3
    assert [(row.completion, row.model, row.round) for row in rows] == [("put together (add, gain)", planner.model, "sft")] * 2
    assert Counter((item.stage, item.reason) for item in rejects) == {("plans_sft", "request failed"): 2}
