"""Induce templates from solved problems: the labeller analyses each step, equal names merge, the inference model re-solves for evidence.

    Template(name="put together", tags=("add", "total"), description="…", steps=("Take the result so far.", "Add the next number."),
             status="accepted", resolved=8, solve_rate=0.875, parents=("a07b…", "51aa…"), …)

Which steps are analysed is decided from the text alone (`analysed_steps`): the first equation, and every later one that takes a number of
the problem not taken before; the problem's first number is the start of the running result. An equation that only combines what is there
continues the strategy of the step before (`12 + 7 = 19`, then `12 + 19 = 31`: "7 more, both" is one strategy). A solution with a line
`Try …` searches: it is one strategy, analysed at its first equation. So a plan, the sequence of names, repeats a procedure's name as often
as it was used and names a search once. Source: papers/reasonflux, "Template T".
"""

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from factory.engines.protocol import Completion, Engine, Request, SamplingParams
from factory.errors import DataError
from factory.grading import Grader, Task, normalise
from factory.identity import row_id, seed_for
from factory.language.prompting import render, version
from factory.params import Params, Sampling
from factory.schemas import Problem, Reject, Rollout, Template
from factory.storage import reject
from factory.templates.interplay import guided_prompt
from factory.templates.lint import lint_template

_ANALYSIS = re.compile(
    r"Name: (?P<name>[^\n()]+)\nTags: (?P<tags>[^\n()]+)\nDescription: (?P<description>[^\n]+)\n"
    r"Scope: (?P<scope>[^\n]+)\nSteps:(?P<steps>.+)",
    re.DOTALL,
)
_LABEL = re.compile(r"^(?:Name|Tags|Description|Scope|Steps):", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class AnalysisError(DataError):
    """A labeller's answer that is no analysis."""


@dataclass(frozen=True)
class Analysis:
    name: str  # normalised, as are the tags
    tags: tuple[str, ...]
    description: str
    scope: str
    steps: tuple[str, ...]


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
    completion: Completion


def parse_analysis(text: str) -> Analysis:
    """Raises AnalysisError unless the text is `Name:`, `Tags:`, `Description:`, `Scope:`, `Steps:` once each and with something in it."""
    match = _ANALYSIS.fullmatch(text.strip())
    if not match:
        raise AnalysisError("malformed analysis")
    tags = tuple(dict.fromkeys(normalise(tag) for tag in match["tags"].split(",")))
    sentences = (sentence.strip() for sentence in re.split(r"(?<=\.)\s+|\n", match["steps"]))
    found = Analysis(
        name=normalise(match["name"]), tags=tags, description=match["description"].strip(), scope=match["scope"].strip(),
        steps=tuple(sentence for sentence in sentences if sentence),
    )  # fmt: skip
    if _LABEL.search(match["steps"]) or not (found.name and all(tags) and found.description and found.scope and found.steps):
        raise AnalysisError("malformed analysis")
    return found


def choose_solved(problems: Sequence[Problem], rollouts: Iterable[Rollout], count: int, seed: int) -> list[Solved]:
    """`count` train problems, those that were sampled first, each with one of the base's right rollouts, else its gold solution.

    Problems that the base never solves stay in, or the hard families would have no templates; those without any solution do not.
    """
    right: dict[str, Rollout] = {}
    sampled = set()
    for rollout in sorted(rollouts, key=lambda rollout: rollout.id):
        sampled.add(rollout.problem_id)
        if rollout.verdict == "correct":
            right.setdefault(rollout.problem_id, rollout)
    solvable = [problem for problem in problems if problem.split == "train" and (problem.id in right or problem.solution)]
    solvable.sort(key=lambda problem: (problem.id not in sampled, seed_for(seed, "templates", problem.id)))
    chosen = []
    for problem in solvable[:count]:
        if problem.id in right:
            chosen.append(Solved(problem, right[problem.id].completion, (problem.id, right[problem.id].id)))
        else:
            chosen.append(Solved(problem, problem.solution or "", (problem.id,)))
    return chosen


def analysed_steps(problem: str, solution: str) -> list[int]:
    """The lines (from 1) whose strategy is asked for: see the module docstring. Without any equation, every line but the box."""
    lines = solution.split("\n")
    numbers = _NUMBER.findall(problem)
    previous, untaken = (numbers or [None])[0], Counter(numbers[1:])
    found: list[int] = []
    for number, line in enumerate(lines, start=1):
        if "=" not in line or r"\boxed" in line:
            continue
        operands, _, result = line.rpartition("=")
        taken = not found
        for operand in _NUMBER.findall(operands):
            if operand == previous:
                previous = None  # the running result, and only once: `17 + 17` may take a 17 of the problem
            elif untaken[operand]:
                untaken[operand] -= 1
                taken = True
        if taken:
            found.append(number)
        previous = next(iter(_NUMBER.findall(result)), None)
    if any(line.startswith("Try ") for line in lines):
        return found[:1] or [1]
    return found or [number for number, line in enumerate(lines, start=1) if line.strip() and r"\boxed" not in line]


def sampling_params(sampling: Sampling) -> SamplingParams:
    return SamplingParams(max_tokens=sampling.max_tokens, temperature=sampling.temperature, top_p=sampling.top_p)


def analyse(sources: Sequence[Solved], labeller: Engine, sampling: Sampling, seed: int) -> list[Analysed]:
    """Ask the labeller for every analysed step of every solution, all at once."""
    asked = [(source, step) for source in sources for step in analysed_steps(source.problem.problem, source.solution)]
    requests = [
        Request(
            render("analyse", problem=source.problem.problem, solution=source.solution, step=step), sampling_params(sampling),
            seed=seed_for(seed, "templates", source.problem.id, step),
        )
        for source, step in asked
    ]  # fmt: skip
    found = []
    for (source, step), completion in zip(asked, labeller.generate(requests), strict=True):
        analysis = None
        if completion.finish_reason == "stop":
            with contextlib.suppress(AnalysisError):  # becomes a reject with the raw text
                analysis = parse_analysis(completion.text)
        found.append(Analysed(source, step, analysis, completion))
    return found


def _most_frequent(values: Iterable[str]) -> str:
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def merge(analyses: Sequence[Analysis]) -> Analysis:
    """One wording for analyses of one name: the most frequent of each field (the smaller text of two), tags of at least half of them
    in their usual order, or else the most frequent tag."""
    places: dict[str, list[int]] = defaultdict(list)
    for analysis in analyses:
        for place, tag in enumerate(analysis.tags):
            places[tag].append(place)
    tags = [tag for tag, found in places.items() if 2 * len(found) >= len(analyses)]
    tags = tags or [_most_frequent(tag for analysis in analyses for tag in analysis.tags)]
    tags.sort(key=lambda tag: (sum(places[tag]) / len(places[tag]), tag))
    steps = _most_frequent("\n".join(analysis.steps) for analysis in analyses)
    return Analysis(
        analyses[0].name, tuple(tags), _most_frequent(analysis.description for analysis in analyses),
        _most_frequent(analysis.scope for analysis in analyses), tuple(steps.split("\n")),
    )  # fmt: skip


def induce(sources: Sequence[Solved], labeller: Engine, inference: Engine, params: Params) -> tuple[list[Template], list[Reject]]:
    """The whole stage: analyse, merge, re-solve, decide. Every analysis supports a template or is a reject."""
    section = params.require("templates")
    analysed = analyse(sources, labeller, section.labeller, params.seed)
    supporters: dict[str, list[Analysed]] = defaultdict(list)
    rejects = []
    for item in analysed:
        if item.analysis:
            supporters[item.analysis.name].append(item)
        else:
            rejects.append(_reject(item, _why_malformed(item.completion)))
    for name in list(supporters):
        if len({item.source.problem.id for item in supporters[name]}) < section.min_support:
            rejects += [_reject(item, "too little support") for item in supporters.pop(name)]
    templates = {name: _template(items, labeller.model, params) for name, items in supporters.items()}
    plans = _plans(analysed, templates)
    decided = _with_evidence(templates, plans, inference, params)
    assert len(analysed) == sum(len(items) for items in supporters.values()) + len(rejects)
    return decided, rejects


def _why_malformed(completion: Completion) -> str:
    return {"error": "request failed", "length": "truncated analysis"}.get(completion.finish_reason, "malformed analysis")


def _reject(item: Analysed, reason: str) -> Reject:
    row = {"problem_id": item.source.problem.id, "step": item.step, "text": item.completion.text, "request_id": item.completion.request_id}
    if item.completion.error:
        row["error"] = item.completion.error
    return reject("templates", row, reason, item.source.parents[-1])


def _template(items: Sequence[Analysed], model: str, params: Params) -> Template:
    """The merged template, not yet tried. Its example is the source with the fewest analysed steps (the smallest id of two)."""
    merged = merge([item.analysis for item in items if item.analysis])
    sources = {item.source.problem.id: item.source for item in items}
    example = min(sources.values(), key=lambda s: (len(analysed_steps(s.problem.problem, s.solution)), s.problem.id))
    return Template(
        id=row_id("template", merged.name, merged.tags, merged.description, merged.scope, merged.steps),
        model=model, request_ids=tuple(item.completion.request_id for item in items), prompt_version=version("analyse"),
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
    templates: dict[str, Template], plans: dict[str, tuple[Solved, list[Template]]], inference: Engine, params: Params
) -> list[Template]:
    """Re-solve up to `resolve` source problems of each template under their whole plans; a problem is asked once for all its templates."""
    section, sampling = params.require("templates"), params.require("trajectories").inference
    order = sorted(plans, key=lambda problem_id: seed_for(params.seed, "templates", "resolve", problem_id))
    tried = {name: [i for i in order if template in plans[i][1]][: section.resolve] for name, template in templates.items()}
    asked = sorted({problem_id for problem_ids in tried.values() for problem_id in problem_ids})
    requests = [
        Request(
            guided_prompt(plans[problem_id][0].problem.problem, plans[problem_id][1]), sampling_params(sampling),
            seed=seed_for(params.seed, "templates", "guided", problem_id),
        )
        for problem_id in asked
    ]  # fmt: skip
    answers = dict(zip(asked, inference.generate(requests), strict=True))
    problems = [plans[problem_id][0].problem for problem_id in asked]
    with Grader.of(params.grading) as grader:
        tasks = [Task.of(problem, answers[problem.id].text) for problem in problems]
        right = {problem_id: grade.correct for problem_id, grade in zip(asked, grader.grade_many(tasks), strict=True)}
    return [
        _decide(template, [(right[i], answers[i]) for i in tried[name]], section.min_solve_rate) for name, template in templates.items()
    ]


def _decide(template: Template, attempts: Sequence[tuple[bool, Completion]], min_solve_rate: float) -> Template:
    """(whether it is right, answer) of every attempt; a failed request is none, and a template without any stays in quarantine."""
    ran = [(right, answer) for right, answer in attempts if answer.finish_reason != "error"]
    rate = sum(right for right, _ in ran) / len(ran) if ran else None
    good = rate is not None and rate >= min_solve_rate and not lint_template(template)
    request_ids = template.request_ids + tuple(answer.request_id for _, answer in ran)
    return replace(template, request_ids=request_ids, resolved=len(ran), solve_rate=rate, status="accepted" if good else "quarantined")
