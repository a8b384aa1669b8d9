"""Induce templates from solved problems: the labeller analyses each step, equal names merge, the inference model re-solves for evidence.

    Template(name="put together", tags=("add", "total"), description="…", steps=("Take the result so far.", "Add the next number."),
             status="accepted", resolved=8, solve_rate=0.875, parents=("a07b…", "51aa…"), …)

A solution is analysed as a whole, unless its kind of problems knows how it is cut into strategies (factory/problems/manners.py): then step
by step, and a plan, the sequence of names, repeats a name as often as it was used. Where the engine holds schemas and the prompts can ask
for JSON, the analysis is a document, else lines. Source: papers/reasonflux, "Template T".
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from factory.engines.asking import in_json, sampling_params
from factory.engines.protocol import Completion, Engine, Request
from factory.grading import Grader, Task, normalise
from factory.identity import seed_for
from factory.language.conversation import split
from factory.language.prompting import Prompts
from factory.params import Params, Sampling
from factory.problems.draw import in_order
from factory.problems.manners import manners_of
from factory.rejects import reject
from factory.schemas import Conversation, Message, Problem, Reject, Rollout, Template
from factory.templates.evidence import decide
from factory.templates.interplay import guided_prompt
from factory.templates.merges import Merge
from factory.templates.merging import content_id, merge
from factory.templates.patterns import Named, united_patterns
from factory.templates.questions import QUESTIONS
from factory.templates.reading import ANALYSIS_SCHEMA, Analysis, AnalysisError, parse_analysis
from factory.templates.vocabulary import budgeted, in_use, united_tags

_UNFINISHED = {"error": "request failed", "length": "truncated analysis"}


@dataclass(frozen=True)
class Solved:
    """A problem with a right solution; `parents` are the ids that it comes from."""

    problem: Problem
    solution: str
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Analysed:
    """One step's analysis by the labeller: None when its answer was malformed."""

    source: Solved
    step: int
    analysis: Analysis | None
    reason: str  # why there is none
    completion: Completion


def choose_solved(
    problems: Sequence[Problem], rollouts: Iterable[Rollout], count: int, seed: int, solutions: str = "rollouts"
) -> list[Solved]:
    """`count` train problems, those that were sampled first (by their weights already), each with one of the base's right rollouts, else
    its gold solution; with `solutions` gold the other way round.

    Problems that the base never solves stay in, or the hard families would have no templates; those without any solution do not.
    """
    right: dict[str, Rollout] = {}
    sampled = set()
    for rollout in sorted(rollouts, key=lambda rollout: rollout.id):
        sampled.add(rollout.problem_id)
        if rollout.verdict == "correct":
            right.setdefault(rollout.problem_id, rollout)
    solvable = [problem for problem in problems if problem.split == "train" and (problem.id in right or problem.solution)]
    first = [problem for problem in solvable if problem.id in sampled]
    first.sort(key=lambda problem: seed_for(seed, "templates", problem.id))
    others = in_order((problem for problem in solvable if problem.id not in sampled), seed, "templates")
    chosen = []
    for problem in [*first, *others][:count]:
        if problem.id in right and not (solutions == "gold" and problem.solution):
            chosen.append(Solved(problem, right[problem.id].completion, (problem.id, right[problem.id].id)))
        else:
            chosen.append(Solved(problem, problem.solution or "", (problem.id,)))
    return chosen


def analyse(
    sources: Sequence[Solved], labeller: Engine, prompts: Prompts, sampling: Sampling, seed: int, tags: Sequence[str] = ()
) -> list[Analysed]:
    """Ask the labeller for every analysed step of every solution, all at once. `tags`: those in use, to be shown to it."""
    asked = [(source, step) for source in sources for step in manners_of(source.problem).analysed_steps(source.problem, source.solution)]
    json = in_json(labeller, prompts, "analyse")
    requests = [
        Request(
            _with_tags(prompts.render("analyse", problem=source.problem.problem, solution=source.solution, step=step, json=json), tags),
            sampling_params(sampling), seed=seed_for(seed, "templates", source.problem.id, step),
            schema=ANALYSIS_SCHEMA if json else None,
        )
        for source, step in asked
    ]  # fmt: skip
    found = []
    for (source, step), completion in zip(asked, labeller.generate(requests), strict=True):
        analysis, reason = None, _UNFINISHED.get(completion.finish_reason, "")
        if not reason:
            try:
                analysis = said_once(parse_analysis(completion.text))
            except AnalysisError as error:
                reason = f"malformed analysis: {error}"
        found.append(Analysed(source, step, analysis, reason, completion))
    return found


def said_once(analysis: Analysis) -> Analysis:
    """Without steps that have no word, or say again what one before them says: a model that runs in a circle fills a schema with them.
    Raises AnalysisError where none is left."""
    first: dict[str, str] = {}
    for step in analysis.steps:
        if any(letter.isalnum() for letter in step):
            first.setdefault(normalise(step).rstrip("."), step)
    if not first:
        raise AnalysisError("no steps")
    return replace(analysis, steps=tuple(first.values()))


def _with_tags(asked: Conversation, tags: Sequence[str]) -> Conversation:
    """The question with the tags at the end of its last turn, the user's."""
    turns, begun = split(asked)
    if not tags:
        return asked
    (said,) = QUESTIONS.render("known_tags", tags=tags)
    last = Message(turns[-1].role, f"{turns[-1].content}\n\n{said.content}")
    return (*turns[:-1], last, *([Message("assistant", begun)] if begun else []))


def induce(
    sources: Sequence[Solved], labeller: Engine, inference: Engine, params: Params, imported: Sequence[Template] = ()
) -> tuple[list[Template], list[Reject], list[Merge]]:
    """The whole stage: analyse, merge, re-solve, decide. Every analysis supports a template or is a reject. `imported`: published
    templates, whose tags are in use; they are not changed."""
    section = params.require("templates")
    asking, guiding = Prompts.of(params.asked_with("labeller")), Prompts.of(params.asked_with("inference"))
    analysed, merges = _united(_analysed(sources, labeller, asking, imported, params), labeller, params)
    supporters: dict[str, list[Analysed]] = defaultdict(list)
    rejects = []
    for item in analysed:
        if item.analysis:
            supporters[item.analysis.name].append(item)
        else:
            rejects.append(_reject(item, item.reason))
    for name in list(supporters):
        if len({item.source.problem.id for item in supporters[name]}) < section.min_support:
            rejects += [_reject(item, "too little support") for item in supporters.pop(name)]
    templates = {name: _template(items, labeller.model, asking.version("analyse"), params) for name, items in supporters.items()}
    if section.tags.once < 1:
        uses = Counter(tag for item in analysed if item.analysis for tag in item.analysis.tags)
        templates, dropped = budgeted(templates, uses, section.tags.once)
        templates = {name: replace(template, id=content_id(template)) for name, template in templates.items()}
        merges += dropped
    plans = _plans(analysed, templates)
    decided = _with_evidence(templates, plans, inference, guiding, params)
    assert len(analysed) == sum(len(items) for items in supporters.values()) + len(rejects)
    return decided, rejects, merges


def _analysed(
    sources: Sequence[Solved], labeller: Engine, prompts: Prompts, imported: Sequence[Template], params: Params
) -> list[Analysed]:
    """All analyses; where tags are shown, the first share of the sources names them together with the imported templates."""
    section = params.require("templates")
    if not section.tags.shown:
        return analyse(sources, labeller, prompts, section.labeller, params.seed)
    first = ceil(section.tags.first * len(sources))
    found = analyse(sources[:first], labeller, prompts, section.labeller, params.seed)
    tagged = [row.tags for row in imported] + [item.analysis.tags for item in found if item.analysis]
    return found + analyse(sources[first:], labeller, prompts, section.labeller, params.seed, in_use(tagged, section.tags.shown))


def _united(analysed: Sequence[Analysed], labeller: Engine, params: Params) -> tuple[list[Analysed], list[Merge]]:
    """The same, with one name for all analyses of one template and one tag for all synonyms; and what was merged and refused."""
    read = [(item.analysis, item.source.problem.id) for item in analysed if item.analysis]
    tagged, of_tags = united_tags([analysis for analysis, _ in read], labeller, params)
    named = [Named(analysis, problem_id) for analysis, (_, problem_id) in zip(tagged, read, strict=True)]
    analyses, of_patterns = united_patterns(named, labeller, params)
    united = iter(analyses)
    return [replace(item, analysis=next(united)) if item.analysis else item for item in analysed], [*of_patterns, *of_tags]


def _reject(item: Analysed, reason: str) -> Reject:
    row = {"problem_id": item.source.problem.id, "step": item.step, "text": item.completion.text, "request_id": item.completion.request_id}
    if item.completion.error:
        row["error"] = item.completion.error
    return reject("templates", row, reason, item.source.parents[-1])


def _template(items: Sequence[Analysed], model: str, prompt_version: str, params: Params) -> Template:
    """The merged template, not yet tried. Its example is the source with the fewest analysed steps (the smallest id of two)."""
    merged = merge([item.analysis for item in items if item.analysis])
    sources = {item.source.problem.id: item.source for item in items}
    example = min(sources.values(), key=lambda s: (len(manners_of(s.problem).analysed_steps(s.problem, s.solution)), s.problem.id))
    return Template(
        id=content_id(merged), model=model, request_ids=tuple(item.completion.request_id for item in items), prompt_version=prompt_version,
        seed=params.seed, round="base", parents=tuple(sorted({parent for source in sources.values() for parent in source.parents})),
        name=merged.name, tags=merged.tags, description=merged.description, scope=merged.scope, steps=merged.steps,
        example_problem=example.problem.problem, example_solution=example.solution, example_answer=example.problem.answer,
        source="induced", licence=params.release.licence, status="quarantined", resolved=0, solve_rate=None, version=1,
    )  # fmt: skip


def _plans(analysed: Sequence[Analysed], templates: dict[str, Template]) -> dict[str, tuple[Solved, list[Template]]]:
    """problem id → its source and plan, where every analysed step of it found a template."""
    steps: dict[str, list[Analysed]] = defaultdict(list)
    for item in analysed:
        steps[item.source.problem.id].append(item)
    return {
        problem_id: (items[0].source, [templates[item.analysis.name] for item in items if item.analysis])
        for problem_id, items in steps.items()
        if all(item.analysis and item.analysis.name in templates for item in items)
    }


def _with_evidence(
    templates: dict[str, Template], plans: dict[str, tuple[Solved, list[Template]]], inference: Engine, prompts: Prompts,
    params: Params,
) -> list[Template]:  # fmt: skip
    """Re-solve up to `resolve` source problems of each template under their whole plans; a problem is asked once for all its templates."""
    section, sampling = params.require("templates"), params.require("trajectories").inference
    order = sorted(plans, key=lambda problem_id: seed_for(params.seed, "templates", "resolve", problem_id))
    tried = {name: [i for i in order if template in plans[i][1]][: section.resolve] for name, template in templates.items()}
    asked = sorted({problem_id for problem_ids in tried.values() for problem_id in problem_ids})
    requests = [
        Request(
            guided_prompt(prompts, plans[problem_id][0].problem.problem, plans[problem_id][1]), sampling_params(sampling),
            seed=seed_for(params.seed, "templates", "guided", problem_id),
        )
        for problem_id in asked
    ]  # fmt: skip
    answers = dict(zip(asked, inference.generate(requests), strict=True))
    problems = [plans[problem_id][0].problem for problem_id in asked]
    with Grader.of(params.grading) as grader:
        tasks = [Task.of(problem, answers[problem.id].text) for problem in problems]
        right = {problem_id: grade.correct for problem_id, grade in zip(asked, grader.grade_many(tasks), strict=True)}
    ran = {i: (right[i], answers[i].request_id) for i in asked if answers[i].finish_reason != "error"}
    return [decide(template, [ran[i] for i in tried[name] if i in ran], section.min_solve_rate) for name, template in templates.items()]
