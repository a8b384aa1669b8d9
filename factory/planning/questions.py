"""What each role is asked, and something to ask it with: for the commands that show and check prompts without running anything.

    list(rendered(Prompts("laptop"), "labeller", [example()], "line"))
    → [("analyse", (Message("user", "Tom had 12 apples. …"),)), ("propose", …), ("plan", …), ("describe", …)]

Nothing heavy is imported here: `--help` of the commands reads `ASKS`.
"""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from factory.language.prompting import Prompts
    from factory.language.steps import By
    from factory.schemas import Conversation, Problem, Template

ASKS = {  # role → the questions that it is asked
    "generator": ("solve",),
    "critic": ("verify", "critique", "critique_again"),
    "labeller": ("analyse", "propose", "plan", "describe"),
    "planner": ("plan", "evaluate", "revise"),
    "inference": ("guided", "solve", "instantiate", "conclude"),
    "judge": ("judge",),
}
EXAMPLE = SimpleNamespace(  # where no template is released
    name="add the parts", tags=("addition", "total"), steps=("Add the parts.",), scope="Parts make a whole.",
)  # fmt: skip
OF_TEMPLATES = ("same", "same_tag")  # what a labeller is asked of pairs, where the params say so: factory/templates/prompts
CONTINUE = "solve, begun"  # a solution that the generator goes on with: no file of its own


def example() -> "Problem":
    """For a project that has no problem yet."""
    from factory.schemas import Problem

    return Problem(
        id="example", source="example", family="none", group="none", split="train", instance="example", answer="15", answer_kind="number",
        problem="Tom had 12 apples. Then he found 7 and lost 4. How many apples does Tom have now?",
        solution="12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}",
    )  # fmt: skip


def asks_json(prompts: "Prompts", question: str) -> bool:
    return question in OF_TEMPLATES or prompts.asks_json(question.split(",")[0])


def library() -> "list[Template]":
    """The templates that the line has released, [] where there are none."""
    from factory.schemas import Template
    from factory.storage import DATASETS, read_rows

    return read_rows(DATASETS / "templates", Template) if (DATASETS / "templates").is_dir() else []


def values(problem: "Problem", by: "By", templates: "Sequence[Template]" = ()) -> dict[str, Any]:
    """Something for every variable of every question: the problem's own where it has it. The attempt is the gold solution."""
    from factory.coat.demonstrations.divergence import gold_steps
    from factory.language.steps import split

    solution = "\n".join(gold_steps(problem))
    steps, first = split(solution, by), templates[0] if templates else None
    return {
        "problem": problem.problem, "solution": solution, "steps": steps, "earlier": steps[:1], "step": 1,
        "critique": "In Step 1: this is not what was asked.", "templates": templates, "gold": problem.answer, "answer": problem.answer,
        "name": first.name if first else "add the parts", "tags": first.tags if first else ("addition", "total"),
        "reason": "no JSON in it", "most": 3, "template": first or EXAMPLE, "candidates": templates, "done": 0, "remark": "",
    }  # fmt: skip


def asked(prompts: "Prompts", question: str, given: dict[str, Any], *, json: bool = False) -> "Conversation":
    """A question rendered with `values`; `CONTINUE` is `solve` with the whole solution begun."""
    from factory.language.conversation import begun

    if question == CONTINUE:
        return begun(prompts.render("solve", **given, json=json), given["solution"] + "\n")
    if question in OF_TEMPLATES:
        from factory.templates.questions import QUESTIONS

        two = [*given["templates"], given["template"], given["template"]][:2]
        return QUESTIONS.render(question, templates=two, tags=[*given["tags"], "addition"][:2], json=json)
    return prompts.render(question, **given, json=json)


def rendered(prompts: "Prompts", role: str, problems: "Sequence[Problem]", by: "By") -> "Iterator[tuple[str, Conversation]]":
    """(question, conversation) of every question of a role for every problem."""
    for problem in problems:
        given = values(problem, by)
        for question in ASKS[role]:
            yield question, asked(prompts, question, given)
