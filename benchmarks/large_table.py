"""A table that can be written can be read: rollouts with more than 2 GiB of steps, written, counted, picked from, read whole, compared.

    python benchmarks/large_table.py             → 716,000 rollouts of 3 KB, about 6.5 GiB of memory and 1.7 GiB under the temporary folder
    python benchmarks/large_table.py 20000       → the same with fewer, in seconds

Arrow reads no list column of 2 GiB from one row group, so `write_rows` bounds them. Every row is made from its number, so that what was
read is compared with what was written without keeping both.
"""

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from factory.schemas import Rollout
from factory.storage import count_rows, iter_rows, read_table, rows_at, write_rows

ROWS = 716_000
CHARACTERS = 3_000
LIMIT = 2 << 30

_random = random.Random(0)
_WORDS = ["".join(_random.choices("abcdefghijklmnopqrstuvwxyzé", k=6)) for _ in range(2_000)]
STEPS = [" ".join(_random.choices(_WORDS, k=43)) for _ in range(20_000)]  # 300 characters each


def rollout(number: int) -> Rollout:
    own = random.Random(number)
    steps = tuple(own.choices(STEPS, k=CHARACTERS // 300))
    return Rollout(
        id=f"{number:020x}", model="large@1", prompt_version="solve@1", seed=number, round="r1", problem_id=f"{number // 8:020x}",
        prompt=steps[0], completion="\n".join(steps), steps=steps, answer=str(number), verdict="correct", finish_reason="stop", tokens=700,
    )  # fmt: skip


def said(what: str, started: float) -> None:
    print(
        f"{what}: {time.perf_counter() - started:.1f} s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB",
        flush=True,
    )


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rollouts.parquet"
        started = time.perf_counter()
        write_rows(path, Rollout, (rollout(number) for number in range(rows)))
        said(f"written, {path.stat().st_size / 2**30:.2f} GiB", started)
        footer = pq.read_metadata(path)
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        print(f"{len(groups)} row groups, the largest {max(group.num_rows for group in groups):,} rows and "
              f"{max(group.total_byte_size for group in groups) / 2**20:.0f} MiB before compression")  # fmt: skip

        started = time.perf_counter()
        picked = [0, rows // 2, rows - 1]
        assert count_rows(path) == rows
        assert rows_at(path, Rollout, picked) == [rollout(number) for number in picked]
        said("counted, and three rows picked", started)

        started = time.perf_counter()
        for number, row in enumerate(iter_rows(path, Rollout)):
            assert row == rollout(number), f"row {number} is another"
        assert number == rows - 1
        said("all rows read and compared", started)

        started = time.perf_counter()
        steps = read_table(path, ["steps"]).column("steps")
        size = sum(pc.sum(pc.binary_length(part.flatten())).as_py() for part in steps.chunks)
        assert len(steps) == rows
        assert steps[rows - 1].as_py() == list(rollout(rows - 1).steps)
        assert size > LIMIT or rows < ROWS
        said(f"the column steps, {size / 2**30:.2f} GiB, read whole", started)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
