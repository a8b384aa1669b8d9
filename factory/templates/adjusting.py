"""How a trained adjuster is asked what is done after a step, in training and in the loop, and what it says.

    question(prompts_of("laptop"), "Tom has 12 apples. …", [put_together, take_away], ["12 + 7 = 19"])
    → (Message("user", "Tom has 12 …\\nPlan:\\nput together (add, gain): 12 + 7 = 19\\ntake away (subtract, loss)\\nWhat is next?\\n"),)

Its files lie here and not beside the other questions: untrained evaluators are asked `evaluate` of their own set.
"""

from collections.abc import Sequence
from pathlib import Path

from factory.language.prompting import SETS, Prompts
from factory.schemas import Conversation, Template
from factory.tables import Adjust

QUESTIONS = Path(__file__).parent / "questions"
SPOKEN: dict[Adjust, str] = {"keep": "next", "revise": "change", "fetch": "other", "stop": "stop"}  # one word each, on the laptop too


def set_of(name: str) -> str:
    """The folder of the adjuster's question where its planner is asked with the prompts of this name. Folders of the user's own have it
    from `instruct`."""
    return str(QUESTIONS / (name if name in SETS else "instruct"))


def prompts_of(name: str) -> Prompts:
    return Prompts.of(set_of(name))


def question(prompts: Prompts, problem: str, templates: Sequence[Template], steps: Sequence[str]) -> Conversation:
    """As the loop asks it after each step."""
    return prompts.render(
        "evaluate", problem=problem, templates=templates, template=templates[len(steps) - 1], steps=tuple(steps), json=False
    )
