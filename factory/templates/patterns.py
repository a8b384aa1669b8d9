"""Analyses of one pattern under one name: by their names, then by a labeller who is asked of pairs that the library's index proposes.

    analyses, records = united_patterns([Named(analysis, "problem 1"), …], labeller, params)
    analyses[3].name    → "exclude what a rule forbids", the best supported of its group
    records             → [Merge(gone_name="rule out by a rule", kept_name="exclude what a rule forbids", merges=True, …), …]

Names alone are compared without asking anybody (`merging`). With `templates.merge.by: labeller` every name's merged analysis is a
candidate; the `candidates` best of each in the index make pairs, each asked once. With `controls` the labeller is asked of pairs of known
truth before, and of no other where it cannot tell these apart (`controls`). A group keeps the wording of its best supported name, for
a text made of several wordings would be nobody's, and the tags of all. Source: papers/reasonflux, "Template T": "find common patterns".
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

from factory.engines.protocol import Engine
from factory.params import Params
from factory.schemas import Template
from factory.templates.controls import BELIEVED, ONE, Checked, control_pairs
from factory.templates.index import Index
from factory.templates.merges import Merge, record
from factory.templates.merging import content_id, merge, unite
from factory.templates.pairs import Asking, Judged, Pair, judged, united
from factory.templates.questions import QUESTIONS
from factory.templates.reading import Analysis


@dataclass(frozen=True)
class Named:
    analysis: Analysis
    problem_id: str


def united_patterns(named: Sequence[Named], labeller: Engine, params: Params) -> tuple[list[Analysis], list[Merge]]:
    """The analyses, in their order, one name a pattern; and what was merged and refused on the way."""
    section = params.require("templates")
    by_name = unite([item.analysis for item in named])
    renamed = {(item.analysis.name, analysis.name) for item, analysis in zip(named, by_name, strict=True)}
    records = [record("template", ("", gone), ("", kept), True, "names", 0.0) for gone, kept in sorted(renamed) if gone != kept]
    if section.merge.by == "names":
        return by_name, records
    supporters: dict[str, list[Named]] = defaultdict(list)
    for item, analysis in zip(named, by_name, strict=True):
        supporters[analysis.name].append(Named(analysis, item.problem_id))
    candidates = sorted((_candidate(items) for items in supporters.values()), key=lambda candidate: candidate.id)
    pairs = proposed(candidates, section.merge.candidates)
    asking = Asking("same", section.labeller, section.merge.orders, params.seed, section.merge.decide == "odds")
    checked, of_controls = _checked(candidates, pairs, labeller, asking, section.merge.controls)
    found = judged(pairs, candidates, "templates", labeller, asking) if checked.tells else []
    found = [replace(item, least=checked.least) for item in found]
    group = united(len(candidates), found)
    kept = _kept(candidates, group, supporters)
    records += [_record(item, candidates, group, kept, labeller.model) for item in found]
    records += of_controls
    wording = {candidate.name: kept[number] for candidate, number in zip(candidates, group, strict=True)}
    return [_worded(analysis, wording[analysis.name]) for analysis in by_name], records


def proposed(candidates: Sequence[Template], most: int) -> list[Pair]:
    """Each candidate with the `most` best of the others for its own text; of a pair that both find the better score counts."""
    place = {candidate.id: number for number, candidate in enumerate(candidates)}
    scores: dict[tuple[int, int], float] = {}
    with Index.of(candidates) as index:
        for number, candidate in enumerate(candidates):
            text = " ".join((candidate.name, candidate.description, candidate.scope, *candidate.steps))
            others = [hit for hit in index.search(text, most + 1, confident=0) if hit.template_id != candidate.id][:most]
            for hit in others:
                other = place[hit.template_id]
                key = min(number, other), max(number, other)
                scores[key] = max(hit.score, scores.get(key, 0.0))
    return [Pair(first, second, score) for (first, second), score in sorted(scores.items())]


def _checked(
    candidates: Sequence[Template], proposals: Sequence[Pair], labeller: Engine, asking: Asking, most: int
) -> tuple[Checked, list[Merge]]:
    """What the labeller says to pairs of known truth, asked as the others are, and the record of it. None asked: it is believed."""
    if not most:
        return BELIEVED, []
    pairs, rows = control_pairs(candidates, proposals, most, asking.seed)
    found = judged(pairs, rows, "templates", labeller, asking)
    checked = Checked.of(found, asking.odds)
    return checked, [_of_control(replace(item, least=checked.least), rows, labeller.model) for item in found]


def _of_control(item: Judged, rows: Sequence[Template], model: str) -> Merge:
    what, how = rows[item.pair.first], rows[item.pair.second]
    truth = "one pattern" if item.pair.score == ONE else "two patterns"
    return record(
        "control", (how.id, how.name), (what.id, what.name), item.agreed, f"control of {truth}{_surely(item)}", item.pair.score,
        answers=item.answers, request_ids=item.request_ids, model=model, prompt_version=QUESTIONS.version("same"),
    )  # fmt: skip


def _surely(item: Judged) -> str:
    """How probable yes was, and had to be, where that decides."""
    if item.least is None:
        return ""
    share = "unread" if item.sureness is None else f"{1 / (1 + exp(-item.sureness)):.3f}"
    return f": yes {share}, least {1 / (1 + exp(-min(item.least, 99.0))):.3f}"


def _candidate(items: Sequence[Named]) -> Template:
    """What the template of this name alone would be."""
    merged = merge([item.analysis for item in items])
    return Template(
        id=content_id(merged), model="", prompt_version="", seed=0, round="base", name=merged.name, tags=merged.tags,
        description=merged.description, scope=merged.scope, steps=merged.steps, example_problem="", example_solution="", example_answer="",
        source="induced", licence="", status="quarantined", resolved=0, solve_rate=None, version=1,
    )  # fmt: skip


def _kept(candidates: Sequence[Template], group: Sequence[int], supporters: dict[str, list[Named]]) -> dict[int, Template]:
    """Group → its best supported candidate: by problems, then by analyses, then by the smaller id."""
    kept: dict[int, Template] = {}
    for number, candidate in sorted(zip(group, candidates, strict=True), key=lambda item: _rank(item[1], supporters)):
        kept.setdefault(number, candidate)
    return kept


def _rank(candidate: Template, supporters: dict[str, list[Named]]) -> tuple[int, int, str]:
    items = supporters[candidate.name]
    return -len({item.problem_id for item in items}), -len(items), candidate.id


def _record(item: Judged, candidates: Sequence[Template], group: Sequence[int], kept: dict[int, Template], model: str) -> Merge:
    first, second, score = item.pair
    merges, here, there = group[first] == group[second], candidates[first], candidates[second]
    gone, other = (there, here) if here is kept[group[first]] else (here, there)
    why = ("labeller: refused within the group" if item.agreed and not merges else "labeller") + _surely(item)
    return record(
        "template", (gone.id, gone.name), (other.id, other.name), merges, why, score, answers=item.answers, request_ids=item.request_ids,
        model=model, prompt_version=QUESTIONS.version("same"),
    )  # fmt: skip


def _worded(analysis: Analysis, kept: Template) -> Analysis:
    """Under the kept one's name and, where it is another's, wording."""
    if analysis.name == kept.name:
        return analysis
    return replace(analysis, name=kept.name, description=kept.description, scope=kept.scope, steps=kept.steps)
