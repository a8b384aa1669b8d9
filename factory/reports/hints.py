"""What hints give away: the final answer, or the value of a step.

    hint_of("In Step 2: 30 is not 26.\\nAlternatively: take away 4.")   → "take away 4."
    judged_hints(TABLES / "critic_judgements.parquet", TABLES / "problems.parquet")
    → [HintRecord(whose="llm, all asked", hints=2008, answers=1, answers_accepted=0, values=40, …)]

A hint that gives the final answer must not be accepted (Satori's printed samples have such). A step's value is a result of one of the gold
solution's equations that the problem does not state: to repeat one that the attempt had found is harmless, a new one saves the work.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from factory.coat import grammar
from factory.coat.demonstrations.equations import equations_of, numbers_in
from factory.grading import parse_number
from factory.reports.scan import Scan, literal
from factory.schemas import AnswerKind

KNOWN = 1 << 14  # problems and solutions whose numbers are remembered
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


class Gold(NamedTuple):
    """What is known of a hint's problem."""

    problem: str
    answer: str
    answer_kind: AnswerKind
    solution: str | None


def gives_answer(of: Gold, hint: str) -> bool:
    """A number that the problem states gives nothing away."""
    if of.answer_kind == "number":
        return parse_number(of.answer) in numbers_in(hint) - _stated(of.problem)
    refused = re.compile(rf"\bnot {re.escape(of.answer)}(?!\w)")  # `not third.` rules the third out
    return bool(re.search(rf"(?<!\w){re.escape(of.answer)}(?!\w)", refused.sub("", hint)))


def step_values(of: Gold, hint: str) -> set[Fraction]:
    return numbers_in(hint) & (_gold(of.solution or "") - _stated(of.problem))


@lru_cache(KNOWN)
def _stated(problem: str) -> frozenset[Fraction]:
    return frozenset(numbers_in(problem))


@lru_cache(KNOWN)
def _gold(solution: str) -> frozenset[Fraction]:
    return frozenset(equation.value for equation in equations_of(solution.split("\n")))


def judged_hints(judgements: Path, problems: Path) -> list[HintRecord]:
    """By critic: every readable critique, whether it was used or not."""
    counts: dict[str, Counter[str]] = {}
    where = "kind = 'critique' AND contains(text, chr(10) || 'Alternatively:')"
    for of, rows, critic, text, accepted in _with_problems(judgements, problems, ("critic", "text", "accepted"), where):
        if hint := hint_of(text):
            leaks = gives_answer(of, hint)
            told = {"hints": 1, "answers": leaks, "accepted": leaks and accepted, "values": bool(step_values(of, hint))}
            counts.setdefault(critic, Counter()).update({name: rows * holds for name, holds in told.items()})
    return [
        HintRecord(f"{critic}, all asked", own["hints"], own["answers"], own["accepted"], own["values"], None)
        for critic, own in sorted(counts.items())
    ]


def accepted_hints(demonstrations: Path, problems: Path) -> HintRecord:
    """Explorations of the demonstrations, which are the hints that were used."""
    answers = values = new = hints = 0
    where = f"contains(completion, {literal(grammar.EXPLORE)})"
    for of, rows, completion in _with_problems(demonstrations, problems, ("completion",), where):
        for before, hint in explorations(completion):
            found = step_values(of, hint)
            hints += rows
            answers += rows * gives_answer(of, hint)
            values += rows * bool(found)
            new += rows * bool(found - numbers_in(before))
    return HintRecord("in accepted rows", hints, answers, answers, values, new)


def _with_problems(path: Path, problems: Path, columns: Sequence[str], where: str) -> Iterator[tuple[Any, ...]]:
    """(problem, how many rows, the columns) of rows whose problem is known, those that say the same together."""
    asked = ", ".join([*(f"asked.{name}" for name in Gold._fields), *(f"own.{name}" for name in columns)])
    with Scan.of(path) as scan:
        query = (
            f"SELECT count(*), {asked} FROM (SELECT * FROM {{rows}} WHERE {where}) AS own"
            f" JOIN read_parquet({literal(str(problems))}) AS asked ON asked.id = own.problem_id GROUP BY ALL"
        )
        for rows, *found in scan.each(query):
            width = len(Gold._fields)
            yield (Gold(*found[:width]), rows, *found[width:])


def explorations(completion: str) -> Iterable[tuple[str, str]]:
    """(what stands before, exploration) of every explore step."""
    steps = grammar.parse(completion)
    for number, step in enumerate(steps):
        if step.action == "explore":
            yield grammar.render(steps[:number]), step.text
