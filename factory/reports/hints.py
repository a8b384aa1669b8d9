"""What hints give away: the final answer, or the value of a step.

    hint_of("In Step 2: 30 is not 26.\\nAlternatively: take away 4.")   → "take away 4."
    judged_hints(judgements, problems)   → [HintRecord(whose="llm, all asked", hints=2008, answers=1, answers_accepted=0, values=40, …)]

A hint that gives the final answer must not be accepted (Satori's printed samples have such). A step's value is a result of one of the gold
solution's equations that the problem does not state: to repeat one that the attempt had found is harmless, a new one saves the work.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from factory.coat import grammar
from factory.coat.demonstrations.equations import equations_of, numbers_in
from factory.grading import parse_number
from factory.schemas import CriticJudgement, Demonstration, Problem

_HINT = re.compile(r"\nAlternatively: *(\S.*)", re.DOTALL)


@dataclass(frozen=True)
class HintRecord:
    """`values`: give a step's value; `new_values`: one that stands nowhere before, None where what stands before is not known."""

    whose: str
    hints: int
    answers: int
    answers_accepted: int
    values: int
    new_values: int | None


def hint_of(critique: str) -> str | None:
    found = _HINT.search(critique)
    return found[1].strip() if found else None


def gives_answer(problem: Problem, hint: str) -> bool:
    """A number that the problem states gives nothing away."""
    if problem.answer_kind == "number":
        return parse_number(problem.answer) in numbers_in(hint) - numbers_in(problem.problem)
    refused = re.compile(rf"\bnot {re.escape(problem.answer)}(?!\w)")  # `not third.` rules the third out
    return bool(re.search(rf"(?<!\w){re.escape(problem.answer)}(?!\w)", refused.sub("", hint)))


def step_values(problem: Problem, hint: str) -> set[Fraction]:
    gold = {equation.value for equation in equations_of((problem.solution or "").split("\n"))}
    return numbers_in(hint) & (gold - numbers_in(problem.problem))


def judged_hints(judgements: Iterable[CriticJudgement], problems: Sequence[Problem]) -> list[HintRecord]:
    """By critic: every readable critique, whether it was used or not. Judgements are looked at once."""
    known = {problem.id: problem for problem in problems}
    counts: dict[str, Counter[str]] = {}
    for row in judgements:
        own = counts.setdefault(row.critic, Counter())
        problem, hint = known.get(row.problem_id), hint_of(row.text) if row.kind == "critique" else None
        if problem and hint:
            leaks = gives_answer(problem, hint)
            own.update(hints=1, answers=leaks, accepted=leaks and row.accepted, values=bool(step_values(problem, hint)))
    return [
        HintRecord(f"{critic}, all asked", own["hints"], own["answers"], own["accepted"], own["values"], None)
        for critic, own in sorted(counts.items())
    ]


def accepted_hints(rows: Iterable[Demonstration], problems: Sequence[Problem]) -> HintRecord:
    """Explorations of the demonstrations, which are the hints that were used."""
    known = {problem.id: problem for problem in problems}
    answers = values = new = hints = 0
    for row in rows:
        if problem := known.get(row.problem_id):
            for before, hint in explorations(row.completion):
                found = step_values(problem, hint)
                hints += 1
                answers += gives_answer(problem, hint)
                values += bool(found)
                new += bool(found - numbers_in(before))
    return HintRecord("in accepted rows", hints, answers, answers, values, new)


def explorations(completion: str) -> Iterable[tuple[str, str]]:
    """(what stands before, exploration) of every explore step."""
    steps = grammar.parse(completion)
    for number, step in enumerate(steps):
        if step.action == "explore":
            yield grammar.render(steps[:number]), step.text
