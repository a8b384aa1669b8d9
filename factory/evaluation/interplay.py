"""Problems solved with templates as an arm of the evaluation, beside those of arms.py.

    solver = stepwise(params, engines, templates, planner, evaluator)    # evaluator None: every step is kept
    answers, traces = interplay("interplay", problems, solver, grader)
    answers[0]   → Answer(model="base@3fa9…", arm="interplay", completion="12 + 7 = 19\\n…", verdict="correct", tokens=61, calls=6, …)

All problems go through the loop at once, so that every round asks each model in large batches. `tokens` and `calls` are all that the loop
generated and asked: the planner's and the evaluator's too.
"""

from collections.abc import Sequence

from factory.engines.select import Engines
from factory.grading import SHARED, Grader, Task
from factory.identity import row_id
from factory.language.prompting import Prompts
from factory.params import Params, Role
from factory.schemas import Answer, FinishReason, Problem, Template
from factory.templates.lookup import Lookup
from factory.templates.solver import Settings, Solver, Voice, adjuster
from factory.templates.solving import solve_all
from factory.templates.traces import Trace

CHECK = 16  # tokens of an adjuster's answer, which is one word
REPEATS = 3  # of a plan that is the same again
ROUNDS = 3  # steps carried out at most, for each template that a plan may have


def stepwise(params: Params, engines: Engines, library: Sequence[Template], planner: Role, evaluator: Role | None) -> Solver:
    """The loop with a trained planner and the params' inference model, bounded as their stages bound them, so that no bound is met by
    the way; another plan is sampled as the recorded ones were. `evaluator`: trained on adjustments."""
    most, section, answer = params.require("plans").max_templates, params.require("trajectories"), params.require("evaluate").max_tokens
    plan, step, rounds = section.planner.max_tokens, section.inference.max_tokens, ROUNDS * most
    settings = Settings(
        rounds=rounds, tokens=(1 + Settings.revisions) * (1 + REPEATS) * plan + rounds * (step + CHECK) + answer, plan_tokens=plan,
        step_tokens=step, check_tokens=CHECK, answer_tokens=answer, most=most, evaluates=evaluator is not None, steps=params.steps,
        rules=tuple(params.grading.rules), seed=params.seed, repeats=REPEATS, again=section.planner.temperature,
    )  # fmt: skip
    planning = Voice("planner", engines.engine(planner, "planner"), Prompts.of(params.asked_with("labeller")))
    inference = Voice("inference", engines.engine(params.roles["inference"], "inference"), Prompts.of(params.asked_with("inference")))
    watching = adjuster(evaluator, engines) if evaluator else planning
    return Solver(planning, watching, inference, Lookup(library), settings, "plan", adjusts=evaluator is not None)


def interplay(arm: str, problems: Sequence[Problem], solver: Solver, grader: Grader = SHARED) -> tuple[list[Answer], list[Trace]]:
    """An answer and a trace a problem, in order. A loop that fails is a wrong answer that cost what it cost."""
    traces = solve_all([problem.problem for problem in problems], solver, arm)
    between = "\n" if solver.settings.steps == "line" else "\n\n"
    texts = [between.join(trace.solution) if trace.answer is not None else "" for trace in traces]
    grades = grader.grade_many(Task.of(problem, text) for problem, text in zip(problems, texts, strict=True))
    answers = [
        Answer(
            id=row_id("answer", arm, problem.id, trace.id), model=solver.inference.engine.model, arm=arm, problem_id=problem.id,
            split=problem.split, family=problem.family, group=problem.group, completion=text, verdict=grade.verdict,
            finish_reason=finish(trace), tokens=trace.totals.tokens, calls=trace.totals.requests,
        )
        for problem, trace, text, grade in zip(problems, traces, texts, grades, strict=True)
    ]  # fmt: skip
    return answers, traces


def finish(trace: Trace) -> FinishReason:
    if trace.ended.how == "answered":
        return "stop"
    return "error" if trace.events[-1].finish == "error" else "length" if trace.ended.ran_out else "stop"
