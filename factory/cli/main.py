"""The command `factory`: look at what the line made, change profiles, search templates, solve with them. `dvc repro` runs the line itself.

    factory status
    factory show restarts_r1 -n 2

A command group is a file of this folder. Heavy modules are imported by the commands that need them, so that `--help` answers at once.
"""

import io
import os
import sys

import typer

from factory.cli import (
    audit,
    check,
    estimate,
    export,
    grade,
    preview,
    profile,
    prompts,
    publish,
    report,
    requests,
    show,
    solve,
    status,
    template_files,
    templates,
    timings,
    trace,
)  # fmt: skip
from factory.cli.printing import fail
from factory.errors import FactoryError, explained

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Look at what the line made, change profiles, search templates, solve with them. `dvc repro` runs the line.",
    epilog="Start with: factory status · factory show demonstrations -n 1 · factory profile list",
)  # fmt: skip
app.add_typer(audit.audit, name="audit")
app.add_typer(profile.profile, name="profile")
app.add_typer(prompts.prompts, name="prompts")
app.add_typer(templates.templates, name="templates")
templates.templates.command("import", epilog=template_files.IMPORT)(template_files.import_)
templates.templates.command(epilog=template_files.LINT)(template_files.lint)
templates.templates.command(epilog=template_files.DIFF)(template_files.diff)
templates.templates.command(epilog=template_files.MERGES)(template_files.merges)
app.add_typer(requests.requests, name="requests")
app.command(epilog=check.EPILOG)(check.check)
app.command(epilog=estimate.EPILOG)(estimate.estimate)
app.command(epilog=export.EPILOG)(export.export)
app.command(epilog=grade.EPILOG)(grade.grade)
app.command(epilog=preview.EPILOG)(preview.preview)
app.command(epilog=publish.EPILOG)(publish.publish)
app.command(epilog=report.EPILOG)(report.report)
app.command(epilog=solve.EPILOG)(solve.solve)
app.command(epilog=status.EPILOG)(status.status)
app.command(epilog=show.EPILOG)(show.show)
app.command()(timings.timings)
app.command(epilog=trace.EPILOG)(trace.trace)


def main() -> None:
    """The boundary: a user's mistake is one or two lines and exit code 1. What a terminal cannot write, it shows as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough: `factory show … | head`
    except FactoryError as error:
        fail(str(error))
    except (OSError, MemoryError) as error:
        fail(explained(error))
