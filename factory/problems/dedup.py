"""Near-duplicates, aware of numbers: "Tom has 3 apples …" and "Tom has 5 apples …" are two problems, however alike.

Two problems are one when their numbers are the same in the same order and their word shingles overlap by `near_duplicate` (Jaccard).
MinHash finds the candidates inside a bucket of equal numbers, exact Jaccard decides; the lowest id survives. In the world one canonical
instance is one problem.

    keep, rejects = deduplicate(problems, 0.9)
    → Reject(reason="near-duplicate", parent_id=<the survivor's id>, …)
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

from factory.problems.sources import STAGE, normalise
from factory.schemas import Problem, Reject
from factory.storage import reject

SHINGLE = 3  # words
PERMUTATIONS, BANDS = 128, 32  # bands of 4: a pair at 0.8 is missed once in 10^7, at 0.5 found 9 times in 10
FEW = 16  # below it all pairs are compared
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_WORD = re.compile(r"[^\W_]+")


def numbers_of(text: str) -> tuple[str, ...]:
    return tuple(number.replace(",", "") for number in _NUMBER.findall(text))


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def shingles(text: str) -> frozenset[str]:
    """Word trigrams, numbers masked (they are compared exactly elsewhere); the whole text when it is shorter."""
    words = words_of(_NUMBER.sub(" 0 ", text))
    return frozenset(" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1)))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def similar_pairs(sets: Sequence[frozenset[str]], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs (earlier, later) of positions whose Jaccard similarity reaches the threshold."""
    for later, candidates in enumerate(_candidates(sets)):
        for earlier in candidates:
            if earlier < later and jaccard(sets[earlier], sets[later]) >= threshold:
                yield earlier, later


def _candidates(sets: Sequence[frozenset[str]]) -> Iterator[Sequence[int]]:
    if len(sets) <= FEW:
        yield from (range(later) for later in range(len(sets)))
        return
    import rensa

    signatures = rensa.RMinHash.from_token_sets([sorted(item) for item in sets], PERMUTATIONS, 1)
    index = rensa.RMinHashLSH(0.5, PERMUTATIONS, BANDS)
    index.insert_many(signatures)
    for signature in signatures:
        yield sorted(set(index.query(signature)))


def _buckets(problems: Sequence[Problem]) -> list[list[Problem]]:
    """Problems that may be one: the same instance in the world, the same numbers elsewhere. Sorted by id inside."""
    found: dict[Hashable, list[Problem]] = defaultdict(list)
    for problem in sorted(problems, key=lambda row: row.id):
        own = problem.instance != problem.id
        found[problem.instance if own else numbers_of(problem.problem)].append(problem)
    return list(found.values())


def deduplicate(problems: Sequence[Problem], threshold: float) -> tuple[list[Problem], list[Reject]]:
    """The survivors sorted by id, and the doubles."""
    survivor_of: dict[str, tuple[Problem, str]] = {}
    for bucket in _buckets(problems):
        if len(bucket) == 1:
            continue
        if bucket[0].instance != bucket[0].id:
            survivor_of.update({double.id: (bucket[0], "duplicate instance") for double in bucket[1:]})
            continue
        sets = [shingles(problem.problem) for problem in bucket]
        for earlier, later in similar_pairs(sets, threshold):
            if bucket[earlier].id in survivor_of or bucket[later].id in survivor_of:
                continue  # only a survivor names a double
            same = normalise(bucket[earlier].problem).lower() == normalise(bucket[later].problem).lower()
            survivor_of[bucket[later].id] = (bucket[earlier], "exact duplicate" if same else "near-duplicate")
    keep, rejects = [], []
    for problem in sorted(problems, key=lambda row: row.id):
        if problem.id in survivor_of:
            survivor, reason = survivor_of[problem.id]
            rejects.append(reject(STAGE, problem, reason, survivor.id))
        else:
            keep.append(problem)
    return keep, rejects
