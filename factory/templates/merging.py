"""Which analyses describe one template, and the one wording of theirs.

    group([Analysis("the sine law method", …), Analysis("law of sines", …), Analysis("law of cosines", …)])    → [1, 1, 0]
    unite([…])    → the same analyses, those of a group under the group's most frequent name

Names are compared by their words: without case, accents, articles, prepositions, endings (plural, -ing, -ed, -ion) and what only says that
it is a method; "area of a circle" is "circle area". Names that differ in case, accents, articles and plurals only are one. So are others
with the same words in the same order, where their tags share a word, or where they are hardly chance: three words, or two of which only the
first has another ending ("integration by parts", "integrating by parts"). Else they are one only where their tags overlap, the words that
they share have one order, and every word that one has alone is among the other's tags; and either one has all words of the other, or each
is the other's best in the retrieval by name and tags, with a cosine of `NEAR` or more. Numbers, operators, negations and directions always
tell names apart.

A group holds what is near its most frequent name, so there are no chains, and it does not depend on the order of the analyses.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby
from math import fsum, sqrt

from factory.identity import row_id
from factory.schemas import Template
from factory.templates.reading import Analysis
from factory.templates.retrieve import DECIMALS, postings_sql

NEAR = 0.8  # cosine of two labels in the retrieval
FEW = 3  # shared words for every word that a name has alone: a special case has a word or two more than the general one
ENOUGH = 3  # words that two names have in one order, whatever their tags
OVERLAP = 0.25  # words of the tags that two templates share, of all that they have


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_IDLE = _listed("a an the and or for in on with by via using use used at as its their")
_ARTICLES = _listed("a an the using use used")
_KINDS = _listed("method technique approach strategy template problem solving procedure process trick")
_TELLING = _listed(
    "not non no without from to into infinite finite inverse converse one two three four five six seven eight nine ten first second third"
)
_LAWS = _listed("rule theorem")  # the cosine rule, theorem or law, where the tags agree
_WHOLE = _listed("meaning series")  # a meaning is no mean
_ENDINGS = ("ization", "isation", "ations", "ation", "ating", "ates", "ated", "ate", "ions", "ion", "ings", "ing", "ed", "es", "s", "e")
_SHORTEST_STEM = 4
_FORMS = ("ical", "ity", "ic", "ial", "al", "ean", "ian", "ary", "as", "ar", "a", "y")  # trigonometry, trigonometric; Pythagorean
_SHORTEST_ROOT = 5

_MINUS = re.compile(r"(?<![^\W_])([^\W_]|\))\s*-\s*(?=[\w(](?![^\W\d_]))")
_FROM_TO = re.compile(r"\bfrom\s(?=.{1,60}\sto\s)")  # "convert from percent to decimal"
_INFINITIVE = re.compile(r"\bto\s(?=(?:solve|find|use|apply|compute|calculate|determine|prove)\b)")
_TOKEN = re.compile(r"[^\W_]+|[+<>≤≥^*/=√∑∫|−]")

Words = tuple[str, ...]


@dataclass(frozen=True)
class _Named:
    """Analyses whose names differ in case, accents, articles and plurals only."""

    written: Words  # as `written_words` has them
    words: Words  # as `words_of` has them
    name: str  # the most frequent
    count: int  # of that name
    tags: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.name} ({', '.join(self.tags)})"


def group(analyses: Sequence[Analysis]) -> list[int]:
    """The number of each analysis's group, from 0, in the order of how frequent the groups' names are."""
    numbers = {named.written: number for number, found in enumerate(_groups(analyses)) for named in found}
    return [numbers[written_words(analysis.name)] for analysis in analyses]


def unite(analyses: Sequence[Analysis]) -> list[Analysis]:
    """The analyses, in their order, each under the most frequent name of its group."""
    names = {named.written: found[0].name for found in _groups(analyses) for named in found}
    return [replace(analysis, name=names[written_words(analysis.name)]) for analysis in analyses]


def _groups(analyses: Sequence[Analysis]) -> list[list[_Named]]:
    """The groups, each with its most frequent name first."""
    alike: dict[Words, list[Analysis]] = defaultdict(list)
    for analysis in analyses:
        alike[written_words(analysis.name)].append(analysis)
    every = []
    for written, items in alike.items():
        names = Counter(item.name for item in items)
        name = most_frequent(item.name for item in items)
        every.append(_Named(written, words_of(name), name, names[name], merge(items).tags))
    every.sort(key=lambda named: (-named.count, named.name))
    near = _near(every)
    leaders: dict[int, list[_Named]] = {}
    for number, named in enumerate(every):
        leader = min((other for other in near[number] if other in leaders), default=number)
        leaders.setdefault(leader, []).append(named)
    return list(leaders.values())


def written_words(name: str) -> Words:
    """The words as they are written, in the singular: `Completing the squares method` → ("completing", "square")."""
    words = [token for token in _tokens(name) if token not in _ARTICLES and _stem(token) not in _KIND_STEMS]
    return tuple(map(singular, words or _tokens(name))) or (name,)


def singular(word: str) -> str:
    if word in _WHOLE or len(word) < _SHORTEST_STEM or word.endswith(("ss", "us", "is")):
        return word
    return word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")


def _tokens(name: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    plain = _INFINITIVE.sub("", _FROM_TO.sub("", plain.replace(" into ", " to ").replace("&", " and ")))
    return _TOKEN.findall(_MINUS.sub(r"\1 − ", re.sub(r"['’](?:s\b)?", "", plain)))


def words_of(name: str) -> Words:
    """The words that make a name: `The Pythagorean-theorem method` → ("pythagorean", "theorem")."""
    found = _tokens(name)
    parts = [list(words) for of, words in groupby(found, key="of".__eq__) if not of]
    tokens = [token for part in reversed(parts) for token in part]
    words = tuple(_stem(token) for token in tokens if token not in _IDLE)
    return tuple(word for word in words if word not in _KIND_STEMS) or words or tuple(tokens) or (name,)


def _stem(word: str) -> str:
    if word in _WHOLE:
        return word
    if word.endswith("ies") and len(word) > _SHORTEST_STEM:
        return word[:-3] + "y"
    for ending in _ENDINGS:
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word


_KIND_STEMS, _TELLING_STEMS = frozenset(map(_stem, _KINDS)), frozenset(map(_stem, _TELLING))


def _near(every: Sequence[_Named]) -> list[set[int]]:
    """For each the others that are near it."""
    near: list[set[int]] = [set() for _ in every]
    tags = [frozenset(word for tag in named.tags for word in words_of(tag)) for named in every]
    laws = [tuple("law" if word in _LAW_STEMS else word for word in named.words) for named in every]
    pairs = [(pair, _same) for pair in _within(laws)] + [(pair, _root) for pair in _best_of_each_other([named.label for named in every])]
    for (one, other), spelled in pairs:
        shared = len(tags[one] & tags[other])
        overlap = shared >= OVERLAP * len(tags[one] | tags[other]) and shared > 0
        if overlap and _agree(laws[one], laws[other], tags[one], tags[other], spelled):
            near[one].add(other)
            near[other].add(one)
    same: dict[Words, list[int]] = defaultdict(list)
    for number, named in enumerate(every):
        same[named.words].append(number)
    for numbers in same.values():
        for one, other in combinations(numbers, 2):
            if tags[one] & tags[other] or _hardly_chance(every[one], every[other]):
                near[one].add(other)
                near[other].add(one)
    return near


def _hardly_chance(one: _Named, other: _Named) -> bool:
    """Whether two names with the same words mean the same whatever their tags."""
    if len(one.words) >= ENOUGH:
        return True
    first, second = ([token for token in _tokens(name) if _stem(token) not in _KIND_STEMS] for name in (one.name, other.name))
    return len(one.words) > 1 and first[1:] == second[1:]


_LAW_STEMS = frozenset(map(_stem, _LAWS))


def _same(word: str) -> str:
    return word


def _root(word: str) -> str:
    """Nouns and adjectives of one root: `trigonometry` and `trigonometric`. `difference` and `differential` are two."""
    for form in _FORMS:
        if word.endswith(form) and len(word) - len(form) >= _SHORTEST_ROOT:
            return _root(_stem(word[: -len(form)]))  # collinearity, collinear
    return word


def _agree(one: Words, other: Words, tags: frozenset[str], other_tags: frozenset[str], spelled: Callable[[str], str]) -> bool:
    """Whether the shared words have one order, and the words of either alone are among the tags of the other."""
    first, second = [spelled(word) for word in one], [spelled(word) for word in other]
    common = set(first) & set(second)
    alone = [word for word in one if spelled(word) not in common], [word for word in other if spelled(word) not in common]
    known = {spelled(word) for word in tags}, {spelled(word) for word in other_tags}
    return (
        bool(common)
        and [word for word in first if word in common] == [word for word in second if word in common]
        and all(spelled(word) in known[1] for word in alone[0])
        and all(spelled(word) in known[0] for word in alone[1])
        and not any(_tells(word) for words in alone for word in words)
        and FEW * max(map(len, alone)) <= len(common)
    )


def _tells(word: str) -> bool:
    return word in _TELLING_STEMS or len(word) == 1 or any(letter.isdigit() for letter in word)


def _within(every: Sequence[Words]) -> set[tuple[int, int]]:
    """Pairs of which one has all the words of the other; looked for among those that have its rarest word."""
    having: dict[str, list[int]] = defaultdict(list)
    for number, words in enumerate(every):
        for word in set(words):
            having[word].append(number)
    found = set()
    for number, words in enumerate(every):
        rarest = min((having[word] for word in words), key=len)
        found |= {(min(number, other), max(number, other)) for other in rarest if other != number and set(words) <= set(every[other])}
    return found


def having_telling_terms(vectors: Sequence[dict[str, float]], near: float) -> dict[str, list[int]]:
    """term → numbers of the unit vectors that have it among the rare terms which make up the first 1 - near² of their squared length: two
    that share none of these have a cosine below `near`."""
    having: dict[str, list[int]] = defaultdict(list)
    for number, vector in enumerate(vectors):
        length = 0.0
        for term, share in sorted(vector.items(), key=lambda item: (-item[1], item[0])):
            having[term].append(number)
            length += share * share
            if length > 1 - near**2 + 1e-9:
                break
    return having


def _best_of_each_other(labels: Sequence[str]) -> set[tuple[int, int]]:
    """Pairs of labels that are each other's best, with a cosine of NEAR or more."""
    vectors = unit_vectors(labels)
    having = having_telling_terms(vectors, NEAR)
    best: list[tuple[float, int]] = [(0.0, -1)] * len(labels)
    for numbers in having.values():
        for place, one in enumerate(numbers):
            for other in numbers[:place]:
                first, second = vectors[one], vectors[other]
                cosine = round(fsum(first[term] * second[term] for term in first.keys() & second.keys()), DECIMALS)
                best[one] = max(best[one], (cosine, -other))
                best[other] = max(best[other], (cosine, -one))
    return {
        (one, -negative) for one, (cosine, negative) in enumerate(best) if cosine >= NEAR and one < -negative and best[-negative][1] == -one
    }


def unit_vectors(labels: Sequence[str]) -> list[dict[str, float]]:
    """For each label term → its part of a vector of length 1, with the retrieval's terms and weights."""
    import duckdb
    import pyarrow as pa

    vectors: list[dict[str, float]] = [{} for _ in labels]
    with duckdb.connect() as connection:
        connection.register("documents", pa.table({"id": pa.array(range(len(labels)), pa.int64()), "text": pa.array(labels, pa.string())}))
        for number, term, weight in connection.execute(postings_sql("documents")).fetchall():
            vectors[number][term] = weight  # idf² / length
    lengths = [sum(vector.values()) for vector in vectors]
    return [{term: sqrt(weight / length) for term, weight in vector.items()} for vector, length in zip(vectors, lengths, strict=True)]


def most_frequent(values: Iterable[str]) -> str:
    """The smaller one of two that are as frequent."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def content_id(row: Analysis | Template) -> str:
    """A template's id: a hash of what it says."""
    return row_id("template", row.name, row.tags, row.description, row.scope, row.steps)


def merge(analyses: Sequence[Analysis]) -> Analysis:
    """One wording for analyses of one name: the most frequent of each field (the smaller text of two), tags of at least half of them
    in their usual order, or else the most frequent tag."""
    places: dict[str, list[int]] = defaultdict(list)
    for analysis in analyses:
        for place, tag in enumerate(analysis.tags):
            places[tag].append(place)
    tags = [tag for tag, found in places.items() if 2 * len(found) >= len(analyses)]
    tags = tags or [most_frequent(tag for analysis in analyses for tag in analysis.tags)]
    tags.sort(key=lambda tag: (sum(places[tag]) / len(places[tag]), tag))
    steps = most_frequent("\n".join(analysis.steps) for analysis in analyses)
    return Analysis(
        analyses[0].name, tuple(tags), most_frequent(analysis.description for analysis in analyses),
        most_frequent(analysis.scope for analysis in analyses), tuple(steps.split("\n")),
    )  # fmt: skip
