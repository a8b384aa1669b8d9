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


@pytest.mark.slow
def test_every_arm_changes_params_that_there_are_and_ends_in_a_stage_of_the_ablations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    halves, document = ablate.read_arms(ROOT / ablate.GRID), yaml.safe_load((ROOT / "params.yaml").read_text())
    stages = yaml.safe_load((ROOT / ablate.KEPT_AS).read_text())["stages"]
    assert {arm.model for arm in halves["policies"]} == set(stages["score"]["foreach"]) <= set(models_of(params.load()))
    assert {arm.target for arm in halves["planner"]} == {f"{ablate.STAGES}:planner_arms"}
    assert "planner_arms" in stages
    before = params.parse(document)
    for arms in halves.values():
        assert arms[0].changes == ()
        for arm in arms[1:]:
            file = tmp_path / "params.yaml"
            file.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
            if arm.changes:
                apply_overrides(str(file), list(arm.changes))  # as `dvc exp run -S`
            changed = params.parse(yaml.safe_load(file.read_text(encoding="utf-8")))
            assert (changed != before) == bool(arm.changes), f"{arm.name} changes nothing"


def test_the_planners_half_depends_on_no_policy_and_each_arm_changes_one_thing() -> None:
    arms = ablate.read_arms(ROOT / ablate.GRID)["planner"]
    # of one section, |X_sim| with its decodes; plans that nobody tries leave no second round to learn of
    assert all(len({change.split(".")[0] for change in arm.changes} - {"planners"}) <= 1 for arm in arms[1:])
    deps = yaml.safe_load((ROOT / ablate.KEPT_AS).read_text())["stages"]["planner_arms"]["deps"]
    models = {dep.removeprefix("data/models/") for dep in deps if dep.startswith("data/models")}
    assert models == {"base", "planner_sft", "planner_dpo", "planner_adjust"}


POLICIES = "policies: {full: {text: all, model: policy_r1}, other: {text: a, model: policy_r1}}\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("policies: {full: {text: all, model: policy_r1}}", "names 1 arms of policies"),
        ("", "has nothing, expected the halves policies and planner"),
        ("full: {text: all, model: policy_r1}", "has full, expected the halves"),
        ("policies: {full: {text: all, model: policy_r1}, other: {model: policy_r1}}", "other is"),
        ("policies: {full: {text: all, model: policy_r1}, other: {text: a, model: policy_r1, sets: [a=1]}}", "other is"),
        ("planner: {recipe: {text: all}, other: {text: a, model: policy_r1}}", "other is .*, expected text and, where"),
        (f"{POLICIES}planner: {{recipe: {{text: all}}, other: {{text: b}}}}", "other stands twice"),
        (f"{POLICIES}planner: {{recipe: {{text: all}}, policies: {{text: b}}}}", "policies stands twice"),
    ],
)
def test_an_arm_that_lacks_something_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "arms.yaml").write_text(text)
    with pytest.raises(ParamsError, match=reason):
        ablate.read_arms(tmp_path / "arms.yaml")


def test_named_arms_run_beside_the_first_of_their_half() -> None:
    halves = ablate.read_arms(ROOT / ablate.GRID)

    def names(*asked: str) -> dict[str, list[str]]:
        return {half: [arm.name for arm in arms] for half, arms in ablate.chosen(halves, list(asked)).items()}

    assert ablate.chosen(halves, []) == halves
    assert names("critic", "cot") == {"policies": ["full", "cot", "critic"]}
    assert names("no-structure", "cot") == {"policies": ["full", "cot"], "planner": ["recipe", "no-structure"]}
    assert ablate.chosen(halves, ["planner"]) == {"planner": halves["planner"]}
    with pytest.raises(ParamsError, match=r"ARMS has crtic, and .* has no such arm: expected some of policies, planner, full, cot, "):
        ablate.chosen(halves, ["crtic"])


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
