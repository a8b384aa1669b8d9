"""The gate and a trainer behind it as DVC sees them: what makes a training stale, and what does not."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory import storage
from factory.schemas import TrajectoryPair

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


READS = "from pathlib import Path; from trainers.run import load_dataset_rows as read; from factory.schemas import TrajectoryPair as T; "
READS += "print(len(read(Path('data/datasets/trajectory_pairs'), T)), file=open('trained.txt', 'w'))"


@dataclass(frozen=True)
class Project:
    """The gate of one dataset and its trainer with the data that dvc.yaml says they read, in a DVC of their own; nothing is trained."""

    line: Any

    def repro(self, *arguments: str) -> tuple[set[str], str]:
        """The stages that ran, and what was said; "" of a run that went through."""
        done = self.dvc("repro", *arguments)
        said = done.stdout + done.stderr
        return set(re.findall(r"Running stage '([^']+)'", said)), said if done.returncode else ""

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=self.line.root, capture_output=True, text=True, check=False,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip

    def stale(self) -> set[str]:
        return set(json.loads(self.dvc("status", "--json").stdout))


@pytest.fixture
def project(small_line) -> Project:
    document = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    gate, trainer = document["release"]["do"], document["planner_dpo"]
    gate["deps"] = [dep for dep in gate["deps"] if dep.startswith("data/")]
    trainer["deps"] = [dep for dep in trainer["deps"] if dep.startswith("data/datasets/")]
    trainer |= {"cmd": f'{sys.executable} -c "{READS}"', "outs": ["trained.txt"]}
    del trainer["params"]
    params = yaml.safe_load((small_line.root / "params.yaml").read_text(encoding="utf-8"))
    one = {"trajectory_pairs": params["datasets"]["trajectory_pairs"]}
    stages = {"release": {"foreach": one, "do": gate}, "planner_dpo": trainer}
    (small_line.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    made = Project(small_line)
    assert made.dvc("init", "--no-scm", "-q").returncode == 0
    return made


def test_a_card_trains_nothing_again_a_row_does_and_a_shut_gate_lets_no_trainer_through(project) -> None:
    """Real DVC: rows and manifest are dependencies, within a folder that is an out as a whole."""
    root, gate = project.line.root, "release@trajectory_pairs"
    folder, trained, params = root / "data/datasets/trajectory_pairs", root / "trained.txt", root / "params.yaml"
    assert project.repro("planner_dpo") == ({gate, "planner_dpo"}, ""), "the gate first"
    count, card, before = int(trained.read_text()), (folder / "README.md").read_text(encoding="utf-8"), params.read_text(encoding="utf-8")
    assert count == storage.count_rows(folder) > 1

    params.write_text(before.replace("name: coat-laptop, licence: apache-2.0", "name: another, licence: mit"), encoding="utf-8")
    assert project.stale() == {gate}
    assert project.repro() == ({gate}, "")
    assert (folder / "README.md").read_text(encoding="utf-8") != card
    assert project.stale() == set()

    params.write_text(before, encoding="utf-8")
    assert project.repro() == (set(), ""), "all of it lies in the run cache"
    shutil.rmtree(folder)
    assert project.dvc("checkout").returncode == 0
    assert (folder / "README.md").read_text(encoding="utf-8") == card
    assert project.stale() == set()

    rows = storage.read_rows(root / "data/tables/trajectory_pairs.parquet", TrajectoryPair)
    project.line.write("trajectory_pairs", TrajectoryPair, rows[:-1])
    assert project.repro() == ({gate, "planner_dpo"}, "")
    assert int(trained.read_text()) == count - 1

    project.line.write("trajectory_pairs", TrajectoryPair, [replace(row, reward_chosen=0.0, reward_rejected=1.0) for row in rows])
    ran, said = project.repro("planner_dpo")
    assert ran == {gate}
    assert "dataset trajectory_pairs may not be used" in said
    assert not folder.exists()
    assert project.stale() == {gate, "planner_dpo"}
    assert project.repro("-s", "planner_dpo")[1], "nor by itself"
