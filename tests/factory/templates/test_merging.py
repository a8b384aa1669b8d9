"""Which analyses are of one template: pairs judged by hand, the world's strategies, the published library, and the bounds of a group."""

import json
import os
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.grading import normalise
from factory.problems.world.strategies import STRATEGIES
from factory.templates.merging import group, merge, unite, words_of, written_words
from factory.templates.reading import Analysis

LIBRARY = Path(os.environ.get("COAT_DATA", Path(__file__).parents[4] / "shared/data")) / "templates/template_library.json"


def analysis(name, tags):
    return Analysis(normalise(name), tuple(tag.strip() for tag in tags.split(",")), "A description.", "A scope.", ("A step.",))


def together(*pairs):
    return len(set(group([analysis(name, tags) for name, tags in pairs]))) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Pythagorean Theorem", "geometry, right triangle"), ("The Pythagorean theorem method", "triangles")),
        (("Pythagorean theorem", "geometry, right triangle"), ("Pythagoras' theorem", "geometry, right triangle")),
        (("Completing the square", "algebra, quadratics"), ("Complete the Square Technique", "algebra")),
        (("Law of sines", "trigonometry, triangle"), ("Sine law", "triangle")),
        (("Law of cosines", "trigonometry, triangle"), ("Cosine rule", "trigonometry, triangle")),
        (("Area of a circle", "geometry, circle"), ("Circle area", "circles")),
        (("Half-angle formula", "trigonometry"), ("Half angle formulas", "trig")),
        (("Integration by parts", "calculus"), ("Integrating by parts", "integrals")),
        (("Bayes' theorem", "probability"), ("Bayes Theorem", "conditional probability")),
        (("L'Hôpital's rule", "limits"), ("L’Hopital's Rule", "calculus")),
        (("Casework", "counting"), ("Casework strategy", "combinatorics")),
        (("Factoring by grouping", "algebra"), ("Factorization by grouping", "polynomials")),
        (("Substitution", "algebra"), ("The substitution approach", "systems")),
        (("Trigonometric substitution", "integrals, trigonometry"), ("Trigonometry substitution", "integrals, trigonometry")),
        (("Inclusion-exclusion principle", "sets"), ("Principle of inclusion and exclusion", "counting")),
        (("Unit price", "division, price"), ("Unit Prices", "division")),
        (("Sum of a geometric series", "series"), ("Geometric series sum", "sums")),
        (("Mathematical induction", "proof"), ("Using mathematical induction", "induction")),
        (("Working backwards", "arithmetic"), ("Work backwards strategy", "logic")),
        (("Properties of geometric sequences", "sequences, application"),
         ("Application of properties of geometric sequence", "sequences, application")),
        (("Logarithm equations", "logarithms, equations"), ("Logarithmic equations", "logarithms, equations")),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_wordings_of_one_template_merge(first, second):
    assert together(first, second)
    assert together(second, first)


@pytest.mark.parametrize(
    ("first", "second", "tags"),
    [
        ("Area of a circle", "Area of a triangle", "geometry, area"),
        ("Law of sines", "Law of cosines", "trigonometry, triangle"),
        ("Difference of squares", "Square of a difference", "algebra, squares"),
        ("Sum of squares", "Square of the sum", "algebra, sum, squares"),
        ("Arithmetic sequence", "Arithmetic sequence sum", "sequence, sum"),
        ("Arithmetic mean", "Geometric mean", "mean, arithmetic, geometric"),
        ("Geometric mean", "Geometric meaning", "geometry, mean"),
        ("Inequality", "Quadratic inequality", "inequalities, quadratic"),
        ("Mathematical induction", "Proof of inequality by mathematical induction", "mathematical induction, proof of inequalities"),
        ("Sampling with replacement", "Sampling without replacement", "sampling, replacement, without"),
        ("Sum of two consecutive numbers", "Sum of three consecutive numbers", "sum, two, three"),
        ("Difference equations", "Differential equations", "equations, differential, difference"),
        ("Proof by contradiction", "Proof by contrapositive", "logic, proof"),
        ("Graph translation", "Graph transformation", "graphs, functions"),
        ("Product-to-sum formulas", "Sum-to-product formulas", "trigonometry, identities"),
        ("Factor x^2 + y^2", "Factor x^2 - y^2", "algebra, factoring"),
        ("Inverse function", "Function", "functions, inverse"),
        ("Pythagorean theorem", "Converse of the Pythagorean theorem", "geometry, converse"),
        ("Permutations", "Combinations", "counting, arrangements"),
        ("Compare up", "Compare down", "more, both, up, down"),
        ("Maximum of a quadratic", "Minimum of a quadratic", "quadratic, maximum, minimum"),
        ("Chain rule", "Product rule", "derivatives, chain, product"),
        ("Integer inequality", "Integral inequality", "inequalities, number"),
        ("Slope of a line", "Inclination angle of a line", "line, slope, inclination angle"),
    ],
)
@pytest.mark.slow
def test_different_templates_stay_apart_under_the_same_tags(first, second, tags):
    assert not together((first, tags), (second, tags))


@pytest.mark.slow
def test_names_that_only_look_alike_need_tags_in_common():
    assert not together(("Cosine law", "triangle"), ("Cosine rule", "physics"))
    assert not together(("Cosine law", "triangle"), ("Law of the cosine", "physics"))
    assert together(("Cosine law", "triangle"), ("Law of the cosine", "triangles, physics"))
    assert together(("The cosine law", "triangle"), ("Cosine laws", "physics"))  # but for an article and a plural one name


@pytest.mark.parametrize(
    ("first", "second", "tags", "other"),
    [
        ("Factor", "Factoring", "number", "algebra"),
        ("Rate of change", "Change rate", "rates", "money"),
        ("Completing squares", "Complete the square", "counting squares", "algebra"),
        ("Relation", "Relate", "sets", "logic"),
    ],
)
def test_the_same_stems_in_one_order_need_a_tag_in_common(first, second, tags, other):
    assert not together((first, tags), (second, other))
    assert together((first, tags), (second, f"{other}, {tags}"))
    assert together((first, tags), (first.upper(), other))


@pytest.mark.parametrize(
    ("first", "second", "tags"),
    [
        ("Subtract from total", "Subtract to total", "subtract, total, from, to"),
        ("Ratio to fraction", "Ratio and fraction", "ratio, fraction"),
        ("Sum of geometric series", "Sum of infinite geometric series", "series, geometric, infinite"),
        ("Sum of finite geometric series", "Sum of infinite geometric series", "series, geometric, infinite, finite"),
        ("Inverse of a square root function", "Square root of a function", "square root function inverse"),
        ("Permutations with repetition", "Permutations without repetition", "permutations, repetition, without"),
        ("Distance from speed", "Distance to speed", "distance, speed"),
        ("Convert percent to decimal", "Convert decimal to percent", "percent, decimal"),
    ],
)
def test_directions_and_negations_tell_names_apart(first, second, tags):
    assert not together((first, tags), (second, tags))
    assert not together((second, tags), (first, tags))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Convert from percent to decimal", "Converting percents into decimals"),
        ("Method to solve linear equations", "Solving linear equations"),
    ],
)
def test_what_only_looks_like_a_direction(first, second):
    assert together((first, "algebra"), (second, "algebra"))


@pytest.mark.slow
def test_no_two_strategies_of_the_world_merge():
    strategies = [analysis(strategy.name, ",".join(strategy.tags)) for strategy in STRATEGIES.values()]
    generator = random.Random(1)
    for size in (14, 60, 300):
        drawn = strategies + generator.choices(strategies, k=size - 14)
        numbers = group(drawn)
        assert len(set(numbers)) == len(strategies)
        assert len({(item.name, number) for item, number in zip(drawn, numbers, strict=True)}) == len(strategies)
        assert unite(drawn) == drawn


@pytest.mark.skipif(not LIBRARY.exists(), reason="the published library of ReasonFlux is not there")
def test_the_published_library_merges_only_what_is_one():
    chapters = json.loads(LIBRARY.read_text())
    rows = [row for sections in chapters.values() for section in sections.values() for row in section]
    tags = [row["knowledge_tag"] if isinstance(row["knowledge_tag"], list) else [row["knowledge_tag"]] for row in rows]
    every = [analysis(row["template_name"], ",".join(map(str, found))) for row, found in zip(rows, tags, strict=True)]
    names: dict[int, set[str]] = {}
    for item, number in zip(every, group(every), strict=True):
        names.setdefault(number, set()).add(item.name)
    assert (len(every), len({item.name for item in every}), len(names)) == (420, 412, 408)
    assert sorted(sorted(found) for found in names.values() if len(found) > 1) == [
        ["application of common properties of the sum of the first n terms of an arithmetic sequence",
         "common properties of the sum of the first n terms of an arithmetic sequence"],
        ["application of the theorems of collinear and coplanar vectors", "collinearity and coplanarity theorem application template"],
        ["practical application problem solving template related to circles",
         "problem solving template for practical applications related to circles"],
        ["statistical parameter estimation in frequency distribution histogram",
         "statistical parameter estimation methods in frequency distribution histograms"],
    ]  # fmt: skip


WORDS = ["law", "rule", "sine", "sines", "of", "circle", "area", "the", "sum", "square", "squares", "method", "+", "2", "two", "é", "-"]
NAMES = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)


@given(
    st.lists(st.tuples(NAMES | st.text(max_size=8), st.sampled_from(("a", "a, b", "sine, law", "circle, area, sum"))), max_size=12),
    st.randoms(),
)
@settings(max_examples=10)
@pytest.mark.slow
def test_groups_do_not_depend_on_the_order_and_equal_names_are_one(pairs, generator):
    every = [analysis(*pair) for pair in pairs]
    shuffled = generator.sample(every, len(every))
    numbers, others = group(every), group(shuffled)
    assert sorted(zip(map(repr, every), numbers, strict=True)) == sorted(zip(map(repr, shuffled), others, strict=True))
    for (one, first), (other, second) in pairwise(sorted(zip(every, numbers, strict=True), key=lambda item: written_words(item[0].name))):
        assert first == second or written_words(one.name) != written_words(other.name)
    united = unite(every)
    assert [replace(item, name="") for item in united] == [replace(item, name="") for item in every]
    assert len({item.name for item in united}) == len(set(numbers))


@pytest.mark.slow
def test_a_group_goes_under_its_most_frequent_name_and_is_no_chain():
    names = ["law of sines", "the sine law", "the sine law", "sines law method", "law of cosines"]
    assert [item.name for item in unite([analysis(name, "triangle") for name in names])] == ["the sine law"] * 4 + ["law of cosines"]
    tags = "sum terms sequence, application, common, geometric"
    links = [
        "Sum of terms of a sequence",
        "Application of the sum of terms of a sequence",
        "Common application of the sum of terms of a sequence",
    ]
    assert together((links[0], tags), (links[1], tags))
    assert together((links[1], tags), (links[2], tags))
    assert not together((links[0], tags), (links[2], tags))
    every = [analysis(name, tags) for name in links]
    assert group([every[0], *every]) == [0, 0, 0, 1]  # the last is near a member, and not near the group's name
    assert len(set(group([every[1], *every]))) == 1


def test_merge_takes_the_majority_and_breaks_ties_by_text():
    first = Analysis("put together", ("add", "gain"), "Add what comes in.", "There is a gain.", ("Add it.", "Then check."))
    other = replace(first, tags=("add", "more"), description="B.", scope="A.")
    third = replace(first, tags=("more", "add"), scope="C.")
    merged = merge([other, first, third])
    assert merged.description == first.description  # two of three
    assert merged.scope == "A."  # one each
    assert merged.tags == ("add", "more")  # `gain` in one of three
    assert merge([first, other]) == merge([other, first])
    apart = [replace(first, tags=tags) for tags in (("more", "gain"), ("add",), ("more", "sum"), ("both",), ("total",))]
    assert merge(apart).tags == ("more",)  # none in half of them: the most frequent one, never none


@pytest.mark.slow
def test_many_names_are_many_groups():
    words = [f"word{number}" for number in range(3_000)] + ["sum", "area", "law", "sine", "triangle", "circle", "number"]
    generator = random.Random(1)
    every = [analysis(" ".join(generator.sample(words, 4)), ",".join(generator.sample(words, 3))) for _ in range(500)]
    assert len(set(group(every))) > 490


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("The Pythagorean-theorem method", ("pythagorean", "theorem")),
        ("Factor x^2 - y^2", ("factor", "x", "^", "2", "−", "y", "^", "2")),
        ("2-digit numbers", ("2", "digit", "number")),
        ("The method", ("method",)),
        ("the", ("the",)),
        ("?!", ("?!",)),
        ("", ("",)),
        ("勾股定理", ("勾股定理",)),
    ],
)  # fmt: skip
def test_the_words_of_a_name(name, words):
    assert words_of(name) == words


def test_written_words_keep_endings_but_the_plurals():
    assert written_words("Completing the squares method") == ("completing", "square")
    assert written_words("The Analysis of Series") == ("analysis", "of", "series")
    assert written_words("the") == ("the",)
    assert written_words("") == ("",)
