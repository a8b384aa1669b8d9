"""Find templates: by a name that a plan wrote, by words, or by words and embeddings. One index, in memory or in the library's file.

    index = Index.of(templates)                        or    Index.open(Path("data/library.duckdb")), or of a Parquet of templates
    index.search("Ann gives away 3 of her apples", 5)    → [Hit(template_id="51aa…", name="give away", score=9.31, confidence=1.2,
                                                               why=(("give", 3.1), ("away", 2.9)))]
    index.lookup("hand over (subtract, left)")           → [Hit(…)]: the template of that name, else the best for those words, else []
    index.template("51aa…")                              → Template(…)

BM25 over terms (`terms`) finds candidates; the likeness of their writing (`Shapes`) and, with an encoder, of their meaning orders them. A
search abstains, [], where its best hit's confidence is below `CONFIDENT`: the part of the query's idf that was matched, times the root of
all that idf in units of the rarest term's. Two matched terms of ten prove little, eight of forty something. The threshold is measured.

An exact name comes first, of equal names the one with more of the planned tags. Ties go to the smaller id.
Source: papers/reasonflux, "Retrieval" and "Inference scaling" step 2; figures in docs/benchmarks.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory.errors import DataError
from factory.grading import normalise
from factory.schemas import Template
from factory.storage import read_rows, to_table
from factory.templates.library import BUILD, VERSION, fill, kind_of, rows_of
from factory.templates.retrieve import names_in
from factory.templates.shapes import Shapes, written
from factory.templates.terms import terms

if TYPE_CHECKING:
    import duckdb

Encoder = Callable[[Sequence[str]], NDArray[np.float32]]  # texts → (texts, dimensions), rows of length 1

CONFIDENT = 0.65
CANDIDATES = 30
SHAPE = 0.2  # of the likeness of writing, beside the terms'
MEANING = 0.6  # of the likeness of meaning, beside the rest; the rest's best is 1
READ = 10_000  # characters of a query that count
POSTINGS = 1_000_000  # read for a query: common terms are left out beyond
KEPT = 20_000_000  # postings kept in memory, 8 bytes each; those of a larger library are read from its file
TEXTS = 20_000  # candidates kept in memory, 1 to 2 KB each
DECIMALS = 9
NAME, EXACT = "exact name", 100.0  # what a hit says of it, and its score and confidence


@dataclass(frozen=True)
class Hit:
    template_id: str
    name: str
    score: float
    confidence: float
    why: tuple[tuple[str, float], ...]  # matched terms and their parts of the score, the largest first


class _Posting(NamedTuple):
    idf: float
    places: NDArray[np.int32]
    weights: NDArray[np.float32]


class _Term(NamedTuple):
    templates: int  # that have it
    idf: float
    start: int  # of its postings


class _Candidate(NamedTuple):
    id: str
    name: str
    text: str
    written: str


class Index:
    """Made once, asked often; not shared by threads."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", *, accepted: bool = False) -> None:
        """`accepted`: only templates of that status are found."""
        self._connection = connection
        self.count, rarest, average = connection.execute("select templates, rarest, average from collection").fetchone() or (0, 0.0, 1.0)
        shapes = connection.execute("select gram, idf from shapes order by gram").fetchnumpy()
        self._shapes = Shapes(np.asarray(shapes["gram"]), np.asarray(shapes["idf"]), rarest, average)
        self._read: dict[int, _Candidate] = {}
        self._terms, start = dict[str, _Term](), 0
        for term, templates, idf in connection.execute("select term, templates, idf from terms order by term").fetchall():
            self._terms[term] = _Term(templates, idf, start)
            start += templates
        self._all: tuple[NDArray[np.int32], NDArray[np.float32]] | None = None
        if start <= KEPT:
            rows = connection.execute("select place, weight from postings order by term, place").fetchnumpy()
            self._all = np.asarray(rows["place"]), np.asarray(rows["weight"])
        self._rarest = float(np.log1p((self.count + 0.5) / 0.5))
        self._hidden: NDArray[np.int32] | None = None
        if accepted:
            hidden = connection.execute("select place from templates where status <> 'accepted'").fetchnumpy()
            self._hidden = np.asarray(hidden["place"], np.int32)

    @classmethod
    def of(cls, templates: Iterable[Template], *, accepted: bool = False) -> "Index":
        """An index in memory. Raises DataError when an id stands twice."""
        import duckdb

        connection = duckdb.connect(config={"threads": 1})
        rows = sorted(templates, key=lambda template: template.id)
        connection.register("given", to_table(Template, rows))
        fill(connection, "given")
        connection.unregister("given")
        return cls(connection, accepted=accepted)

    @classmethod
    def open(cls, path: Path, *, accepted: bool = False) -> "Index":
        """The index of a library's file, which may be replaced meanwhile; of a table or a dataset of templates one in memory. Raises
        DataError without a readable library."""
        import duckdb

        if kind_of(path) == "parquet":
            return cls.of(read_rows(path, Template), accepted=accepted)
        try:
            connection = duckdb.connect(path, read_only=True)
            (version,) = connection.execute("select version from collection").fetchone() or (0,)
            if version == VERSION:
                return cls(connection, accepted=accepted)
        except (duckdb.IOException, duckdb.CatalogException, duckdb.BinderException) as error:
            reason = str(error).splitlines()[0]
        else:
            connection.close()
            reason = f"its tables are of version {version}, expected {VERSION}"
        raise DataError(f"{path} is not a template library: {reason} ({BUILD})")

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def template(self, template_id: str) -> Template:
        """Raises DataError for an id that the library lacks."""
        found = rows_of(self._connection, template_id)
        if not found:
            raise DataError(f"the library has no template {template_id}: `factory templates search` shows which it has")
        return found[0]

    def search(self, query: str, k: int = 5, *, confident: float = CONFIDENT, encoder: Encoder | None = None) -> list[Hit]:
        """The k best templates for these words, best first; [] where the best is not `confident` enough (0: never abstain)."""
        hits = self._ranked(_readable(query), k, encoder)
        return hits if hits and hits[0].confidence >= confident else []

    def lookup(self, name_and_tags: str, k: int = 1, *, confident: float = CONFIDENT, encoder: Encoder | None = None) -> list[Hit]:
        """What a plan's line names, `name (tag, tag)`: templates of exactly that name first, then those that its words find."""
        exact = self._named(_readable(name_and_tags))
        if len(exact) >= k:
            return exact[:k]
        known = {hit.template_id for hit in exact}
        others = self.search(name_and_tags, k + len(exact), confident=confident, encoder=encoder)
        return [*exact, *(hit for hit in others if hit.template_id not in known)][:k]

    def _named(self, name_and_tags: str) -> list[Hit]:
        """Templates whose name is the text up to one of its " (", or all of it: the longest that is a name."""
        found: dict[str, list[int]] = {}
        names = names_in(name_and_tags)
        for name, place in self._connection.execute("select name, place from names where name in (select unnest(?))", [names]).fetchall():
            found.setdefault(name, []).append(place)
        best = next((found[name] for name in names if name in found), [])
        if self._hidden is not None:
            best = [place for place in best if place not in self._hidden]
        said = normalise(name_and_tags)
        hits = self._hits(dict.fromkeys(best, (EXACT, EXACT, ((NAME, EXACT),))))
        if len(hits) < 2:
            return hits
        tags = {hit.template_id: self.template(hit.template_id).tags for hit in hits}
        return sorted(hits, key=lambda hit: (-sum(normalise(tag) in said for tag in tags[hit.template_id]), hit.template_id))

    def _ranked(self, query: str, k: int, encoder: Encoder | None) -> list[Hit]:
        asked = sorted(set(terms(query)))
        postings = self._postings(asked)
        if not postings:
            return []
        scores = np.zeros(self.count)
        for posting in postings.values():
            scores[posting.places] += posting.idf * posting.weights.astype(np.float64)
        if self._hidden is not None:
            scores[self._hidden] = 0
        places = _best(scores, max(k, CANDIDATES))
        mass = sum(self._terms[term].idf if term in self._terms else self._rarest for term in asked)
        confidence = scores[places] / np.sqrt(mass * self._rarest)
        ordered = self._ordered(query, places, scores[places], encoder)
        chosen = sorted(range(len(places)), key=lambda number: (-ordered[number], places[number]))[:k]
        found = {}
        for number in chosen:
            place = int(places[number])
            found[place] = (round(float(ordered[number]), DECIMALS), float(confidence[number]), self._why(postings, place))
        return self._hits(found)

    def _ordered(
        self, query: str, places: NDArray[np.int64], scores: NDArray[np.float64], encoder: Encoder | None
    ) -> NDArray[np.float64]:  # fmt: skip
        """The candidates' scores with the likeness of writing and, with an encoder, of meaning."""
        read = self._candidates(places.tolist())
        total = scores + SHAPE * self._shapes.scores(written(query), [item.written for item in read])
        if encoder is not None and read:
            vectors = encoder([query, *(item.text for item in read)])
            total = total / max(float(total.max()), 1e-9) + MEANING * (vectors[1:] @ vectors[0])
        return np.round(total, DECIMALS)

    def _candidates(self, places: list[int]) -> list[_Candidate]:
        if missing := [place for place in places if place not in self._read]:
            if len(self._read) + len(missing) > TEXTS:
                self._read, missing = {}, places
            rows = self._connection.execute("select place, id, name, text from texts where place in (select unnest(?))", [missing])
            self._read |= {place: _Candidate(key, name, text, written(text)) for place, key, name, text in rows.fetchall()}
        return [self._read[place] for place in places]

    def _why(self, postings: dict[str, _Posting], place: int) -> tuple[tuple[str, float], ...]:
        parts = []
        for term, posting in postings.items():
            number = int(posting.places.searchsorted(np.int32(place)))
            if number < len(posting.places) and posting.places[number] == place:
                parts.append((term, round(posting.idf * float(posting.weights[number]), 3)))
        return tuple(sorted(parts, key=lambda part: (-part[1], part[0])))

    def _hits(self, found: dict[int, tuple[float, float, tuple[tuple[str, float], ...]]]) -> list[Hit]:
        """In the order of `found`: place → score, confidence, why."""
        read = zip(self._candidates(list(found)), found.values(), strict=True)
        return [Hit(item.id, item.name, *said) for item, said in read]

    def _postings(self, asked: Sequence[str]) -> dict[str, _Posting]:
        """Of the terms that the library has, the rarest first, at most `POSTINGS` in all but always one; in the order of the terms."""
        chosen, total = list[str](), 0
        for term in sorted((term for term in asked if term in self._terms), key=lambda term: (self._terms[term].templates, term)):
            total += self._terms[term].templates
            if total > POSTINGS and chosen:
                break
            chosen.append(term)
        return {term: self._posting(term) for term in sorted(chosen)}

    def _posting(self, term: str) -> _Posting:
        count, idf, start = self._terms[term]
        if self._all is None:
            rows = self._connection.execute("select place, weight from postings where term = ?", [term]).fetchnumpy()
            return _Posting(idf, np.asarray(rows["place"]), np.asarray(rows["weight"]))
        places, weights = self._all
        return _Posting(idf, places[start : start + count], weights[start : start + count])


def _readable(query: str) -> str:
    """The beginning that counts; half a surrogate pair is no character."""
    return query[:READ].encode("utf-8", "replace").decode("utf-8")


def _best(scores: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Places of the best scores above 0, at most so many; ties go to the smaller place."""
    places = np.flatnonzero(scores)
    if len(places) > most:
        least = np.partition(scores[places], len(places) - most)[len(places) - most]
        places = places[scores[places] >= least - 10.0**-DECIMALS]
    return places[np.lexsort((places, -np.round(scores[places], DECIMALS)))][:most]
