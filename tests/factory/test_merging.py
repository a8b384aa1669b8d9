"""Rows in any order, in runs on disk, become the file that `write_rows` makes of them; nothing is left behind, whatever happens."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory import merging, storage
from factory.errors import DataError
from factory.merging import SCRATCH, characters, merge, merge_rejects, one_batch, scratch, spill
from factory.rejects import reject, write_rejects
from factory.schemas import Message, Reject, Restart, Rollout
from factory.storage import REJECTS, to_table, write_rows

TABLE = Path("data/tables/rollouts.parquet")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rollout(name: str, dice: random.Random) -> Rollout:
    text = "".join(dice.choices("abc é∑\n", k=dice.randint(0, 60)))
    return Rollout(
        id=name, model="m@1", prompt_version="p@1", seed=dice.randint(0, 9), round="r1", problem_id="p", completion=text,
        prompt=tuple(Message(role, text[:5]) for role in ["system", "user", "assistant"][dice.randint(0, 2) :]),
        steps=tuple(text.split("\n"))[: dice.randint(0, 3)], answer=dice.choice([None, "7"]), verdict="correct", finish_reason="stop",
        tokens=9, request_ids=("r",) * dice.randint(0, 2), logprob=dice.choice([None, -1.5]), reasoning=dice.choice([None, "é"]),
    )  # fmt: skip


names = st.lists(st.text("abß0", max_size=3), unique=True, max_size=40)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=names, seed=st.integers(0, 999), runs=st.integers(1, 5), rows=st.integers(1, 50), size=st.integers(1, 3000),
       piece=st.sampled_from([1, 200, 1 << 16]))  # fmt: skip
@pytest.mark.slow
def test_runs_become_the_bytes_of_rows_in_memory(names: list[str], seed: int, runs: int, rows: int, size: int, piece: int) -> None:
    dice = random.Random(seed)
    made = [rollout(name, dice) for name in names]
    dealt = [dice.randrange(runs) for _ in made]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "GROUP_ROWS", rows)
        patch.setattr(storage, "GROUP_CHARACTERS", size)
        patch.setattr(merging, "PIECE", piece)
        write_rows(TABLE, Rollout, made)
        before = TABLE.read_bytes()
        with scratch("rollouts") as folder:
            spilled = [spill(folder, Rollout, [row for row, to in zip(made, dealt, strict=True) if to == run]) for run in range(runs)]
            assert merge(TABLE, Rollout, spilled) == len(made)
    assert TABLE.read_bytes() == before


def test_columns_are_counted_as_rows_are() -> None:
    rows = [rollout(f"{n:03}", random.Random(n)) for n in range(200)]
    table = to_table(Rollout, rows)
    assert sum(characters(column) for column in one_batch(table).columns).tolist() == [storage._size(row) for row in rows]


def test_an_id_that_stands_twice_is_refused_and_the_old_table_stays() -> None:
    write_rows(TABLE, Rollout, [])
    before = TABLE.read_bytes()
    dice = random.Random(1)
    with scratch("rollouts") as folder, pytest.raises(DataError, match="Rollout: id b stands twice"):
        merge(TABLE, Rollout, [spill(folder, Rollout, [rollout(name, dice) for name in names]) for names in ("ab", "bc")])
    assert TABLE.read_bytes() == before


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), max_size=5))
@pytest.mark.slow
def test_identical_rejects_are_numbered_as_in_memory(runs: list[list[str]]) -> None:
    made = [[reject("s", {"text": name}, "why", "p") for name in run] for run in runs]
    write_rejects("s", [row for run in made for row in run])
    before = (REJECTS / "s.parquet").read_bytes()
    with scratch("s") as folder:
        assert merge_rejects("s", [spill(folder, Reject, run) for run in made]) == sum(map(len, runs))
    assert (REJECTS / "s.parquet").read_bytes() == before


def test_no_runs_are_a_table_too() -> None:
    write_rows(Path("wanted.parquet"), Restart, [])
    assert merge(Path("found.parquet"), Restart, []) == 0
    assert Path("found.parquet").read_bytes() == Path("wanted.parquet").read_bytes()


KILLED = """
import os, signal
from pathlib import Path
from factory import merging
from factory.merging import merge, scratch, spill
from factory.schemas import Reject
def rows(start): return [Reject(id=f"{n:06}", stage="s", parent_id=None, reason="r", row="{}") for n in range(start, start + 50)]
def killed(*_): os.kill(os.getpid(), signal.SIGKILL)
with scratch("s") as folder:
    runs = [spill(folder, Reject, rows(start)) for start in (0, 50)]
    merging._gathered = killed
    merge(Path("table.parquet"), Reject, runs)
"""


@pytest.mark.slow
def test_a_killed_merge_leaves_no_table_and_its_scratch_goes_with_the_next() -> None:
    write_rows(Path("other.parquet"), Reject, [])
    ended = subprocess.run([sys.executable, "-c", KILLED], check=False, env=os.environ, timeout=300)
    assert ended.returncode == -signal.SIGKILL
    assert not Path("table.parquet").exists()
    assert len(list(SCRATCH.iterdir())) == 1
    with scratch("s") as folder:
        merge(Path("table.parquet"), Reject, [spill(folder, Reject, [])])
    assert list(SCRATCH.iterdir()) == []
    assert sorted(path.name for path in Path().iterdir()) == [".factory", "other.parquet", "table.parquet"]
