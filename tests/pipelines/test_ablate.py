"""The grid of arms, and the git checkout in which a seed's experiments run."""

import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from factory import params
from factory.errors import ParamsError
from factory.evaluation.greedy import models_of
from pipelines import ablate, claims

ROOT = Path(__file__).parents[2]


def test_every_arm_changes_params_that_there_are_and_ends_in_a_model_of_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arms, document = ablate.read_arms(ROOT / ablate.GRID), yaml.safe_load((ROOT / "params.yaml").read_text())
    asked = yaml.safe_load((ROOT / ablate.KEPT_AS).read_text())["stages"]["score"]["foreach"]
    assert arms[0].changes == ()
    assert {arm.model for arm in arms} == set(asked) <= set(models_of(params.load()))
    before = params.parse(document)
    for arm in arms[1:]:
        file = tmp_path / "params.yaml"
        file.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        if arm.changes:
            apply_overrides(str(file), list(arm.changes))  # as `dvc exp run -S`
        changed = params.parse(yaml.safe_load(file.read_text(encoding="utf-8")))
        assert (changed != before) == bool(arm.changes), f"{arm.name} changes nothing"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("full: {text: all, model: policy_r1}", "names 1 arms"),
        ("", "names 0 arms"),
        ("full: {text: all, model: policy_r1}\nother: {model: policy_r1}", "other is"),
        ("full: {text: all, model: policy_r1}\nother: {text: a, model: policy_r1, sets: [a=1]}", "other is"),
    ],
)
def test_an_arm_that_lacks_something_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "arms.yaml").write_text(text)
    with pytest.raises(ParamsError, match=reason):
        ablate.read_arms(tmp_path / "arms.yaml")


def test_named_arms_run_beside_the_first() -> None:
    arms = ablate.read_arms(ablate.GRID)
    assert ablate.chosen(arms, []) == arms
    assert [arm.name for arm in ablate.chosen(arms, ["critic", "cot"])] == ["full", "cot", "critic"]
    with pytest.raises(ParamsError, match=r"ARMS has crtic, and .* has no such arm: expected some of full, cot, "):
        ablate.chosen(arms, ["crtic"])


def test_a_copy_with_git_is_committed_and_follows_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    for name, text in (("params.yaml", "seed: 1\n"), (".gitignore", ".factory/\n"), (".dvc/config", ""), ("dvc.yaml", "stages: {}\n")):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")

    def state() -> tuple[str, int]:
        folder = claims.copy_project(3, Path(".factory/ablations"), git=True)
        clean = subprocess.run(["git", "status", "--porcelain"], cwd=folder, check=True, capture_output=True, text=True).stdout
        count = subprocess.run(["git", "rev-list", "--count", "HEAD"], cwd=folder, check=True, capture_output=True, text=True).stdout
        assert (folder / ".git/HEAD").exists()
        return clean, int(count)

    assert state() == ("", 1)
    assert state() == ("", 1)  # nothing new, nothing to commit
    Path("dvc.yaml").write_text("stages: {}  # more\n", encoding="utf-8")
    assert state() == ("", 2)
    assert "no_scm = false" in Path(".factory/ablations/3/.dvc/config.local").read_text(encoding="utf-8")
