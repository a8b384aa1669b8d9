"""How well the trained adjuster says what is done after a step, on states of dev problems that it was not trained on.

    python benchmarks/adjustments.py --n 200 --decodes 2

Plans of dev problems are sampled, rewarded and labelled as the stages `trajectories` and `adjustments` do it (X_sim: the dev problems most
like them). Prints the balance of labels; how often the adjuster's choice is the label, beside always keeping the plan; and what its choices
were worth by the recorded decodes, beside keeping the plan and beside the best choice, which its own noise flatters. A choice that was not
recorded counts as keeping. Intervals: 95 %, paired bootstrap over problems. Needs params.yaml, data/models/{base,planner_sft,
planner_adjust}, data/datasets/templates and data/tables/problems.parquet.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from factory.engines.protocol import Request, SamplingParams
from factory.engines.select import Engines
from factory.evaluation.interplay import CHECK
from factory.identity import seed_for
from factory.params import Params, Role, load
from factory.schemas import Problem, Template
from factory.storage import DATASETS, TABLES, read_rows
from factory.tables import ADJUSTS, Adjustment
from factory.templates.adjustments import make_adjustments
from factory.templates.choices import read_choice
from factory.templates.trajectories import make_trajectories

RESAMPLES = 2000


def states(params: Params, n: int, decodes: int, engines: Engines) -> list[Adjustment]:
    """All states of n dev problems' plans; none is left out for its problem or its label."""
    dev = [replace(row, split="train") for row in read_rows(TABLES / "problems.parquet", Problem) if row.split == "dev"]
    templates = read_rows(DATASETS / "templates", Template)
    few = params.require("trajectories").model_copy(update={"problems": n, "decodes": decodes})
    every = params.require("adjustments").model_copy(update={"per_problem": 1000, "keep_share": 1.0})
    params = params.model_copy(update={"trajectories": few, "adjustments": every})
    inference = params.roles["inference"]
    planner = inference.model_copy(update={"model": "data/models/planner_sft"})
    sampled = make_trajectories(dev, templates, engines.engine(planner, "planner"), engines.engine(inference, "inference"), params)
    return make_adjustments(sampled[0], {row.id: row.problem for row in dev}, templates, params)[0]


def choices(rows: Sequence[Adjustment], engines: Engines, model: str, prompts: str) -> list[str]:
    engine = engines.engine(Role(engine="transformers", model=model, prompts=prompts), "evaluator")
    answers = engine.generate([Request(row.prompt, SamplingParams(max_tokens=CHECK)) for row in rows])
    read = [read_choice(answer.text) for answer in answers]
    return [found.choice if found else "keep" for found in read]


def mean(rows: Sequence[Adjustment], values: Sequence[float], seed: int) -> str:
    """The mean over states in points, with its interval over problems."""
    problems = sorted({row.problem_id for row in rows})
    place = {key: number for number, key in enumerate(problems)}
    sums, counts = np.zeros(len(problems)), np.zeros(len(problems))
    for row, value in zip(rows, values, strict=True):
        sums[place[row.problem_id]] += value
        counts[place[row.problem_id]] += 1
    draws = np.random.default_rng(seed).integers(0, len(problems), (RESAMPLES, len(problems)))
    low, high = np.percentile(sums[draws].sum(1) / counts[draws].sum(1), [2.5, 97.5])
    return f"{100 * sums.sum() / counts.sum():.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="dev problems")
    parser.add_argument("--decodes", type=int, default=2, help="of each similar problem under each plan")
    parser.add_argument("--model", default="data/models/planner_adjust")
    options = parser.parse_args()
    params = load()
    with Engines(params.requests, "adjustments") as engines:
        rows = states(params, options.n, options.decodes, engines)
        said = choices(rows, engines, options.model, params.asked_with("labeller"))
    seed = seed_for(params.seed, "adjustments")

    def value(row: Adjustment, choice: str) -> float:
        found = getattr(row, f"value_{choice}", None)
        return row.value_keep if found is None else found

    def line(name: str, of: Callable[[Adjustment, str], float]) -> None:
        print(f"{name}: {mean(rows, [of(row, choice) for row, choice in zip(rows, said, strict=True)], seed)}")

    labels, told = Counter(row.choice for row in rows), Counter(said)
    print(f"{len(rows)} states of {len({row.problem_id for row in rows})} dev problems, margin {rows[0].margin}")
    for choice in ADJUSTS:
        right = sum(row.choice == choice == one for row, one in zip(rows, said, strict=True))
        print(f"  {choice}: label of {labels[choice]}, said of {told[choice]}, both {right}")
    line("right, %", lambda row, choice: row.choice == choice)
    line("right when always keeping, %", lambda row, choice: row.choice == "keep")
    line("right less right when keeping", lambda row, choice: float(row.choice == choice) - (row.choice == "keep"))
    line("value of keeping", lambda row, choice: row.value_keep)
    line("value of what it says", value)
    line("gain over keeping", lambda row, choice: value(row, choice) - row.value_keep)
    line("gain of the labels (chosen by the same decodes)", lambda row, choice: value(row, row.choice) - row.value_keep)


if __name__ == "__main__":
    main()
