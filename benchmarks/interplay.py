"""The interplay loop on the laptop's dev problems with the models of the trained line, beside one decode.

    python benchmarks/interplay.py --n 100

Prints, for each arm, accuracy with its 95 % Wilson interval, the difference to `direct` over the same problems (paired bootstrap),
generated tokens and requests a problem, and cpu-seconds of this process. Arms: direct (one greedy decode) · guided by the labeller's
plan, by SFT, by DPO (one decode under the whole plan) · the loop with each of these planners, with and without evaluations of steps.
`dev` only: what is tuned here is not measured here. Needs params.yaml, data/models/{base,planner_sft,planner_dpo},
data/datasets/templates and data/tables/problems.parquet. Seconds count what was asked: give a fresh FACTORY_STORE.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from factory.engines.select import Engines
from factory.evaluation.arms import follow, planned, solve
from factory.evaluation.interplay import interplay
from factory.evaluation.statistics import paired_bootstrap, wilson
from factory.grading import Grader
from factory.identity import seed_for
from factory.language.prompting import Prompts
from factory.params import Role, load
from factory.problems.draw import in_order
from factory.schemas import Answer, Problem
from factory.storage import DATASETS, TABLES, read_rows
from factory.templates.lookup import Lookup, load_templates
from factory.templates.solver import Settings, Solver, Voice
from factory.templates.traces import Trace

PLAN = 40  # tokens of a plan, as in the laptop's params


def told(name: str, answers: Sequence[Answer], direct: Sequence[Answer], seconds: float) -> str:
    by_id = {row.problem_id: row.verdict == "correct" for row in answers}
    first = {row.problem_id: row.verdict == "correct" for row in direct}
    right, n = sum(by_id.values()), len(by_id)
    low, high = wilson(right, n)
    apart, least, most = paired_bootstrap([by_id[key] for key in first], list(first.values()), resamples=2000, seed=1)
    return (
        f"| {name} | {100 * right / n:.1f} % ({100 * low:.1f} to {100 * high:.1f}) | {100 * apart:+.1f} ({100 * least:+.1f} to "
        f"{100 * most:+.1f}) | {sum(row.tokens for row in answers) / n:.1f} | {sum(row.calls for row in answers) / n:.2f} | {seconds:.1f} |"
    )


def happened(traces: Sequence[Trace]) -> str:
    choices = Counter(event.choice or event.note for trace in traces for event in trace.events if event.kind == "evaluate")
    did = Counter(event.choice for trace in traces for event in trace.events if event.kind == "adjust" and event.choice)
    unplanned = sum(not trace.plan for trace in traces)
    return f"evaluations {dict(choices)}; adjusted {dict(did)}; without a plan {unplanned}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--group", default="", help="only problems of this group")
    parser.add_argument("--planners", default="base,planner_sft,planner_dpo", help="of data/models")
    options = parser.parse_args()
    params = load()
    dev = [row for row in read_rows(TABLES / "problems.parquet", Problem) if row.split == "dev" and options.group in ("", row.group)]
    problems = in_order(dev, params.seed, "interplay")[: options.n]
    lookup = Lookup(load_templates(DATASETS / "templates"))
    prompts, most = Prompts.of("laptop"), params.require("evaluate").max_tokens
    settings = Settings(
        rounds=12, tokens=600, plan_tokens=PLAN, step_tokens=40, check_tokens=48, answer_tokens=most, steps=params.steps, seed=params.seed
    )
    print(f"{len(problems)} dev problems, {len(lookup.templates)} templates\n")
    print("| arm | accuracy (95 %) | beside direct | tokens out | requests | cpu-seconds |\n|---|---|---|---|---|---|")
    with Engines(params.requests, "interplay") as engines, Grader.of(params.grading) as grader:

        def engine(name: str) -> Voice:
            folder = f"data/models/{name}"
            return Voice(name, engines.engine(Role(engine="transformers", model=folder, prompts="laptop"), name), prompts)

        base = engine("base")
        direct: list[Answer] = []

        def measured(name: str, arm: Callable[[], list[Answer]]) -> None:
            started = time.process_time()
            answers = arm()
            direct[:] = direct or answers
            print(told(name, answers, direct, time.process_time() - started), flush=True)

        measured("direct", lambda: solve(base.engine, "direct", problems, most, prompts, grader))
        for name in options.planners.split(","):
            planner = base if name == "base" else engine(name)

            def guided(planner: Voice) -> list[Answer]:
                plans = planned(planner.engine, problems, lookup.templates, PLAN, prompts)
                return follow(base.engine, "guided", plans, most, prompts, grader)

            measured(f"guided, {name}", partial(guided, planner))
            traces: list[Trace] = []

            def loop(solver: Solver, kept: list[Trace]) -> list[Answer]:
                answers, kept[:] = interplay("interplay", problems, solver, grader)
                return answers

            for evaluates in (False, True):
                own = replace(settings, evaluates=evaluates, seed=seed_for(params.seed, name, evaluates))  # no answer of another arm's
                solver = Solver(planner, base, base, lookup, own, "plan")
                asked = "steps evaluated" if evaluates else "no evaluation"
                measured(f"loop, {name}, {asked}", partial(loop, solver, traces))
            print(f"  {happened(traces)}", flush=True)


if __name__ == "__main__":
    main()
