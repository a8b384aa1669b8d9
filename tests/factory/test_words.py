"""One thing is no things."""

import doctest

from factory import words
from factory.words import amount


def test_the_noun_goes_by_the_count() -> None:
    assert [amount(count, "row") for count in (0, 1, 2, 1_000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
    assert [amount(count, "batch", "batches") for count in (1, 2)] == ["1 batch", "2 batches"]
    assert [amount(count, "pair") for count in (0.6, 1.4, 1.6)] == ["1 pair", "1 pair", "2 pairs"]
    assert doctest.testmod(words).failed == 0
