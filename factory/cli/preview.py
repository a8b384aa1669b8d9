"""`factory preview`: a few rows of one stage, with the configured models, before one pays for all of them.

factory preview rollouts@base -n 2
factory preview demonstrations --sent
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.printing import fail
from factory.errors import ParamsError

if TYPE_CHECKING:
    from factory.params import Params

EPILOG = "Examples: factory preview rollouts@base -n 2 · factory preview demonstrations · factory preview problems"
PREVIEWED = ("problems", "rollouts", "demonstrations", "distillation", "templates", "plans", "trajectories", "evaluate")
INSTEAD = {  # what to do with the stages that ask no model
    "inputs": "it only hashes files: `factory check` looks at them",
    "release": "it is the gate: `dvc repro {title}` runs it, `factory audit {item}` says what it thinks of rows",
    "report": "it draws what is there: `dvc repro report`",
    "library": "it asks no model: `dvc repro library`, then `factory templates search`",
    "structure": "it asks no model: `dvc repro structure`, then `factory show structure`",
    "process_rewards": "it asks no model: `dvc repro process_rewards`, then `factory show process_rewards`",
    "corpus": "it asks no model: `dvc repro {title}`, then `factory show corpus`",
    "orm_pairs": "it asks no model: `dvc repro {title}`, then `factory show orm_pairs_{item}`",
    "restarts": "it asks no model: `dvc repro {title}`, then `factory show restarts_{item}`",
    "adoption": "it makes a model: `dvc repro {title}`",
}
TRAINS = "it trains: `factory estimate` says what that takes, `dvc repro {title}` does it"


def preview(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help=f"One of {', '.join(PREVIEWED)}, with its item: rollouts@base.")],
    n: Annotated[int, typer.Option("-n", help="How many problems, and how many questions of each kind are shown.")] = 5,
    sent: Annotated[bool, typer.Option("--sent", help="Show questions as the model gets them, its chat template applied.")] = False,
) -> None:
    """A few rows of one stage with the configured models: questions, answers, verdicts, rejects, tokens and seconds.

    Nothing of the line is written. Answers are kept in the request store (FACTORY_STORE): the whole run asks the same questions first, and
    does not pay for them again.
    """
    from factory.params import load

    title = _known(load(), stage)
    if n < 1:
        raise ParamsError(f"-n is {n}: expected 1 or more problems")
    root, options = _root(), ["--sent"] if sent else []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))}
    with tempfile.TemporaryDirectory(prefix="factory-preview-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "pipelines.preview", title, str(n), folder, *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=env) as run:  # its end of the pipe tells it when this process is gone
            code = run.wait()
    if code < 0:
        fail(f"{title}: the preview was ended by signal {-code}: out of memory, or killed")
    if code:
        raise typer.Exit(code)


def _known(params: "Params", stage: str) -> str:
    """The title of a stage that can be previewed. Raises ParamsError saying what to do instead."""
    from factory.line import stages_of
    from factory.params.names import meant

    titles = [entry.title for entry in stages_of(params)]
    name, _, item = stage.partition("@")
    if stage in titles:
        if name not in PREVIEWED:
            raise ParamsError(f"{stage} has no preview: " + INSTEAD.get(name, TRAINS).format(title=stage, item=item))
        return stage
    if items := [title for title in titles if title.startswith(f"{name}@")]:
        near = meant(stage, items) if item else ""
        raise ParamsError(f"{stage} is no stage of this line{near or '.'} Expected one of {', '.join(items)}")
    if name in titles:
        raise ParamsError(f"{stage} is no stage of this line: expected {name}, which has no items")
    known = [title for title in titles if title.partition("@")[0] in PREVIEWED]
    raise ParamsError(f"{stage!r} is no stage of this line{meant(stage, titles) or '.'} Expected one of {', '.join(known)}")


def _root() -> Path:
    """Where the stages lie. Raises ParamsError outside of a project."""
    if Path("pipelines/preview.py").exists():
        return Path.cwd()
    found = importlib.util.find_spec("pipelines")
    if found is None or not found.origin:
        raise ParamsError(f"the stages (pipelines/) are not here ({Path.cwd()}): run inside the project")
    return Path(found.origin).parents[1]
