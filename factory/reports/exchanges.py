"""What was asked and what was read of the answers, for people who look at a few rows: `factory preview`.

    kinds(exchanges, sets)          → {("generator", "solve"): [exchange, …], ("critic", "verify"): […], …}
    readings(tables, rejects)       → {"9f0c…": ["correct, answer 19"], "51aa…": ["rejected: malformed analysis: no name"], …} by request

A request does not say which question it is: the words of the prompt files do, in which the data stand.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace

from jinja2 import TemplateError

from factory.engines.listening import Exchange
from factory.engines.protocol import Completion, Request
from factory.grading import Grade, Grader, Task
from factory.language.conversation import split
from factory.language.prompting import Prompts
from factory.schemas import (
    Conversation,
    CriticJudgement,
    Demonstration,
    Message,
    Problem,
    Reject,
    Rollout,
    Row,
    Template,
    Trajectory,
)

ASKED = {  # service → the questions that it may be asked; of the others (planners, the models of an evaluation) `OTHERS`
    "generator": ("solve",),
    "critic": ("verify", "critique", "critique_again"),
    "labeller": ("analyse", "propose"),
    "inference": ("guided", "solve"),
}
OTHERS = ("plan", "solve", "guided")
SOLVED = ("solve", "solve, gone on with", "guided")  # questions whose answers are graded

_HOLE = "\0"  # where data stand in a rendered question
_GAP = re.compile(rf"[{_HOLE}\d]+")  # numbers may be counts of data
_TEMPLATE = SimpleNamespace(**dict.fromkeys(("name", "description", "scope"), _HOLE), tags=(_HOLE,), steps=(_HOLE,))
_VALUES = {
    **dict.fromkeys(("problem", "solution", "critique", "step", "most", "name", "gold", "answer", "reason"), _HOLE),
    "steps": (_HOLE,), "earlier": (_HOLE,), "tags": (_HOLE,), "templates": (_TEMPLATE,),
}  # fmt: skip


def conversation_of(exchange: Exchange) -> Conversation:
    """What was asked; of token ids, the ids as text."""
    item = exchange.item
    prompt = item.prompt if isinstance(item, Request) else item[0]
    if all(isinstance(part, Message) for part in prompt):
        return prompt  # type: ignore[return-value]
    return (Message("user", " ".join(map(str, prompt))),)


def kinds(exchanges: Iterable[Exchange], sets: Sequence[str]) -> dict[tuple[str, str], list[Exchange]]:
    """The exchanges by service and question. `sets`: sets and folders of prompts with which the roles are asked."""
    prompts = [Prompts.of(name) for name in dict.fromkeys((*sets, "instruct"))]
    found: dict[tuple[str, str], list[Exchange]] = {}
    for exchange in exchanges:
        found.setdefault((exchange.name, _question(exchange, prompts)), []).append(exchange)
    return found


def _question(exchange: Exchange, prompts: Sequence[Prompts]) -> str:
    if not isinstance(exchange.item, Request):
        return "score"
    turns, begun = split(conversation_of(exchange))
    said = next((message.content for message in reversed(turns) if message.role == "user"), "")
    fits = [
        (len("".join(pieces)), -place, name)
        for place, name in enumerate(("repair", *ASKED.get(exchange.name, OTHERS)))
        for asked in prompts
        for pieces in _words(asked, name)
        if _stand_in(pieces, said)
    ]
    name = max(fits, default=(0, 0, "question"))[2]
    if name == "repair":
        return "asked again"
    return f"{name}, gone on with" if begun and name == "solve" else name


def _words(prompts: Prompts, name: str) -> list[list[str]]:
    """The last words of the user in a question, cut where data stand; with and without JSON."""
    found = []
    for json_asked in (False, True):
        try:
            turns, _ = split(prompts.render(name, **_VALUES, json=json_asked))
        except (TemplateError, TypeError, ValueError):  # a file of one's own that reckons with what it is given
            continue
        found.append(_GAP.split(turns[-1].content))
    return found


def _stand_in(pieces: Sequence[str], text: str) -> bool:
    first, *middle = pieces
    last = middle.pop() if middle else ""
    if not text.startswith(first) or not text.endswith(last) or len(first) + len(last) > len(text):
        return False
    place = len(first)
    for piece in middle:
        place = text.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return place <= len(text) - len(last)


def grades(exchanges: Sequence[Exchange], problems: Sequence[Problem], grader: Grader) -> dict[str, str]:
    """Request → verdict and extracted answer, of finished and cut solutions. The problem is the longest that stands in the question."""
    known = sorted(problems, key=lambda problem: -len(problem.problem))
    tasks: list[tuple[str, Task]] = []
    for exchange in exchanges:
        said = "\n".join(message.content for message in split(conversation_of(exchange))[0][-1:])
        found = next((problem for problem in known if problem.problem in said), None)
        if found and isinstance(exchange.answer, Completion) and exchange.answer.finish_reason != "error":
            tasks.append((exchange.key, Task.of(found, exchange.answer.text)))
    graded = grader.grade_many(task for _, task in tasks)
    return {key: verdict(grade) for (key, _), grade in zip(tasks, graded, strict=True)}


def verdict(grade: Grade) -> str:
    answer = f", answer {grade.extracted}" if grade.extracted is not None else ", no answer found"
    return f"{grade.verdict}{answer}" + (f" ({grade.reason})" if grade.reason else "")


def readings(tables: Mapping[str, Sequence[Row]], rejects: Sequence[Reject]) -> dict[str, list[str]]:
    """Request → what the rows and rejects that name it say."""
    found: dict[str, list[str]] = {}
    for name, rows in tables.items():
        for row in rows if name != "cot_demonstrations" else ():
            for key in _requests(vars(row)):
                found.setdefault(key, []).append(_reading(name, row))
    for reject in rejects:
        document = json.loads(reject.row)
        for key in _requests(document) if isinstance(document, dict) else ():
            found.setdefault(key, []).append(f"rejected: {reject.reason}")
    return {key: list(dict.fromkeys(texts)) for key, texts in found.items()}


def _requests(fields: Mapping[str, object]) -> list[str]:
    many, one = fields.get("request_ids") or (), fields.get("request_id")
    return [key for key in (*(many if isinstance(many, list | tuple) else ()), one) if isinstance(key, str) and key]


def _reading(table: str, row: Row) -> str:
    if isinstance(row, Rollout):
        return f"row {row.id[:8]} of {table}"
    if isinstance(row, CriticJudgement):
        step = "no step" if row.said_step is None else f"step {row.said_step}"
        said = f"read as {row.kind}, {step} wrong" if row.parsed else "cannot be read"
        return f"{said}; " + ("accepted" if row.accepted else f"not accepted: {row.reason}")
    if isinstance(row, Template):
        tried = f", right {row.solve_rate:.0%} of {row.resolved}" if row.solve_rate is not None else ""
        return f"template {row.name!r}: {row.status}{tried}"
    if isinstance(row, Demonstration):
        return f"in demonstration {row.id[:8]} of type {row.type}"
    if isinstance(row, Trajectory):
        return f"in trajectory {row.id[:8]}, R {row.reward:.2f}"
    return f"in row {row.id[:8]} of {table}"
