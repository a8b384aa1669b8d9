"""The library as the loop asks it: one template for a planned step, and the few that fit a problem.

    lookup = Lookup(load_templates(Path("data/library.duckdb")))
    lookup.retrieve("put together (add, total)")              → Found(Template(name="put together", …), 5.2)
    lookup.retrieve("put together (add)", without={"t1"})     → the next best, None where no word is shared
    lookup.fitting("Tom has 3 apples. …", 8)                  → [Template(…), …]: what a planner without training chooses from

A template of exactly the planned name comes first, the best of the others by score. Source: papers/reasonflux, "Inference scaling" step 2.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import DataError
from factory.grading import normalise
from factory.identity import row_id
from factory.schemas import Template, field_types
from factory.storage import read_rows, values_of
from factory.templates.retrieve import label, postings_sql, scores_sql


@dataclass(frozen=True)
class Found:
    template: Template
    score: float


def load_templates(path: Path) -> list[Template]:
    """The accepted templates of a library (.duckdb), a Parquet file or a dataset folder, by id. Raises DataError: missing, unreadable or
    without any."""
    if not path.exists():
        raise DataError(f"{path} is missing: name a library with --library (`dvc repro library` builds data/library.duckdb)")
    rows = _of_database(path) if path.suffix == ".duckdb" else read_rows(path, Template)
    accepted = [row for row in rows if row.status == "accepted"]
    if not accepted:
        raise DataError(f"{path} has {len(rows):,} templates, none of them accepted: there is nothing to plan with")
    return accepted


def _of_database(path: Path) -> list[Template]:
    import duckdb

    types = field_types(Template)
    try:
        with duckdb.connect(path, read_only=True) as connection:
            rows = connection.execute(f"select {', '.join(types)} from templates order by id").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{path} is not a template library: {str(error).splitlines()[0]} (`dvc repro library` builds it)") from None
    columns = [values_of([row[place] for row in rows], hint) for place, hint in enumerate(types.values())]
    return [Template(**dict(zip(types, values))) for values in zip(*columns, strict=True)]


class Lookup:
    """Its index is built once."""

    def __init__(self, templates: Sequence[Template]) -> None:
        import duckdb

        self.templates = list(templates)
        self.version = row_id("library", sorted(template.id for template in templates))
        self._by_id = {template.id: template for template in templates}
        self._fitting: dict[tuple[str, int], list[Template]] = {}
        self._ranked: dict[str, list[Found]] = {}
        self._connection = duckdb.connect()
        texts = [(item.id, label(item), " ".join((label(item), item.description, item.scope))) for item in self.templates]
        self._connection.execute("create table texts (id varchar, label varchar, whole varchar)")
        if texts:
            self._connection.executemany("insert into texts values (?, ?, ?)", texts)
        for name in ("label", "whole"):
            self._connection.execute(f"create table by_{name} as {postings_sql(f'(select id, {name} as text from texts)')}")

    def retrieve(self, name_and_tags: str, without: Collection[str] = ()) -> Found | None:
        """The best template for a planned step whose id is not in `without`; None where nothing is found."""
        if name_and_tags not in self._ranked:  # plans repeat
            self._ranked[name_and_tags] = self._rank(name_and_tags)
        return next((found for found in self._ranked[name_and_tags] if found.template.id not in without), None)

    def fitting(self, problem: str, k: int) -> list[Template]:
        """Up to k templates whose text is most like the problem's; the first k where it shares no word with any."""
        if (problem, k) not in self._fitting:
            found = self._scores(problem, "by_whole")[:k]
            self._fitting[problem, k] = [self._by_id[key] for key, _ in found] or self.templates[:k]
        return self._fitting[problem, k]

    def _rank(self, name_and_tags: str) -> list[Found]:
        name = normalise(name_and_tags.rsplit(" (", 1)[0])
        scores = dict(self._scores(name_and_tags, "by_label"))
        exact = sorted(item.id for item in self.templates if normalise(item.name) == name)
        return [Found(self._by_id[key], round(scores.get(key, 0.0), 6)) for key in dict.fromkeys([*exact, *scores])]

    def _scores(self, text: str, index: str) -> list[tuple[str, float]]:
        """(id, score) of every template that shares a term with the text, best first."""
        query = scores_sql("(select 0 as query, ? as text)", index)
        return self._connection.execute(f"select id, score from ({query}) order by score desc, id", [text]).fetchall()
