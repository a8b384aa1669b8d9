"""A report's blocks, and the two forms that they are written in: one self-contained HTML page, and Markdown.

    Section("Headline", (Table(("model", "pass@1"), (("base", "0.41"),)), Figure("<svg …>", "…")))

Everything but a figure's SVG is text that models may have written: both forms escape it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from factory.reports.readable import visible

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Prose:
    text: str
    kind: str = "prose"


@dataclass(frozen=True)
class Table:
    """Cells are text or numbers as they shall be read; columns of numbers align right."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    svg: str  # made by charts.py, which escapes its labels
    caption: str = ""
    kind: str = "figure"

    def markup(self) -> Markup:
        return Markup(self.svg)


@dataclass(frozen=True)
class Sample:
    """A row to read: (column, text)."""

    title: str
    fields: tuple[tuple[str, str], ...]
    kind: str = "sample"


Block = Prose | Table | Figure | Sample


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        return "-".join(self.title.lower().split())


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )


def html(title: str, notice: str, sections: Sequence[Section]) -> str:
    return _environment().get_template("report.html.j2").render(title=title, notice=notice, sections=sections)


def markdown(title: str, notice: str, sections: Sequence[Section]) -> str:
    parts = [f"# {_line(title)}", *([f"> **{_line(notice)}**"] if notice else [])]
    for section in sections:
        parts += [f"## {_line(section.title)}", *(text for block in section.blocks if (text := _markdown(block)))]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    """Figures have no Markdown form: their numbers stand in a table beside them."""
    if isinstance(block, Prose):
        return _line(block.text)
    if isinstance(block, Table):
        lines = [block.headers, ("---",) * len(block.headers), *block.rows]
        table = "\n".join("| " + " | ".join(_line(cell) for cell in line) + " |" for line in lines)
        return f"{_line(block.caption)}\n\n{table}" if block.caption else table
    if isinstance(block, Sample):
        text = "\n".join(f"{name}: {value}" if "\n" not in value else f"{name}:\n{_indent(value, 2)}" for name, value in block.fields)
        return f"### {_line(block.title)}\n\n{_indent(visible(text), 4)}"  # an indented block shows its text as it is
    return ""


def _line(text: str) -> str:
    """One line of a Markdown table or paragraph that shows the text literally; an underscore within a word means nothing there."""
    plain = visible(text).replace("\n", " ").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|`*\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", plain)


def _indent(text: str, spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in text.split("\n"))
