"""The table of Satori's rewards as ranges, and that only the response is graded."""

import math

import pytest

from factory.coat.rewards import Weights, restart_bonus, reward
from factory.schemas import Buffer, Restart

WEIGHTS = Weights(beta=0.5, orm_weight=1.0)


def start(buffer: Buffer, prefix: str = "") -> Restart:
    return Restart(
        id="1", problem_id="p", parent_id=None, buffer=buffer, backtrack=0, prompt="Tom has 3 apples.\nSolve:\n", prefix=prefix,
        prefix_has_answer="boxed" in prefix, answer="12", answer_kind="number", round="r1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("buffer", "response", "low", "high"),
    [
        ("0", r"\boxed{12}", 0.0, 1.0),
        ("0", r"\boxed{13}", -1.0, 0.0),
        ("-", r"\boxed{12}", 0.5, 1.5),
        ("-", r"\boxed{13}", -1.0, 0.0),
        ("+", r"\boxed{12}", 0.0, 1.0),
        ("+", r"\boxed{13}", -1.5, -0.5),
    ],
)
@pytest.mark.parametrize("logit", [-8.0, 0.0, 8.0])
def test_the_papers_table(buffer: Buffer, response: str, low: float, high: float, logit: float) -> None:
    total = reward(start(buffer), response, logit, WEIGHTS).total
    assert low < total < high
    assert total == pytest.approx(low + 1 / (1 + math.exp(-logit)))


def test_an_answer_in_the_prefix_earns_nothing() -> None:
    solved = start("+", "3 * 4 = 12\n\\boxed{12}\n<|reflect|>")
    silent = reward(solved, "", 0.0, WEIGHTS)
    assert (silent.verdict, silent.rule, silent.bonus) == ("unparsable", -1.0, -0.5)
    again = reward(solved, "3 * 4 is 12. Right.\n\\boxed{12}", 0.0, WEIGHTS)
    assert (again.verdict, again.rule, again.bonus) == ("correct", 0.0, 0.0)


def test_a_repaired_wrong_attempt_counts_its_last_box() -> None:
    repaired = reward(start("-", "\\boxed{13}\n<|reflect|>"), "\\boxed{13} no.\n\\boxed{12}", 0.0, WEIGHTS)
    assert repaired.total == pytest.approx(0 + 0.5 + 0.5)


def test_the_logit_is_standardised_before_the_sigmoid() -> None:
    weights = Weights(beta=0.5, orm_weight=1.0, mean=2.0, std=4.0)
    assert reward(start("0"), r"\boxed{12}", 6.0, weights).orm == pytest.approx(1 / (1 + math.exp(-1)))


def test_weights_switch_parts_off() -> None:
    nothing = reward(start("-"), r"\boxed{12}", 3.0, Weights(beta=0.0, orm_weight=0.0))
    assert (nothing.rule, nothing.orm, nothing.bonus, nothing.total) == (0.0, 0.0, 0.0, 0.0)
    assert reward(start("0"), r"\boxed{12}", 0.0, Weights(beta=0.5, orm_weight=0.4)).orm == pytest.approx(0.2)


def test_extreme_logits_do_not_overflow() -> None:
    assert reward(start("0"), r"\boxed{12}", -1e6, WEIGHTS).orm == 0.0
    assert reward(start("0"), r"\boxed{12}", 1e6, WEIGHTS).orm == 1.0


def test_the_bonus_is_for_restarts_only() -> None:
    assert [restart_bonus(buffer, correct, 0.5) for buffer in ("0", "+", "-") for correct in (True, False)] == [0, 0, 0, -0.5, 0.5, 0]


@pytest.mark.parametrize(
    ("response", "first", "right"),
    [
        ("3 * 5 = 15\n\\boxed{15}\n<|reflect|>No.\n\\boxed{12}", False, True),
        ("\\boxed{12}\n<|reflect|>No.\n\\boxed{13}", True, False),
        ("\\boxed{13}\n<|reflect|>\\boxed{12}\n<|reflect|>\\boxed{14}", False, False),
        ("3 * 4 = 13\n<|reflect|>No.\n\\boxed{12}", None, True),  # it corrected a step, no answer
        ("\\boxed{12}", None, True),
    ],
)
def test_the_answer_that_a_response_reflects_on(response: str, first: bool | None, right: bool) -> None:
    """Of the response alone: what stands in the prefix was not this policy's choice."""
    found = reward(start("-", "\\boxed{13}\n<|reflect|>"), response, 0.0, WEIGHTS)
    assert (found.first, found.correct) == (first, right)
