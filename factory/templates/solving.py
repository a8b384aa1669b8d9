"""The interplay of planner and inference model: plan, look up, instantiate, evaluate, adjust, answer (ReasonFlux §3.3).

    solver = Solver(planner, evaluator, inference, Lookup(templates), Settings(rounds=12, tokens=3000))
    solve_all(["Ann has 12 pens and buys 3 boxes of 4 pens. How many pens has she now?"], solver)
    → [Trace(plan=("multiply groups then add (multiplication, addition)",), answer="24", ended=Ended("answered"), …)]

    plan        the planner names templates; a name that finds none is left out, and a problem without any is solved as it is
    per step    the inference model carries it out; the evaluator keeps it, or has it done again, with another template, or
                the rest of the plan revised, or stops; a trained one (adjusting.py) has the planner choose the other template
    conclude    where no step has the final answer in a box, the inference model writes it

It ends with an answer or a stated failure, within its rounds and tokens. Each problem is a flow (factory/engines/flow.py): many are
solved at once, in large batches. Source: papers/reasonflux, "Inference scaling" steps 1 to 5.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from factory.engines.flow import Flow, run
from factory.grading import BOX, Grader, Task, extract
from factory.params import Grading
from factory.schemas import AnswerKind, Template
from factory.templates.choices import EVALUATION_SCHEMA, Choice, Evaluation, read_choice
from factory.templates.lookup import Found
from factory.templates.plan_reading import Line, PlanError, plan_lines
from factory.templates.reading import plan_schema
from factory.templates.retrieve import label
from factory.templates.solver import RequestFailed, Requests, Solver
from factory.templates.traces import Ended, Event, Kind, Totals, Trace


def solve_all(problems: Iterable[str], solver: Solver, title: str = "solve") -> list[Trace]:
    """One trace a problem, in order. Raises EngineError when a model or the store as a whole is unusable."""
    return run((Solving(problem, solver).flow() for problem in problems), title)


@dataclass(frozen=True)
class Step:
    """A step of the plan. `refused`: templates that did not fit here; `tries`: how often it was done over."""

    planned: str
    found: Found
    refused: tuple[str, ...] = ()
    tries: int = 0

    @property
    def template(self) -> Template:
        return self.found.template


class Solving(Requests):
    """One problem on its way. `steps` are the kept texts; the first of `plan` are the templates that they carry out."""

    def __init__(self, problem: str, solver: Solver) -> None:
        super().__init__(problem, solver)
        self.plan: list[Step] = []
        self.steps: list[str] = []
        self.rounds = self.revisions = 0
        self.final = self.remark = ""  # the remark: what is wrong with the step that is done over

    def flow(self) -> Flow[Trace]:
        started = time.monotonic()
        try:
            yield from self._solve()
            ended = self._ended()
        except RequestFailed as failure:
            ended = Ended("failed", str(failure), self.ran_out)
        asked = self.asked()
        totals = Totals(self.rounds, len(asked), sum(event.prompt_tokens for event in asked), self.spent)
        return Trace(
            self.problem, self.solver.asked(), tuple(step.planned for step in self.plan), tuple(self.events), self._solution(),
            self._answer() if ended.how == "answered" else None, ended, totals,
            measured={"seconds": round(time.monotonic() - started, 3)},
        )  # fmt: skip

    def _solve(self) -> Flow[None]:
        settings = self.settings
        if self.affords(settings.plan_tokens):
            yield from self._make_plan()
        while len(self.steps) < len(self.plan) and self.affords(settings.step_tokens):
            if self.rounds >= settings.rounds:
                self.ran_out = "rounds"
                break
            yield from self._instantiate()
            if not settings.evaluates or (self.solver.adjusts and self._boxed()):  # it was trained on steps before the answer
                evaluation = Evaluation("keep", "")
            elif not self.affords(settings.check_tokens):
                break
            else:
                evaluation = yield from self._evaluate()
            if (yield from self._adjust(evaluation)):
                break
        if not self._boxed():
            yield from self._conclude()

    # -- the questions

    def _make_plan(self) -> Flow[None]:
        fitting = self.solver.lookup.fitting(self.problem, self.settings.candidates)
        values = {"problem": self.problem, "templates": fitting, "most": self.settings.most}
        lines = yield from self._planned("plan", self.solver.plans_with, values, fitting)
        self.plan = self._looked_up(lines[: self.settings.most], 0)

    def _planned(
        self, kind: Kind, question: str, values: dict[str, Any], fitting: Sequence[Template],
        usable: Callable[[list[Line]], bool] = lambda lines: True,
    ) -> Flow[list[Line]]:  # fmt: skip
        """The lines of a plan or of its rest, [] where none can be read or none is `usable`, however often it is asked for."""
        settings, names = self.settings, list(dict.fromkeys(template.name for template in fitting))
        schema = plan_schema(names, values["most"]) if names else None
        for attempt in range(1 + settings.repeats):
            if attempt and not self.affords(settings.plan_tokens):
                break
            event = yield from self.ask(
                kind, self.solver.planner, question, settings.plan_tokens, values, place=len(self.steps), turn=(self.revisions, attempt),
                again=attempt > 0, schema=schema,
            )  # fmt: skip
            try:
                if event.finish == "length":
                    raise PlanError("truncated plan")
                if usable(lines := plan_lines(event.text)):
                    return lines
                self.note("the same plan again")
            except PlanError as error:
                self.note(str(error))
        return []

    def _looked_up(self, lines: Sequence[Line], before: int) -> list[Step]:
        """The steps whose name and tags find a template; the others are left out."""
        steps: list[Step] = []
        for line in lines:
            planned, place = _planned_text(line), before + len(steps) + 1
            if found := self.solver.lookup.retrieve(planned):
                self._retrieved(place, planned, found)
                steps.append(Step(planned, found))
            else:
                self.events.append(Event("retrieve", place, planned=planned, note="no template found: left out"))
        return steps

    def _instantiate(self) -> Flow[None]:
        step, self.rounds = self.plan[len(self.steps)], self.rounds + 1
        values = {**self._so_far(), "template": step.template, "remark": self.remark}
        event = yield from self.ask(
            "instantiate", self.solver.inference, "instantiate", self.settings.step_tokens, values, place=len(self.steps) + 1,
            turn=(self.rounds,), again=step.tries > 0, stop=self._end(),
        )  # fmt: skip
        self.steps.append(event.text.strip())

    def _evaluate(self) -> Flow[Evaluation]:
        """What is unreadable, however often it is asked for, keeps the step: nothing is known against it."""
        settings, place = self.settings, len(self.steps)
        values = {**self._so_far(), "template": self.plan[place - 1].template}
        for attempt in range(1 + settings.repeats):
            if attempt and not self.affords(settings.check_tokens):
                break
            event = yield from self.ask(
                "evaluate", self.solver.evaluator, "evaluate", settings.check_tokens, values, place=place, turn=(self.rounds, attempt),
                again=attempt > 0, schema=EVALUATION_SCHEMA,
            )  # fmt: skip
            if event.finish == "stop" and (found := read_choice(event.text)):
                self.note("", found.choice, found.remark)
                return found
            if event.finish == "stop":
                self.note("no choice can be read in it")
        return Evaluation("keep", "")

    def _conclude(self) -> Flow[None]:
        """The final answer. Without any step it is the question of an ordinary solution: planning nothing is solving directly."""
        question = "conclude" if self.steps else "solve"
        event = yield from self.ask("conclude", self.solver.inference, question, self.settings.answer_tokens, self._so_far(), last=True)
        self.final = event.text.strip()

    def _end(self) -> tuple[str, ...]:
        """Where a step ends: with its line; of paragraphs, where a small model goes on with the question that it was asked."""
        if self.settings.steps == "line":
            return ("\n",)
        return ("\nNow do step", "\nProblem:", f"\nStep {len(self.steps) + 2}")

    def _so_far(self) -> dict[str, Any]:
        return {"problem": self.problem, "templates": [step.template for step in self.plan], "steps": tuple(self.steps)}

    # -- adjusting

    def _adjust(self, evaluation: Evaluation) -> Flow[bool]:
        """Does what the evaluation says, or the next thing where that is not to be had. True: no further step is wanted."""
        choice: Choice = evaluation.choice if self.steps[-1] else "redo"
        place, self.remark = len(self.steps), ""
        step = self.plan[place - 1]
        if choice in ("redo", "fetch") and step.tries >= self.settings.tries:
            return self._keep(f"done over {step.tries} times")
        if choice == "redo":
            self._do_over("redo", replace(step, tries=step.tries + 1), evaluation.remark)
            return False
        if choice == "fetch" and not self.solver.adjusts:
            refused = (*step.refused, step.template.id)
            if found := self.solver.lookup.retrieve(step.planned, without=refused):
                self._retrieved(place, step.planned, found)
                self._do_over("fetch", Step(step.planned, found, refused, step.tries + 1), evaluation.remark)
                return False
            self.events.append(Event("retrieve", place, planned=step.planned, note="no other template found"))
        if choice in ("fetch", "revise"):
            return (yield from self._revise(evaluation, unfit=choice == "fetch"))
        if choice == "stop":
            self._did("stop", place)
            del self.plan[place:]  # or the answer would be asked for under all of it
        return choice == "stop" or self._boxed()

    def _do_over(self, choice: Choice, step: Step, remark: str) -> None:
        self._did(choice, len(self.steps))
        self.steps.pop()
        self.plan[len(self.steps)], self.remark = step, remark

    def _revise(self, evaluation: Evaluation, *, unfit: bool) -> Flow[bool]:
        """The rest of the plan is made again, another than it was; `unfit`: from the last step on, with another template for it."""
        place, settings = len(self.steps), self.settings
        step = self.plan[place - 1]
        refused, before = (*step.refused, step.template.id), [one.template.id for one in self.plan[place:]]
        done = place - unfit
        most = settings.most - done
        if self.revisions >= settings.revisions:
            return self._keep(f"the plan was revised {self.revisions} times")
        if most < 1 or not self.affords(settings.plan_tokens):
            return self._keep("no room for another plan")
        self.revisions += 1
        fitting = self.solver.lookup.fitting(self.problem, settings.candidates)
        values = {**self._so_far(), "done": done, "remark": evaluation.remark, "candidates": fitting, "most": most}

        def another(lines: list[Line]) -> bool:
            found = [one.template.id for line in lines[:most] if (one := self.solver.lookup.retrieve(_planned_text(line)))]
            return bool(found) and (found[0] not in refused if unfit else found != before)

        lines = yield from self._planned("adjust", "revise", values, fitting, another)
        rest = self._looked_up(lines[:most], done)
        if not rest:
            return self._keep("no other plan")
        if unfit:
            rest[0] = replace(rest[0], refused=refused, tries=step.tries + 1)
        del self.steps[done:]
        self.plan[done:] = rest
        self._did("revise", place)
        return False

    def _keep(self, why: str) -> bool:
        self._did("keep", len(self.steps), why)
        return self._boxed()

    def _did(self, choice: Choice, place: int, note: str = "") -> None:
        self.events.append(Event("adjust", place, choice=choice, note=note))

    def _retrieved(self, place: int, planned: str, found: Found) -> None:
        name, key = label(found.template), found.template.id
        self.events.append(Event("retrieve", place, planned=planned, template=key, name=name, score=found.score))

    # -- the answer

    def _boxed(self) -> bool:
        """Whether the last step has the final answer."""
        return bool(self.steps and extract(self.steps[-1], BOX, self.settings.kind))

    def _solution(self) -> tuple[str, ...]:
        return tuple(filter(None, (*self.steps, self.final)))

    def _answer(self) -> str | None:
        found = extract("\n\n".join(self._solution()), self.settings.rules, self.settings.kind)
        return found.text if found else None

    def _ended(self) -> Ended:
        if self._answer() is not None:
            return Ended("answered", ran_out=self.ran_out)
        cut = self.events[-1].finish == "length"
        reason = f"no answer was found in what {self.solver.inference.engine.model} wrote" + (", which was cut off" if cut else "")
        return Ended("failed", reason, "tokens" if cut else self.ran_out)


def _planned_text(line: Line) -> str:
    name, tags = line
    return f"{name} ({', '.join(tags)})" if tags else name


def grade_all(traces: Sequence[Trace], golds: Sequence[str], kind: AnswerKind, limits: Grading) -> list[Trace]:
    """The traces with verdict and gold answer, where there is one. A failed loop has no answer: unparsable."""
    tasks = [
        Task("\n\n".join(trace.solution) if trace.answer is not None else "", gold, kind) for trace, gold in zip(traces, golds, strict=True)
    ]
    with Grader.of(limits) as grader:
        verdicts = [grade.verdict for grade in grader.grade_many(tasks)]
    return [
        replace(trace, grade={"gold": task.gold, "verdict": verdict}) if task.gold else trace
        for trace, task, verdict in zip(traces, tasks, verdicts, strict=True)
    ]
