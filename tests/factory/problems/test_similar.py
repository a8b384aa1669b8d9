"""Searches in columns find what a comparison of all pairs finds."""

import random

import numpy as np
import pytest

from factory.problems.grams import Postings, Words
from factory.problems.keys import chosen, keys, number
from factory.problems.lexer import tokens
from factory.problems.similar import Union, components, held_pairs, jaccard, shingles


def texts(seed: int, count: int = 120) -> list[str]:
    """Random ones, and the same with a word changed, once, twice …"""
    rng = random.Random(seed)
    words = ["red", "blue", "cat", "dog", "has", "buys", "x", "not", "7", "+", "old", "new", "tree", "lake", "ship", "song"]
    found = [" ".join(rng.choices(words, k=rng.choice([2, 12, 30]))) for _ in range(count)]
    for _ in range(count):
        changed = rng.choice(found).split()
        changed[rng.randrange(len(changed))] = rng.choice(words)
        found.append(" ".join(changed))
    found += [text.replace("7", "8") for text in found[:20]]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_components_are_those_of_all_pairs(threshold: float, seed: int) -> None:
    given = texts(seed)
    known, sets = keys(given), [shingles(tokens(text)) for text in given]
    union = Union(len(given))
    for at in range(len(given)):
        for other in range(at):
            if jaccard(sets[other], sets[at]) >= threshold:
                union.join(other, at)
    wanted = union.roots()
    assert 1 < len(set(wanted.tolist())) < len(given)
    assert components(known.shingles, known.shingle_ends, threshold).tolist() == wanted.tolist()


def test_sets_that_stand_in_others_are_found() -> None:
    rng = random.Random(3)
    inner = [f"pupil {rng.randint(10, 999)} counts {rng.randint(10, 999)} stones by the lake {n}" for n in range(40)]
    given = [*inner, *(f"Solve this one step by step. {text} Then write down the answer." for text in inner)]
    known = keys(given)
    answers = np.array([number(str(n % 7)) for n in [*range(40), *range(40)]], np.uint64)
    found = held_pairs(known.grams, known.gram_ends, answers).tolist()
    assert [[n, n + 40] for n in range(40)] == [pair for pair in found if pair[0] < 40 <= pair[1] and pair[1] - pair[0] == 40]
    answers[40:] = number("another")
    assert held_pairs(known.grams, known.gram_ends, answers).tolist() == []


def test_keys_are_those_of_each_text_whatever_stands_beside_it() -> None:
    given = [*texts(5, 30), "", "7", "def f(x):\n    return x", "小明有三个苹果。"]
    known = keys(given)
    for at, text in enumerate(given):
        alone = keys([text])
        assert (known.exact[at], known.signature[at], known.masked[at]) == (alone.exact[0], alone.signature[0], alone.masked[0])
        for values, ends in ((known.shingles, known.shingle_ends), (known.grams, known.gram_ends)):
            assert len(chosen(values, ends, np.array([at]))[0]) == len(set(chosen(values, ends, np.array([at]))[0].tolist()))
        assert chosen(known.grams, known.gram_ends, np.array([at]))[0].tolist() == alone.grams.tolist()
        assert len(alone.shingles) == len(shingles(tokens(text)))
    assert keys([]).at([]).tolist() == []


def test_postings_count_different_grams_that_are_shared() -> None:
    words = Words([["a", "b", "c", "d"], ["a", "b", "a", "b"]])
    owners = Postings.of(*words.numbered([["a", "b", "c", "d"], ["a", "b", "a", "b"]]).grams(2))
    asked = words.numbered([["a", "b", "c", "z"], ["z", "z"], ["b", "a", "b"]])
    found = zip(*(column.tolist() for column in owners.found(*asked.grams(2))), strict=True)
    assert sorted(found) == [(0, 0, 2), (0, 1, 1), (2, 0, 1), (2, 1, 2)]
    assert [len(column) for column in owners.found(*asked.grams(5))] == [0, 0, 0]
