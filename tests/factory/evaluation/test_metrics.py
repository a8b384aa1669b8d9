"""The metrics document, counted by hand on few answers."""

import json
from dataclasses import replace

import pytest

from factory.evaluation.metrics import comparisons, compute, corrected, groups_of, right_before, self_correction, settling
from factory.grading import grade
from factory.identity import row_id
from factory.schemas import Answer, Problem

PROBLEMS = [
    Problem(
        id=f"{split}{number}", source="world", family=family, group=group, split=split, instance=f"{split}{number}", problem="?",
        answer="5", answer_kind="number",
    )
    for split in ("heldout", "unseen")
    for number, (family, group) in enumerate([("tally", "procedures"), ("tally", "procedures"), ("coins", "search"), ("coins", "search")])
]  # fmt: skip
RIGHT, WRONG = "\\boxed{5}", "\\boxed{6}"


def answer(problem: Problem, completion: str, model: str = "base@1", arm: str = "policy", calls: int = 1) -> Answer:
    return Answer(
        id=row_id(model, arm, problem.id), model=model, arm=arm, problem_id=problem.id, split=problem.split, family=problem.family,
        group=problem.group, completion=completion, verdict=grade(completion, "5", "number").verdict,
        finish_reason="stop", tokens=10, calls=calls,
    )  # fmt: skip


def test_accuracies_by_split_group_and_family() -> None:
    rows = [answer(problem, RIGHT if number in (0, 1, 2, 4) else WRONG) for number, problem in enumerate(PROBLEMS)]
    block = compute(rows, PROBLEMS, resamples=100, seed=1)["models"]["base"]
    assert block["heldout"]["pass@1"] == 0.75
    assert block["heldout"]["n"] == 4
    assert block["heldout"]["groups"]["procedures"] == {"pass@1": 1.0, "ci95": [0.3424, 1.0], "n": 2}
    assert block["heldout"]["groups"]["search"]["pass@1"] == 0.5
    assert block["unseen"]["families"]["coins"]["pass@1"] == 0.0
    assert block["heldout"]["ci95"][0] < 0.75 < block["heldout"]["ci95"][1]


def test_answers_without_a_box_and_failures_are_wrong() -> None:
    rows = [answer(problem, "") for problem in PROBLEMS]
    assert {row.verdict for row in rows} == {"unparsable"}
    assert compute(rows, PROBLEMS, resamples=100, seed=1)["models"]["base"]["heldout"]["pass@1"] == 0.0


def test_self_correction_compares_the_box_before_the_first_reflect_with_the_last() -> None:
    texts = [
        f"{WRONG}\n<|reflect|>But wait.\n{RIGHT}",  # wrong to right
        f"{RIGHT}\n<|reflect|>But wait.\n{WRONG}",  # right to wrong
        f"{WRONG}\n{RIGHT}\n<|reflect|>Good.\n{RIGHT}",  # the last box before the reflect was right already
        "1 + 4 = 6\n<|reflect|>But wait.\n\\boxed{5}",  # no answer before
        RIGHT,  # never reflects
        f"{WRONG}\n<|reflect|>Good.\n{WRONG}\n<|reflect|>But wait.\n{RIGHT}",  # wrong to right, in two rounds
        f"{WRONG}\n<|reflect|>But wait.",  # stays with its first box
    ]
    rows = [answer(problem, text, "policy_r1@2") for problem, text in zip(PROBLEMS, texts, strict=False)]
    found = self_correction(rows, {problem.id: problem for problem in PROBLEMS})
    assert found == {"wrong_to_right": 2, "right_to_wrong": 1, "n": 5, "no_answer_before": 1, "share": 0.6667}


@pytest.mark.parametrize(
    ("text", "before", "counts"),
    [
        (f"{WRONG}\n<|reflect|>But wait.\n{RIGHT}", False, (1, 1)),
        (f"{WRONG}\n<|reflect|>But wait.\n{WRONG}\n<|reflect|>But wait.\n{RIGHT}", False, (1, 1)),  # whatever came in between
        (f"{WRONG}\n<|reflect|>But wait.\n\\boxed{{7}}", False, (0, 1)),
        (WRONG, None, (0, 1)),  # never looked at again
        ("1 + 4 = 6", None, (0, 1)),  # no answer at all
        (f"1 + 4 = 6\n<|reflect|>But wait.\n{RIGHT}", None, (1, 1)),  # given up before its box
        (RIGHT, None, (0, 0)),
        (f"{WRONG}\n{RIGHT}", None, (0, 0)),  # changed without a reflection: one attempt
        (f"{RIGHT}\n<|reflect|>Good.\n{RIGHT}", True, (0, 0)),
        (f"{RIGHT}\n<|reflect|>But wait.\n{WRONG}", True, (0, 0)),  # spoilt: it was right at first
    ],
)
def test_a_wrong_first_attempt_ends_right_or_not(text: str, before: bool | None, counts: tuple[int, int]) -> None:
    assert right_before(answer(PROBLEMS[0], text), PROBLEMS[0]) is before
    assert corrected(answer(PROBLEMS[0], text), PROBLEMS[0]) == counts


def test_settling_is_the_gain_of_the_level_end_on_the_same_problems() -> None:
    early = [answer(problem, RIGHT if number < 2 else WRONG) for number, problem in enumerate(PROBLEMS)]
    end = [answer(problem, RIGHT if number < 4 else WRONG) for number, problem in enumerate(PROBLEMS)]
    found = settling(early, end, resamples=500, seed=1)
    assert (found["early"]["pass@1"], found["end"]["pass@1"]) == (0.25, 0.5)
    assert (found["gain"]["difference"], found["gain"]["n"]) == (0.25, 8)
    assert 0.0 <= found["gain"]["ci95"][0] < 0.25 < found["gain"]["ci95"][1]  # no problem was lost
    assert settling(early[::-1], end, resamples=500, seed=1) == found
    assert settling(end, early, resamples=500, seed=1)["gain"]["difference"] == -0.25
    assert settling(end, end, resamples=500, seed=1)["gain"]["ci95"] == [0.0, 0.0]


def test_groups_are_whatever_the_problems_are_labelled_with() -> None:
    labels = ["geometry", "", "none", "algebra (hard)", "geometry"]
    rows = [replace(answer(problem, RIGHT), group=label) for problem, label in zip(PROBLEMS, labels, strict=False)]
    assert groups_of(rows) == ["algebra (hard)", "geometry"]
    document = compute([*rows, *(replace(row, id=f"{row.id}+", model="policy_r1@1") for row in rows)], PROBLEMS, resamples=50, seed=1)
    assert {name: part["n"] for name, part in document["models"]["base"]["heldout"]["groups"].items()} == {
        "algebra (hard)": 1,
        "geometry": 1,
    }
    assert list(document["differences"]["policy_r1 - base"]["heldout"]["groups"]) == ["algebra (hard)", "geometry"]
    bare = [replace(row, group="none") for row in rows]
    assert compute(bare, PROBLEMS, resamples=50, seed=1)["models"]["base"]["heldout"]["groups"] == {}


def test_no_changed_answer_has_no_share() -> None:
    assert self_correction([answer(PROBLEMS[0], RIGHT)], {})["share"] is None


def test_planner_arms_costs_and_differences() -> None:
    rows = [answer(problem, WRONG, arm="direct") for problem in PROBLEMS]
    rows += [answer(problem, RIGHT, arm="dpo", calls=2) for problem in PROBLEMS]
    rows += [answer(problem, WRONG) for problem in PROBLEMS]
    document = compute(rows, PROBLEMS, resamples=200, seed=1)
    assert list(document["planner"]) == ["direct", "dpo"]
    assert document["cost"]["direct"] == {"tokens": 80, "calls": 8, "n": 8}
    assert document["cost"]["planner"] == document["cost"]["dpo"] == {"tokens": 80, "calls": 16, "n": 8}
    assert list(document["differences"]) == ["dpo - direct"]
    heldout = document["differences"]["dpo - direct"]["heldout"]
    assert (heldout["difference"], heldout["ci95"], heldout["n"], heldout["above"]) == (1.0, [1.0, 1.0], 4, True)
    assert heldout["groups"]["search"]["n"] == 2


def test_claims_of_both_papers_are_compared() -> None:
    models, arms = ["base", "cot_control", "format_tuned", "policy_r1"], ["direct", "dpo", "oracle", "random_template", "sft"]
    pairs = set(comparisons(models, arms))
    assert {("policy_r1", "base"), ("policy_r1", "format_tuned"), ("policy_r1", "cot_control")} <= pairs
    assert {("dpo", "sft"), ("dpo", "random_template"), ("oracle", "direct")} <= pairs
    assert comparisons(["base"], []) == []


def test_the_document_does_not_depend_on_the_order_of_rows() -> None:
    rows = [answer(problem, RIGHT if number % 3 else WRONG) for number, problem in enumerate(PROBLEMS)]
    rows += [answer(problem, RIGHT, "format_tuned@1") for problem in PROBLEMS]
    one, two = (json.dumps(compute(order, PROBLEMS, resamples=100, seed=1)) for order in (rows, rows[::-1]))
    assert one == two
