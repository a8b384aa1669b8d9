"""The default line once a seed, each in a copy of the project of its own, and its claims judged on all seeds together (`make claims`).

    python -m pipelines.claims 1 2 3     → the table, data/evaluation/claims.md
    JOBS=2 python -m pipelines.claims 1 2 3     → two lines side by side, each with half of the cores, its words in <copy>/repro.log

A copy lies in `.factory/seeds/<seed>` and shares the project's DVC cache: a seed that has run with the same code and params, here or in its
copy, is restored and not run again. Stopped half way, the same command goes on where it was.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import yaml

from factory.errors import FactoryError, ParamsError
from factory.evaluation.claims import Evidence, by_group, group_table, judge, table
from factory.evaluation.metrics import groups_of
from factory.params import load
from factory.problems.world import CLAIMS
from factory.schemas import Answer, Problem
from factory.storage import TABLES, read_rows
from factory.whole import whole_file

COPIES = Path(".factory/seeds")
RESULT = Path("data/evaluation/claims.md")
MADE = ("data/", "dvc.lock")  # what a line makes is each copy's own


def main(seeds: list[int], jobs: int = 1) -> None:
    resamples = load().require("evaluate").bootstrap
    folders = {seed: copy_project(seed) for seed in seeds}
    with ThreadPoolExecutor(jobs) as pool:
        codes = dict(zip(seeds, pool.map(lambda seed: repro(folders[seed], jobs), seeds), strict=True))
    if failed := [str(folders[seed]) for seed, code in codes.items() if code]:
        raise FactoryError(f"the line in {', '.join(failed)} stopped; correct it and run the same command, which goes on from there")
    evidence: dict[int, Evidence] = {
        seed: (read_rows(folder / TABLES / "answers.parquet", Answer), read_rows(folder / TABLES / "problems.parquet", Problem))
        for seed, folder in folders.items()
    }
    text = table(judge(evidence, CLAIMS, resamples=resamples))
    if groups := groups_of(row for answers, _ in evidence.values() for row in answers):
        text += "\n\nThe same differences by group:\n\n" + group_table(judge(evidence, by_group(CLAIMS, groups), resamples=resamples))
    with whole_file(RESULT) as path:
        path.write_text(text + "\n")
    print(f"\n{text}\n\nin {RESULT}")


def repro(folder: Path, jobs: int) -> int:
    """`dvc repro` in a copy; the exit status."""
    log = folder / "repro.log"
    print(f"{folder}: dvc repro" + (f", its words in {log}" if jobs > 1 else ""), flush=True)
    log.unlink(missing_ok=True)
    return run_in(folder, ["dvc", "repro"], log, jobs)


def run_in(folder: Path, command: Sequence[str], log: Path, jobs: int) -> int:
    """The exit status of a command in a copy. Of several side by side the words go behind those in `log`, and each has its share of the
    cores: threads of two lines on the same cores would wait for each other."""
    if jobs == 1:
        return subprocess.run(command, cwd=folder, check=False).returncode
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    with log.open("a", encoding="utf-8") as output:
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        return subprocess.run(command, cwd=folder, check=False, stdout=output, stderr=output, env=environment).returncode


def copy_project(
    seed: int, copies: Path = COPIES, *, git: bool = False, renamed: Mapping[str, str] = MappingProxyType({})
) -> Path:  # fmt: skip
    """The project's files as they are now, under another seed; what an earlier run of the copy made stays. `git`: a checkout of its own,
    for DVC experiments. `renamed`: files that have another name there."""
    target = copies / str(seed)
    files = {renamed.get(name, name): name for name in _tracked() if not name.startswith(MADE)}
    for old in [path for path in target.rglob("*") if path.is_file() and _is_source(path.relative_to(target))]:
        if str(old.relative_to(target)) not in files:
            old.unlink()
    for new_name, name in files.items():
        new, text = target / new_name, Path(name).read_bytes()
        if name == "params.yaml":
            text = _with_seed(text.decode(), seed).encode()
        if not new.exists() or new.read_bytes() != text:
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(text)
            shutil.copymode(name, new)
    (target / "data").mkdir(exist_ok=True)
    settings = f"[core]\n    no_scm = {str(not git).lower()}\n    autostage = false\n[cache]\n    dir = {Path('.dvc/cache').resolve()}\n"
    (target / ".dvc/config.local").write_text(settings)
    if git:
        _committed(target)
    return target


def _committed(folder: Path) -> None:
    """Make the sources in a copy a commit of its own git, which knows nothing of the project's."""
    if not (folder / ".git").exists():
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        for key, value in (("user.name", "coat"), ("user.email", "coat@localhost"), ("commit.gpgsign", "false")):
            subprocess.run(["git", "config", key, value], cwd=folder, check=True)
    made = [f":!{name}" for name in ("data", "*dvc.lock", "*.log")]  # a commit of its own would hide the experiments that were there before
    subprocess.run(["git", "add", "-A", "--", ".", *made], cwd=folder, check=True)
    if subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=folder, check=False).returncode:
        subprocess.run(["git", "commit", "-q", "--no-verify", "-m", "The project as it is"], cwd=folder, check=True)


def _tracked() -> list[str]:
    """Files of the project that git knows or would add; without git there is no saying what the project is."""
    found = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], check=False, capture_output=True, text=True)
    if found.returncode:
        raise FactoryError(f"`git ls-files` failed ({found.stderr.strip()}): run this inside the project's git checkout")
    return [name for name in found.stdout.split("\0") if name and Path(name).is_file()]


def _is_source(path: Path) -> bool:
    return (
        path.parts[0] not in ("data", ".dvc", ".factory", ".git")
        and path.suffix != ".log"
        and path.name != "dvc.lock"
        and "__pycache__" not in path.parts
    )


def _with_seed(params: str, seed: int) -> str:
    """Comments and all; only the line of the seed is another."""
    lines = [f"seed: {seed}" if line.startswith("seed:") else line for line in params.splitlines()]
    assert yaml.safe_load("\n".join(lines))["seed"] == seed
    return "\n".join(lines) + "\n"


def whole_numbers(arguments: list[str], command: str = "claims") -> list[int]:
    """Seeds, each once. Raises ParamsError for anything else."""
    if not arguments or not all(argument.isdecimal() for argument in arguments):
        raise ParamsError(f"usage: python -m pipelines.{command} SEED …, whole numbers: python -m pipelines.{command} 1 2 3")
    return list(dict.fromkeys(map(int, arguments)))


def side_by_side(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ParamsError(f"JOBS is {value!r}: expected how many lines run side by side, 1 or more")
    return int(value)


if __name__ == "__main__":
    try:
        main(whole_numbers(sys.argv[1:]), side_by_side(os.environ.get("JOBS", "1")))
    except FactoryError as error:
        sys.exit(f"error: claims: {error}")
