"""`factory profile`: profiles are whole, edits of params.yaml are never lost unasked."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
LAPTOP = ROOT / "pipelines/profiles/laptop.yaml"


def project(tmp_path: Path) -> Path:
    """A git repository with params.yaml committed and two profiles."""
    root = tmp_path / "project"
    (root / "pipelines/profiles").mkdir(parents=True)
    laptop = LAPTOP.read_text(encoding="utf-8")
    (root / "params.yaml").write_text(laptop)
    (root / "pipelines/profiles/laptop.yaml").write_text(laptop)
    (root / "pipelines/profiles/other.yaml").write_text(laptop.replace("seed: 1\n", "seed: 2\n"))
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def test_profiles_change_params_and_say_how_to_go_back(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess]) -> None:
    root = project(tmp_path)
    assert run("profile", "list", cwd=root).stdout.splitlines() == ["* laptop", "  other"]
    assert "+seed: 2" in run("profile", "diff", "other", cwd=root).stdout
    answer = run("profile", "use", "other", cwd=root)
    assert answer.returncode == 0
    assert "+seed: 2" in answer.stdout
    assert "factory profile use laptop" in answer.stdout
    assert (root / "params.yaml").read_text() == (root / "pipelines/profiles/other.yaml").read_text()
    assert run("profile", "use", "laptop", cwd=root).returncode == 0  # a profile is never lost: no --force
    assert "is the profile laptop" in run("profile", "diff", cwd=root).stdout


def test_a_profile_is_not_put_over_edits(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess]) -> None:
    root = project(tmp_path)
    edited = (root / "params.yaml").read_text().replace("seed: 1\n", "seed: 7\n")
    (root / "params.yaml").write_text(edited)
    answer = run("profile", "use", "other", cwd=root)
    assert answer.returncode == 1
    assert "--force" in answer.stderr
    assert (root / "params.yaml").read_text() == edited
    assert "-seed: 7" in run("profile", "use", "other", "--force", cwd=root).stdout
    assert "seed: 2\n" in (root / "params.yaml").read_text()


def test_committed_edits_may_be_replaced(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess]) -> None:
    root = project(tmp_path)
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("seed: 1\n", "seed: 7\n"))
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "two"], cwd=root, check=True)
    answer = run("profile", "use", "other", cwd=root)
    assert answer.returncode == 0
    assert "git checkout params.yaml" in answer.stdout


def test_a_broken_or_unknown_profile_is_refused(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess]) -> None:
    root = project(tmp_path)
    before = (root / "params.yaml").read_text()
    (root / "pipelines/profiles/broken.yaml").write_text(before.replace("seed: 1\n", "sead: 1\n"))
    assert "unknown key sead" in run("profile", "use", "broken", cwd=root).stderr
    assert "no profile 'lap': expected one of broken, laptop, other" in run("profile", "use", "lap", cwd=root).stderr
    assert (root / "params.yaml").read_text() == before


def test_params_are_the_laptop_profile() -> None:
    """As they are committed: whoever edits them, or uses another profile, has broken nothing."""
    edited = subprocess.run(["git", "status", "--porcelain", "params.yaml"], cwd=ROOT, capture_output=True, text=True, check=False)
    if edited.returncode or edited.stdout:
        pytest.skip("params.yaml is not as it was committed")
    assert LAPTOP.read_text(encoding="utf-8") == (ROOT / "params.yaml").read_text(encoding="utf-8")


def test_the_laptop_on_vllm_differs_in_its_engine_and_the_heads_of_its_base_alone() -> None:
    ours, theirs = (yaml.safe_load((ROOT / f"pipelines/profiles/{name}.yaml").read_text()) for name in ("laptop", "laptop-vllm"))
    for role, entry in theirs["roles"].items():
        assert entry["engine"] == ("transformers" if role == "reward_model" else "vllm")
        assert {**entry, "engine": "transformers"} == ours["roles"][role]
    our_base, their_base = ours["pretraining"]["base"], theirs["pretraining"]["base"]
    assert their_base["hidden"] // their_base["heads"] == 32, "vLLM on a CPU computes no heads of 36"
    differing = {key for key in our_base if our_base[key] != their_base[key]}
    assert differing == {"hidden", "heads"}
    assert {key for key in ours if ours[key] != theirs[key]} == {"roles", "pretraining"}
