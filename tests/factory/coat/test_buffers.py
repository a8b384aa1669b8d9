"""Start states and pairs of tables in many row groups are those of rows in memory, whatever the number of processes."""

import random
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory import storage
from factory.coat.buffers import start_states
from factory.coat.cutting import Cuts
from factory.coat.pass_rates import counted
from factory.coat.preferences import orm_pairs, pairs_of_table
from factory.coat.restarts import Draw
from factory.errors import DataError
from factory.identity import row_id
from factory.language.conversation import said
from factory.language.steps import split
from factory.merging import merge, merge_rejects, scratch
from factory.processes import workers
from factory.rejects import write_rejects
from factory.schemas import OrmPair, Problem, Restart, Rollout
from factory.storage import REJECTS, write_rows

sys.path.insert(0, str(Path(__file__).parent))
import algorithm_one

PROBLEMS, ROLLOUTS = Path("problems.parquet"), Path("rollouts.parquet")
SOLUTIONS = (
    None,
    "\\boxed{7}",
    "3 + 4 = 7\n7 * 2 = 14\n\\boxed{14}",
    "a\nb <|reflect|>\n\\boxed{7}",
    "1 + 1 = 2\n2 + 2 = 4\nSo \\boxed{4}",
)
TEXTS = (
    "3 + 4 = 7\n\\boxed{7}", "3 + 4 = 8\n\n8 - 1 = 7\n\\boxed{7}", "\\boxed{9}", "3 + 4 = 7\n<|reflect|>But wait.\n\\boxed{6}",
    "3 <|reflect|>\n\\boxed{7}", "<|explore|>x\n\\boxed{7}", "é\n<|retry|>x\n\\boxed{1}", "a < b |> c\n\\boxed{\\frac{1}{2}}",
)  # fmt: skip


def problems(dice: random.Random, count: int) -> list[Problem]:
    return [
        Problem(
            id=row_id("problem", n), source="test", family="tally", group="none", split=dice.choice(["train", "train", "dev"]),
            instance=f"{n}", problem=f"Tom has {n} and gets 7.", answer=f"{n + 7}", answer_kind="number", solution=dice.choice(SOLUTIONS),
            decimals=dice.choice([None, 2]), strategy=("add",) * (n % 3),
        )
        for n in range(count)
    ]  # fmt: skip


def rollouts(dice: random.Random, of: list[Problem], samples: int) -> list[Rollout]:
    def tried(source: Problem, ordinal: int) -> Rollout:
        text = dice.choice(TEXTS)
        return Rollout(
            id=row_id(source.id, ordinal), problem_id=source.id, prompt=said("user", source.problem), completion=text,
            steps=split(text), answer=dice.choice([None, "7"]), tokens=9, model="m@1", prompt_version="solve@1", seed=ordinal, round="r1",
            verdict=dice.choice(["correct", "correct", "wrong", "wrong", "unparsable", "timeout"]),
            finish_reason=dice.choice(["stop"] * 4 + ["length"]), reasoning=dice.choice([None, "é\u2028"]), parents=(source.id,),
        )  # fmt: skip

    return counted([tried(source, ordinal) for source in of if dice.random() < 0.9 for ordinal in range(samples)])


def tables(names: Iterable[Path]) -> list[bytes]:
    return [name.read_bytes() for name in names]


RESTARTS, PAIRS = (
    (Path("restarts.parquet"), REJECTS / "restarts.parquet"),
    (Path("pairs.parquet"), REJECTS / "pairs.parquet"),
)


def restarts_of_tables(draw: Draw, *, any_split: bool = False, processes: int | None = 1) -> list[bytes]:
    with scratch("restarts") as folder:
        with workers(processes) as each:
            made = start_states(PROBLEMS, ROLLOUTS, draw, folder, each, any_split=any_split)
        merge(RESTARTS[0], Restart, made.rows)
        merge_rejects("restarts", made.rejects)
    assert list(Path(".factory/scratch").iterdir()) == []
    return tables(RESTARTS)


def pairs_of_tables(processes: int | None = 1) -> list[bytes]:
    with scratch("pairs") as folder:
        with workers(processes) as each:
            made = pairs_of_table(ROLLOUTS, folder, each, per_problem=3, margin=2.0, seed=5, round="r1")
        merge(PAIRS[0], OrmPair, made.rows)
        merge_rejects("pairs", made.rejects)
    return tables(PAIRS)


def write(given_problems: list[Problem], tried: list[Rollout], rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "GROUP_ROWS", rows)
        write_rows(PROBLEMS, Problem, given_problems)
        write_rows(ROLLOUTS, Rollout, tried)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6), count=st.integers(0, 12), samples=st.integers(1, 5), rows=st.integers(1, 40),
    window=st.sampled_from([(0.0, 1.0), (0.01, 0.99), (0.5, 0.5), (1.0, 1.0)]), prefer=st.sampled_from(["any", "even", "hard"]),
    per_sign=st.sampled_from([0, 2, 50]), teacher=st.sampled_from([0, 1, 9]), any_split=st.booleans(),
    cuts=st.sampled_from([Cuts(2), Cuts(0, None, "paragraph"), Cuts(2, (0.1, 0.9))]),
)  # fmt: skip
@pytest.mark.slow
def test_start_states_are_those_of_algorithm_one_on_rows_in_memory(
    seed: int, count: int, samples: int, rows: int, window: tuple, prefer: str, per_sign: int, teacher: int, any_split: bool, cuts: Cuts
) -> None:
    dice = random.Random(seed)
    given_problems = problems(dice, count)
    tried = rollouts(dice, given_problems, samples)
    write(given_problems, tried, rows)
    draw = Draw(cuts=cuts, prompts="laptop", plain=dice.choice([0, 3, 50]), per_sign=per_sign, seed=seed, round="r1", teacher=teacher,
                window=window, prefer=prefer)  # fmt: skip
    found = restarts_of_tables(draw, any_split=any_split)
    wanted, rejects, not_drawn = algorithm_one.start_states(given_problems, tried, draw, any_split=any_split)
    write_rows(RESTARTS[0], Restart, wanted)
    write_rejects("restarts", rejects)
    assert found == tables(RESTARTS)
    with scratch("restarts") as folder, workers(1) as each:
        again = start_states(PROBLEMS, ROLLOUTS, draw, folder, each, any_split=any_split)
    assert again.not_drawn == not_drawn
    assert sum(again.sizes.values()) == len(wanted)
    assert again.left_out == any("pass rate" in row.reason or "gold" in row.reason for row in rejects)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), count=st.integers(0, 12), samples=st.integers(1, 6), rows=st.integers(1, 40), share=st.integers(1, 30))
@pytest.mark.slow
def test_pairs_of_a_table_are_those_of_rows_in_memory(seed: int, count: int, samples: int, rows: int, share: int) -> None:
    dice = random.Random(seed)
    given_problems = problems(dice, count)
    tried = rollouts(dice, given_problems, samples)
    write(given_problems, tried, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("factory.coat.preferences.SHARE", share)
        found = pairs_of_tables()
    pairs, rejects = orm_pairs(tried, per_problem=3, margin=2.0, seed=5, round="r1")
    write_rows(PAIRS[0], OrmPair, pairs)
    write_rejects("pairs", rejects)
    assert found == tables(PAIRS)


@pytest.mark.slow
def test_two_processes_make_the_bytes_of_one() -> None:
    dice = random.Random(7)
    given_problems = problems(dice, 60)
    write(given_problems, rollouts(dice, given_problems, 6), 16)
    draw = Draw(cuts=Cuts(2), prompts="laptop", plain=20, per_sign=25, seed=1, round="r1", teacher=3, window=(0.0, 0.9))
    assert restarts_of_tables(draw, processes=2) == restarts_of_tables(draw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("factory.coat.preferences.SHARE", 40)
        assert pairs_of_tables(2) == pairs_of_tables(1)


def test_a_parent_of_an_unknown_problem_is_named() -> None:
    dice = random.Random(7)
    given_problems = problems(dice, 6)
    write(given_problems[1:], rollouts(random.Random(1), given_problems, 6), 16)
    draw = Draw(cuts=Cuts(2), prompts="laptop", plain=20, per_sign=25, seed=1, round="r1")
    with pytest.raises(DataError, match=f"solutions of the problem {given_problems[0].id}, which is no row of"):
        restarts_of_tables(draw)
