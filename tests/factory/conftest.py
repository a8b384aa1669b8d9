"""`planner_kit`: a tiny library, problems, and engines that answer by rule, as a perfect model would."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from factory.engines.protocol import Completion, Request
from factory.identity import row_id
from factory.language.conversation import flat
from factory.params import Params, load
from factory.schemas import Problem, Template

TABLE = {  # name: (tags, description, scope, steps, sign)
    "put together": (("add", "gain"), "Add what comes in.", "There is a gain.", "Add the next number.", "+"),
    "take away": (("subtract", "loss"), "Take away what goes out.", "There is a loss.", "Take away the next number.", "-"),
    "equal groups": (("multiply", "groups"), "Multiply the groups.", "There are groups.", "Multiply by the next number.", "*"),
}


class RuleEngine:
    """A whole Engine whose model is a function of the request. It notes what it was asked.

    An answer that starts with `!` fails; one that ends in `!` is truncated.
    """

    family = "rule"
    model = "rule@1"

    def __init__(self, answer: Callable[[Request], str]) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked += requests
        return [self._complete(request) for request in requests]

    def _complete(self, request: Request) -> Completion:
        text, request_id = self.answer(request), row_id(flat(request.prompt), request.seed, request.ordinal)
        if text.startswith("!"):
            return Completion("", (), "error", 0, request_id, error="the server said no")
        return Completion(text, tuple(range(len(text.split()))), "length" if text.endswith("!") else "stop", 0, request_id)


def solution_of(text: str, signs: Sequence[str]) -> str:
    """Apply the signs to the text's numbers in reading order."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    result, lines = numbers[0], []
    for sign, number in zip(signs, numbers[1:], strict=False):
        value = {"+": result + number, "-": result - number, "*": result * number}[sign]
        lines.append(f"{result} {sign} {number} = {value}")
        result = value
    return "\n".join([*lines, rf"\boxed{{{result}}}"])


def follow(request: Request) -> str:
    """The inference model: do what the steps of the listed templates say."""
    problem, rest = flat(request.prompt).split("\nTemplates:\n")
    sign_of = {steps: sign for _, _, _, steps, sign in TABLE.values()}
    return solution_of(problem, [sign_of[line.split(": ", 1)[1]] for line in rest.split("\n") if ": " in line])


def analyse(request: Request) -> str:
    """The labeller: name the strategy of the step that the prompt asks for."""
    text, step = flat(request.prompt).split("\nSolution:\n")[1].split("\nAnalyse step ")
    line = text.split("\n")[int(step.split(":")[0]) - 1]
    name = next(name for name, entry in TABLE.items() if f" {entry[4]} " in line)
    tags, description, scope, steps, _ = TABLE[name]
    return f"Name: {name}\nTags: {', '.join(tags)}\nDescription: {description}\nScope: {scope}\nSteps: {steps}"


def make_problem(text: str, signs: Sequence[str], split: str = "train") -> Problem:
    solution = solution_of(text, signs)
    return Problem(
        id=row_id(text), source="world", family="tally", group="procedures", split=split, instance=text, problem=text,
        answer=re.findall(r"\d+", solution)[-1], answer_kind="number", solution=solution,
    )  # fmt: skip


def make_template(name: str = "put together", **values: object) -> Template:
    tags, description, scope, steps, _ = TABLE.get(name, TABLE["put together"])
    fields = {
        "id": row_id("template", name), "model": "rule@1", "prompt_version": "analyse@1", "seed": 1, "round": "base", "name": name,
        "tags": tags, "description": description, "scope": scope, "steps": (steps,), "example_problem": "Tom has 12. Tom gets 7.",
        "example_solution": "12 + 7 = 19", "example_answer": "19", "source": "test", "licence": "cc0-1.0", "status": "accepted",
        "resolved": 4, "solve_rate": 1.0, "version": 1,
    }  # fmt: skip
    return Template(**{**fields, **values})


class Kit:
    """What the tests of templates, plans and trajectories build with."""

    RuleEngine = RuleEngine
    follow, analyse = staticmethod(follow), staticmethod(analyse)
    problem, template = staticmethod(make_problem), staticmethod(make_template)

    @staticmethod
    def library() -> list[Template]:
        return [make_template(name) for name in TABLE]

    @staticmethod
    def params(**sections: dict[str, object]) -> Params:
        """The project's params with some keys of some sections changed: one proposal a problem, untried, and no plan of nothing."""
        params = load(Path(__file__).parents[2] / "params.yaml")
        plain: dict[str, dict[str, object]] = {"plans": {"samples": 1, "tries": 0}, "trajectories": {"nothing": False}}
        changed = {name: {**plain.get(name, {}), **sections.get(name, {})} for name in {*plain, *sections}}
        return params.model_copy(update={name: params.require(name).model_copy(update=values) for name, values in changed.items()})


@pytest.fixture
def planner_kit() -> type[Kit]:
    return Kit
