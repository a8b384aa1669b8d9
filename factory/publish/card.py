"""The dataset card: README.md with the YAML front matter that the Hub reads, written from the audit and the rows themselves.

card(facts)   → "---\\nlicense: apache-2.0\\n…---\\n# coat-laptop · restarts_r1\\n…"
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from factory.audit.expectations import Audit

FOLDER = Path(__file__).parent
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


@dataclass(frozen=True)
class Facts:
    """What a card says. `lineage`: column → its distinct values and counts; `columns`: name → (type, nullable)."""

    collection: str
    dataset: str
    about: str
    purpose: str
    notice: str
    licence: str
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
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip


def card(facts: Facts) -> str:
    return _environment().get_template("card.md.j2").render(facts=facts, size=size_category(facts.rows))
