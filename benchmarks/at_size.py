"""The line's large tables at the papers' size: start states, pairs, their gates and the report, stage by stage as `dvc repro` runs them.

    python -m benchmarks.at_size 10000 100000 1000000         # rollouts; 4400000 are Satori's 550K problems × 8
    python -m benchmarks.at_size 100000 --stages restarts orm_pairs --window 0.01 0.99
    python -m benchmarks.at_size 10000 40000 160000 --stages rollouts       # out of a request store that holds every answer

Synthetic problems and rollouts of 3 KB (`benchmarks.synthetic`) are written to a temporary folder; every problem is asked for a plain state
and a parent of either sign, and for two pairs. A line a stage: seconds, cpu-seconds, the peak of the largest process and of all
together, rows and bytes; the same as JSON on standard error.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.synthetic import SAMPLES, Line
from factory.coat.rollouts import Samples
from factory.engines.select import model_revision
from factory.language.prompting import Prompts
from factory.params import parse
from factory.storage import DATASETS, MODELS, REJECTS, TABLES, count_rows

ROOT = Path(__file__).parents[1]
KEPT = ("seed", "purpose", "steps", "requests", "grading", "problems", "corpus", "pretraining", "adoption", "rollouts", "orm_pairs", "orm",
        "restarts", "ppo", "release")  # fmt: skip
STORE = "requests.sqlite"
STAGES = ("restarts", "orm_pairs", "release@restarts", "release@orm_pairs", "report")


def cut_down(params: dict[str, Any], problems: int, window: tuple[float, float]) -> dict[str, Any]:
    """The laptop's params with one policy, one round and its two datasets; every problem is asked for a plain state and both signs."""
    kept, world = {key: params[key] for key in KEPT}, params["problems"]["world"]
    return kept | {
        "roles": {"generator": params["roles"]["generator"]},
        "policies": {"r1": {"model": "base", "part": 0}},
        "rounds": {"r1": params["rounds"]["r1"] | {"start": "base"}},
        "datasets": {name: params["datasets"][name] for name in ("corpus", "orm_pairs_r1", "restarts_r1")},
        "problems": params["problems"] | {"world": world | {"train": max(problems, world["train"])}},
        "rollouts": params["rollouts"] | {"problems": problems, "samples": SAMPLES},
        "restarts": params["restarts"] | {"plain": problems, "per_sign": problems, "pass_rate": list(window)},
    }


@dataclass(frozen=True)
class Measured:
    """`peak`: bytes of the largest process, `together`: of all at once."""

    rollouts: int
    stage: str
    seconds: float
    cpu_seconds: float
    peak: int
    together: int
    rows_in: int
    rows_out: int
    rejects: int
    bytes_out: int
    said: str


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for number in found:
        for task in Path(f"/proc/{number}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text(encoding="utf-8").split())
    return found


def resident(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def measure(rollouts: int, stage: str) -> Measured:
    """Runs a stage. Raises CalledProcessError with what it said when it fails."""
    name, _, item = stage.partition("@")
    dataset = f"{item or name}_r1"
    command = [sys.executable, "-m", f"pipelines.{name}", *{"release": [dataset], "report": []}.get(name, ["r1"])]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "FACTORY_STORE": str(Path(STORE).absolute())}
    peak = together = 0
    started = time.perf_counter()
    with Path("said.txt").open("w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)
        while True:
            sizes = [resident(pid) for pid in tree(process.pid)]
            peak, together = max(peak, *sizes), max(together, sum(sizes))
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            time.sleep(0.05)
        said.seek(0)
        words = said.read()
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, words)
    out = [path for path in (DATASETS / dataset, TABLES / f"{dataset}.parquet") if path.exists()][:1] if name != "report" else []
    rejects = REJECTS / f"{dataset}.parquet"
    files = [file for path in out for file in ([path] if path.is_file() else path.rglob("*.parquet"))]
    return Measured(
        rollouts, stage, round(seconds, 1), round(used.ru_utime + used.ru_stime, 1), max(peak, used.ru_maxrss * 1024), together,
        rows_in=count_rows(TABLES / f"{dataset}.parquet") if name == "release" else rollouts, rows_out=sum(map(count_rows, out)),
        rejects=count_rows(rejects) if name in ("rollouts", "restarts", "orm_pairs") else 0,
        bytes_out=sum(file.stat().st_size for file in files), said=words.strip(),
    )  # fmt: skip


def answer(line: Line) -> None:
    """All that the stage rollouts will ask, answered in a store: its model need only have a name."""
    folder = MODELS / "base"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}", encoding="utf-8")
    params = parse(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
    settings = params.require("rollouts")
    prompts = Prompts.of(params.roles["generator"].prompts)
    wanted = Samples(SAMPLES, settings.sampling, prompts, params.seed, "rollouts", "r1", params.steps)
    line.answer(Path(STORE), wanted, "transformers", f"base@{model_revision(folder)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rollouts", nargs="+", type=int)
    parser.add_argument("--stages", nargs="+", choices=("rollouts", *STAGES), default=STAGES)
    parser.add_argument("--window", nargs=2, type=float, default=(0.0, 1.0), help="restarts.pass_rate")
    parser.add_argument("--where", type=Path, help="a folder that stays, with its tables, instead of a temporary one")
    given = parser.parse_args()
    print(f"{'rollouts':>10}  {'stage':<18} {'s':>7} {'cpu-s':>7} {'peak MB':>8} {'all MB':>8} {'rows':>10} {'rejects':>9} {'MB out':>7}")
    for count in given.rollouts:
        kept = contextlib.nullcontext(given.where) if given.where else tempfile.TemporaryDirectory(prefix="at_size_")
        with kept as folder, contextlib.chdir(folder):
            started = time.perf_counter()
            line = Line(count)
            if not TABLES.exists():
                line.write()
            params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
            Path("params.yaml").write_text(yaml.safe_dump(cut_down(params, line.problems, tuple(given.window))), encoding="utf-8")
            if "rollouts" in given.stages and not Path(STORE).exists():
                answer(line)
            size = sum(path.stat().st_size for path in TABLES.iterdir()) >> 20
            print(f"{count:>10,}  {'(written)':<18} {time.perf_counter() - started:>7.1f} {'':>44}{size:>8,}", flush=True)
            for stage in given.stages:
                print_row(measure(count, stage))


def print_row(found: Measured) -> None:
    print(
        f"{found.rollouts:>10,}  {found.stage:<18} {found.seconds:>7.1f} {found.cpu_seconds:>7.1f} {found.peak >> 20:>8,} "
        f"{found.together >> 20:>8,} {found.rows_out:>10,} {found.rejects:>9,} {found.bytes_out >> 20:>7,}", flush=True,
    )  # fmt: skip
    print(json.dumps(asdict(found)), file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(error.cmd[1:])} ended with {error.returncode}:\n{error.output}")
