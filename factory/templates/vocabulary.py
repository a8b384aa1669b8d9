"""One vocabulary of tags for the labeller's analyses: tags in use are shown to it, synonyms are united, tags that occur once are budgeted.

    analyses, records = united_tags(analyses, labeller, params)
    analyses[0].tags    → ("rule conflict", "preference"), where others wrote "conflicting rules" and "rule conflicts" less often
    templates, records = budgeted(templates, uses, once=0.5)

Of a published library 708 of 922 tags occur once (papers/reasonflux): such a tag finds its own template and joins nothing. Synonyms are
tags with the same stems (`stems`), and with `labeller` those of the likest pairs that it calls the same, both ways round; the most used one
stays. What was united, refused and dropped is recorded. A tag is dropped only where its template keeps two others.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import floor

from factory.engines.protocol import Engine
from factory.params import Params
from factory.schemas import Template
from factory.templates.merges import Merge, record
from factory.templates.pairs import Asking, Pair, judged, united
from factory.templates.questions import QUESTIONS
from factory.templates.reading import Analysis
from factory.templates.tagging import folded, key_of
from factory.templates.terms import read

LIKE = 55.0  # rapidfuzz's ratio of two tags with their words in order, 0 to 100, below which the labeller is not asked
KEPT = 2  # other tags that a template has where one is dropped


def in_use(tagged: Iterable[Sequence[str]], most: int) -> tuple[str, ...]:
    """The most used tags, the most used first, of equally used ones the smaller first."""
    uses = Counter(tag for tags in tagged for tag in dict.fromkeys(tags))
    return tuple(sorted(uses, key=lambda tag: (-uses[tag], tag))[:most])


def united_tags(analyses: Sequence[Analysis], labeller: Engine, params: Params) -> tuple[list[Analysis], list[Merge]]:
    """The analyses, in their order, each tag under the most used of its synonyms."""
    section = params.require("templates")
    if section.tags.synonyms == "none":
        return list(analyses), []
    analyses, records = _folded(analyses, _by_stems(analyses))
    if section.tags.synonyms == "stems":
        return analyses, records
    uses = _uses(analyses)
    tags = sorted(uses)
    asking = Asking("same_tag", section.labeller, 2, params.seed)
    found = judged(_alike(tags, section.merge.candidates), tags, "tags", labeller, asking)
    group = united(len(tags), found)
    known = _most_used(zip(group, tags, strict=True), uses)
    for item in found:
        pair, merges = (tags[item.pair.first], tags[item.pair.second]), group[item.pair.first] == group[item.pair.second]
        kept = min(pair, key=lambda tag: (tag != known.get(tag, tag), -uses[tag], tag))
        records.append(record(
            "tag", ("", pair[pair[0] == kept]), ("", kept), merges, "labeller", item.pair.score, answers=item.answers,
            request_ids=item.request_ids, model=labeller.model, prompt_version=QUESTIONS.version("same_tag"),
        ))  # fmt: skip
    return [replace(analysis, tags=folded(analysis.tags, known)) for analysis in analyses], records


def budgeted(templates: dict[str, Template], uses: Counter[str], once: float) -> tuple[dict[str, Template], list[Merge]]:
    """The templates, by the same keys, with at most the share `once` of the vocabulary occurring once, where templates keep two other tags.
    `uses`: how often analyses have a tag; of those that occur once the least used go first. Ids are the caller's to make anew."""
    occurs = Counter(tag for template in templates.values() for tag in template.tags)
    singles = [(uses[tag], tag, key) for key, template in templates.items() for tag in template.tags if occurs[tag] == 1]
    left, tags, records = len(singles), len(occurs), []
    found = dict(templates)
    for _, tag, key in sorted(singles):
        if left <= floor(once * tags):
            break
        template = found[key]
        if len(template.tags) > KEPT:
            found[key] = replace(template, tags=tuple(other for other in template.tags if other != tag))
            records.append(record("single tag", (template.id, tag), (template.id, template.name), True, "occurs once", 0.0))
            left, tags = left - 1, tags - 1
    return found, records


def _uses(analyses: Sequence[Analysis]) -> Counter[str]:
    return Counter(tag for analysis in analyses for tag in dict.fromkeys(analysis.tags))


def _by_stems(analyses: Sequence[Analysis]) -> dict[str, str]:
    """Tag → the most used tag of the same stems in the same order."""
    return _most_used(((_stems(tag), tag) for tag in _uses(analyses)), _uses(analyses))


def _stems(tag: str) -> tuple[str, ...]:
    """Words that the index does not read, short ones, stand for themselves."""
    return tuple(stem for word in key_of(tag) for stem in (read(word) if word.isalpha() and len(word) > 2 else (word,)))


def _most_used(grouped: Iterable[tuple[object, str]], uses: Counter[str]) -> dict[str, str]:
    """Tag → what it is called, for the tags that change their name."""
    groups: dict[object, list[str]] = defaultdict(list)
    for group, tag in grouped:
        groups[group].append(tag)
    best = {group: min(tags, key=lambda tag: (-uses[tag], tag)) for group, tags in groups.items()}
    return {tag: best[group] for group, tags in groups.items() for tag in tags if tag != best[group]}


def _folded(analyses: Sequence[Analysis], known: dict[str, str]) -> tuple[list[Analysis], list[Merge]]:
    records = [record("tag", ("", tag), ("", kept), True, "the same stems", 100.0) for tag, kept in sorted(known.items())]
    return [replace(analysis, tags=folded(analysis.tags, known)) for analysis in analyses], records


def _alike(tags: Sequence[str], most: int) -> list[Pair]:
    """Each tag with the `most` likest of the others: by their writing, their words in alphabetical order."""
    from rapidfuzz import fuzz, process

    found = set()
    for number, tag in enumerate(tags):
        best = process.extract(tag, tags, scorer=fuzz.token_sort_ratio, limit=None, score_cutoff=LIKE)
        others = sorted((-round(score, 3), other) for _, score, other in best if other != number)[:most]
        found |= {Pair(min(number, other), max(number, other), -score) for score, other in others}
    return sorted(found)
