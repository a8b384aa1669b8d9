"""Rollouts: requests in, graded rows out, nothing lost; and the recorded GSM8K solutions against their published labels."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from factory.coat import rollouts
from factory.coat.pass_rates import rates
from factory.coat.preferences import orm_pairs
from factory.engines.protocol import Completion, Request
from factory.engines.recorded_engine import RecordedEngine, read_recorded
from factory.errors import ParamsError
from factory.identity import row_id
from factory.language.conversation import flat
from factory.language.prompting import Prompts
from factory.params import Role, Sampling, Source
from factory.problems.sources import from_records, read_raw
from factory.schemas import Message, Problem, Rollout

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).parents[4] / "shared/data")) / "gsm8k"
MODELS = ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"]
PROMPTS = Prompts.of("laptop")
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=32)


class Answers:
    """An engine that answers each problem's k-th sample from a table; `!` marks a failure, `…` a truncation."""

    family, model = "answers", "answers@1"

    def __init__(self, table: dict[str, list[str]]) -> None:
        self.table: dict[object, list[str]] = {PROMPTS.render("solve", problem=problem): answers for problem, answers in table.items()}
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.requests += requests
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        text = self.table[request.prompt][request.ordinal]
        if text.startswith("!"):
            return Completion("", (), "error", 3, error=text[1:])
        reason = "length" if text.endswith("…") else "stop"
        return Completion(
            text, tuple(range(len(text.split()))), reason, 3, row_id(flat(request.prompt), request.ordinal), logprobs=(-0.5, -0.25)
        )


def problem(text: str, answer: str, split: str = "train") -> Problem:
    return Problem(
        id=row_id(text), source="test", family="tally", group="procedures", split=split, instance=text, problem=text, answer=answer,
        answer_kind="number",
    )  # fmt: skip


def sample(engine: Answers, problems: list[Problem], samples: int) -> tuple[list[Rollout], list]:
    return rollouts.sample(engine, problems, SAMPLING, samples, prompts=PROMPTS, seed=1, stage="rollouts", round="base")


def test_every_sample_becomes_a_graded_row_or_a_reject() -> None:
    tom = problem("Tom has 12 and gets 7.", "19")
    table = {tom.problem: ["12 + 7 = 19\n\\boxed{19}", "12 + 7 = 18\n\\boxed{18}", "12 + 7 = 19", "!the server is gone", "12 + 7 =…"]}
    rows, rejects = sample(Answers(table), [tom], 5)
    found = {row.completion: row for row in rows}
    right = found["12 + 7 = 19\n\\boxed{19}"]
    assert [found[text].verdict for text in table[tom.problem] if text in found] == ["correct", "wrong", "unparsable", "unparsable"]
    assert found["12 + 7 =…"].finish_reason == "length"
    assert (right.steps, right.answer, right.tokens, right.logprob) == (("12 + 7 = 19", "\\boxed{19}"), "19", 6, -0.75)
    assert (right.model, right.prompt_version, right.round, right.parents) == ("answers@1", PROMPTS.version("solve"), "base", (tom.id,))
    assert right.prompt == (Message("user", "Tom has 12 and gets 7.\nSolve:\n"),)
    assert [(reject.stage, reject.reason, reject.parent_id) for reject in rejects] == [("rollouts_base", "the request failed", tom.id)]
    assert "the server is gone" in rejects[0].row
    assert {(row.right, row.samples, row.pass_rate) for row in rows} == {(1, 4, 0.25)}, (
        "a truncated sample and one without an answer are wrong, a failed request is no sample"
    )
    assert {(round(row.pass_low, 3), round(row.pass_high, 3)) for row in rows} == {(0.046, 0.699)}


def test_a_problem_whose_requests_all_failed_has_no_pass_rate() -> None:
    tom, ann = problem("Tom has 12 and gets 7.", "19"), problem("Ann has 3 and gets 4.", "7")
    rows, rejects = sample(Answers({tom.problem: ["!gone"] * 2, ann.problem: ["\\boxed{7}"] * 2}), [tom, ann], 2)
    assert rates(rows) == {ann.id: 1.0}
    assert [reject.parent_id for reject in rejects] == [tom.id] * 2


def test_identical_samples_stay_distinct_rows_and_are_counted() -> None:
    tom = problem("Tom has 12 and gets 7.", "19")
    rows, rejects = sample(Answers({tom.problem: ["\\boxed{19}"] * 3 + ["\\boxed{1}"]}), [tom], 4)
    assert len({row.id for row in rows}) == 4
    assert rollouts.duplicates(rows) == 2
    assert rollouts.summary(rows, rejects) == "4 rollouts (3 correct, 1 wrong; 0 truncated, 2 duplicates), 0 rejects"


def test_each_sample_has_its_own_seed_whatever_else_is_asked() -> None:
    tom, ann = problem("Tom has 12 and gets 7.", "19"), problem("Ann has 3 and gets 4.", "7")
    table = {tom.problem: ["\\boxed{19}"] * 2, ann.problem: ["\\boxed{7}"] * 2}
    alone, both = Answers(table), Answers(table)
    sample(alone, [tom], 2)
    sample(both, [ann, tom], 2)
    assert len({request.seed for request in both.requests}) == 4
    assert [request.seed for request in alone.requests] == [request.seed for request in both.requests if "Tom" in flat(request.prompt)]


def test_only_train_problems_are_sampled_but_all_recorded_ones_are_read() -> None:
    problems = [
        problem(f"Tom has {n} and gets 7.", str(n + 7), split) for n, split in enumerate(["train", "heldout", "train", "dev", "train"])
    ]
    sampled = Role(engine="transformers", model="data/models/base")
    chosen = rollouts.part_of(problems, 2, 0, sampled)
    assert [row.split for row in chosen] == ["train", "train"]
    assert [row.id for row in chosen] == sorted(row.id for row in problems if row.split == "train")[:2]
    assert len(rollouts.part_of(problems, 2, 0, Role(engine="recorded", model="answers.jsonl", models=["a"]))) == 5
    rest = rollouts.part_of(problems, 2, 1, sampled)
    assert {row.id for row in (*chosen, *rest)} == {row.id for row in problems if row.split == "train"}, "parts are disjoint"
    with pytest.raises(ParamsError, match="part 2 of 2 problems begins behind the last of 3 train problems"):
        rollouts.part_of(problems, 2, 2, sampled)


def test_parts_are_of_the_weighted_order_and_disjoint() -> None:
    heavy = [replace(problem(f"Ann has {n} and gets 7.", str(n + 7)), weight=50.0) for n in range(20)]
    problems = [*heavy, *(problem(f"Tom has {n} and gets 7.", str(n + 7)) for n in range(20))]
    role = Role(engine="transformers", model="data/models/base")
    parts = [rollouts.part_of(problems, 15, part, role) for part in range(3)]
    assert [len(part) for part in parts] == [15, 15, 10]
    assert sum(row.weight == 50.0 for row in parts[0]) >= 13
    assert len({row.id for part in parts for row in part}) == 40


@pytest.mark.skipif(not (DATA / "test.jsonl").exists(), reason=f"GSM8K's public files are not at {DATA} (COAT_DATA)")
def test_recorded_gsm8k_solutions_are_graded_as_their_authors_graded_them() -> None:
    columns = {"problem": "question", "answer": "answer", "solution": "answer"}
    source = Source(name="gsm8k", kind="jsonl", path=str(DATA / "test.jsonl"), columns=columns, answer_after="####", split="heldout")
    problems, unread = from_records(source, read_raw(source))
    assert (len(problems), unread) == (1319, [])
    engine = RecordedEngine(DATA / "example_model_solutions.jsonl", MODELS, PROMPTS)
    rows, rejects = rollouts.sample(
        engine, problems, SAMPLING, 4, prompts=PROMPTS, seed=1, stage="rollouts", round="recorded", makers=MODELS
    )
    assert (len(rows), rejects) == (5276, [])

    labels = {
        " ".join(question.split()): answers for question, answers in read_recorded(DATA / "example_model_solutions.jsonl").labels.items()
    }
    by_id = {problem.id: " ".join(problem.problem.split()) for problem in problems}
    disagree = [row.id for row in rows if (row.verdict == "correct") != labels[by_id[row.problem_id]][row.model.split("@")[0]]]
    assert disagree == []
    pairs, without = orm_pairs(rows, per_problem=1, margin=2.0, seed=1, round="recorded")
    assert (len(pairs), len(without)) == (731, 588)
