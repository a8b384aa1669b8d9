"""A copy of the project for each seed: its sources follow, what it made stays, and only the line of the seed differs."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from factory.errors import FactoryError, ParamsError
from factory.identity import row_id
from factory.schemas import Answer, Problem
from factory.storage import TABLES, write_rows
from pipelines import claims

PARAMS = "# numbers of the line\nseed: 1  # of everything\nname: seed\nsplit: {seed: 1} # not this one\n"


def write(path: str | Path, text: str = "") -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout with sources, data of its own, and a file that git does not see."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    write("params.yaml", PARAMS)
    write("dvc.yaml", "stages: {}\n")
    write("dvc.lock", "of the project")
    write(".dvc/config", "[core]\n")
    write(".gitignore", ".factory/\n__pycache__/\n")
    write("factory/one.py", "ONE = 1\n")
    write("factory/gone.py", "GONE = 1\n")
    write("tools/run.sh", "true\n").chmod(0o755)
    write("data/tables/problems.parquet", "of the project")
    write("factory/__pycache__/one.pyc", "compiled")
    subprocess.run(["git", "add", "-A"], check=True)
    write("factory/new.py", "NEW = 1\n")  # not added yet: still the project as it is now
    return tmp_path


def test_a_copy_holds_the_sources_and_nothing_that_was_made(project: Path) -> None:
    folder = claims.copy_project(7)
    assert folder == Path(".factory/seeds/7")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {
        "params.yaml", "dvc.yaml", ".dvc/config", ".dvc/config.local", ".gitignore", "factory/one.py", "factory/gone.py", "factory/new.py",
        "tools/run.sh",
    }  # fmt: skip
    assert (folder / "data").is_dir()
    assert (folder / "tools/run.sh").stat().st_mode & 0o111
    settings = (folder / ".dvc/config.local").read_text()
    assert f"dir = {project / '.dvc/cache'}" in settings
    assert "no_scm = true" in settings


def test_only_the_line_of_the_seed_differs(project: Path) -> None:
    made = (claims.copy_project(7) / "params.yaml").read_text().splitlines()
    before = PARAMS.splitlines()
    assert [line for line in made if line not in before] == ["seed: 7"]
    assert [before.index(line) for line in made if line in before] == [0, 2, 3]
    assert yaml.safe_load("\n".join(made)) == {"seed": 7, "name": "seed", "split": {"seed": 1}}
    assert Path("params.yaml").read_text(encoding="utf-8") == PARAMS


def test_the_lines_own_params_keep_their_comments_and_values(project: Path) -> None:
    own = (Path(claims.__file__).parents[1] / "params.yaml").read_text()
    write("params.yaml", own)
    made = (claims.copy_project(7) / "params.yaml").read_text()
    assert [line for line in made.splitlines() if not line.startswith("seed:")] == [
        line for line in own.splitlines() if not line.startswith("seed:")
    ]
    assert yaml.safe_load(made) == yaml.safe_load(own) | {"seed": 7}


def test_a_second_copy_keeps_what_was_made_and_follows_the_sources(project: Path) -> None:
    folder = claims.copy_project(7)
    made = [
        write(folder / name, "made")
        for name in ("data/tables/problems.parquet", "data/models/base/config.json", "dvc.lock", ".dvc/tmp/lock", ".factory/timings.jsonl",
                     "factory/__pycache__/one.pyc")
    ]  # fmt: skip
    untouched = (folder / "dvc.yaml").stat().st_mtime_ns
    Path("factory/gone.py").unlink()
    write("factory/one.py", "ONE = 2\n")
    assert claims.copy_project(7) == folder
    assert [path.read_text() for path in made] == ["made"] * len(made)
    assert not (folder / "factory/gone.py").exists()
    assert (folder / "factory/one.py").read_text() == "ONE = 2\n"
    assert (folder / "dvc.yaml").stat().st_mtime_ns == untouched, "an unchanged file is not written again: DVC would read it anew"


def test_seeds_have_copies_of_their_own(project: Path) -> None:
    for seed in (1, 2):
        assert yaml.safe_load((claims.copy_project(seed) / "params.yaml").read_text())["seed"] == seed
    assert {path.name for path in claims.COPIES.iterdir()} == {"1", "2"}


def test_without_git_nothing_is_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write("params.yaml", PARAMS)
    with pytest.raises(FactoryError, match="inside the project's git checkout"):
        claims.copy_project(1)


def test_arguments_are_seeds() -> None:
    assert claims.whole_numbers(["3", "1", "3"]) == [3, 1]
    for wrong in ([], ["one"], ["1", "-2"]):
        with pytest.raises(ParamsError, match=r"usage: python -m pipelines\.claims SEED"):
            claims.whole_numbers(wrong)


def test_lines_side_by_side_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims.os, "cpu_count", lambda: 4)
    dvc = write(tmp_path / "bin/dvc", "#!/bin/sh\necho $1 on $OMP_NUM_THREADS threads\nexit 3\n")
    dvc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{dvc.parent}:/usr/bin:/bin")
    assert claims.repro(tmp_path, jobs=2) == 3
    assert (tmp_path / "repro.log").read_text() == "repro on 2 threads\n"
    assert claims.side_by_side("2") == 2
    for wrong in ("0", "-1", "two", ""):
        with pytest.raises(ParamsError, match="JOBS is"):
            claims.side_by_side(wrong)


def answer(problem: Problem, model: str, verdict: str) -> Answer:
    return Answer(
        id=row_id(model, problem.id), model=f"{model}@1", arm="policy", problem_id=problem.id, split=problem.split, family=problem.family,
        group=problem.group, completion="\\boxed{5}", verdict=verdict, finish_reason="stop", tokens=3, calls=1,
    )  # fmt: skip


@pytest.mark.slow
def test_the_line_runs_once_a_seed_and_a_stop_names_it(small_line, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    write(".dvc/config", "[core]\n")
    write(".gitignore", ".factory/\n")
    ran: list[str] = []
    real = subprocess.run

    def fake(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        """`dvc repro` as a line that answers every held-out problem: r1 all right, the base none; seed 3 stops."""
        if command[0] != "dvc":
            return real(command, **options)
        folder = Path(str(options["cwd"]))
        seed = yaml.safe_load((folder / "params.yaml").read_text())["seed"]
        ran.append(f"{' '.join(command)} {seed}")
        write_rows(folder / TABLES / "problems.parquet", Problem, small_line.problems)
        asked = [problem for problem in small_line.problems if problem.split == "heldout"]
        rows = [answer(p, name, verdict) for p in asked for name, verdict in (("policy_r1", "correct"), ("base", "wrong"))]
        write_rows(folder / TABLES / "answers.parquet", Answer, rows)
        return subprocess.CompletedProcess(command, int(seed == 3))

    monkeypatch.setattr(claims.subprocess, "run", fake)
    claims.main([1, 2])
    assert ran == ["dvc repro 1", "dvc repro 2"]
    lines = claims.RESULT.read_text().splitlines()
    assert "| heldout | 1.000 | .000 | +100.0 [+100.0, +100.0] | +100.0, +100.0 | yes |" in lines[2]
    assert lines[4:7] == ["", "The same differences by group:", ""]  # behind the only claim whose arms are there, on two splits
    assert lines[9].startswith("| 1. r1 at least 15 points above the base | heldout | +100.0 [+100.0, +100.0] |")
    assert len(lines) == 11
    shutil.rmtree(claims.COPIES)
    with pytest.raises(FactoryError, match=r"the line in \.factory/seeds/3 stopped"):
        claims.main([3])
