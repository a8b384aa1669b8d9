"""The COAT grammar (Satori §3.1): parse, render, validate, and cut a restart prefix. The action set is one table.

A trajectory is steps joined by newlines: lines, or paragraphs with `by="paragraph"` (`factory.language.steps` cuts them). Each step but
the first may start with a meta-action token; a step without one belongs to the action before it. The last step holds the final answer in
`\\boxed{}`:

    3 + 10 = 13
    3 * 10 = 30
    <|reflect|>But wait. 30 is not 36.
    <|explore|>Try another pair.
    <|continue|>Try 4 and 9.
    …
    \\boxed{4}

`render(parse(text, by)) == text` for every text that parses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from factory.errors import DataError
from factory.language.steps import By, split
from factory.language.tokens.control import ACTIONS

CONTINUE, REFLECT, EXPLORE = ACTIONS["continue"], ACTIONS["reflect"], ACTIONS["explore"]

_ACTION_OF = {token: action for action, token in ACTIONS.items()}
_TOKEN = re.compile(r"<\|[^|<>\n]*\|>")


class CoatError(DataError):
    """A text that is no COAT trajectory."""


@dataclass(frozen=True)
class Step:
    action: str | None  # a key of ACTIONS; None: plain
    text: str  # without the token and without the newline that ends the step


def parse(text: str, by: By = "line") -> tuple[Step, ...]:
    """Raises CoatError on an unknown token, a token inside a step, or a first step that has one."""
    steps = []
    for number, step in enumerate(split(text, by), start=1):
        tokens = _TOKEN.findall(step)
        for token in tokens:
            if token not in _ACTION_OF:
                raise CoatError(f"unknown token {token} in step {number}: expected one of {' '.join(_ACTION_OF)}")
        if tokens and (len(tokens) > 1 or not step.startswith(tokens[0])):
            raise CoatError(f"step {number} has a meta-action token elsewhere than at its start: {step[:60]!r}")
        if tokens and number == 1:
            raise CoatError(f"the first step carries the token {tokens[0]}")
        steps.append(Step(_ACTION_OF[tokens[0]], step[len(tokens[0]) :]) if tokens else Step(None, step))
    return tuple(steps)


def parses(text: str) -> bool:
    """Whether `parse` takes the text, whatever its steps are: each of its tokens is known and begins a line, but not the first."""
    return "<|" not in text or all(token.group() in _ACTION_OF and text.endswith("\n", 0, token.start()) for token in _TOKEN.finditer(text))


def render(steps: Sequence[Step]) -> str:
    return "\n".join((ACTIONS[step.action] if step.action else "") + step.text for step in steps)


def split_steps(text: str, by: By = "line") -> tuple[str, ...]:
    """The steps, tokens kept; works on any text, COAT or not. "\\n".join gives the text back."""
    return split(text, by)


def problems_of(text: str, by: By = "line") -> list[str]:
    """What is wrong with a finished trajectory, [] for a valid one: grammar, an explore that no continue follows, a missing box. It stands
    in the last step; among paragraphs in any behind the last meta-action, since a closing sentence may follow it."""
    try:
        steps = parse(text, by)
    except CoatError as error:
        return [str(error)]
    found = []
    actions = [step.action for step in steps if step.action]
    for number, action in enumerate(actions):
        following = actions[number + 1] if number + 1 < len(actions) else None
        if action == "explore" and following != "continue":
            found.append("an explore is not followed by a continue")
    found += [f"an empty {step.action} step" for step in steps if step.action and not step.text.strip()]
    last = next((place for place in range(len(steps) - 1, 0, -1) if steps[place].action), 0) if by == "paragraph" else len(steps) - 1
    if not any(r"\boxed{" in step.text for step in steps[last:]):
        found.append("the last step has no \\boxed{}")
    return found


def unknown_tokens(text: str) -> list[str]:
    """Tokens of the form `<|…|>` that are no meta-action; works on any text."""
    return [token for token in _TOKEN.findall(text) if token not in _ACTION_OF]


def action_counts(text: str) -> dict[str, int]:
    """How often each meta-action token occurs."""
    return {action: text.count(token) for action, token in ACTIONS.items()}


def cut(text: str, backtrack: int, by: By = "line") -> tuple[str, int]:
    """A restart prefix (Satori Alg. 1): drop the last `backtrack` steps, append `<|reflect|>`.

    Returns (prefix, steps really dropped): at least one step remains. What stands before "\\n<|reflect|>" is a prefix of `text`.
    """
    steps = split(text, by)
    dropped = min(backtrack, len(steps) - 1)
    kept = "\n".join(steps[: len(steps) - dropped]).rstrip("\n")
    return f"{kept}\n{REFLECT}", dropped


def cut_before(text: str, dropped: int, by: By = "line") -> str:
    """What stands before the last `dropped` ≥ 1 steps, as it is: a prefix of `text` that ends a line."""
    return "\n".join(split(text, by)[:-dropped]) + "\n"


def before_reflection(text: str) -> str:
    """The part before the first `<|reflect|>`: the first attempt. The whole text when there is none."""
    return text.split(REFLECT, 1)[0]
