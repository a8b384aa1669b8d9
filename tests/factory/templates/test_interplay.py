"""Plans as text: what parses, what each line is tied to, and the guided prompt."""

import pytest

from factory.language.conversation import flat
from factory.language.prompting import Prompts
from factory.templates.interplay import PlanError, guided_prompt, parse_plan, plan_lines, plan_text


def test_a_plan_goes_to_text_and_back(planner_kit):
    plan = [planner_kit.template("put together"), planner_kit.template("take away"), planner_kit.template("put together")]
    text = "put together (add, gain)\ntake away (subtract, loss)\nput together (add, gain)"
    assert plan_text(plan) == text
    assert plan_lines(text)[1] == ("take away", ("subtract", "loss"))
    assert parse_plan(text, planner_kit.library()) == plan
    assert parse_plan(text.replace("\n", "\n\n"), planner_kit.library()) == plan


def test_lines_are_tied_to_what_their_name_and_tags_retrieve(planner_kit):
    assert [template.name for template in parse_plan("Groups (multiply)\n PUT  together (x)\n", planner_kit.library())] == [
        "equal groups", "put together",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty plan"),
        (" \n", "empty plan"),
        ("put together", "malformed plan"),
        ("put together (add, gain) then", "malformed plan"),
        ("put together (add, gain)\nThen:\ntake away (subtract, loss)", "malformed plan"),
        ("put together (add,)", "malformed plan"),
        ("(add)", "malformed plan"),
        ("put together ()", "malformed plan"),
        ("put (together (add))", "malformed plan"),
        ("zebra (stripes)", "no template retrieved"),
        ("take away (loss)\n" * 3, "too many templates"),
    ],
)
def test_what_is_no_plan(planner_kit, text, reason):
    with pytest.raises(PlanError, match=f"^{reason}$"):
        parse_plan(text, planner_kit.library(), max_templates=2)


def test_the_guided_prompt_lists_the_steps_in_the_plans_order(planner_kit):
    plan = [planner_kit.template("take away"), planner_kit.template("put together", steps=("A.", "B."))]
    prompt = guided_prompt(Prompts.of("laptop"), "Tom has 12.", plan)
    assert flat(prompt) == "Tom has 12.\nTemplates:\ntake away: Take away the next number.\nput together: A. B.\nSolve:\n"
