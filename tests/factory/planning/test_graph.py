"""dvc.yaml as a params file expands it: the same stages as DVC's own, and what DVC would stop at."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from factory.params import load, parse
from factory.params.yaml_file import read_yaml
from factory.planning import graph

ROOT = Path(__file__).parents[3]


def said(document: dict[str, Any], line: Path = graph.LINE) -> list[tuple[str, str]]:
    return [(finding.state, finding.said) for finding in graph.check(parse(document), document, line)]


@pytest.mark.slow
def test_the_expansion_is_dvcs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.repo import Repo

    monkeypatch.chdir(ROOT)
    ours = {stage.title: stage for stage in graph.expanded(graph.LINE, read_yaml(Path("params.yaml")))}
    with Repo(str(ROOT)) as repo:
        theirs = {stage.name: stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}
        for title, stage in theirs.items():
            outs = {str(Path(out.fs_path).relative_to(ROOT)) for out in stage.outs}
            deps = {
                str(Path(dep.fs_path).relative_to(ROOT)) for dep in stage.deps if dep.fs_path and not dep.fs_path.endswith("params.yaml")
            }
            assert (set(ours[title].outs), set(ours[title].deps)) == (outs, deps), title
    assert set(ours) == set(theirs)


@pytest.mark.parametrize("file", [
    *sorted((ROOT / "pipelines/profiles").glob("*.yaml")), ROOT / "tests/line/tiny.yaml", ROOT / "pipelines/recorded_gsm8k/params.yaml",
], ids=lambda file: file.stem)  # fmt: skip
@pytest.mark.slow
def test_every_profile_fits_its_graph(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.chdir(graph.line_of(file).parent)
    (found,) = graph.check(load(file), read_yaml(file))
    assert found.state == "ok", found.said


@pytest.mark.slow
def test_a_section_that_the_graph_needs_and_the_params_lack_is_wrong(project: Path, document: dict[str, Any]) -> None:
    for section in ("demonstrations", "process_rewards", "format_tuning"):
        document.pop(section)
    document |= {"rounds": {}, "distillations": {}}
    document["policies"] = {"base": {"model": "base", "part": 0}}
    kept = ("orm_pairs_base", "templates", "structure", "plans_sft", "trajectory_pairs", "adjustments")
    document["datasets"] = {name: document["datasets"][name] for name in kept}
    found = said(document)
    lacking = "cot_control, demonstrations, format_tuning, process_rewards"
    extra = f"dvc.yaml has {lacking}, for which the params have no section: `dvc repro` stops there"
    assert ("wrong", extra) in found
    assert any("depends on the params demonstrations" in text for _, text in found)


def test_a_key_that_a_stage_expands_and_the_params_lack_is_wrong(project: Path, document: dict[str, Any]) -> None:
    (project / "dvc.yaml").unlink()
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"rollouts": {"foreach": "${models}", "do": {"cmd": "true"}}}}))
    assert said(document) == [("wrong", "dvc.yaml: foreach of rollouts needs the key models, which the params lack")]


def test_a_dependency_that_nobody_makes_is_missing_and_a_circle_is_wrong(project: Path, document: dict[str, Any]) -> None:
    stages = {
        "inputs": {"cmd": "true", "deps": ["code.py"], "outs": ["data/a"]},
        "problems": {"cmd": "true", "deps": ["data/c"], "outs": ["data/b"]},
        "report": {"cmd": "true", "deps": ["data/b/part"], "outs": ["data/c"]},
    }  # fmt: skip
    (project / "dvc.yaml").unlink()
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    found = said(document)
    assert ("missing", "no stage makes code.py, and it is not there") in found
    assert any(state == "wrong" and "a circle" in text and "problems" in text and "report" in text for state, text in found)


def test_outside_of_a_project_it_is_said_so(project: Path, document: dict[str, Any]) -> None:
    (project / "dvc.yaml").unlink()
    assert said(document) == [("wrong", "dvc.yaml: no such file or directory")]
