"""`factory check`: a line a check, a summary, and an exit code."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The graph and the code of the project, and the laptop's profile; nothing has run."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("factory", "pipelines", "trainers", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "params.yaml").write_text((ROOT / "pipelines/profiles/laptop.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_fresh_laptop_profile_can_run(project: Path, run: Run) -> None:
    answer = run("check", cwd=project)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "  ok      dvc.yaml: " in answer.stdout
    assert "the line has not made its base yet: tokens are not counted" in answer.stdout
    assert re.fullmatch(r"\d+ checks: \d+ ok, 1 skipped", answer.stdout.splitlines()[-1])
    assert not list(project.glob("data/*")), "nothing is written"


@pytest.mark.slow
def test_what_is_missing_is_named_with_what_to_do(project: Path, run: Run) -> None:
    params = (project / "params.yaml").read_text(encoding="utf-8")
    text = params.replace("benchmarks: []", "benchmarks: [aime.jsonl]").replace(
        "critic: {engine: transformers", "critic: {engine: transformers, dtype: float32"
    )
    (project / "mine.yaml").write_text(params.replace("benchmarks: []", "benchmarks: [aime.jsonl]"), encoding="utf-8")
    (project / "other.yaml").write_text(text, encoding="utf-8")
    answer = run("check", "mine.yaml", cwd=project)
    assert answer.returncode == 1
    assert "  missing problems.benchmarks.0: aime.jsonl: no such file or directory\n          → correct the path" in answer.stdout
    assert re.fullmatch(r"error: mine.yaml cannot run as it is: 1 of \d+ checks failed\n", answer.stderr)
    answer = run("check", "other.yaml", cwd=project)
    assert answer.returncode == 1
    assert "dtype is an option of the engine vllm" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr


def test_outside_of_a_project_two_lines_say_what_where_and_what_to_do(tmp_path: Path, run: Run) -> None:
    for words in (("check",), ("check", "params.yaml"), ("estimate",)):
        answer = run(*words, cwd=tmp_path)
        assert (answer.returncode, answer.stdout) == (1, "")
        assert answer.stderr == (
            f"error: params.yaml is missing in {tmp_path}, which has no pipelines/profiles\n"
            "  run it in the project's folder, or name a params file\n"
        )
    assert run("status", cwd=tmp_path).stderr == f"error: params.yaml is missing here ({tmp_path}): run inside the project\n"


def test_in_a_project_the_command_that_makes_params_is_named(tmp_path: Path, run: Run) -> None:
    (tmp_path / "pipelines/profiles").mkdir(parents=True)
    (tmp_path / "pipelines/profiles/laptop.yaml").touch()
    remedy = "name a profile (laptop) or a params file\n"
    for words, found in (
        (("check",), f"params.yaml is missing in {tmp_path}\n  `factory profile use laptop` makes it, or {remedy}"),
        (("check", "gone/mine.yaml"), f"gone/mine.yaml is missing in {tmp_path}\n  {remedy}"),
        (("check", "pipelines/profiles"), f"pipelines/profiles is no file in {tmp_path}\n  {remedy}"),
        (("check", "moon"), f"'moon' is no profile and no file in {tmp_path}\n  {remedy}"),
    ):
        assert run(*words, cwd=tmp_path).stderr == f"error: {found}"
    assert run("status", cwd=tmp_path).stderr == (
        f"error: params.yaml is missing here ({tmp_path}): `factory profile use laptop` makes it\n"
    )


@pytest.mark.slow
def test_no_torch_is_loaded_where_no_tokenizer_is_needed(project: Path) -> None:
    run = "from factory.planning.checks import checked; checked(Path('params.yaml'))"
    code = f"import sys; from pathlib import Path; {run}; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_an_unknown_profile_is_two_lines(project: Path, run: Run) -> None:
    answer = run("check", "moon", cwd=project)
    assert (answer.returncode, len(answer.stderr.splitlines())) == (1, 2)
    assert f"'moon' is no profile and no file in {project}\n  name a profile (field, laptop, laptop-vllm" in answer.stderr


@pytest.mark.slow
def test_a_line_of_its_own_is_checked_from_its_folder(project: Path, run: Run) -> None:
    (project / "own").mkdir()
    for name in ("factory", "pipelines", "trainers"):
        (project / "own" / name).symlink_to(ROOT / name)
    (project / "own/dvc.yaml").write_text((ROOT / "dvc.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (project / "own/bench.jsonl").write_text('{"problem": "12 + 7?"}\n', encoding="utf-8")
    params = (project / "params.yaml").read_text(encoding="utf-8").replace("benchmarks: []", "benchmarks: [bench.jsonl]")
    (project / "own/params.yaml").write_text(params, encoding="utf-8")
    answer = run("check", "own/params.yaml", cwd=project)
    assert answer.returncode == 0, answer.stdout
    assert "ok      problems.benchmarks.0: bench.jsonl" in answer.stdout
