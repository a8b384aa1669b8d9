"""What a planned name is tied to: the nearest template, one of exactly that name, or nothing but the name."""

import pytest

from factory.errors import ParamsError
from factory.evaluation import arms
from factory.grading import SHARED
from factory.language.conversation import said
from factory.language.prompting import Prompts
from factory.params import parse
from factory.params.yaml_file import read_yaml
from factory.templates.interplay import PlanError, guided_prompt, parse_plan, plan_lines, plan_text
from factory.templates.trajectories import make_trajectories

PLAN = "Put togethers (add, gain)\ntake away (loss)"


def test_the_nearest_template_is_what_a_name_is_tied_to_by_default(planner_kit):
    library = planner_kit.library()
    assert [row.name for row in parse_plan(PLAN, library)] == ["put together", "take away"]
    assert parse_plan(PLAN, library) == parse_plan(PLAN, library, retrieval="nearest")


def test_an_exact_name_is_found_and_a_near_one_refused(planner_kit):
    assert [row.name for row in parse_plan("Take  Away (x)", planner_kit.library(), retrieval="exact")] == ["take away"]
    with pytest.raises(PlanError, match="no template of that name"):
        parse_plan(PLAN, planner_kit.library(), retrieval="exact")


def test_without_retrieval_the_inference_model_reads_names_and_tags_alone(planner_kit):
    plan = parse_plan(PLAN, planner_kit.library(), retrieval="none")
    prompt = guided_prompt(Prompts.of("laptop"), "Tom has 3.", plan)
    assert prompt == said("user", "Tom has 3.\nTemplates:\nPut togethers (add, gain): \ntake away (loss): \nSolve:\n")
    assert plan_text(plan) == PLAN
    assert plan_lines(plan_text(plan)) == [("Put togethers", ("add", "gain")), ("take away", ("loss",))]
    assert [row.id for row in plan] != [row.id for row in planner_kit.library()[:2]]
    with pytest.raises(PlanError, match="a name without tags"):
        parse_plan("1. take away", planner_kit.library(), retrieval="none")


def test_retrieval_changes_no_prompt_of_a_template_with_steps(planner_kit):
    assert "take away: Take away the next number.\n" in guided_prompt(Prompts.of("laptop"), "?", planner_kit.library())[0].content


@pytest.mark.slow
def test_trajectories_are_rewarded_by_names_alone_where_retrieval_is_off(planner_kit):
    """Plans that the planner samples by turns; the inference model solves only under a template's steps."""
    problems = [planner_kit.problem(f"Tom has {n}. Tom gets 7.", "+") for n in range(12, 15)]
    rewards, prompts = {}, {}
    for retrieval in ("nearest", "none"):
        keys = {"retrieval": retrieval, "problems": 2, "samples": 2, "similar": 1, "decodes": 1}
        params = planner_kit.params(trajectories=keys)
        planner = planner_kit.RuleEngine(lambda request: ("put togethers (add, gain)", "take away (loss)")[request.ordinal])
        knowing = planner_kit.RuleEngine(lambda request: planner_kit.follow(request) if "number." in str(request.prompt) else r"\boxed{0}")
        trajectories, pairs, _ = make_trajectories(problems, planner_kit.library(), planner, knowing, params)
        rewards[retrieval], prompts[retrieval] = sorted(row.reward for row in trajectories), {row.plan for row in trajectories}
        assert bool(pairs) == (retrieval == "nearest")
    assert rewards == {"nearest": [0.0, 0.0, 1.0, 1.0], "none": [0.0] * 4}
    assert prompts["none"] == {"put togethers (add, gain)", "take away (loss)"}
    assert prompts["nearest"] == {"put together (add, gain)", "take away (subtract, loss)"}


def test_every_arm_of_the_evaluation_can_do_without_the_librarys_text(planner_kit):
    library = arms.without_text(planner_kit.library())
    problem = planner_kit.problem("Tom has 12. Tom gets 7.", "+", "heldout")
    engine = planner_kit.RuleEngine(lambda request: "put together (sum)")
    (plan,) = arms.planned(engine, [problem], library, 40, Prompts.of("laptop"), "none")
    assert [(row.name, row.tags, row.steps) for row in plan.templates] == [("put together", ("sum",), ())]
    asked = planner_kit.RuleEngine(lambda request: r"\boxed{19}")
    arms.follow(asked, "random_template", arms.random_plans([problem], library, 1), 40, Prompts.of("laptop"), SHARED)
    assert "number." not in str(asked.asked[0].prompt)


def test_a_value_that_is_none_of_the_three_is_refused(planner_kit, request):
    document = read_yaml(request.config.rootpath / "params.yaml")
    document["trajectories"]["retrieval"] = "off"
    with pytest.raises(ParamsError, match=r"trajectories.retrieval is 'off'"):
        parse(document)
