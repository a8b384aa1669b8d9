"""The library as the loop asks it: one template for a planned step, and the few that fit a problem.

    lookup = Lookup(load_templates(Path("data/library.duckdb")))
    lookup.retrieve("put together (add, total)")              → Found(Template(name="put together", …), 5.2)
    lookup.retrieve("put together (add)", without={"t1"})     → the next best; None where the index abstains
    lookup.fitting("Tom has 3 apples. …", 8)                  → [Template(…), …]: what a planner without training chooses from

A template of exactly the planned name comes first, the best of the others by score. Source: papers/reasonflux, "Inference scaling" step 2.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import DataError
from factory.identity import row_id
from factory.schemas import Template
from factory.templates.index import Index
from factory.templates.library import library_rows
from factory.words import amount

RANKED = 10  # templates that are ranked for a planned step: as many may be refused before it has none


@dataclass(frozen=True)
class Found:
    template: Template
    score: float


def load_templates(path: Path) -> list[Template]:
    """The accepted templates of a library (.duckdb), a Parquet file or a dataset folder, by id. Raises DataError: missing, unreadable or
    without any."""
    rows = library_rows(path)
    accepted = [row for row in rows if row.status == "accepted"]
    if not accepted:
        raise DataError(f"{path} has {amount(len(rows), 'template')}, none of them accepted: there is nothing to plan with")
    return accepted


class Lookup:
    """Its index is built once."""

    def __init__(self, templates: Sequence[Template]) -> None:
        self.templates = list(templates)
        self.version = row_id("library", sorted(template.id for template in templates))
        self._by_id = {template.id: template for template in templates}
        self._index = Index.of(templates)
        self._fitting: dict[tuple[str, int], list[Template]] = {}
        self._ranked: dict[str, list[Found]] = {}

    def retrieve(self, name_and_tags: str, without: Collection[str] = ()) -> Found | None:
        """The best template for a planned step whose id is not in `without`; None where nothing is found."""
        if name_and_tags not in self._ranked:  # plans repeat
            hits = self._index.lookup(name_and_tags, RANKED)
            self._ranked[name_and_tags] = [Found(self._by_id[hit.template_id], round(hit.score, 6)) for hit in hits]
        return next((found for found in self._ranked[name_and_tags] if found.template.id not in without), None)

    def fitting(self, problem: str, k: int) -> list[Template]:
        """Up to k templates whose text is most like the problem's; the first k where it shares no word with any."""
        if (problem, k) not in self._fitting:
            hits = self._index.search(problem, k, confident=0)
            self._fitting[problem, k] = [self._by_id[hit.template_id] for hit in hits] or self.templates[:k]
        return self._fitting[problem, k]
