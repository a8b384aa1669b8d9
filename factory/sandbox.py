"""A folder in which a stage can run as in the project and writes nothing of it: what the line made is linked, what it makes lies there.

    params = with_whole_paths(params)              # ../data/train.jsonl → /home/…/data/train.jsonl, data/models/base stays
    mirror(Path.cwd(), folder, without={"data/tables/rollouts_base.parquet"})
    made_otherwise({TABLES / "problems.parquet": "problems"})     → {TABLES / "problems.parquet": "made with another seed in params.yaml"}

Stages write whole files and folders under a temporary name and rename them: a link is replaced, never written through.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from factory.engines.budget import SPENT
from factory.language.prompting import SETS
from factory.params import Params, Role, Source
from factory.params.names import model_of_line
from factory.params.yaml_file import read_yaml
from factory.storage import DATASETS, MODELS, TABLES

PARTS = (TABLES, DATASETS, MODELS)
LOCK, PARAMS = Path("dvc.lock"), Path("params.yaml")


def mirror(project: Path, folder: Path, without: Collection[str] = ()) -> None:
    """Links to what the line made, but for the paths `without`, and to the book of what was paid for."""
    (folder / SPENT).parent.mkdir(parents=True, exist_ok=True)
    (folder / SPENT).symlink_to(project / SPENT)
    for part in PARTS:
        (folder / part).mkdir(parents=True)
        for path in sorted((project / part).iterdir()) if (project / part).is_dir() else ():
            if not path.name.startswith(".") and str(part / path.name) not in without:
                (folder / part / path.name).symlink_to(path, target_is_directory=path.is_dir())


def with_whole_paths(params: Params) -> Params:
    """Params whose files and folders outside of the line are found from any working directory."""
    sources = [source.model_copy(update={"path": _of_source(source)}) for source in params.problems.sources]
    benchmarks = [os.path.abspath(path) for path in params.problems.benchmarks]
    changes: dict[str, Any] = {
        "roles": {name: _of_role(role) for name, role in params.roles.items()},
        "problems": params.problems.model_copy(update={"sources": sources, "benchmarks": benchmarks}),
        "adoption": {name: _there(model) for name, model in params.adoption.items()},
    }
    return params.model_copy(update=changes)


def _of_source(source: Source) -> str | None:
    return (
        source.path if source.path is None or (source.kind in ("world", "hub") and not Path(source.path).exists()) else _there(source.path)
    )


def _of_role(role: Role) -> Role:
    prompts = role.prompts if role.prompts in SETS else os.path.abspath(role.prompts)
    if role.engine == "openai":
        return role.model_copy(update={"prompts": prompts, "batch": None})  # people wait for it; the run finds the same answers
    own = model_of_line(role.model)
    return role.model_copy(update={"prompts": prompts, "model": str(MODELS / own) if own else _there(role.model)})


def _there(path: str) -> str:
    """Absolute where there is such a file or folder; a Hub id stays, and a missing file's name stays as it was written."""
    return os.path.abspath(path) if Path(path).exists() else path


def made_otherwise(makers: Mapping[Path, str]) -> dict[Path, str]:
    """Why what lies at a path is not what its stage would make with params.yaml as it is, as far as dvc.lock tells; nothing of a path that
    nothing speaks against. Code and the content of inputs are not compared: `factory status --check` asks DVC."""
    stages = ((read_yaml(LOCK) or {}).get("stages") or {}) if LOCK.exists() else {}
    params, found = read_yaml(PARAMS), {}
    for path, stage in makers.items():
        by = next((title for title, entry in stages.items() if str(path) in [out["path"] for out in entry.get("outs", ())]), stage)
        told = stages.get(by, {}).get("params", {}).get(str(PARAMS), {})
        if by != stage:
            found[path] = f"made by {by}, which is not this line's way to it"
        elif changed := [key for key, value in told.items() if _at(params, key) != value]:
            found[path] = f"made with another {', '.join(changed)} in params.yaml"
    return found


def _at(document: Any, key: str) -> Any:
    for part in key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document
