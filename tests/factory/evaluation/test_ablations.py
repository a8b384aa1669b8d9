"""The tables of the ablations, on answers whose counts are known."""

from factory.evaluation.ablations import tables
from factory.schemas import Answer, Problem

ARMS = {"full": "the whole recipe", "less": "without something"}


def problem(number: int, split: str) -> Problem:
    return Problem(
        id=f"{split}{number}", source="world", split=split, family="tally", group="search" if number % 2 else "procedures", problem="?",
        answer="7", answer_kind="number", instance=str(number),
    )  # fmt: skip


def answer(arm: str, problem: Problem, right: bool, completion: str = "\\boxed{7}") -> Answer:
    return Answer(
        id=f"{arm}{problem.id}", model=f"{arm}@policy_r1@1", arm="policy", problem_id=problem.id, split=problem.split,
        family=problem.family, group=problem.group, completion=completion, verdict="correct" if right else "wrong", finish_reason="stop",
        tokens=10, calls=1,
    )  # fmt: skip


def test_arms_beside_the_first() -> None:
    problems = [problem(number, split) for split in ("heldout", "unseen") for number in range(100)]
    corrected = "\\boxed{6}\n<|reflect|>\\boxed{7}"
    answers = [answer("full", one, right=True, completion=corrected) for one in problems]
    answers += [answer("less", one, right=one.group == "procedures") for one in problems]
    text = tables(ARMS, {1: (answers, problems), 2: (answers, problems)}, resamples=200)
    assert "| the whole recipe | 100.0 [98.1, 100.0] | 100.0 [98.1, 100.0] | 10.0 | 400, 0 of 400 |" in text
    assert "| without something | 50.0 [43.1, 56.9] | 50.0 [43.1, 56.9] | 10.0 | 0, 0 of 400 |" in text
    assert text.count("-50.0, -50.0") == 2, "each seed's own, on both splits"
    grouped = text.split("The same by group:")[1]
    assert "| heldout | +0.0 [+0.0, +0.0] | -100.0 [-100.0, -100.0] |" in grouped
    assert "seeds 1, 2 together" in text
