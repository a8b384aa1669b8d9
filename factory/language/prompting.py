"""Prompts are Jinja files under `prompts/`; a prompt's content hash is its version, which every row made with it carries.

render("solve", problem="Tom has 3 apples. …")   → "Tom has 3 apples. …\\nSolve:\\n"
version("solve")                                 → "solve@1f0c9a27"
"""

from functools import cache
from pathlib import Path

import jinja2

from factory.identity import digest

FOLDER = Path(__file__).parent / "prompts"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip


@cache
def _template(name: str) -> jinja2.Template:
    return _environment().get_template(f"{name}.j2")


def render(name: str, /, **values: object) -> str:
    """Raises jinja2.UndefinedError for a variable that the file names and `values` lacks."""
    return _template(name).render(**values)


@cache
def version(name: str) -> str:
    return f"{name}@{digest((FOLDER / f'{name}.j2').read_text())[:8]}"
