"""`factory profile`: whole params files.

factory profile list
factory profile diff satori-7b
factory profile use satori-7b
"""

from typing import Annotated

import typer

profile = typer.Typer(no_args_is_help=True, help="Whole params files: which one is in use, and putting another in its place.")


@profile.command("list")
def profile_list() -> None:
    """The profiles, and which one params.yaml is."""
    from factory.params.profiles import current, names

    used = current()
    for name in names():
        typer.echo(f"{'*' if name == used else ' '} {name}")
    if used is None:
        typer.echo("params.yaml is none of them: `factory profile diff NAME` shows how it differs")


@profile.command("diff")
def profile_diff(name: Annotated[str, typer.Argument(help="A profile.")] = "laptop") -> None:
    """What `factory profile use NAME` would change in params.yaml."""
    from factory.params.profiles import difference

    typer.echo(difference(name) or f"params.yaml is the profile {name}")


@profile.command("use", epilog="Example: factory profile use satori-7b, then `dvc repro`")
def profile_use(
    name: Annotated[str, typer.Argument(help="A profile.")],
    force: Annotated[bool, typer.Option("--force", help="Lose edits of params.yaml that nothing holds.")] = False,
) -> None:
    """Put a profile over params.yaml. Refuses when that would lose edits."""
    from factory.params.profiles import current, use

    before = current()
    changed = use(name, force=force)
    back = f"factory profile use {before}" if before else "git checkout params.yaml"
    typer.echo(f"{changed}params.yaml is now the profile {name}; `dvc repro` builds it" if changed else f"params.yaml was {name} already")
    if changed:
        typer.echo(f"To go back: `{back}`, then `dvc repro`, which restores from its cache what it built before.")
