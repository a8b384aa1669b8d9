"""The reference critic on chains of equations, which real solutions write."""

import pytest

from factory.coat.demonstrations.reference import first_wrong
from factory.schemas import Problem

PROBLEM = Problem(
    id="p", source="s", family="f", group="none", split="heldout", instance="i", problem="Work out (2 + 3) * -4.", answer="-20",
    answer_kind="number", solution="(2 + 3) = 5\n(5 * -4) = -20\n\\boxed{-20}",
)  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        (("(2 + 3) * -4 = (2 + 3) * (-4) = 5 * (-4) = -20", "\\boxed{-20}"), None),  # one value, said three times
        (("(2 + 3) = 5", "5 * -4 = -20", "\\boxed{-20}"), None),
        (("(2 + 3) * -4 = 6 * -4 = -24", "\\boxed{-24}"), 1),  # a false link
        (("2 + 3 = 5", "2 + 3 = 5", "5 * -4 = -20"), 2),  # the same again in another step is no chain
    ],
)
def test_a_chain_says_one_value_once(steps: tuple[str, ...], wrong: int | None) -> None:
    found = first_wrong(PROBLEM, steps)
    assert (found.step if found else None) == wrong
