"""A report's blocks, and the two forms that they are written in: one self-contained HTML page, and Markdown.

    Section("Accuracies", (Table(("model", "pass@1"), (("base", "0.41"),)), Figure("<svg …>", "…")))

Everything but a figure's SVG is text that models may have written: both forms escape it. The page needs no script and loads nothing;
what is long folds (`<details>`), and print style opens it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from factory.reports.marked import marked
from factory.reports.readable import visible

FOLDER = Path(__file__).parent
LONG = 14  # rows: a longer table folds
SHORT = 32  # characters of a value that stands beside others
_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?( %)?")
GOOD, BAD = ("passed", "same"), ("FAILED", "REFUSED")
WARN = ("warning", "not audited")  # all three: words of a cell that are marked, by sign and colour


class Link(str):
    """A cell that leads to an anchor of the page."""

    anchor: str

    def __new__(cls, text: str, anchor: str) -> "Link":
        link = super().__new__(cls, text)
        link.anchor = anchor
        return link


@dataclass(frozen=True)
class Prose:
    """`code`: what stands between backticks is code, as in a docstring."""

    text: str
    code: bool = False
    kind: str = "prose"


@dataclass(frozen=True)
class Heading:
    """Of a part of a section, with an anchor of its own; `mark` is a word beside it, as "passed"."""

    text: str
    anchor: str
    mark: str = ""
    kind: str = "heading"


@dataclass(frozen=True)
class Table:
    """Cells are text or numbers as they shall be read; columns of numbers align right. `fold`: None folds a long one."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    fold: bool | None = None
    kind: str = "table"

    @property
    def folds(self) -> bool:
        return len(self.rows) > LONG if self.fold is None else self.fold

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether it aligns right: all that is in it are numbers."""
        columns = [[row[place] for row in self.rows if row[place]] for place in range(len(self.headers))]
        return [bool(cells) and all(map(is_number, cells)) for cells in columns]


@dataclass(frozen=True)
class Facts:
    """(what, value) in few words each."""

    pairs: tuple[tuple[str, str], ...]
    kind: str = "facts"


@dataclass(frozen=True)
class Figure:
    """`wide`: as drawn, and scrolls where the window is narrower; `narrow`: what a phone shows instead."""

    svg: str  # made by charts.py, plots.py or drawing.py, which escape their labels
    caption: str = ""
    wide: bool = False
    narrow: str = ""
    kind: str = "figure"

    def markup(self) -> Markup:
        return Markup(self.svg)

    def narrow_markup(self) -> Markup:
        return Markup(self.narrow)


@dataclass(frozen=True)
class Plots:
    """Small figures side by side, as many in a line as there is room for."""

    figures: tuple[Figure, ...]
    kind: str = "plots"


@dataclass(frozen=True)
class Sample:
    """A row to read: (column, text)."""

    title: str
    fields: tuple[tuple[str, str], ...]
    kind: str = "sample"

    @property
    def short(self) -> list[tuple[str, str]]:
        return [field for field in self.fields if _is_short(field[1])]

    @property
    def long(self) -> list[tuple[str, str]]:
        return [field for field in self.fields if not _is_short(field[1])]


def _is_short(text: str) -> bool:
    return len(text) <= SHORT and "\n" not in text


@dataclass(frozen=True)
class Fold:
    """Blocks behind their title."""

    title: str
    blocks: tuple["Block", ...]
    open: bool = False
    kind: str = "fold"


Block = Prose | Heading | Facts | Table | Figure | Plots | Sample | Fold


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        return "-".join(self.title.lower().split())

    @property
    def headings(self) -> list[Heading]:
        return [block for block in self.blocks if isinstance(block, Heading)]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    environment.filters |= {"marked": marked, "state": state, "coded": coded}
    return environment


def state(cell: str) -> str:
    """The class of a cell's word: good, bad, warn or none."""
    return "good" if cell in GOOD else "bad" if cell in BAD else "warn" if cell in WARN else ""


def is_number(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell))


def html(title: str, notice: str, sections: Sequence[Section], beside: Sequence[tuple[str, str]] = ()) -> str:
    """`beside`: (path from the page, words) of pages that lie beside it."""
    return _environment().get_template("report.html.j2").render(title=title, notice=notice, sections=sections, beside=beside)


def markdown(title: str, notice: str, sections: Sequence[Section]) -> str:
    parts = [f"# {_line(title)}", *([f"> **{_line(notice)}**"] if notice else [])]
    for section in sections:
        parts += [f"## {_line(section.title)}", *_texts(section.blocks)]
    return "\n\n".join(parts) + "\n"


def _texts(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Fold):
            yield from (f"**{_line(block.title)}**", *_texts(block.blocks))
        elif text := _markdown(block):
            yield text


def _quoted(block: Prose) -> list[str]:
    """Text and code by turns; what has no closing backtick is text."""
    parts = block.text.split("`") if block.code else [block.text]
    return parts if len(parts) % 2 else ["".join(parts)]


def coded(block: Prose) -> Markup:
    parts = (Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(_quoted(block)))
    return Markup("").join(parts)


def _markdown(block: Block) -> str:
    """Figures have no Markdown form: their numbers stand in a table beside them."""
    if isinstance(block, Prose):
        return "`".join(part if block.code and place % 2 else _line(part) for place, part in enumerate(_quoted(block)))
    if isinstance(block, Heading):
        return f"### {_line(block.text)}" + (f": {_line(block.mark)}" if block.mark else "")
    if isinstance(block, Facts):
        return "\n".join(f"- {_line(name)}: {_line(value)}" for name, value in block.pairs)
    if isinstance(block, Table):
        lines = [block.headers, ("---",) * len(block.headers), *block.rows]
        table = "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
        return f"{_line(block.caption)}\n\n{table}" if block.caption else table
    if isinstance(block, Sample):
        text = "\n".join(f"{name}: {value}" if "\n" not in value else f"{name}:\n{_indent(value, 2)}" for name, value in block.fields)
        return f"#### {_line(block.title)}\n\n{_indent(visible(text), 4)}"  # an indented block shows its text as it is
    return ""


def _cell(cell: str) -> str:
    return f"[{_line(cell)}](#{cell.anchor})" if isinstance(cell, Link) else _line(cell)


def _line(text: str) -> str:
    """One line of a Markdown table or paragraph that shows the text literally; an underscore within a word means nothing there."""
    plain = visible(text).replace("\n", " ").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|`*\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", plain)


def _indent(text: str, spaces: int) -> str:
    return "\n".join(" " * spaces + line for line in text.split("\n"))
