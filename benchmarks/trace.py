"""`factory trace` on a line of any size: seconds and cpu-seconds of the whole command, its start included.

    python -m benchmarks.trace 1000000                       # rollouts of 3 KB; half as many restarts, a fifth as many rejects
    python -m benchmarks.trace 1000000 --where big --best 5  # in a folder that stays

A problem, a rollout, a restart and a reject are traced, each with its whole history; a line each, the best of `--best` runs. The tables are
`benchmarks.synthetic`'s; a reject holds its whole rollout as JSON, as the stages write it.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.synthetic import Line
from factory.storage import REJECTS, TABLES

ROOT = Path(__file__).parents[1]
ROLLOUTS, RESTARTS, REJECTED = TABLES / "rollouts_r1.parquet", TABLES / "restarts_r1.parquet", REJECTS / "restarts_r1.parquet"
MADE = """
COPY (SELECT left(sha256('restart ' || id), 20) AS id, problem_id, id AS parent_id, '+' AS buffer, 2 AS backtrack, prompt,
      left(completion, 1500) AS prefix, false AS prefix_has_answer, answer, round
      FROM read_parquet('{rollouts}') WHERE seed % 2 = 0 ORDER BY 1)
TO '{restarts}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 51200);
COPY (SELECT left(sha256('reject ' || id), 20) AS id, 'restarts_r1' AS stage, problem_id AS parent_id, 'beyond the draw' AS reason,
      '{{"answer": "' || coalesce(answer, '') || '", "completion": ' || to_json(completion) || ', "finish_reason": "stop", "id": "' || id
      || '", "problem_id": "' || problem_id || '", "steps": ' || to_json(steps) || ', "verdict": "' || verdict || '"}}' AS row
      FROM read_parquet('{rollouts}') WHERE seed % 5 = 1 ORDER BY 1)
TO '{rejects}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 18432);
"""


def write(rollouts: int) -> None:
    Line(rollouts).write()
    REJECTS.mkdir(parents=True, exist_ok=True)
    duckdb.connect().execute(MADE.format(rollouts=ROLLOUTS, restarts=RESTARTS, rejects=REJECTED))


def timed(what: str) -> tuple[float, float, str]:
    """Seconds, cpu-seconds, and the tables in which something was found that was made of it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    with Path("said.txt").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "factory.cli", "trace", what], stdout=said, stderr=subprocess.STDOUT, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        said.seek(0)
        words = said.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, words)
    made = [line.split(":")[1].split("  ")[0].strip() for line in words.rpartition("made of it")[2].splitlines() if " step" in line]
    return seconds, used.ru_utime + used.ru_stime, ", ".join(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rollouts", type=int)
    parser.add_argument("--best", type=int, default=3, help="runs of each, of which the best counts")
    parser.add_argument("--where", type=Path, help="a folder that stays, with its tables, instead of a temporary one")
    given = parser.parse_args()
    kept = contextlib.nullcontext(given.where) if given.where else tempfile.TemporaryDirectory(prefix="trace_")
    with kept as folder:
        Path(folder).mkdir(exist_ok=True)
        with contextlib.chdir(folder):
            if not REJECTED.exists():
                write(given.rollouts)
            asked = {
                path: duckdb.sql(f"SELECT id FROM read_parquet('{path}') LIMIT 1 OFFSET 7").fetchall()[0][0]
                for path in (TABLES / "problems.parquet", ROLLOUTS, RESTARTS, REJECTED)
            }
            print(f"{'traced':<24} {'s':>6} {'cpu-s':>6}  made of it")
            for path, what in asked.items():
                seconds, cpu, said = min(timed(what) for _ in range(given.best))
                print(f"{f'{path.parent.name}/{path.stem}':<24} {seconds:>6.2f} {cpu:>6.2f}  {said}", flush=True)


if __name__ == "__main__":
    main()
