"""What models are asked, letter by letter: a changed prompt changes every answer, so it is changed on purpose.

The six prompt situations of Satori App. C in the words of the set `laptop`, as one text; every question of the set `instruct` as a
conversation, a message a paragraph under its `[role]`.
"""

from pathlib import Path

import pytest

from factory.language.conversation import begun, flat, split
from factory.language.prompting import VARIABLES, Prompts
from factory.schemas import Conversation

GOLDEN = Path(__file__).parents[3] / "golden/prompts"
LAPTOP, INSTRUCT = Prompts.of("laptop"), Prompts.of("instruct")
PROBLEM = "Tom had 12 apples. Then he found 7 and lost 4. How many apples does Tom have now?"
GOLD = "12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}"
CRITIQUE = "In Step 2: do not add 4."
ASKED: dict[str, dict[str, object]] = {
    "solve": {},
    "verify": {"steps": ("12 + 7 = 19",)},
    "critique": {"solution": GOLD, "steps": ("12 + 7 = 19", "19 + 4 = 23", "\\boxed{23}")},
    "critique_again": {
        "solution": GOLD, "earlier": ("12 + 7 = 19", "19 + 4 = 23"), "critique": CRITIQUE, "steps": ("19 - 4 = 14", "\\boxed{14}"),
    },
}  # fmt: skip
BEGUN = {  # what the generator goes on with: no question of its own, but `solve` and a solution begun
    "continue_verified": ("12 + 7 = 19", "Let me check. 12 + 7 is 19. Right."),
    "continue_critique": ("12 + 7 = 19\n19 + 4 = 23", "But wait: do not add 4.", "This time, take away 4."),
}
TEMPLATES = (
    {"name": "put together", "tags": ("add", "gain"), "steps": ("Take the result so far.", "Add the next number.")},
    {"name": "take away", "tags": ("subtract", "loss"), "steps": ("Take away the next number.",)},
)
OTHERS: dict[str, dict[str, object]] = {
    "analyse": {"solution": GOLD, "step": 0}, "describe": {"name": "put together", "tags": ("add", "gain")},
    "propose": {"templates": TEMPLATES, "most": 3}, "plan": {}, "guided": {"templates": TEMPLATES},
    "judge": {"gold": "15", "answer": "fifteen"},
    "instantiate": {"templates": TEMPLATES, "template": TEMPLATES[1], "steps": ("12 + 7 = 19",), "remark": "19 + 4 is not asked for."},
    "evaluate": {"templates": TEMPLATES, "template": TEMPLATES[1], "steps": ("12 + 7 = 19", "19 - 4 = 15")},
    "revise": {
        "templates": TEMPLATES, "steps": ("12 + 7 = 19",), "done": 1, "remark": "He lost 4.", "candidates": TEMPLATES, "most": 3,
    },
    "conclude": {"templates": TEMPLATES, "steps": ("12 + 7 = 19", "19 - 4 = 15")},
    "repair": {"reason": "no field step"},
}  # fmt: skip


def situation(prompts: Prompts, name: str, json: bool = False) -> Conversation:
    values = {**ASKED, **OTHERS}.get(name, {})
    if name in BEGUN:
        return begun(prompts.render("solve", problem=PROBLEM), "".join(f"{line}\n" for line in BEGUN[name]))
    return prompts.render(name, problem=PROBLEM, json=json, **values)


def written(conversation: Conversation) -> str:
    return "\n".join(f"[{message.role}]\n{message.content}\n" for message in conversation)


@pytest.mark.parametrize("name", [*ASKED, *BEGUN])
def test_the_laptops_words_are_what_they_were(name: str) -> None:
    assert flat(situation(LAPTOP, name)) == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", [*VARIABLES, *BEGUN])
def test_instruct_conversations_are_what_they_were(name: str) -> None:
    assert written(situation(INSTRUCT, name)) == (GOLDEN / f"instruct/{name}.txt").read_text()


@pytest.mark.parametrize("name", [name for name in VARIABLES if INSTRUCT.asks_json(name)])
def test_questions_for_json_are_what_they_were(name: str) -> None:
    assert written(situation(INSTRUCT, name, json=True)) == (GOLDEN / f"instruct/{name}.json.txt").read_text()


def test_the_laptop_is_asked_for_steps_as_it_verifies_follows_and_plans() -> None:
    steps = situation(LAPTOP, "conclude")
    assert flat(steps) == flat(situation(LAPTOP, "guided")) + "12 + 7 = 19\n19 - 4 = 15\n"
    assert flat(situation(LAPTOP, "instantiate")) == flat(situation(LAPTOP, "guided")) + "12 + 7 = 19\n"
    assert situation(LAPTOP, "evaluate") == LAPTOP.render("verify", problem=PROBLEM, steps=("12 + 7 = 19", "19 - 4 = 15"))
    assert flat(situation(LAPTOP, "revise")) == flat(situation(LAPTOP, "plan")) + "put together (add, gain)\n"


def test_every_golden_file_is_compared() -> None:
    names = {*VARIABLES, *BEGUN, *(f"{name}.json" for name in VARIABLES if INSTRUCT.asks_json(name))}
    assert {path.stem for path in (GOLDEN / "instruct").iterdir()} == names
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {*ASKED, *BEGUN}


def test_continuations_go_on_from_the_words_of_the_trajectory() -> None:
    """Without meta-action tokens they read as what follows `Solve:`, so that a model that knows none goes on as it solves."""
    solve = (GOLDEN / "solve.txt").read_text()
    for name in ("verify", *BEGUN):
        assert (GOLDEN / f"{name}.txt").read_text().startswith(f"{solve}12 + 7 = 19\n")


@pytest.mark.parametrize("prompts", [LAPTOP, INSTRUCT], ids=["laptop", "instruct"])
def test_a_continuation_is_the_same_question_with_a_turn_begun(prompts: Prompts) -> None:
    for name, lines in BEGUN.items():
        asked, words = split(situation(prompts, name))
        assert asked == situation(prompts, "solve")
        assert words == "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("prompts", [LAPTOP, INSTRUCT], ids=["laptop", "instruct"])
def test_no_prompt_of_a_generator_or_a_verification_shows_the_gold_solution(prompts: Prompts) -> None:
    for name in ("solve", "verify", *BEGUN):
        assert "19 - 4" not in flat(situation(prompts, name))
        assert "15" not in flat(situation(prompts, name))


def test_only_the_laptop_begins_the_models_turn() -> None:
    """It verifies, carries a plan out and goes on with a plan in the words that its base is trained on."""
    begun_there = [name for name in VARIABLES if situation(LAPTOP, name)[-1].role == "assistant"]
    assert begun_there == ["verify", "instantiate", "evaluate", "revise", "conclude"]
    assert [name for name in VARIABLES if situation(INSTRUCT, name)[-1].role == "assistant"] == []
