"""The trace of one problem that was solved with templates: what was asked, answered, decided and spent, as one JSON object.

    trace = solve_all(["Ann has 12 pens. …"], solver)[0]
    trace.events[1]     → Event(kind="retrieve", place=1, planned="equal groups (multiply)", template="t1", name="equal groups", score=4.1)
    trace.document()    → {"schema": 1, "id": "9d02…", "problem": "Ann …", "plan": […], "events": […], "answer": "24", "ended": {…}, …}
    read_trace(trace.document()) == trace

Everything is a function of the problem, the models, the library, the settings and the seed, but for `measured`: seconds. A trace that is
made again from the request store has the same id.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from factory.errors import DataError
from factory.identity import row_id

SCHEMA = 1  # raise when a field changes its meaning
Kind = Literal["plan", "retrieve", "instantiate", "evaluate", "adjust", "conclude"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Event:
    """One thing that happened. `place`: the step of the plan that it is about, from 1; 0: the plan or the answer as a whole. `text`: a
    model's answer as it was written, with its request and tokens. `note`: what was made of it, where that is not plain."""

    kind: Kind
    place: int = 0
    role: str = ""  # who was asked: planner, evaluator, inference
    question: str = ""  # and what: the prompt file
    request_id: str = ""
    text: str = ""
    finish: str = ""  # stop, length or error
    prompt_tokens: int = 0
    tokens: int = 0
    planned: str = ""  # of a step: its name and tags as planned
    template: str = ""  # the id of the template that was found for it
    name: str = ""
    score: float = 0.0
    choice: str = ""  # what the evaluation says is to be done; of an adjustment what was done
    remark: str = ""
    note: str = ""


@dataclass(frozen=True)
class Ended:
    """`ran_out`: rounds or tokens, after which no further step was begun."""

    how: Literal["answered", "failed"]
    reason: str = ""  # why it failed
    ran_out: str = ""


@dataclass(frozen=True)
class Totals:
    """`rounds`: instantiated steps, those that were done again too. `tokens`: generated ones; `prompt_tokens`: read ones."""

    rounds: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Trace:
    """`asked`: models, prompt versions, settings, library. `plan`: as it was at the end, `solution`: its steps as they were kept, and the
    final words. `grade`: verdict and gold answer where one was given."""

    problem: str
    asked: Mapping[str, Any]
    plan: tuple[str, ...]
    events: tuple[Event, ...]
    solution: tuple[str, ...]
    answer: str | None
    ended: Ended
    totals: Totals
    grade: Mapping[str, str] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def id(self) -> str:
        """A hash of all that can be made again."""
        document = asdict(self)
        del document["measured"]
        return row_id("trace", SCHEMA, document)

    def document(self) -> dict[str, Any]:
        """As JSON holds it. Fields of events that say nothing are left out."""
        plain = asdict(self)
        plain["events"] = [{key: value for key, value in event.items() if value not in ("", 0, 0.0)} for event in plain["events"]]
        return {"schema": SCHEMA, "id": self.id, **plain}


def read_trace(document: object) -> Trace:
    """Raises DataError for what is no trace of this version."""
    if not isinstance(document, dict) or "schema" not in document:
        raise DataError("this is no trace: expected a JSON object that `factory solve --json` wrote")
    if document["schema"] != SCHEMA:
        raise DataError(f"this trace has schema {document['schema']!r}, this version reads {SCHEMA}: solve the problem again")
    try:
        asked = {**document["asked"], **{name: dict(document["asked"][name]) for name in ("models", "library")}}
        if document["ended"]["how"] not in ("answered", "failed"):
            raise ValueError(f"ended.how is {document['ended']['how']!r}")
        return Trace(
            problem=_text(document["problem"]), asked=asked, plan=_texts(document["plan"]),
            events=tuple(_made(Event, event) for event in document["events"]), solution=_texts(document["solution"]),
            answer=document["answer"] if document["answer"] is None else _text(document["answer"]),
            ended=_made(Ended, document["ended"]), totals=_made(Totals, document["totals"]),
            grade={key: _text(document["grade"][key]) for key in ("gold", "verdict")} if document["grade"] else {},
            measured={key: float(value) for key, value in document["measured"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"this trace cannot be read: {type(error).__name__} {str(error)[:80]}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"{values!r} is no list")
    return tuple(map(_text, values))


def _made(kind: type[Any], values: Any) -> Any:
    """A row of a trace whose values have the types of its defaults: a page is made of them."""
    for item in fields(kind):
        default = "" if item.default is MISSING else item.default
        if item.name in values and not isinstance(values[item.name], int | float if isinstance(default, int | float) else type(default)):
            raise TypeError(f"{item.name} is {values[item.name]!r}")
    return kind(**values)
