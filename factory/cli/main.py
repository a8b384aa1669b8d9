"""The command `factory`: look at what the line made, change profiles, search templates, solve with them. `dvc repro` runs the line itself.

    factory status
    factory show restarts_r1 -n 2

A command group is a file of this folder. Heavy modules are imported by the commands that need them, so that `--help` answers at once.
"""

import io
import os
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

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
from factory.errors import FactoryError, ParamsError, explained

if TYPE_CHECKING:
    from collections.abc import Iterator

MAY_BE_EMPTY = ("--answer-after",)  # no mark: the whole answer counts


class Given(TyperGroup):
    """An option that is given has a value. `--against ""` is what a shell makes of a variable that is not set, and no wish for all."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises ParamsError."""
        valued, words = set(_valued(self)), args[: args.index("--")] if "--" in args else args
        for word, following in pairwise([*words, "--"]):
            name, equals, value = word.partition("=")
            if name in valued and not (value if equals else following):
                raise ParamsError(f"{name} is empty: give it a value, or leave it out")
        return super().parse_args(ctx, args)


def _valued(command: Any) -> "Iterator[str]":
    """The options that take a value, of a command and of those below it."""
    for option in command.params:
        if option.param_type_name == "option" and not option.is_flag:
            yield from {*option.opts} - {*MAY_BE_EMPTY}
    for below in getattr(command, "commands", {}).values():
        yield from _valued(below)


app = typer.Typer(
    cls=Given, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
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
