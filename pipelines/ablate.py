"""The ablations of a line as DVC experiments, a grid of arms and seeds, judged on all seeds together (`make ablations`).

    python -m pipelines.ablate 1 2 3     → the tables, data/evaluation/ablations.md and ablations_planner.md
    JOBS=2 python -m pipelines.ablate 1 2 3      → two seeds side by side, their words in .factory/ablations/<seed>.log
    ARMS="full cot critic" make ablations        → of these arms alone; the table has no others, what they made stays for the next time
    ARMS=planner python -m pipelines.ablate 1    → the planner's half, which runs no stage of the policies

`pipelines/ablations/arms.yaml` says what each arm changes: Satori's half ends in one model of the line, ReasonFlux's in all arms of the
planner. A seed's arms run one after the other in a copy of the project, a git checkout of its own in `.factory/ablations/<seed>`: what they
share is made once, what ran before comes from DVC's cache, and `dvc exp show` there lists them. Stopped half way, the same command goes on
where it was.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from factory.errors import FactoryError, ParamsError
from factory.evaluation import ablations, planner_ablations
from factory.evaluation.claims import Evidence
from factory.evaluation.planner_ablations import Made
from factory.params import load
from factory.schemas import Answer, Example, Problem, Template, TrajectoryPair
from factory.storage import TABLES, read_rows
from factory.templates.structure import REPORTS
from factory.whole import whole_file
from pipelines.claims import copy_project, run_in, side_by_side, whole_numbers
from pipelines.planner_arms import NAME as PLANNER
from pipelines.score import SCORES

COPIES = Path(".factory/ablations")
GRID = Path("pipelines/ablations/arms.yaml")
KEPT_AS, STAGES = "pipelines/ablations/stages.yaml", "pipelines/ablations/dvc.yaml"  # here, and in a copy
RESULTS = {"policies": Path("data/evaluation/ablations.md"), "planner": Path("data/evaluation/ablations_planner.md")}  # by half


@dataclass(frozen=True)
class Arm:
    """`model`: of the line, or PLANNER for an arm of the planner's half."""

    name: str
    text: str
    model: str
    changes: tuple[str, ...]  # KEY=VALUE, as `dvc exp run -S` takes them

    @property
    def target(self) -> str:
        """The stage that it ends in."""
        return f"{STAGES}:{PLANNER if self.model == PLANNER else f'score@{self.model}'}"


def main(seeds: list[int], jobs: int = 1, only: str = "") -> None:
    section, halves = load().require("evaluate"), chosen(read_arms(GRID), only.split())
    folders = {seed: copy_project(seed, COPIES, git=True, renamed={KEPT_AS: STAGES}) for seed in seeds}
    for half, arms in halves.items():
        with ThreadPoolExecutor(jobs) as pool:
            found = dict(zip(seeds, pool.map(lambda seed, arms=arms: answered(folders[seed], seed, arms, jobs), seeds), strict=True))
        evidence, texts = {seed: rows for seed, (rows, _) in found.items()}, {arm.name: arm.text for arm in arms}
        if half == "planner":
            made = {arm.name: {seed: made[arm.name] for seed, (_, made) in found.items()} for arm in arms}
            text = planner_ablations.tables(texts, evidence, made, resamples=section.bootstrap)
        else:
            text = ablations.tables(texts, evidence, resamples=section.bootstrap)
        with whole_file(RESULTS[half]) as path:
            path.write_text(text + "\n")
        print(f"\n{text}\n\nin {RESULTS[half]}")


def read_arms(path: Path) -> dict[str, list[Arm]]:
    """The grids by half. Raises ParamsError for an arm that lacks something, or a name that two have."""
    document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if not document or set(document) - set(RESULTS):
        raise ParamsError(f"{path} has {', '.join(map(str, document)) or 'nothing'}, expected the halves {' and '.join(RESULTS)}")
    halves: dict[str, list[Arm]] = {}
    for half, grid in document.items():
        arms = halves.setdefault(half, [])
        needed = {"text"} if half == "planner" else {"text", "model"}
        for name, held in (grid or {}).items():
            if not isinstance(held, dict) or set(held) - {"set"} != needed:
                keys = " and ".join(sorted(needed))
                raise ParamsError(f"{path}: {name} is {held}, expected {keys} and, where it changes something, set: [KEY=VALUE, …]")
            arms.append(Arm(str(name), str(held["text"]), str(held.get("model", PLANNER)), tuple(map(str, held.get("set") or ()))))
        if len(arms) < 2:
            raise ParamsError(f"{path} names {len(arms)} arms of {half}, expected two and more: the first is compared with the others")
    names = [*halves, *(arm.name for arms in halves.values() for arm in arms)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ParamsError(f"{path}: {twice} stands twice, expected a name of its own for each half and arm: experiments carry them")
    return halves


def chosen(halves: dict[str, list[Arm]], names: list[str]) -> dict[str, list[Arm]]:
    """Of each half that is asked for the first, which all are compared with, and the named ones in the grid's order; the name of a half
    stands for all of it, and without names all is. Raises ParamsError for a name that the grid lacks."""
    known = [*halves, *(arm.name for arms in halves.values() for arm in arms)]
    if unknown := [name for name in names if name not in known]:
        raise ParamsError(f"ARMS has {', '.join(unknown)}, and {GRID} has no such arm: expected some of {', '.join(known)}")
    found = {}
    for half, arms in halves.items():
        wanted = [arm for arm in arms if not names or half in names or arm.name in names]
        if wanted:
            found[half] = wanted if arms[0] in wanted else [arms[0], *wanted]
    return found


def answered(folder: Path, seed: int, arms: list[Arm], jobs: int) -> tuple[Evidence, dict[str, Made]]:
    """The answers of all arms of a seed, each under its name, and the problems; of the planner's what each arm made."""
    params = (folder / "params.yaml").read_bytes()
    rows: list[Answer] = []
    made: dict[str, Made] = {}
    for arm in arms:
        (folder / "params.yaml").write_bytes(params)  # an experiment leaves its own behind
        experiment(folder, f"seed{seed}-{arm.name}", arm, jobs)
        found = read_rows(folder / SCORES / f"{arm.model}.parquet", Answer)
        if arm.model == PLANNER:
            rows += [replace(row, arm=planner_ablations.named(arm.name, row.arm)) for row in found]
            made[arm.name] = read_made(folder)
        else:
            rows += [replace(row, model=f"{arm.name}@{row.model}") for row in found]
        print(f"seed {seed}, {arm.name}: {sum(row.verdict == 'correct' for row in found)} of {len(found)} right", flush=True)
    return (rows, read_rows(folder / TABLES / "problems.parquet", Problem)), made


def read_made(folder: Path) -> Made:
    """Of the arm that ran last in a copy."""
    tables = folder / TABLES
    templates = [row for row in read_rows(tables / "templates.parquet", Template) if row.status == "accepted"]
    plans, pairs = read_rows(tables / "plans_sft.parquet", Example), read_rows(tables / "trajectory_pairs.parquet", TrajectoryPair)
    return Made(len(templates), len(plans), len(pairs), json.loads((folder / REPORTS / "structure_sft.json").read_text(encoding="utf-8")))


def experiment(folder: Path, name: str, arm: Arm, jobs: int) -> None:
    """`dvc exp run` in a copy. Raises FactoryError when it fails."""
    print(f"{folder}: {name}", flush=True)
    changes = [word for change in arm.changes for word in ("-S", change)]
    command = ["dvc", "exp", "run", "--name", name, *changes, arm.target]
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
