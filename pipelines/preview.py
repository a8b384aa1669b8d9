"""A few rows of one stage with the configured models, and nothing of the line written: what `factory preview` runs.

    python -m pipelines.preview rollouts@base 5 /tmp/factory-preview-x1

The stage's own `main` runs in the folder that is named, on params that ask for little (few_rows.py), and what it asked is shown.
"""

import contextlib
import io
import os
import shutil
import sys
import threading
from pathlib import Path

from factory.cli.exchanges import Shown, show
from factory.engines.listening import listening
from factory.errors import EngineError, FactoryError, explained
from factory.line import Stage
from factory.params import load
from factory.schemas import Problem, Reject, Row
from factory.storage import REJECTS, TABLES, read_rows
from factory.tables import table_of
from pipelines import stage
from pipelines.few_rows import PROBLEMS, Few


def main(title: str, n: int, folder: Path, *, sent: bool = False) -> None:
    """Raises EngineError when the models could not be asked, after showing what was answered; other ends of a stage, which has few rows
    here, are shown and are none of the preview."""
    few, ended, said = Few(load(), n, title, folder), None, io.StringIO()
    with contextlib.redirect_stdout(said):
        few.prepare()
        known = read_rows(PROBLEMS, Problem) if few.name != "problems" else []
        params = few.cut()
    with contextlib.redirect_stdout(said := io.StringIO()), listening() as ear:
        try:
            few.run(params)
        except FactoryError as error:
            ended = error
    tables, rejects = _made(few.stage)
    if ended and not ear.exchanges and not tables and not rejects:
        raise ended
    show(Shown(title, n, sent, params, ear, known, tables, rejects, few.notes, said.getvalue().strip(), str(ended or "")))
    if isinstance(ended, EngineError):
        raise ended


def _made(own: Stage) -> tuple[dict[str, list[Row]], list[Reject]]:
    there = {table: path for table in own.tables if (path := TABLES / f"{table}.parquet").exists()}
    tables = {table: list[Row](read_rows(path, table_of(table))) for table, path in there.items()}
    rejects = REJECTS / f"{own.rejects}.parquet"
    return tables, read_rows(rejects, Reject) if rejects.exists() else []


def _end_with_parent(folder: Path) -> None:
    """The command holds the other end of standard input: when it is killed, this run and its folder go too."""

    def watch() -> None:
        while os.read(0, 1):  # nothing is ever written
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(title: str, n: str, folder: str, *options: str) -> None:
    """The boundary, as `stage.run` is for the stages of the line."""
    _end_with_parent(Path(folder))
    stage.show_any_text()
    try:
        main(title, int(n), Path(folder), sent="--sent" in options)
        sys.stdout.flush()
    except FactoryError as error:
        sys.exit(f"error: {title}: {error}")
    except BrokenPipeError:
        stage.silence_stdout()  # the reader has seen enough
    except (OSError, MemoryError) as error:
        sys.exit(f"error: {title}: {explained(error)}")
    except KeyboardInterrupt:
        sys.exit(f"{title}: stopped; what was answered is kept")


if __name__ == "__main__":
    run(*sys.argv[1:])
