"""Accuracy against tokens and seconds: one decode, votes, best of k, a tree search, and the interplay of planner and inference model.

    python benchmarks/scaling.py --n 300 --plot docs/pictures/scaling.svg

Arms: direct (one greedy decode) · majority@k and best-of-k by the reward model, all k from one set of `--samples` samples a problem, exact
over its subsets · mcts, a search over steps with the reward model as value, at `--budgets` tokens · guided, one decode under the planner's
plan · interplay, the whole loop, with and without evaluations of steps. Prints a Markdown table and, for each interplay, which arm that
spends no more is best. Accuracy with Wilson's 95 % interval (of a mean of chances a little wide), beside direct the paired bootstrap.
Tokens are generated ones, all of an arm's; what the models read stands apart. Each arm has an empty request store, so that it pays
for all it asks; models are loaded before. Seconds of k samples: these are drawn and scored in parts, and what a part took is added up.

Needs params.yaml, data/tables/problems.parquet, data/datasets/templates and the models of the roles; arms whose models are not
there are left out, and the output says so.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from factory.engines.asking import sampling_params
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.select import Engines
from factory.engines.store import Store
from factory.errors import DataError, EngineError, ParamsError
from factory.evaluation.arms import follow, planned, solve
from factory.evaluation.costs import HEAD, Arm, told
from factory.evaluation.interplay import interplay
from factory.evaluation.scaling import Sample, best_of, draw, majority, sampled, scored
from factory.evaluation.search import Judge, Searcher, search
from factory.evaluation.search import Settings as SearchSettings
from factory.grading import Grader
from factory.language.prompting import Prompts
from factory.params import Params, load
from factory.problems.draw import in_order
from factory.reports.charts import Point, costs, stacked
from factory.schemas import Answer, Message, Problem
from factory.storage import DATASETS, MODELS, TABLES, read_rows
from factory.templates.lookup import Lookup, load_templates
from factory.templates.solver import Settings, Solver, solver_of
from factory.whole import whole_file

STEP = {"line": 40, "paragraph": 200}  # tokens of a step, and of an evaluation
CHECK = {"line": 48, "paragraph": 160}


@dataclass
class Bench:
    """What the arms share, and what they have measured."""

    params: Params
    problems: list[Problem]
    prompts: Prompts
    grader: Grader
    folder: Path
    services: list[Any] = field(default_factory=list)  # whatever is asked: each arm gives them a store of its own
    arms: list[Arm] = field(default_factory=list)

    @property
    def most(self) -> int:
        return self.params.require("evaluate").max_tokens

    @contextmanager
    def fresh(self) -> Iterator[None]:
        store = Store(self.folder / f"{len(list(self.folder.iterdir()))}.sqlite")
        before = [service.store for service in self.services]
        for service in self.services:
            service.store = store
        yield
        for service, old in zip(self.services, before, strict=True):
            service.store = old
        store.close()

    @contextmanager
    def measured(self, arm: Arm) -> Iterator[None]:
        """Adds seconds and what engines read, wrote and were asked; the arm's tokens and calls become means a problem."""
        engines = {id(service): service for service in self.services if hasattr(service.usage, "completion_tokens")}.values()
        before = [(used.usage.completion_tokens, used.usage.prompt_tokens, used.usage.requests) for used in engines]
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        arm.wall += time.perf_counter() - wall
        arm.cpu += time.process_time() - cpu
        for used, (out, read, calls) in zip(engines, before, strict=True):
            arm.out += (used.usage.completion_tokens - out) / len(self.problems)
            arm.read += (used.usage.prompt_tokens - read) / len(self.problems)
            arm.requests += (used.usage.requests - calls) / len(self.problems)

    def add(self, arm: Arm) -> None:
        self.arms.append(arm)
        print(arm.row(self.arms[0]), flush=True)

    def run(self, name: str, size: str, answers: Callable[[], Sequence[Answer]], **more: float) -> Arm:
        arm = Arm(name, size, [])
        with self.fresh(), self.measured(arm):
            found = {row.problem_id: float(row.verdict == "correct") for row in answers()}
        arm.right = [found[problem.id] for problem in self.problems]
        return arm


def samples_of(bench: Bench, engine: Any, judge: Judge | None, sampling: SamplingParams, most: int) -> Iterator[Arm]:
    """Votes and best-of-k at 1, 2, 4, … samples: all from the same set, which is drawn and scored in parts so that each part has a time."""
    sizes = [2**power for power in range(int(math.log2(most)) + 1)]
    drawn: list[list[Completion]] = [[] for _ in bench.problems]
    times: list[tuple[float, float, float, float]] = []  # wall and cpu of the samples, of their scores, up to each size
    samples: list[list[Sample]] = [[] for _ in bench.problems]
    asking, judging = Arm("", "", [0.0]), Arm("", "", [0.0])
    with bench.fresh():
        for before, size in zip([0, *sizes], sizes, strict=False):
            with bench.measured(asking):
                part = draw(engine, bench.problems, range(before, size), sampling, bench.prompts, bench.params.seed)
            drawn = [[*old, *new] for old, new in zip(drawn, part, strict=True)]
            graded = sampled(bench.problems, drawn, bench.grader)
            known = [[*map(_score, old), *[math.nan] * (size - len(old))] for old in samples]
            samples = [[replace(one, score=score) for one, score in zip(*row, strict=True)] for row in zip(graded, known, strict=True)]
            if judge:
                with bench.measured(judging):
                    samples = scored(judge.scorer, bench.problems, samples, bench.prompts)
            times.append((asking.wall, asking.cpu, judging.wall, judging.cpu))
    tokens, read = asking.out / most, asking.read / most
    for size, (wall, cpu, _, _) in zip(sizes, times, strict=True):
        right = [majority(row, size) for row in samples]
        yield Arm("majority", str(size), right, tokens * size, read * size, size, 0, 0, wall, cpu)
    for size, (wall, cpu, more_wall, more_cpu) in zip(sizes, times, strict=True):
        if judge:
            right, passed = [best_of(row, size) for row in samples], (tokens + read) * size
            yield Arm("best-of", str(size), right, tokens * size, read * size, size, size, passed, wall + more_wall, cpu + more_cpu)


def _score(sample: Sample) -> float:
    return sample.score


def searched(bench: Bench, engine: Any, judge: Judge, settings: SearchSettings) -> Arm:
    kept: list[Any] = []

    def answers() -> list[Answer]:
        rows, found = search("mcts", bench.problems, Searcher(engine, judge, bench.prompts, settings), bench.grader)
        kept.extend(found)
        return rows

    arm = bench.run("mcts", str(settings.tokens), answers)
    arm.passes, arm.pass_tokens = sum(row.judged for row in kept) / len(kept), sum(row.judged_tokens for row in kept) / len(kept)
    return arm


def loops(solver: Solver) -> dict[str, Solver]:
    return {"plain": replace(solver, settings=replace(solver.settings, evaluates=False)), "evaluated": solver}


def looped(bench: Bench, name: str, solver: Solver) -> Arm:
    return bench.run("interplay", name, lambda: interplay("interplay", bench.problems, solver, bench.grader)[0])


def picture(arms: Sequence[Arm], title: str, clock: str) -> str:
    def points(cost: Callable[[Arm], float]) -> list[Point]:
        return [Point(arm.name, arm.size, cost(arm), arm.accuracy, *arm.interval) for arm in arms]

    per = len(arms[0].right)
    return stacked(
        [
            costs(points(lambda arm: arm.out), "generated tokens a problem", title),
            costs(points(lambda arm: 1000 * arm.seconds(clock) / per), f"milliseconds a problem ({clock})", title),
        ]
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--split", default="dev", choices=["dev", "heldout", "unseen"], help="what is tuned on dev is not measured there")
    parser.add_argument("--inference", default="inference", help="the role of params.yaml that solves")
    parser.add_argument("--scorer", default="reward_model", help="the role of the reward model")
    parser.add_argument("--planner", default=str(MODELS / "planner_dpo"), help="a model; '' for params.yaml's")
    parser.add_argument("--samples", type=int, default=16, help="a power of 2")
    parser.add_argument("--temperature", type=float, default=0.0, help="of samples and steps; 0: that of params.yaml's rollouts")
    parser.add_argument("--budgets", default="100,200,400", help="tokens of a search")
    parser.add_argument("--width", type=int, default=4, help="next steps that a search samples")
    parser.add_argument("--explore", type=float, default=1.0)
    parser.add_argument("--value", default="rollout", choices=["rollout", "path"])
    parser.add_argument("--chooses", default="vote", choices=["visits", "value", "vote"])
    parser.add_argument("--loop-tokens", type=int, default=600, help="of the interplay")
    parser.add_argument("--only", default="", help="arms by name, with commas; direct always runs")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"], help="cpu: of this process, where other work runs beside it")
    parser.add_argument("--plot", default="", help="an SVG file")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    params = load()
    if options.inference not in params.roles:
        raise ParamsError(f"params.yaml has no roles.{options.inference}: expected one of {', '.join(params.roles)}")
    params = params.model_copy(update={"roles": params.roles | {"inference": params.roles[options.inference]}})
    rows = [row for row in read_rows(TABLES / "problems.parquet", Problem) if row.split == options.split]
    problems = in_order(rows, params.seed, "scaling")[: options.n]
    wanted = set(options.only.split(",")) if options.only else {"majority", "best-of", "mcts", "guided", "interplay"}
    given = sampling_params(params.require("rollouts").sampling)
    sampling = replace(given, temperature=options.temperature or given.temperature)
    with (
        tempfile.TemporaryDirectory() as folder,
        Grader.of(params.grading) as grader,
        Engines(params.requests.model_copy(update={"max_failed_share": 1.0}), "scaling") as engines,
    ):
        bench = Bench(params, problems, Prompts.of(params.roles["inference"].prompts), grader, Path(folder))
        engine, judge, solver = models(bench, engines, options)
        print(f"\n{len(problems)} {options.split} problems, {engine.model}, temperature {sampling.temperature:g}\n\n{HEAD}")
        bench.add(bench.run("direct", "", lambda: solve(engine, "direct", problems, bench.most, bench.prompts, grader)))
        if wanted & {"majority", "best-of"}:
            for arm in samples_of(bench, engine, judge, sampling, options.samples):
                bench.add(arm)
        if judge and "mcts" in wanted:
            settings = SearchSettings(
                width=options.width, step_tokens=STEP[params.steps], answer_tokens=bench.most, explore=options.explore,
                temperature=sampling.temperature, top_p=sampling.top_p, value=options.value, chooses=options.chooses, steps=params.steps,
                rules=tuple(params.grading.rules), seed=params.seed,
            )  # fmt: skip
            for budget in map(int, options.budgets.split(",")):
                bench.add(searched(bench, engine, judge, replace(settings, tokens=budget)))
        if solver and "guided" in wanted:
            planner, most = solver.planner, solver.settings.plan_tokens

            def guided() -> list[Answer]:
                plans = planned(planner.engine, problems, solver.lookup.templates, most, planner.prompts)
                return follow(engine, "guided", plans, bench.most, bench.prompts, grader)

            bench.add(bench.run("guided", "", guided))
        if solver and "interplay" in wanted:
            for name, loop in loops(solver).items():
                bench.add(looped(bench, name, loop))
    print("\n" + "\n".join(told(bench.arms, "interplay", options.clock)))
    if options.plot:
        with whole_file(Path(options.plot)) as temporary:
            temporary.write_text(
                picture(bench.arms, f"accuracy of {len(problems)} {options.split} problems", options.clock), encoding="utf-8"
            )
        print(f"\n{options.plot} written")


def models(bench: Bench, engines: Engines, options: argparse.Namespace) -> tuple[Any, Judge | None, Solver | None]:
    """Loaded, each with a request of its own, so that no arm pays for that; None for what is not there."""
    params, asked = bench.params, (Message("user", "1 + 1"),)
    engine = engines.engine(params.roles["inference"], "inference")
    judge, solver = None, None
    bench.services.append(engine)
    try:
        if options.scorer not in params.roles:
            raise ParamsError(f"params.yaml has no roles.{options.scorer}")
        role = params.roles[options.scorer]
        judge = Judge.of(engines.scorer(role, options.scorer), role.model)
        bench.services.append(judge.scorer)
    except (ParamsError, EngineError) as error:
        print(f"best-of and mcts are left out: {error}")
    try:
        lookup = Lookup(load_templates(DATASETS / "templates"))
        settings = Settings(
            tokens=options.loop_tokens, step_tokens=STEP[params.steps], check_tokens=CHECK[params.steps], answer_tokens=bench.most,
            plan_tokens=params.trajectories.planner.max_tokens if params.trajectories else Settings.plan_tokens,
            steps=params.steps, rules=tuple(params.grading.rules), seed=params.seed,
        )  # fmt: skip
        solver = solver_of(params, engines, lookup, settings, planner=options.planner, evaluator="inference")
        bench.services += [voice.engine for voice in (solver.planner, solver.evaluator, solver.inference)]
    except (DataError, EngineError, ParamsError) as error:
        print(f"guided and interplay are left out: {error}")
    with bench.fresh():
        for service in bench.services:
            if hasattr(service, "generate"):
                service.generate([Request(asked, SamplingParams(4))])
            else:
                service.score([(asked, "2")])
    return engine, judge, solver


if __name__ == "__main__":
    main()
