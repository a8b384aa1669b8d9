"""The tables of the planner's ablations, on answers whose counts are known."""

from factory.evaluation.planner_ablations import Made, loss, named, tables
from factory.schemas import Answer, Problem

ARMS = {"recipe": "the recipe", "less": "without something"}


def problem(number: int, split: str) -> Problem:
    return Problem(
        id=f"{split}{number}", source="world", split=split, family="tally", group="search" if number % 2 else "procedures", problem="?",
        answer="7", answer_kind="number", instance=str(number),
    )  # fmt: skip


def answer(arm: str, planner: str, problem: Problem, right: bool, tokens: int = 10) -> Answer:
    return Answer(
        id=f"{arm}{planner}{problem.id}", model="base@1", arm=named(arm, planner), problem_id=problem.id, split=problem.split,
        family=problem.family, group=problem.group, completion="\\boxed{7}" if right else "\\boxed{6}",
        verdict="correct" if right else "wrong", finish_reason="stop", tokens=tokens, calls=1,
    )  # fmt: skip


def test_planners_beside_those_of_the_first_arm_and_beside_no_plan() -> None:
    """direct: procedures right; dpo: all right by the recipe, none without something; sft: procedures."""
    problems = [problem(number, split) for split in ("heldout", "unseen") for number in range(100)]
    answers = [answer(arm, "direct", one, right=one.group == "procedures") for arm in ARMS for one in problems]
    answers += [answer(arm, "sft", one, right=one.group == "procedures", tokens=30) for arm in ARMS for one in problems]
    answers += [answer(arm, "dpo", one, right=arm == "recipe", tokens=25) for arm in ARMS for one in problems]
    structure = {"described": 10, "trained": {"templates": 10, "tokens": 200, "before": 0.5, "after": 0.1}, "heldout": {"templates": 0}}
    less = {"described": 7, "trained": {}, "heldout": {"templates": 4, "tokens": 80, "before": 0.6, "after": 0.8}}
    made = {"recipe": {1: Made(14, 500, 900, structure), 2: Made(13, 480, 800, structure)}, "less": {1: Made(7, 400, 700, less)}}
    text = tables(ARMS, {1: (answers, problems), 2: (answers, problems)}, made, resamples=200)
    assert text.count("| arm | direct | sft | dpo |") == 3, "heldout, unseen, tokens"
    assert "| the recipe | 50.0 [43.1, 56.9] | 50.0 [43.1, 56.9] | 100.0 [98.1, 100.0] |" in text
    assert "| the recipe | 10.0 | 30.0 | 25.0 |" in text
    whole, search, procedures = ("-100.0 [-100.0, -100.0]",) * 3
    side = f"{whole} | -100.0, -100.0 | {procedures} | {search}"
    assert f"| without something | dpo | {side} | {side} |" in text
    assert "| without something | sft |" not in text, "the same answers"
    within = text.split("within an arm")[1]
    assert "| the recipe | dpo − direct | +50.0 [" in within
    assert "| without something | dpo − sft | -50.0 [" in within
    assert "oracle" not in text
    assert "| the recipe | 14, 13 | 10, 10 | 500, 480 | 900, 800 | 0.500 → 0.100 (20) | – |" in text
    assert "| without something | 7 | 7 | 400 | 700 | – | 0.600 → 0.800 (4) |" in text


def test_one_seed_has_no_column_of_seeds_and_equal_arms_say_so() -> None:
    problems = [problem(number, "heldout") for number in range(4)]
    answers = [answer(arm, planner, one, right=True) for arm in ARMS for planner in ("direct", "oracle") for one in problems]
    text = tables(ARMS, {3: (answers, problems)}, {}, resamples=100)
    assert "| seeds" not in text
    assert "to heldout problems, seed 3, 95 %" in text
    assert "all are the same." in text
    assert "| the recipe | oracle − direct | +0.0 [+0.0, +0.0] |" in text


def test_losses_of_seeds_are_pooled_over_their_tokens() -> None:
    rows = [{"templates": 4, "tokens": 100, "before": 1.0, "after": 0.5}, {"templates": 3, "tokens": 300, "before": 0.2, "after": 0.1}, {}]
    assert loss(rows) == "0.400 → 0.200 (7)"
    assert loss([{}, {"templates": 0, "tokens": 0, "before": None, "after": None}]) == "–"
