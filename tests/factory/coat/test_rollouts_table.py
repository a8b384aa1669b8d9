"""Rollouts as a table of any size: the rows, rejects and bytes of all of them in memory, and only some problems asked at once."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory import storage
from factory.coat import rollouts, rollouts_table
from factory.coat.rollouts import Samples, sampled
from factory.coat.rollouts_table import places, problems_at, set_aside
from factory.engines import asking
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.identity import row_id
from factory.language.prompting import Prompts
from factory.merging import merge, merge_rejects, scratch
from factory.params import Role, Sampling
from factory.rejects import write_rejects
from factory.schemas import Problem, Rollout
from factory.storage import REJECTS, read_rows, write_rows

PROBLEMS, TABLE = Path("problems.parquet"), Path("rollouts.parquet")
POLICY = Role(engine="transformers", model="data/models/base")
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=32)


class Solver:
    """Right, wrong or failed by the request's seed. `most`: requests that it was given at once."""

    family, model = "solver", "solver@1"

    def __init__(self) -> None:
        self.most = 0

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.most = max(self.most, len(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        dice = random.Random(request.seed)
        if dice.random() < 0.2:
            return Completion("", (), "error", 3, error="gone")
        text = f"so\n\\boxed{{{dice.randrange(3)}}}" + "." * dice.randrange(40)
        return Completion(text, (1, 2), dice.choice(["stop", "stop", "length"]), 3, row_id(request.seed))


def problem(number: int, dice: random.Random) -> Problem:
    text = f"Tom has {number}."
    return Problem(
        id=row_id(text), source="test", family="tally", group="procedures", split=dice.choice(["train", "train", "dev"]), instance=text,
        problem=text, answer="1", answer_kind="number", weight=dice.choice([1.0, 1.0, 30.0]),
    )  # fmt: skip


def wanted(count: int, seed: int = 1) -> Samples:
    return Samples(count, SAMPLING, Prompts("laptop"), seed, "rollouts", "base")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 30), samples=st.integers(1, 5), rows=st.integers(1, 40),
       held=st.sampled_from([1, 60, 10**6]), together=st.sampled_from([1, 7, 1000]), window=st.sampled_from([1, 9, 1000]))  # fmt: skip
@pytest.mark.slow
def test_a_table_has_the_bytes_of_rows_in_memory(
    seed: int, count: int, samples: int, rows: int, held: int, together: int, window: int
) -> None:
    dice = random.Random(seed)
    problems = [problem(number, dice) for number in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "GROUP_ROWS", rows)
        patch.setattr(rollouts_table, "HELD", held)
        patch.setattr(rollouts, "TOGETHER", together)
        patch.setattr(asking, "HELD", window)
        some, failed = rollouts.sample(
            Solver(), problems, SAMPLING, samples, prompts=Prompts("laptop"), seed=seed, stage="rollouts", round="base"
        )
        write_rows(TABLE, Rollout, some)
        write_rejects("rollouts_base", failed)
        before = [path.read_bytes() for path in (TABLE, REJECTS / "rollouts_base.parquet")]
        dice.shuffle(problems)
        with scratch("rollouts_base") as folder:
            made = set_aside(folder, sampled(Solver(), problems, wanted(samples, seed)))
            assert merge(TABLE, Rollout, made.rows) == len(some)
            assert merge_rejects("rollouts_base", made.rejects) == len(failed)
    assert [path.read_bytes() for path in (TABLE, REJECTS / "rollouts_base.parquet")] == before
    assert str(made.tally) == rollouts.summary(some, failed)


def test_rows_of_a_problem_stand_together_in_the_order_of_the_problems() -> None:
    dice = random.Random(3)
    problems = [problem(number, dice) for number in range(40)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "HELD", 8)
        rows, rejects = rollouts.sample(Solver(), problems, SAMPLING, 4, prompts=Prompts("laptop"), seed=1, stage="rollouts", round="base")
    order = {row.id: number for number, row in enumerate(problems)}
    assert [order[row.problem_id] for row in rows] == sorted(order[row.problem_id] for row in rows)
    assert len(rows) + len(rejects) == 160


def test_few_problems_are_under_way_however_many_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(asking, "HELD", 32)
    monkeypatch.setattr(rollouts, "TOGETHER", 16)
    dice = random.Random(1)
    drawn = ended = 0

    def coming() -> Iterator[Problem]:
        nonlocal drawn
        for number in range(300):
            drawn += 1
            assert drawn - ended <= 32 // 4 + 16 // 4, "problems are drawn before others have ended"
            yield problem(number, dice)

    engine, store = Solver(), Store(tmp_path / "store.sqlite")
    for rows, rejects in sampled(StoredEngine(engine, store, "rollouts_base", chunk=8), coming(), wanted(4), total=300):
        ended += len({row.problem_id for row in rows} | {row.parent_id for row in rejects})
    store.close()
    assert (drawn, ended, engine.most) == (300, 300, 8)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(4, 60), rows=st.integers(1, 20), part=st.integers(0, 1))
@pytest.mark.slow
def test_the_problems_of_a_part_are_found_in_the_table(seed: int, count: int, rows: int, part: int) -> None:
    dice = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "GROUP_ROWS", rows)
        write_rows(PROBLEMS, Problem, [problem(number, dice) for number in range(count)])
    every = read_rows(PROBLEMS, Problem)
    size = max(1, sum(row.split == "train" for row in every) // 3)
    if sum(row.split == "train" for row in every) <= part * size:
        return
    found = places(PROBLEMS, size, part, POLICY)
    assert list(problems_at(PROBLEMS, found)) == sorted(rollouts.part_of(every, size, part, POLICY), key=lambda row: row.id)
    recorded = Role(engine="recorded", model="answers.jsonl", models=("a",))
    assert list(problems_at(PROBLEMS, places(PROBLEMS, 1, 0, recorded))) == every
    assert list(problems_at(PROBLEMS, np.array([], np.int64))) == []
