"""The dataset card: README.md with the YAML front matter that the Hub reads, written from the audit and the rows themselves.

card(facts)   → "---\\nlicense: apache-2.0\\n…---\\n# coat-laptop · restarts_r1\\n…"
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
import yaml

from factory.gate.expectations import Audit

FOLDER = Path(__file__).parent
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


@dataclass(frozen=True)
class Facts:
    """What a card says. `licences`: of rows with another licence than the release's, all with their rows; `lineage`: column → its distinct
    values and counts; `columns`: name → (type, nullable)."""

    collection: str
    dataset: str
    about: str
    purpose: str
    notice: str
    licence: str
    licences: dict[str, int]
    split: str
    rows: int
    columns: dict[str, str]
    counts: dict[str, dict[str, int]]
    lineage: dict[str, dict[str, int]]
    audit: Audit


def size_category(rows: int) -> str:
    """The Hub's word for a number of rows."""
    return next((name for limit, name in SIZES if rows < limit), "n>10M")


@cache
def environment(folder: Path) -> jinja2.Environment:
    """Templates of Markdown in a folder, with the filters `cell` and `code`."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    found.filters |= {"cell": cell, "code": code}
    return found


def card(facts: Facts) -> str:
    return environment(FOLDER).get_template("card.md.j2").render(facts=facts, front=_front(facts))


def _front(facts: Facts) -> str:
    """The YAML between the two `---`: a name or licence may hold whatever text it likes."""
    matter = {
        "license": _identifiers(facts), "pretty_name": f"{facts.collection} · {facts.dataset}", "task_categories": ["text-generation"],
        "language": ["en"], "size_categories": [size_category(facts.rows)], "tags": ["reasoning", "coat", facts.audit.table],
        "configs": [{"config_name": "default", "data_files": [{"split": facts.split, "path": f"data/{facts.split}-*.parquet"}]}],
    }  # fmt: skip
    return yaml.dump(matter, Dumper=_Front, sort_keys=False, allow_unicode=True, width=2**31)


def _identifiers(facts: Facts) -> str | list[str]:
    """The release's licence; of rows that have their own those, each once in the Hub's lower case."""
    own = sorted({licence.casefold() for licence in facts.licences})
    return own if len(own) > 1 else own[0] if own else facts.licence


class _Front(yaml.SafeDumper):
    """Text of several lines with escapes, in one: no line of it can be taken for the `---` that ends the front matter."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if len(text.splitlines()) > 1 else None)


_Front.add_representer(str, _text)


def cell(value: object) -> str:
    """Text as it may stand in one line or table cell of Markdown."""
    return " ".join(str(value).split()).replace("|", "\\|")


def code(value: object) -> str:
    """The same between backticks, of which more than any run within are needed."""
    text = cell(value)
    runs = [len(run) for run in re.findall("`+", text)]
    marks, space = "`" * (max(runs, default=0) + 1), " " if runs else ""
    return f"{marks}{space}{text}{space}{marks}"
