"""The rules of the graph, read from dvc.yaml itself: the line is the architecture, so the architecture is tested there."""

import ast
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
LINES = [ROOT / "dvc.yaml", ROOT / "pipelines/recorded_gsm8k/dvc.yaml"]
TRAINERS = {"base_model", "orm", "format_tuning", "cot_control", "ppo", "distill", "planner_sft", "planner_dpo"}
# They make no rows: values of the params are tracked key by key, errors and the boundary only print.
MODEL_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "vllm")
ABOVE = {"claims", "readme"}  # run the line through DVC once a seed, and tell what it said: no stages of it
FRAME = {"factory", "factory.errors", "factory.params", "pipelines", "pipelines.stage", "trainers"}


def stages(line: Path) -> dict[str, dict]:
    document = yaml.safe_load(line.read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in document.items()}


def outs(stage: dict) -> list[str]:
    declared = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in declared]


def deps(stage: dict) -> list[str]:
    return stage.get("deps", [])


def module_file(module: str) -> str | None:
    path = module.replace(".", "/")
    return next((name for name in (f"{path}.py", f"{path}/__init__.py") if (ROOT / name).exists()), None)


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("factory", "pipelines", "trainers", cache_dir=None)


def closure(module: str) -> set[str]:
    """All modules of the project that `module` imports, at any depth; imports inside functions count too."""
    return {module, *graph().find_upstream_modules(module)} - FRAME


def test_every_stage_has_its_module_and_every_stage_module_a_stage() -> None:
    names = {name for line in LINES for name in stages(line)}
    modules = {path.stem for path in (ROOT / "pipelines").glob("*.py")} - {"__init__", "stage"} - ABOVE
    assert names == modules


@pytest.mark.parametrize("line", LINES, ids=["laptop", "recorded"])
def test_a_stage_lists_the_code_that_it_runs(line: Path) -> None:
    missing, needless = [], []
    prefix = "" if line.parent == ROOT else "../../"
    for name, stage in stages(line).items():
        ours = tuple(f"{prefix}{package}/" for package in ("factory", "trainers", "pipelines"))
        listed = [dep.removeprefix(prefix) for dep in deps(stage) if dep.startswith(ours)]
        files = {module_file(module) for module in closure(f"pipelines.{name}")} - {None}
        covers = {item: {file for file in files if file == item or file.startswith(f"{item}/")} for item in listed}
        missing += [f"{name}: {file}" for file in sorted(files - set().union(*covers.values()))]
        needless += [f"{name}: {item}" for item, covered in covers.items() if not covered and item != "factory/prompts"]
        if any(file.endswith("prompting.py") for file in files) and f"{prefix}factory/prompts" not in deps(stage):
            missing.append(f"{name}: factory/prompts")
    assert not missing, "dvc.yaml: deps lack " + ", ".join(missing)
    assert not needless, "dvc.yaml: deps list code that is not imported: " + ", ".join(needless)


def test_trainers_read_rows_only_from_released_datasets() -> None:
    for name in TRAINERS:
        data = [dep for dep in deps(stages(LINES[0])[name]) if dep.startswith("data/")]
        assert data
        for dep in data:
            assert dep.startswith(("data/datasets/", "data/models/")), f"{name} reads {dep}"


def test_nothing_that_trains_also_makes_rows() -> None:
    for name, stage in stages(LINES[0]).items():
        made = outs(stage)
        if any(out.startswith("data/models/") for out in made):
            assert name in TRAINERS
            assert not any(out.startswith(("data/tables/", "data/datasets/")) for out in made), name


def test_only_the_gate_writes_datasets() -> None:
    for line in LINES:
        for name, stage in stages(line).items():
            if any(out.startswith("data/datasets/") for out in outs(stage)):
                assert name == "release"


def test_only_evaluate_and_the_gate_read_held_out_problems_with_models_around() -> None:
    """A trainer never sees problems.parquet, so never the held-out half of it."""
    for name in TRAINERS:
        assert "data/tables/problems.parquet" not in deps(stages(LINES[0])[name])


def test_every_round_has_its_curves() -> None:
    """What `dvc plots` shows of one round, it shows of all: a new round is not forgotten there."""
    document = yaml.safe_load(LINES[0].read_text())
    if "plots" not in document:
        pytest.skip("dvc.yaml has no plots")
    rounds = {f"data/logs/policy_{name}.csv" for name in yaml.safe_load((ROOT / "params.yaml").read_text())["rounds"]}
    shown: set[str] = set()
    for title, plot in (item for entry in document["plots"] for item in entry.items()):
        policies = {file for file in plot["y"] if fnmatch(file, "data/logs/policy_*.csv")}
        assert policies <= rounds, f"{title} draws {sorted(policies - rounds)}, which no round makes"
        assert len(policies) < 2 or policies == rounds, f"{title} lacks {sorted(rounds - policies)}"
        shown |= policies
    assert shown == rounds


def test_no_out_is_persistent_and_nothing_depends_on_the_library() -> None:
    for stage in stages(LINES[0]).values():
        for out in stage.get("outs", []):
            assert not (isinstance(out, dict) and next(iter(out.values())).get("persist"))
        assert not any(fnmatch(dep, "*library.duckdb") for dep in deps(stage))


def test_model_libraries_stay_in_engines_and_trainers() -> None:
    for path in [*ROOT.glob("factory/**/*.py"), *ROOT.glob("pipelines/**/*.py")]:
        if "engines" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in MODEL_LIBRARIES, f"{path.relative_to(ROOT)} imports {name}"
