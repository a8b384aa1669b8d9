"""Stages of large tables as real processes: killed half way they leave nothing half-written and nobody behind; memory does not grow with
the rows; the benchmark that measures them runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.at_size import STORE
from factory.schemas import Reject
from factory.storage import TABLES, write_rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STAGES = ("restarts", "orm_pairs", "rollouts")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
MADE = """
import sys
from pathlib import Path
import yaml
from benchmarks import synthetic
from benchmarks.at_size import answer, cut_down
synthetic.GROUP = 400
line = synthetic.Line(8000)
line.write()
params = cut_down(yaml.safe_load(Path(sys.argv[1]).read_text()), line.problems, (0.0, 1.0))
Path("params.yaml").write_text(yaml.safe_dump(params))
answer(line)
"""


def run(stage: str) -> subprocess.Popen[str]:
    store = {"FACTORY_STORE": str(Path(STORE).absolute())}
    return subprocess.Popen([sys.executable, "-m", f"pipelines.{stage}", "r1"], env=ENVIRONMENT | store, text=True, stdout=subprocess.PIPE)


def alive(place: Path) -> list[int]:
    """Processes that work in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if path.joinpath("cwd").readlink() == place and int(path.name) != os.getpid():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path("data").rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8,000 rollouts in 20 row groups, enough for several processes, and their answers in a store."""
    folder = tmp_path_factory.mktemp("made")
    subprocess.run([sys.executable, "-c", MADE, str(ROOT / "params.yaml")], check=True, cwd=folder, env=ENVIRONMENT, timeout=600)
    return folder


@pytest.fixture
def line(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(shutil.copytree(made, tmp_path, dirs_exist_ok=True))
    return tmp_path


@pytest.mark.parametrize("stage", ["rollouts", "restarts", "orm_pairs"])
def test_a_killed_stage_leaves_the_old_table_and_nobody_behind(line: Path, stage: str) -> None:
    table = TABLES / f"{stage}_r1.parquet"
    write_rows(table, Reject, [])
    before = files()
    process = run(stage)
    while process.poll() is None and not any(Path(".factory/scratch").glob(f"{stage}_r1.*/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert files() == before, "no table, no rejects, no part of either"
    ends = time.monotonic() + 60
    while alive(line) and time.monotonic() < ends:
        time.sleep(0.05)
    assert alive(line) == []
    assert run(stage).wait() == 0
    after = files()
    assert list(Path(".factory/scratch").iterdir()) == []
    table.unlink()
    assert run(stage).wait() == 0
    assert files() == after


def test_memory_does_not_grow_with_the_rows() -> None:
    """Ten times the rollouts, of 3 KB each: less than a row group's 128M characters more, and its copies."""
    command = [sys.executable, "-m", "benchmarks.at_size", "12000", "120000", "--stages", *STAGES]
    done = subprocess.run(command, check=True, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    found = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [(row["stage"], row["rollouts"]) for row in found] == [(stage, count) for count in (12_000, 120_000) for stage in STAGES]
    small, large = {row["stage"]: row for row in found[:3]}, {row["stage"]: row for row in found[3:]}
    for stage in STAGES:
        assert large[stage]["peak"] - small[stage]["peak"] < 500 << 20
        assert 9 < large[stage]["rows_out"] / small[stage]["rows_out"] < 11
