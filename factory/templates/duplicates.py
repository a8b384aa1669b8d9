"""Which templates of a library are one: each with the template that it would merge into, and why.

    duplicates(templates)    → [Merge(kind="template", gone="1f0c…", kept="07ab…", score=1.0, why="the same steps", merges=True, …), …]

Sure are equal steps under one name or description, and a name of the same words over nearly the same text: such a template is
quarantined, for a plan cannot say which of the two it means. Equal steps alone may serve two purposes (`share equally`, `cost of one`).
Nearly the same text under another name is for a person to judge. Kept is what is accepted, then what solved more of its problems, then
what says more, then the smaller id.

The cosine is that of the retrieval, over name, tags, description, scope and steps.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from math import fsum

from factory.grading import normalise
from factory.schemas import Template
from factory.templates.merges import Merge, record
from factory.templates.merging import having_telling_terms, unit_vectors, written_words

SAME = 0.5  # of two templates whose names have the same words
NEAR = 0.57  # of two with other names
MANY = 2_000  # templates that share a term: it tells too little to look for pairs by it


def duplicates(templates: Sequence[Template]) -> list[Merge]:
    """One merge a template at most, into the nearest that is kept; in the order of the ids."""
    best_first = sorted(templates, key=_rank)
    place = {template.id: number for number, template in enumerate(best_first)}
    pairs: dict[tuple[str, str], Merge] = {}
    for first, second, cosine, why, sure in _pairs(best_first):
        kept, gone = sorted((first, second), key=place.__getitem__)
        if (gone, kept) not in pairs or (sure and not pairs[gone, kept].merges):
            names = [best_first[place[key]].name for key in (gone, kept)]
            pairs[gone, kept] = record("template", (gone, names[0]), (kept, names[1]), sure, why, round(cosine, 2))
    chosen: dict[str, Merge] = {}
    for merge in sorted(pairs.values(), key=lambda merge: (not merge.merges, -merge.score, place[merge.kept], merge.gone)):
        chosen.setdefault(merge.gone, merge)
    return [chosen[key] for key in sorted(chosen)]


def _rank(template: Template) -> tuple[bool, float, int, str]:
    length = len(" ".join((template.description, template.scope, *template.steps, template.example_solution)))
    return template.status != "accepted", -(template.solve_rate or 0.0), -length, template.id


def _pairs(templates: Sequence[Template]) -> list[tuple[str, str, float, str, bool]]:
    found: list[tuple[str, str, float, str, bool]] = []
    same: list[tuple[str, str]] = []
    steps: dict[str, list[str]] = defaultdict(list)
    names: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, template in enumerate(templates):
        steps[normalise(" ".join(template.steps))].append(template.id)
        names[written_words(template.name)].append(number)
    for text, ids in steps.items():
        if text:
            same += combinations(ids, 2)
    vectors = unit_vectors([_text(template) for template in templates])
    known = {template.id: number for number, template in enumerate(templates)}
    for first, second in same:
        one, other = templates[known[first]], templates[known[second]]
        sure = normalise(one.description) == normalise(other.description) or written_words(one.name) == written_words(other.name)
        cosine = _cosine(vectors[known[first]], vectors[known[second]])
        found.append((first, second, cosine, "the same steps" if sure else "the same steps under another description", sure))
    for numbers in names.values():
        for here, there in combinations(numbers, 2):
            cosine = _cosine(vectors[here], vectors[there])
            sure = cosine >= SAME
            why = "the same name over nearly the same text" if sure else "the same name over another text"
            found.append((templates[here].id, templates[there].id, cosine, why, sure))
    for here, there in _candidates(vectors):
        if (cosine := _cosine(vectors[here], vectors[there])) >= NEAR:
            found.append((templates[here].id, templates[there].id, cosine, "nearly the same text", False))
    return found


def _text(template: Template) -> str:
    return " ".join((template.name, *template.tags, template.description, template.scope, *template.steps))


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    return fsum(one[term] * other[term] for term in one.keys() & other.keys())


def _candidates(vectors: Sequence[dict[str, float]]) -> set[tuple[int, int]]:
    """Pairs whose cosine may be NEAR or more."""
    having = having_telling_terms(vectors, NEAR)
    return {pair for numbers in having.values() if len(numbers) <= MANY for pair in combinations(numbers, 2)}
