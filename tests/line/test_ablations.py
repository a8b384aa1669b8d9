"""Arms of the policies' half of the ablations as DVC experiments, on what the tiny line has made."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

ARMS = {
    "policies": {
        "full": {"text": "the whole", "model": "policy_r1"},
        "short": {"text": "two iterations", "model": "policy_r1", "set": ["ppo.iterations=2"]},
    },
}


def test_arms_run_share_what_they_can_and_are_judged_together(line: Any, tmp_path: Path) -> None:
    project = type(line)(tmp_path / "project")
    shutil.copytree(line.folder, project.folder, ignore=shutil.ignore_patterns("data", ".factory", "dvc.lock", "store.sqlite*"))
    (project.folder / ".gitignore").write_text(".factory/\n__pycache__/\n/.dvc/cache\n/.dvc/tmp\n", encoding="utf-8")
    (project.folder / "pipelines/ablations/arms.yaml").write_text(yaml.safe_dump(ARMS, sort_keys=False), encoding="utf-8")
    (project.folder / "data").mkdir()
    assert project.run("git", "init", "-q").returncode == 0
    ran = ablate(project, "policies")
    assert sum("ppo@r1" in text for text in ran) == 1, "the first arm's policy is in the cache"
    assert sum("score@policy_r1" in text for text in ran) == 2
    assert not any("pretraining" in text or "format_tuning" in text for text in ran)
    text = (project.folder / "data/evaluation/ablations.md").read_text(encoding="utf-8")
    assert "| two iterations |" in text
    copy = project.folder / ".factory/ablations/1"
    shown = type(line)(copy).dvc("exp", "list", "--name-only")
    assert {"seed1-full", "seed1-short"} <= set(shown.split())
    assert yaml.safe_load((copy / "params.yaml").read_text(encoding="utf-8"))["ppo"]["iterations"] == 2


def ablate(project: Any, half: str) -> list[str]:
    """The stages that it ran."""
    done = project.run("env", f"ARMS={half}", "python", "-m", "pipelines.ablate", "1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [text for text in done.stdout.splitlines() if text.startswith("Running stage")]
