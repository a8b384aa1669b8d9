"""The ablations of a line as DVC experiments, a grid of arms and seeds, judged on all seeds together (`make ablations`).

    python -m pipelines.ablate 1 2 3     → the tables, data/evaluation/ablations.md
    JOBS=2 python -m pipelines.ablate 1 2 3      → two seeds side by side, their words in .factory/ablations/<seed>.log
    ARMS="full cot critic" make ablations        → of these arms alone; the table has no others, what they made stays for the next time

`pipelines/ablations/arms.yaml` says what each arm changes and which model it ends in. A seed's arms run one after the other in a copy of
the project, a git checkout of its own in `.factory/ablations/<seed>`: what they share is made once, what ran before comes from DVC's
cache, and `dvc exp show` there lists them. Stopped half way, the same command goes on where it was.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from factory.errors import FactoryError, ParamsError
from factory.evaluation import ablations
from factory.evaluation.claims import Evidence
from factory.params import load
from factory.schemas import Answer, Problem
from factory.storage import TABLES, read_rows, whole_file
from pipelines.claims import copy_project, run_in, side_by_side, whole_numbers
from pipelines.score import SCORES

COPIES = Path(".factory/ablations")
GRID = Path("pipelines/ablations/arms.yaml")
KEPT_AS, STAGES = "pipelines/ablations/stages.yaml", "pipelines/ablations/dvc.yaml"  # here, and in a copy
RESULT = Path("data/evaluation/ablations.md")


@dataclass(frozen=True)
class Arm:
    name: str
    text: str
    model: str
    changes: tuple[str, ...]  # KEY=VALUE, as `dvc exp run -S` takes them


def main(seeds: list[int], jobs: int = 1, only: str = "") -> None:
    section, arms = load().require("evaluate"), chosen(read_arms(GRID), only.split())
    folders = {seed: copy_project(seed, COPIES, git=True, renamed={KEPT_AS: STAGES}) for seed in seeds}
    with ThreadPoolExecutor(jobs) as pool:
        evidence = dict(zip(seeds, pool.map(lambda seed: answered(folders[seed], seed, arms, jobs), seeds), strict=True))
    text = ablations.tables({arm.name: arm.text for arm in arms}, evidence, resamples=section.bootstrap)
    with whole_file(RESULT) as path:
        path.write_text(text + "\n")
    print(f"\n{text}\n\nin {RESULT}")


def read_arms(path: Path) -> list[Arm]:
    """Raises ParamsError for an arm that lacks something."""
    arms = []
    for name, held in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
        if not isinstance(held, dict) or set(held) - {"set"} != {"text", "model"}:
            raise ParamsError(f"{path}: {name} is {held}, expected text, model and, where it changes something, set: [KEY=VALUE, …]")
        arms.append(Arm(str(name), str(held["text"]), str(held["model"]), tuple(map(str, held.get("set") or ()))))
    if len(arms) < 2:
        raise ParamsError(f"{path} names {len(arms)} arms, expected two and more: the first is what the others are compared with")
    return arms


def chosen(arms: list[Arm], names: list[str]) -> list[Arm]:
    """The first, which all are compared with, and the named ones in the grid's order; without names all. Raises ParamsError for a name
    that the grid lacks."""
    known = [arm.name for arm in arms]
    if unknown := [name for name in names if name not in known]:
        raise ParamsError(f"ARMS has {', '.join(unknown)}, and {GRID} has no such arm: expected some of {', '.join(known)}")
    return [arm for index, arm in enumerate(arms) if not names or not index or arm.name in names]


def answered(folder: Path, seed: int, arms: list[Arm], jobs: int) -> Evidence:
    """The answers of all arms of a seed, each under its name, and the problems."""
    params = (folder / "params.yaml").read_bytes()
    rows: list[Answer] = []
    for arm in arms:
        (folder / "params.yaml").write_bytes(params)  # an experiment leaves its own behind
        experiment(folder, f"seed{seed}-{arm.name}", arm, jobs)
        found = read_rows(folder / SCORES / f"{arm.model}.parquet", Answer)
        rows += [replace(row, model=f"{arm.name}@{row.model}") for row in found]
        print(f"seed {seed}, {arm.name}: {sum(row.verdict == 'correct' for row in found)} of {len(found)} right", flush=True)
    return rows, read_rows(folder / TABLES / "problems.parquet", Problem)


def experiment(folder: Path, name: str, arm: Arm, jobs: int) -> None:
    """`dvc exp run` in a copy. Raises FactoryError when it fails."""
    print(f"{folder}: {name}", flush=True)
    changes = [word for change in arm.changes for word in ("-S", change)]
    command = ["dvc", "exp", "run", "--name", name, *changes, f"{STAGES}:score@{arm.model}"]
    # one of an earlier run goes: `dvc exp run --force` would run all of its stages again
    subprocess.run(["dvc", "exp", "remove", name], cwd=folder, check=False, capture_output=True)
    said = folder.with_suffix(".log")
    if run_in(folder, command, said, jobs):
        where = f", its words are in {said}" if jobs > 1 else ""
        raise FactoryError(f"{name} in {folder} stopped{where}; correct it and run the same command, which goes on from there")


if __name__ == "__main__":
    try:
        main(whole_numbers(sys.argv[1:], "ablate"), side_by_side(os.environ.get("JOBS", "1")), os.environ.get("ARMS", ""))
    except FactoryError as error:
        sys.exit(f"error: ablate: {error}")
