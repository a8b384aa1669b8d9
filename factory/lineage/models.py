"""Models and prompts that a row names: which stage made the model, of what; which file the prompt's words stand in.

model_origin(root, run, "format_tuned@941fba02…")   → ModelOrigin(…, stage="format_tuning", here=True, of=("data/models/base", …))
prompt_text(root, run, "laptop/solve@cd501933")     → PromptText("laptop/solve@cd501933", "factory/language/prompts/laptop/solve.j2", True)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.identity import digest
from factory.lineage.run import COMPARED, Run
from factory.storage import MODELS

PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "language" / "prompts", PACKAGE / "templates" / "questions", PACKAGE / "templates" / "prompts")


@dataclass(frozen=True)
class ModelOrigin:
    """`stage` is "" for a model that this line did not make. `md5` and `size` are the lock's; `here`: whether the folder here has the
    revision that the row names (None: no folder, or too large to hash in passing). `of`: datasets and models it was made of."""

    model: str
    stage: str = ""
    command: str = ""
    md5: str = ""
    size: int = 0
    here: bool | None = None
    of: tuple[str, ...] = ()
    params: dict[str, Any] | None = None


@dataclass(frozen=True)
class PromptText:
    """`file`: where the words of this version stand, "" where no file here has them; `words`: the file's text."""

    version: str
    file: str = ""
    words: str = ""


def model_origin(root: Path, run: Run, model: str) -> ModelOrigin:
    name, _, revision = model.partition("@")
    path = (MODELS / name).as_posix()
    stage = run.maker(path)
    if stage is None:
        return ModelOrigin(model)
    out = stage.out(path)
    parts = (read.path.split("/")[:3] for read in stage.data)  # of a dataset a trainer reads rows and manifest
    of = tuple(dict.fromkeys("/".join(part) for part in parts if part[1] in ("datasets", "models", "inputs")))
    folder = root / path
    here = _revision(folder) == revision if out and out.size <= COMPARED and (folder / "config.json").exists() else None
    return ModelOrigin(model, stage.title, stage.command, out.md5 if out else "", out.size if out else 0, here, of, stage.params)


def _revision(folder: Path) -> str:
    from factory.engines.select import model_revision
    from factory.errors import EngineError

    try:
        return model_revision(folder)
    except EngineError:
        return ""


def prompt_text(root: Path, run: Run, version: str) -> PromptText:
    """`version`: `laptop/solve@cd501933`, the folder and question, and the hash of the words. Looked at: the package's sets and the folders
    that roles of the run name."""
    name, _, wanted = version.partition("@")
    folder, _, question = name.rpartition("/")
    candidates = [base / folder / f"{question}.j2" for base in FOLDERS] + [
        base / f"{question}.j2" for base in FOLDERS if base.name == folder
    ]
    named = {str(value) for stage in run.stages.values() for key, value in stage.params.items() if key.endswith(".prompts")}
    candidates += [root / name / f"{question}.j2" for name in sorted(named) if Path(name).name == folder]
    for path in candidates:
        if path.is_file() and digest(text := path.read_text(encoding="utf-8"))[:8] == wanted:
            return PromptText(version, _short(path, root), text)
    return PromptText(version)


def _short(path: Path, root: Path) -> str:
    for base in (root.absolute(), PACKAGE.parent):
        if path.absolute().is_relative_to(base):
            return path.absolute().relative_to(base).as_posix()
    return str(path)
