"""Imported libraries in the line: what may not stand in a dataset is a reject, the rest is tried on its own worked example.

    rows, rejects = imported(params, problems)                                    # templates.imports of the params
    templates = proven(rows, inference, params)   → [Template(status="accepted", resolved=24, solve_rate=0.42, …), …]

An induced template is accepted when the inference model solves its source problems again under it. An imported one has one problem, its
example: it is asked `templates.resolve` times, and graded against the example's answer. Without an answer that the grader can read, or with
a finding that blocks it, it stays in quarantine: it is in the library for people to look at, and no plan uses it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from factory.engines.asking import sampling_params
from factory.engines.protocol import Engine, Request
from factory.grading import Grader, Task, parse_number
from factory.identity import seed_for
from factory.language.prompting import Prompts
from factory.language.tokens.control import strays
from factory.params import Params
from factory.rejects import reject
from factory.schemas import Problem, Reject, Template
from factory.templates.evidence import decide
from factory.templates.importing import gradable, read_library
from factory.templates.interplay import guided_prompt
from factory.templates.lint import lint_library


def imported(params: Params, problems: Sequence[Problem]) -> tuple[list[Template], list[Reject]]:
    """The templates of every import, all quarantined, and what is none. A content that a former import has is a reject."""
    kept = {_folded(problem.problem) for problem in problems if problem.split != "train"}
    rows: dict[str, Template] = {}
    rejects: list[Reject] = []
    for item in params.require("templates").imports:
        found = read_library(Path(item.path), item.licence, item.source, item.columns)
        rejects += found.rejects
        counts: Counter[str] = Counter()
        for row in found.templates:
            reason = "exact duplicate" if row.id in rows else _unfit(row, kept)
            if reason:
                rejects.append(reject("templates", row, reason, row.id))
                counts[reason] += 1
            else:
                rows[row.id] = row
        print(f"templates: {item.path}: {found.rows:,} rows, {len(found.rejects) + counts.total():,} rejected")
    return [rows[key] for key in sorted(rows)], rejects


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _unfit(row: Template, kept: set[str]) -> str:
    """Why no dataset may hold it, "" when it may; it does not depend on any model."""
    if not row.steps or not all(step.strip() for step in row.steps):
        return "no steps"
    if not row.tags:
        return "no tags"
    if any(
        strays(text) for text in (row.name, *row.tags, row.description, row.scope, *row.steps, row.example_problem, row.example_solution)
    ):
        return "a control token in its text"
    if row.example_problem and _folded(row.example_problem) in kept:
        return "its example is a problem of dev, heldout or unseen"
    return ""


def proven(rows: Sequence[Template], others: Sequence[Template], inference: Engine, params: Params) -> list[Template]:
    """The imported rows with their evidence. `others`: the line's own templates, among which none may stand twice."""
    if not rows:
        return []
    section, sampling = params.require("templates"), params.require("trajectories").inference
    prompts = Prompts.of(params.asked_with("inference"))
    with Grader.of(params.grading) as grader:
        bad = {finding.template_id for finding in lint_library([*rows, *others], grader) if finding.blocking}
        tried = [row for row in rows if row.id not in bad and gradable(row)]
        asked = [(row, number) for row in tried for number in range(section.resolve)]
        requests = [
            Request(
                guided_prompt(prompts, row.example_problem, [row]), sampling_params(sampling),
                seed=seed_for(params.seed, "templates", "example", row.id, number),
            )
            for row, number in asked
        ]  # fmt: skip
        answers = inference.generate(requests)
        tasks = [
            Task(answer.text, row.example_answer, "math" if parse_number(row.example_answer) is None else "number")
            for (row, _), answer in zip(asked, answers, strict=True)
        ]
        grades = grader.grade_many(tasks)
    ran: dict[str, list[tuple[bool, str]]] = {row.id: [] for row in rows}
    for (row, _), answer, grade in zip(asked, answers, grades, strict=True):
        if answer.finish_reason != "error":
            ran[row.id].append((grade.correct, answer.request_id))
    return [decide(row, ran[row.id], section.min_solve_rate) for row in rows]
