"""Finding templates: ranks, exact names, ties, abstention, odd queries, and what the published library finds."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from factory.errors import DataError
from factory.templates import index as index_module
from factory.templates.index import CONFIDENT, Index
from factory.templates.shapes import Shapes, written

ROOT = Path(__file__).parents[3]
PUBLISHED = Path(os.environ.get("COAT_DATA", ROOT.parent / "shared" / "data")) / "templates" / "template_library.json"


@pytest.fixture
def library(planner_kit):
    """Ids a, b, c, …: what they say in their names, tags, scopes and steps."""

    def made(key, name, tags, scope, *steps):
        return replace(planner_kit.template(name, id=key, tags=tags), description=f"About {name}.", scope=scope, steps=steps)

    return [
        made("a", "quadratic inequality", ("inequality", "discriminant"), "Holds for ax² + bx + c > 0.", "Find the discriminant."),
        made("b", "sine law", ("triangle", "angle"), "Two angles and a side of a triangle are known.", "Write a/sin A = b/sin B."),
        made("c", "total probability", ("probability",), "An event has several causes.", "Add the probabilities of all causes."),
        made(
            "d", "counting arrangements", ("permutation",), "Objects stand in a row.", "Multiply the choices.", "Add nothing to a triangle."
        ),
        made("e", "area (by halves)", ("area", "triangle"), "A triangle has base and height.", "Halve base times height."),
    ]


@pytest.fixture
def index(library):
    return Index.of(library)


def names(hits):
    return [hit.name for hit in hits]


def test_words_signs_and_shapes_find_what_they_mean(index):
    assert names(index.search("In triangle ABC two angles are 30° and 45°, find a side", 1)) == ["sine law"]
    assert names(index.search("Find k so that 2x² + kx + 3 > 0 for all x", 1)) == ["quadratic inequality"]
    assert names(index.search("P(B) if P(A) = 0.3 causes it", 1, confident=0)) == ["total probability"]


def test_a_hit_says_which_terms_matched_and_what_each_adds(index):
    (hit,) = index.search("two angles of a triangle", 1)
    assert {term for term, _ in hit.why} == {"two", "angl", "triangl"}
    assert [part for _, part in hit.why] == sorted((part for _, part in hit.why), reverse=True)
    assert hit.score >= sum(part for _, part in hit.why) > 0
    assert index.template(hit.template_id).name == hit.name


def test_what_the_steps_say_weighs_less(index):
    assert names(index.search("triangle", 3, confident=0))[-1] == "counting arrangements"


def test_exact_names_come_first_brackets_and_all(index):
    assert names(index.lookup("Area  (BY halves)")) == ["area (by halves)"]
    assert names(index.lookup("area (by halves) (area, triangle)")) == ["area (by halves)"]
    assert names(index.lookup("sine law (permutation, probability)", 2, confident=0)) == ["sine law", "total probability"]
    assert index.lookup("sine law")[0].why == (("exact name", 100.0),)


def test_of_equal_names_the_one_with_the_planned_tags_then_the_smaller_id(library):
    twins = [*library, replace(library[1], id="f", tags=("circle",)), replace(library[1], id="g", tags=("circle",))]
    index = Index.of(twins)
    assert [hit.template_id for hit in index.lookup("sine law (circle)", 3)] == ["f", "g", "b"]
    assert [hit.template_id for hit in index.lookup("sine law", 3)] == ["b", "f", "g"]


def test_a_name_that_is_not_there_finds_the_nearest_or_nothing(index):
    assert names(index.lookup("law of sines (triangle)")) == ["sine law"]
    assert index.lookup("baking bread (oven, flour)") == []


def test_equal_scores_go_to_the_smaller_id_whatever_the_order_of_the_rows(library):
    copies = [replace(library[0], id=key) for key in ("z", "m", "a")]
    for rows in (copies, copies[::-1]):
        hits = Index.of(rows).search("discriminant", 3, confident=0)
        assert [hit.template_id for hit in hits] == ["a", "m", "z"]
        assert len({hit.score for hit in hits}) == 1


def test_it_abstains_where_little_of_the_query_is_matched(index):
    query = "My neighbour's dog barks all night, two of us cannot sleep. What can be done?"
    assert index.search(query) == []
    assert 0 < index.search(query, confident=0)[0].confidence < CONFIDENT


@pytest.mark.slow
def test_more_templates_do_not_change_whether_a_sound_query_is_answered(library):
    for copies in (1, 40):
        rows = [replace(row, id=f"{row.id}{n}", name=f"{row.name} {n}") for row in library for n in range(copies)]
        assert Index.of(rows).search("two angles and a side of a triangle")
        assert not Index.of(rows).search("My neighbour's dog barks all night. What can be done about that noise?")


ODD = (
    "",
    " ",
    "≤≤ ++",
    "12 34",
    "'; drop table templates; --",
    'a "quoted" (',
    "%_\\",
    "\0",
    "\ud800",
    "🙂",
    "數學題目",
    " (" * 5000,
    "x" * 10**6,
)


@pytest.mark.parametrize("query", ODD, ids=range(len(ODD)))
@pytest.mark.slow
def test_odd_queries_find_nothing_or_something_and_break_nothing(index, query):
    assert len(index.search(query, 3, confident=0)) <= 3
    assert len(index.lookup(query, 3)) <= 3
    assert names(index.lookup("sine law")) == ["sine law"]


def test_case_accents_and_letters_of_other_scripts_are_terms(library):
    index = Index.of([*library, replace(library[0], id="x", name="Théorème d'Euler"), replace(library[0], id="y", name="Формула Герона")])
    assert names(index.search("THÉORÈME", 1, confident=0)) == ["Théorème d'Euler"]
    assert names(index.lookup("формула герона")) == ["Формула Герона"]


def test_only_accepted_templates_are_found_on_request(tmp_path, library):
    from factory.schemas import Template
    from factory.storage import write_rows
    from factory.templates.library import build_library

    rows = [replace(row, status="quarantined" if row.id == "b" else "accepted") for row in library]
    write_rows(tmp_path / "t" / "data" / "a.parquet", Template, rows)
    build_library(tmp_path / "t", tmp_path / "library.duckdb")
    with Index.open(tmp_path / "library.duckdb", accepted=True) as index:
        assert names(index.lookup("sine law")) != ["sine law"]
        assert "sine law" not in names(index.search("angles of a triangle", 5, confident=0))


def test_postings_read_from_the_file_give_what_those_in_memory_give(index, library, monkeypatch):
    monkeypatch.setattr(index_module, "KEPT", 0)
    assert Index.of(library).search("two angles of a triangle", confident=0) == index.search("two angles of a triangle", confident=0)


def test_the_rarest_terms_are_read_first_when_not_all_can_be(index, monkeypatch):
    monkeypatch.setattr(index_module, "POSTINGS", 1)
    (hit, *_) = index.search("triangle discriminant", confident=0)
    assert (hit.name, [term for term, _ in hit.why]) == ("quadratic inequality", ["discrimin"])


def test_an_encoder_reorders_the_candidates(index):
    def prefers_area(texts):
        return np.array([[1.0, 0.0] if "area" in text or text == texts[0] else [0.0, 1.0] for text in texts], np.float32)

    assert names(index.search("triangle angles", 1, confident=0)) == ["sine law"]
    assert names(index.search("triangle angles", 1, confident=0, encoder=lambda texts: 5 * prefers_area(texts))) == ["area (by halves)"]


def test_an_unknown_id_is_an_error(index):
    with pytest.raises(DataError, match="the library has no template zz"):
        index.template("zz")


def test_shapes_read_numbers_alike_and_formulas_by_their_form():
    texts = [written(text) for text in ("ax² + bx + c > 0", "choose 3 of 10", "")]
    shapes = Shapes.of(texts)
    assert np.allclose(shapes.scores(written("choose 7 of 25"), texts), shapes.scores(written("choose 3 of 10"), texts))
    form, counting, empty = shapes.scores(written("kx² + mx + 7 > 0"), texts)
    assert form > 2 * counting
    assert empty == 0
    assert list(shapes.scores("", texts)) == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.skipif(not PUBLISHED.exists(), reason=f"the released ReasonFlux library is not at {PUBLISHED} (COAT_DATA says where it is)")
def test_the_published_library_is_found_as_measured():
    """benchmarks/retrieval.py prints all of it; plain BM25 has .360, .621, .480."""
    import sys

    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import retrieval
    finally:
        sys.path.pop(0)
    templates, queries = retrieval.published(PUBLISHED)
    index = Index.of(templates)
    ranks = retrieval.ranks_by(retrieval.in_index(index), templates, queries)
    assert np.mean(ranks == 1) >= 0.45
    assert np.mean(ranks <= 5) >= 0.75
    assert np.mean(1 / ranks) >= 0.58
    off = [retrieval.confidence(index, query) for query in retrieval.OFF_TOPIC.read_text(encoding="utf-8").splitlines()]
    assert np.mean(np.array(off) < CONFIDENT) >= 0.9
    assert np.mean(np.array([retrieval.confidence(index, query) for query in queries]) < CONFIDENT) <= 0.05
