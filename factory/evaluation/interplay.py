"""Problems solved with templates as an arm of the evaluation, beside those of arms.py.

    answers, traces = interplay("interplay", problems, solver, grader)
    answers[0]   → Answer(model="base@3fa9…", arm="interplay", completion="12 + 7 = 19\\n…", verdict="correct", tokens=61, calls=6, …)

All problems go through the loop at once, so that every round asks each model in large batches. `tokens` and `calls` are all that the loop
generated and asked: the planner's and the evaluator's too.
"""

from collections.abc import Sequence

from factory.grading import SHARED, Grader, Task
from factory.identity import row_id
from factory.schemas import Answer, FinishReason, Problem
from factory.templates.solver import Solver
from factory.templates.solving import solve_all
from factory.templates.traces import Trace


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
