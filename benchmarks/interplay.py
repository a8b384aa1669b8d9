"""The interplay loop on the laptop's problems with the models of the trained line, beside one decode.

    python benchmarks/interplay.py --n 100
    python benchmarks/interplay.py --split heldout --n 1000 --planners planner_dpo    # the ablation: without and with adjusting

Prints, for each arm, accuracy with its 95 % Wilson interval, the difference to `direct` over the same problems (paired bootstrap),
generated tokens and requests a problem, and cpu-seconds of this process. Arms: direct (one greedy decode) · guided by the labeller's
plan, by SFT, by DPO (one decode under the whole plan) · the loop with each of these planners: steps kept, steps evaluated by the base that
verifies, steps evaluated by the trained adjuster (planner_adjust), and that beside the steps kept. Tune on `dev` alone,
the default. Needs params.yaml, data/models/{base,planner_sft,planner_dpo,planner_adjust}, data/datasets/templates and
data/tables/problems.parquet. Seconds count what was asked: give a fresh FACTORY_STORE.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from factory.engines.select import Engines
from factory.evaluation.arms import follow, planned, solve
from factory.evaluation.interplay import interplay, stepwise
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


def beside(answers: Sequence[Answer], others: Sequence[Answer]) -> str:
    """The paired difference in points, with its interval."""
    first, second = ({row.problem_id: row.verdict == "correct" for row in rows} for rows in (answers, others))
    found = paired_bootstrap([first[key] for key in second], list(second.values()), resamples=2000, seed=1)
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * value for value in found))


def told(name: str, answers: Sequence[Answer], direct: Sequence[Answer], seconds: float) -> str:
    right, n = sum(row.verdict == "correct" for row in answers), len(answers)
    low, high = wilson(right, n)
    tokens, calls = sum(row.tokens for row in answers) / n, sum(row.calls for row in answers) / n
    accuracy = f"{100 * right / n:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    return f"| {name} | {accuracy} | {beside(answers, direct)} | {tokens:.1f} | {calls:.2f} | {seconds:.1f} |"


def happened(traces: Sequence[Trace]) -> str:
    choices = Counter(event.choice or event.note for trace in traces for event in trace.events if event.kind == "evaluate")
    did = Counter(event.choice for trace in traces for event in trace.events if event.kind == "adjust" and event.choice)
    unplanned = sum(not trace.plan for trace in traces)
    return f"evaluations {dict(choices)}; adjusted {dict(did)}; without a plan {unplanned}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--group", default="", help="only problems of this group")
    parser.add_argument("--split", default="dev", choices=("dev", "heldout", "unseen"))
    parser.add_argument("--planners", default="base,planner_sft,planner_dpo", help="of data/models")
    parser.add_argument("--adjuster", default="planner_adjust", help="of data/models")
    options = parser.parse_args()
    params = load()
    rows = read_rows(TABLES / "problems.parquet", Problem)
    fitting = [row for row in rows if row.split == options.split and options.group in ("", row.group)]
    problems = in_order(fitting, params.seed, "interplay")[: options.n]
    lookup = Lookup(load_templates(DATASETS / "templates"))
    prompts, most = Prompts.of("laptop"), params.require("evaluate").max_tokens
    settings = Settings(
        rounds=12, tokens=600, plan_tokens=PLAN, step_tokens=40, check_tokens=48, answer_tokens=most, steps=params.steps, seed=params.seed
    )
    print(f"{len(problems)} {options.split} problems, {len(lookup.templates)} templates\n")
    print("| arm | accuracy (95 %) | beside direct | tokens out | requests | cpu-seconds |\n|---|---|---|---|---|---|")
    with Engines(params.requests, "interplay") as engines, Grader.of(params.grading) as grader:

        def model(name: str) -> Role:
            return Role(engine="transformers", model=f"data/models/{name}", prompts="laptop")

        def engine(name: str) -> Voice:
            return Voice(name, engines.engine(model(name), name), prompts)

        base = engine("base")
        direct: list[Answer] = []

        def measured(name: str, arm: Callable[[], list[Answer]]) -> list[Answer]:
            started = time.process_time()
            answers = arm()
            direct[:] = direct or answers
            print(told(name, answers, direct, time.process_time() - started), flush=True)
            return answers

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

            role, adjuster = (model(key) for key in (name, options.adjuster))
            verifying = Solver(planner, base, base, lookup, replace(settings, seed=seed_for(params.seed, name)), "plan")
            solvers = {
                "steps kept": stepwise(params, engines, lookup.templates, role, None), "steps verified by base": verifying,
                "steps adjusted": stepwise(params, engines, lookup.templates, role, adjuster),
            }  # fmt: skip
            loops = {}
            for asked, solver in solvers.items():
                loops[asked] = measured(f"loop, {name}, {asked}", partial(loop, solver, traces))
                print(f"  {happened(traces)}", flush=True)
            print(f"  adjusted beside kept: {beside(loops['steps adjusted'], loops['steps kept'])}", flush=True)


if __name__ == "__main__":
    main()
