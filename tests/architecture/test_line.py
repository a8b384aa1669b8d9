"""The rules of the graph, read from dvc.yaml itself: the line is the architecture, so the architecture is tested there."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

from factory.inputs import OWNERS
from factory.params.consistency import OF_LINE
from factory.planning.graph import expanded

ROOT = Path(__file__).parents[2]
LINES = [ROOT / "dvc.yaml", ROOT / "pipelines/recorded_gsm8k/dvc.yaml", ROOT / "pipelines/ablations/stages.yaml"]
TRAINERS = {
    "pretraining",
    "adoption",
    "orm",
    "format_tuning",
    "cot_control",
    "ppo",
    "distill",
    "planner",
    "planner_dpo",
    "planner_adjust",
}
MODEL_LIBRARIES = ("torch", "transformers", "trl", "accelerate", "vllm")
ABOVE = {
    "claims",
    "ablate",
    "readme",
    "preview",
    "few_rows",
}  # run the line or a few rows of a stage, and tell what it said: no stages of it
# They make no rows: values of the params are tracked key by key, errors and the boundary only print.
FRAME = {
    "factory", "factory.errors", "factory.params", "factory.params.sections", "factory.params.consistency", "factory.params.names",
    "factory.params.yaml_file", "pipelines", "pipelines.stage", "pipelines.training", "trainers",
}  # fmt: skip
CHANGE_NO_ROW = {"requests", "budget", "training"}
ALWAYS = {"inputs"}  # runs every time: what it depends on is what it hashes


def stages(line: Path) -> dict[str, dict]:
    document = yaml.safe_load(line.read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in document.items()}


def above(line: Path) -> str:
    """From where a line runs to the project: the ablations run in it."""
    return "../../" if line.parent.name == "recorded_gsm8k" else ""


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
    found = grimp.build_graph("factory", "pipelines", "trainers", cache_dir=None)
    for module in FRAME - {"factory", "pipelines", "trainers"}:
        found.remove_module(module)
    return found


@cache
def closure(module: str) -> set[str]:
    """All modules of the project that `module` imports, at any depth; imports inside functions count too, those of the frame do not."""
    return {module, *graph().find_upstream_modules(module)} - FRAME


def checked(line: Path) -> list[tuple[str, dict]]:
    return [(name, stage) for name, stage in stages(line).items() if name not in ALWAYS]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def data_of(module: str) -> set[str]:
    """The files and folders beside its code that a module reads: every `Path(__file__).parent / "prompts"` of its source."""
    file = ROOT / str(module_file(module))
    found = set()
    for up, index, below in re.findall(r"Path\(__file__\)\.parent(s\[(\d)\])?((?: / \"[^\"]+\")*)", file.read_text()):
        place = file.parents[int(index) if up else 0].joinpath(*re.findall(r'"([^"]+)"', below))
        if place.is_relative_to(ROOT):
            found.add(place.relative_to(ROOT).as_posix())
    return found


def functions_with_params(module: str) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree(ROOT / str(module_file(module)))):
        if isinstance(node, ast.FunctionDef):
            given = {argument.arg: ast.unparse(argument.annotation or ast.Constant("")) for argument in node.args.args}
            if given.get("params", "").strip("\"'") in ("Params", "Params | None"):
                yield node


def _conditions(test: ast.expr) -> list[ast.expr]:
    return [part for value in test.values for part in _conditions(value)] if isinstance(test, ast.BoolOp) else [test]


@cache
def read_keys(module: str) -> set[str]:
    """Sections of the params whose values functions of a module read: `params.<section>` and `params.require("<section>")`.

    `if params.<section>` asks only whether it is there: dvc.yaml has the same stages for as long as it has them."""
    constants = {
        node.targets[0].id: node.value.value
        for node in tree(ROOT / str(module_file(module))).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant)
    }
    found = set()
    for function in functions_with_params(module):
        asked = {id(part) for node in ast.walk(function) if isinstance(node, ast.If | ast.IfExp) for part in _conditions(node.test)}
        for node in ast.walk(function):
            if id(node) in asked:
                continue
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params":
                found.add(node.attr)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.require":
                argument = node.args[0]
                found.add(argument.value if isinstance(argument, ast.Constant) else constants[ast.unparse(argument)])
    return found - {"require", "model_copy"} - CHANGE_NO_ROW


def test_every_stage_has_its_module_and_every_stage_module_a_stage() -> None:
    names = {name for line in LINES for name in stages(line)}
    modules = {path.stem for path in (ROOT / "pipelines").glob("*.py")} - {"__init__", "acting", "stage", "training"} - ABOVE
    assert names == modules


@pytest.mark.parametrize("line", LINES, ids=["laptop", "recorded", "ablations"])
def test_a_stage_lists_the_code_that_it_runs(line: Path) -> None:
    missing, needless = [], []
    prefix = above(line)
    for name, stage in checked(line):
        ours = tuple(f"{prefix}{package}/" for package in ("factory", "trainers", "pipelines"))
        listed = [dep.removeprefix(prefix) for dep in deps(stage) if dep.startswith(ours)]
        files = {module_file(module) for module in closure(f"pipelines.{name}")} - {None}
        covers = {item: {file for file in files if file == item or file.startswith(f"{item}/")} for item in listed}
        missing += [f"{name}: {file}" for file in sorted(files - set().union(*covers.values()))]
        read = {place for module in closure(f"pipelines.{name}") for place in data_of(module)}
        needless += [f"{name}: {item}" for item, covered in covers.items() if not covered and item not in read]
    assert not missing, "dvc.yaml: deps lack " + ", ".join(missing)
    assert not needless, "dvc.yaml: deps list code that is not imported: " + ", ".join(needless)


@pytest.mark.parametrize("line", LINES, ids=["laptop", "recorded", "ablations"])
def test_a_stage_lists_the_files_that_its_code_reads(line: Path) -> None:
    """Prompts, suites of expectations, templates of pages: whatever a module finds beside its own code."""
    missing, prefix = [], above(line)
    for name, stage in checked(line):
        listed = [dep.removeprefix(prefix) for dep in deps(stage)]
        for module in closure(f"pipelines.{name}"):
            for place in data_of(module):
                if not any(place == dep or place.startswith(f"{dep}/") for dep in listed):
                    missing.append(f"{name}: {place}, which {module} reads")
    assert not missing, "dvc.yaml: deps lack " + ", ".join(missing)


def test_code_finds_files_beside_itself_in_no_other_way() -> None:
    """`__file__` in another form would escape the test above."""
    known = {
        "factory.language.prompting",
        "factory.templates.questions",
        "factory.reports.page",
        "factory.gate.card",
    }
    assert {module for module in graph().modules if module_file(module) and data_of(module)} >= known
    for module in graph().modules:
        text = (ROOT / str(module_file(module))).read_text()
        assert "importlib.resources" not in text, module
        assert text.count("__file__") == text.count("Path(__file__).parent") + text.count("factory.__file__"), module


@pytest.mark.parametrize("line", LINES, ids=["laptop", "recorded", "ablations"])
@pytest.mark.slow
def test_a_stage_tracks_the_params_that_its_code_reads(line: Path) -> None:
    document = yaml.safe_load(((line.parent if above(line) else ROOT) / "params.yaml").read_text())
    missing = []
    for name, stage in checked(line):
        tracked = {str(key).split(".")[0] for key in stage.get("params", [])}
        for module in closure(f"pipelines.{name}"):
            read = {key for key in read_keys(module) if key in document}
            missing += [f"{name}: {key}, which {module} reads" for key in sorted(read - tracked)]
    assert not missing, "dvc.yaml: params lack " + ", ".join(missing)


@pytest.mark.parametrize("line", LINES[:2], ids=["laptop", "recorded"])
def test_a_stage_depends_on_the_inputs_that_its_code_asks(line: Path) -> None:
    """Every hash that `inputs` writes for a role, by the stages whose code names that role; the recorded ones by who reads answers."""
    made = {Path(out).stem for out in outs(stages(line)["inputs"])}
    assert made == set(OWNERS)
    asks = {
        "problems": {"problems"}, "adoption": {"adoption"}, "rollouts": {"recorded", "prompts"}, "report": {"recorded"},
        "structure": {"prompts"}, "plans": {"labeller", "inference", "prompts"},
        "demonstrations": {"generator", "critic", "reward_model", "prompts"},
        "restarts": {"prompts"},
        "templates": {"labeller", "inference", "prompts", "templates"}, "trajectories": {"inference", "prompts"},
        "distillation": {"prompts"}, "evaluate": {"inference", "prompts"},
    }  # fmt: skip
    for name, stage in checked(line):
        assert {Path(dep).stem for dep in deps(stage) if dep.startswith("data/inputs/")} == asks.get(name, set()), name
        named = set(re.findall(r'roles(?:\.get\(|\[)"(\w+)"', (ROOT / f"pipelines/{name}.py").read_text()))
        assert named <= asks.get(name, set()) | {"generator"}, f"{name} asks {named}"


def test_a_role_can_only_be_a_model_that_its_stages_declare() -> None:
    """A role may name a model of the line itself: then that model is a dependency of each stage that asks the role."""
    for role, model in OF_LINE.items():
        for name, stage in checked(LINES[0]):
            if f"data/inputs/{role}.json" in deps(stage):
                assert any(f"data/models/{model}".startswith(dep) for dep in deps(stage)), f"{name} asks the {role}"


def test_trainers_read_rows_only_from_released_datasets() -> None:
    for name in TRAINERS:
        data = [dep for dep in deps(stages(LINES[0])[name]) if dep.startswith("data/") and dep != "data/inputs/adoption.json"]
        assert data or name == "adoption"
        for dep in data:
            assert dep.startswith(("data/datasets/", "data/models/")), f"{name} reads {dep}"


def test_of_a_dataset_a_stage_depends_on_what_it_reads() -> None:
    """Rows, and of what is trained on the manifest, never the card: a line more on it makes no training stale."""
    for line in LINES:
        for name, stage in stages(line).items():
            read: dict[str, set[str]] = {}
            for dep in deps(stage):
                if dep.startswith("data/datasets/"):
                    dataset, _, part = dep.removeprefix("data/datasets/").partition("/")
                    read.setdefault(dataset, set()).add(part)
            trained_on = "load_dataset_rows(" in (ROOT / f"pipelines/{name}.py").read_text(encoding="utf-8")
            for dataset, parts in read.items():
                assert parts == ({"data", "manifest.json"} if trained_on else {"data"}), f"{name} of {dataset}"
            assert read or not trained_on, name


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


def test_every_training_has_a_curve() -> None:
    """`dvc plots` shows the log of every training of this line and of none that is no more."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    made = {out for stage in expanded(LINES[0], document) if stage.title.partition("@")[0] in TRAINERS for out in stage.outs}
    plots = yaml.safe_load(LINES[0].read_text(encoding="utf-8"))["plots"]
    shown = [file for entry in plots for plot in entry.values() for file in plot["y"]]
    assert set(shown) == {out for out in made if out.startswith("data/logs/")}


def test_no_out_is_persistent_and_nothing_depends_on_the_library() -> None:
    for stage in stages(LINES[0]).values():
        for out in stage.get("outs", []):
            assert not (isinstance(out, dict) and next(iter(out.values())).get("persist"))
        assert not any(fnmatch(dep, "*library.duckdb") for dep in deps(stage))


@pytest.mark.slow
def test_model_libraries_stay_in_engines_and_trainers() -> None:
    for path in [*ROOT.glob("factory/**/*.py"), *ROOT.glob("pipelines/**/*.py")]:
        if "engines" in path.parts:
            continue
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in MODEL_LIBRARIES, f"{path.relative_to(ROOT)} imports {name}"
