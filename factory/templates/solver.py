"""Who solves with templates, with what and within which bounds; and one problem's requests, counted as they are made.

    Solver(planner, evaluator, inference, Lookup(templates), Settings(rounds=12, tokens=3000), plans_with="propose")

Generated tokens never exceed `Settings.tokens`: each request is given at most what is left, and enough is held back for the final answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from factory.engines.asking import in_json
from factory.engines.budget import estimated
from factory.engines.flow import Ask, Flow
from factory.engines.protocol import Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.select import Engines
from factory.errors import ParamsError
from factory.grading import BOX
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.language.steps import By
from factory.params import Params, Role, RoleName
from factory.schemas import AnswerKind, Rule
from factory.templates.adjusting import prompts_of
from factory.templates.lookup import Lookup
from factory.templates.traces import Event, Kind

SHORTEST = 8  # tokens: with fewer left nothing is begun


@dataclass(frozen=True)
class Settings:
    """`rounds`: instantiated steps in all. `tokens`: generated in all. The other `…_tokens` bound one answer each."""

    rounds: int = 12
    tokens: int = 3000
    plan_tokens: int = 160
    step_tokens: int = 200
    check_tokens: int = 160
    answer_tokens: int = 512
    most: int = 4  # templates of a plan
    candidates: int = 8  # templates that a planner without training chooses from
    tries: int = 2  # how often one step is done again or with another template
    revisions: int = 2  # of the plan
    repeats: int = 1  # of a question whose answer cannot be read
    temperature: float = 0.0
    again: float = 0.7  # the temperature of what is asked again
    evaluates: bool = True  # False: every step is kept unseen, which is guided solving step by step
    steps: By = "paragraph"
    rules: tuple[Rule, ...] = BOX  # which find the answer
    kind: AnswerKind = "math"
    seed: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.tokens < SHORTEST:
            raise ValueError(f"rounds {self.rounds}, tokens {self.tokens}: expected 0 or more, and {SHORTEST} or more")


@dataclass(frozen=True)
class Voice:
    """A model and how it is asked."""

    role: str
    engine: StoredEngine
    prompts: Prompts


@dataclass(frozen=True)
class Solver:
    """`plans_with`: `plan` of a trained planner, `propose` of any model, which chooses from the templates that fit. `adjusts`: the
    evaluator was trained on adjustments, in which another template is the planner's at this place, and no other of the planned name."""

    planner: Voice
    evaluator: Voice
    inference: Voice
    lookup: Lookup
    settings: Settings
    plans_with: str = "propose"
    adjusts: bool = False

    def asked(self) -> dict[str, Any]:
        """What decides a trace beside the problem."""
        voices = {
            self.plans_with: self.planner, "revise": self.planner, "evaluate": self.evaluator, "instantiate": self.inference,
            "conclude": self.inference, "solve": self.inference,
        }  # fmt: skip
        values = {item.name: getattr(self.settings, item.name) for item in fields(Settings)}
        return {
            "models": {voice.role: voice.engine.model for voice in (self.planner, self.evaluator, self.inference)},
            "prompts": {question: voice.prompts.version(question) for question, voice in voices.items()},
            "settings": {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()},
            "library": {"version": self.lookup.version, "templates": len(self.lookup.templates)},
        }


class RequestFailed(Exception):
    """The loop ends there, and its trace says so."""


class Requests:
    """The requests of one problem as events, and what is left of its tokens."""

    def __init__(self, problem: str, solver: Solver) -> None:
        self.problem, self.solver, self.settings = problem, solver, solver.settings
        self.key = row_id("solve", problem)
        self.events: list[Event] = []
        self.spent, self.ran_out = 0, ""

    def ask(
        self, kind: Kind, voice: Voice, question: str, most: int, values: dict[str, Any], *, place: int = 0, turn: tuple[int, ...] = (),
        again: bool = False, schema: str | None = None, stop: tuple[str, ...] = (), last: bool = False,
    ) -> Flow[Event]:  # fmt: skip
        """One request and its answer. `turn` tells apart what is asked several times, `again` samples it; `last`: nothing is held back.
        Raises RequestFailed."""
        settings = self.settings
        json = bool(schema) and in_json(voice.engine, voice.prompts, question)
        sampling = SamplingParams(
            max_tokens=max(1, min(most, self.left(last=last))), temperature=settings.again if again else settings.temperature,
            stop=stop,
        )  # fmt: skip
        seed = seed_for(settings.seed, "solve", self.key, question, place, turn)
        prompt = voice.prompts.render(question, **values, json=json)
        (answer,) = yield Ask(voice.engine, [Request(prompt, sampling, seed, schema=schema if json else None)])
        failed = answer.finish_reason == "error"
        tokens = answer.tokens or estimated(answer.text + (answer.reasoning or ""))  # of an engine that tells none
        event = Event(
            kind, place, voice.role, question, answer.request_id, answer.text, answer.finish_reason, answer.prompt_tokens, tokens,
            note="failed" if failed else "cut off" if answer.finish_reason == "length" else "",
        )  # fmt: skip
        self.events.append(event)
        self.spent += tokens
        if failed:
            reason = " ".join((answer.error or "no reason given").split())
            raise RequestFailed(f"the question {question!r} to {voice.engine.model} failed: {reason}")
        return event

    def note(self, note: str, choice: str = "", remark: str = "") -> None:
        """More about the last event."""
        self.events[-1] = replace(self.events[-1], note=note, choice=choice, remark=remark)

    def left(self, *, last: bool = False) -> int:
        """Tokens that may be generated. What the final answer may take is held back, or a third of all where that is less."""
        held = 0 if last else min(self.settings.answer_tokens, self.settings.tokens // 3)
        return self.settings.tokens - self.spent - held

    def affords(self, most: int) -> bool:
        """Whether at least half of such an answer fits; else tokens have run out."""
        if self.left() >= max(SHORTEST, most // 2):
            return True
        self.ran_out = "tokens"
        return False

    def asked(self) -> Sequence[Event]:
        return [event for event in self.events if event.role]


def solver_of(params: Params, engines: Engines, lookup: Lookup, settings: Settings, planner: str = "", evaluator: str = "") -> Solver:
    """The models of params.yaml in their roles. `planner`: a trained planner's folder or Hub id; without it and without roles.planner the
    labeller plans, which chooses from the templates that fit. `evaluator`: a role that evaluates steps, or the folder or Hub id of one that
    was trained to (planner_adjust), which is asked as in training; without it the planner.

    Raises ParamsError for a role that is not there, EngineError for a model that is missing."""
    if "inference" not in params.roles:
        raise ParamsError("params.yaml has no roles.inference, which carries out the steps: name a model for it")
    inference = _voice(params, engines, "inference")
    trained = bool(planner) or "planner" in params.roles
    if planner:
        role = Role(engine="transformers", model=planner, prompts=params.roles["inference"].prompts)
        planning = Voice("planner", engines.engine(role, "planner"), Prompts.of(role.prompts))
    else:
        name = next((name for name in ("planner", "labeller") if name in params.roles), "inference")
        planning = _voice(params, engines, name)
    plans_with = "plan" if trained else "propose"
    if "/" in evaluator or Path(evaluator or "-").is_dir():
        role = Role(engine="transformers", model=evaluator, prompts=params.asked_with("labeller"))
        return Solver(planning, adjuster(role, engines), inference, lookup, settings, plans_with, adjusts=True)
    writing = [name for name in params.roles if name != "reward_model"]
    if evaluator and evaluator != "planner" and evaluator not in writing:
        known = ", ".join(name for name in writing if name != "planner")
        raise ParamsError(f"params.yaml has no roles.{evaluator} that evaluates: expected planner, {known}, or a trained one's folder")
    watching = planning if evaluator in ("", "planner", planning.role) else _voice(params, engines, evaluator)
    return Solver(planning, watching, inference, lookup, settings, plans_with)


def adjuster(role: Role, engines: Engines) -> Voice:
    """A model that was trained on adjustments, asked as its rows were. Raises EngineError where there is none."""
    return Voice("evaluator", engines.engine(role, "evaluator"), prompts_of(role.prompts))


def _voice(params: Params, engines: Engines, name: str) -> Voice:
    role = params.roles[cast(RoleName, name)]
    return Voice(name, engines.engine(role, name), Prompts.of(role.prompts))
