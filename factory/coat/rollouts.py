"""Sample solutions, grade them, and keep every one as a row (Satori §3.2, §4.1): where ORM pairs, restarts and demonstrations begin.

    Rollout(id="9d02…", problem_id="a07b…", prompt=(Message("user", "Tom has 12 apples. …"),), completion="12 + 7 = 19\\n\\\\boxed{19}",
            steps=("12 + 7 = 19", "\\\\boxed{19}"), answer="19", verdict="correct", finish_reason="stop", tokens=9, model="base@3fa9…",
            right=3, samples=8, pass_rate=0.375, pass_low=0.137, pass_high=0.694, …)

Identical samples stay distinct rows: their share is a fact about the model. A problem's rows are there when its last sample is, so that
only some problems are in memory at once (`sampled`); as a table of any size: `factory/coat/rollouts_table.py`.
Run: `python -m pipelines.rollouts base`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from factory.coat.pass_rates import columns
from factory.engines.asking import answered, sampling_params
from factory.engines.protocol import Completion, Engine, Request
from factory.errors import ParamsError
from factory.grading import SHARED, Grade, Grader, Task
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.language.steps import By, split
from factory.params import Role, Sampling
from factory.problems.draw import Drawn, in_order
from factory.rejects import reject
from factory.schemas import Conversation, Problem, Reject, Rollout
from factory.tables import DrawnRollout

NO_RATES: Mapping[str, Any] = {}
TOGETHER = 2048  # answers that are graded together


class Known(Drawn, Protocol):
    """What is asked of a problem before it is drawn."""

    @property
    def split(self) -> str: ...


K = TypeVar("K", bound=Known)
Part = tuple[list[Rollout], list[Reject]]


@dataclass(frozen=True)
class Samples:
    """What decides the rollouts of a policy: `count` of each problem. `makers`: the models behind recorded answers, one an ordinal."""

    count: int
    sampling: Sampling
    prompts: Prompts
    seed: int
    stage: str
    round: str
    steps: By = "line"
    makers: tuple[str, ...] = ()
    drawn: bool = False  # rows are DrawnRollouts: with all tokens and their log-probabilities

    def requests(self, problem: Problem) -> list[Request]:
        asked, sampling = self.prompts.render("solve", problem=problem.problem), sampling_params(self.sampling, self.drawn)
        seeds = (seed_for(self.seed, self.stage, self.round, problem.id, ordinal) for ordinal in range(self.count))
        return [Request(asked, sampling, seed, ordinal) for ordinal, seed in enumerate(seeds)]


def part_of(problems: Iterable[K], count: int, part: int, role: Role) -> list[K]:
    """Part number `part` of the train problems, `count` of them, in the order of drawing (factory/problems/draw.py). Recorded answers exist
    for a benchmark's problems: of those, all, whatever their split. Raises ParamsError when no problem is left for the part."""
    if role.engine == "recorded":
        return sorted(problems, key=lambda problem: problem.id)
    train = in_order(problem for problem in problems if problem.split == "train")
    found = train[part * count : (part + 1) * count]
    if not found:
        raise ParamsError(f"part {part} of {count} problems begins behind the last of {len(train)} train problems: lower it or draw more")
    return found


def sample(
    engine: Engine,
    problems: Sequence[Problem],
    sampling: Sampling,
    samples: int,
    *,
    prompts: Prompts,
    steps: By = "line",
    seed: int,
    stage: str,
    round: str,
    makers: Sequence[str] = (),
    grader: Grader = SHARED,
) -> Part:
    """`samples` graded solutions of each problem, with its pass rate, in the order of the problems; a failed request is a reject.
    rows + rejects = problems × samples."""
    wanted = Samples(samples, sampling, prompts, seed, stage, round, steps, tuple(makers))
    rows: list[Rollout] = []
    rejects: list[Reject] = []
    for some, failed in sampled(engine, problems, wanted, grader, len(problems)):
        rows += some
        rejects += failed
    place = {problem.id: number for number, problem in enumerate(problems)}
    return sorted(rows, key=lambda row: place[row.problem_id]), sorted(rejects, key=lambda row: place[row.parent_id or ""])


def sampled(
    engine: Engine, problems: Iterable[Problem], wanted: Samples, grader: Grader = SHARED, total: int | None = None
) -> Iterator[Part]:
    """As `sample`, the rows and rejects of some problems at once, whichever are answered first. `total`: problems, where that is known."""
    asked = ((problem, wanted.requests(problem)) for problem in problems)
    tried: list[_Tried] = []
    for problem, requests, completions in answered(engine, asked, f"{wanted.stage}_{wanted.round}", wanted.count, total):
        tried += ((problem, *pair) for pair in zip(requests, completions, strict=True))
        if len(tried) >= TOGETHER:
            yield _graded(tried, engine.model, wanted, grader)
            tried = []
    if tried:
        yield _graded(tried, engine.model, wanted, grader)


_Tried = tuple[Problem, Request, Completion]


def _graded(tried: Sequence[_Tried], model: str, wanted: Samples, grader: Grader) -> Part:
    """Of whole problems."""
    rows: list[Rollout] = []
    rejects: list[Reject] = []
    grades = grader.grade_many(Task.of(problem, completion.text) for problem, _, completion in tried)
    made = [completion.finish_reason != "error" and (completion.drawn is not None or not wanted.drawn) for _, _, completion in tried]
    samples = Counter(problem.id for (problem, _, _), there in zip(tried, made, strict=True) if there)
    looked = zip(tried, made, grades, strict=True)
    right = Counter(problem.id for (problem, _, _), there, grade in looked if there and grade.verdict == "correct")
    name, at, revision = model.partition("@")
    version = wanted.prompts.version("solve")
    for (problem, request, completion), there, grade in zip(tried, made, grades, strict=True):
        if not there:
            error = completion.error if completion.finish_reason == "error" else "the engine told no tokens and log-probabilities"
            failure = {"prompt": request.prompt, "seed": request.seed, "ordinal": request.ordinal, "error": error}
            rejects.append(reject(f"{wanted.stage}_{wanted.round}", failure, "the request failed", problem.id))
        else:
            maker = f"{wanted.makers[request.ordinal] if wanted.makers else name}{at}{revision}"
            lineage = {"model": maker, "prompt_version": version, "round": wanted.round}
            rates = columns(right[problem.id], samples[problem.id])
            prompt = cast("Conversation", request.prompt)  # a problem is asked in words
            row = _rollout(problem, prompt, request, completion, grade, split(completion.text, wanted.steps), lineage, rates)
            rows.append(_with_tokens(row, completion) if wanted.drawn else row)
    assert len(rows) + len(rejects) == len(tried)
    return rows, rejects


def _with_tokens(row: Rollout, completion: Completion) -> DrawnRollout:
    drawn = completion.drawn or ()
    return DrawnRollout(**vars(row) | {"logprob": sum(drawn)}, token_ids=completion.drawn_ids, token_logprobs=drawn)


def _rollout(
    problem: Problem, prompt: Conversation, request: Request, completion: Completion, grade: Grade, steps: tuple[str, ...],
    lineage: dict[str, str], rates: Mapping[str, Any] = NO_RATES,
) -> Rollout:  # fmt: skip
    return Rollout(
        id=row_id("rollout", problem.id, completion.request_id, request.ordinal, lineage["round"]),
        problem_id=problem.id,
        prompt=prompt,
        completion=completion.text,
        reasoning=completion.reasoning,
        steps=steps,
        answer=grade.extracted,
        verdict=grade.verdict,
        reason=grade.reason,
        finish_reason=completion.finish_reason,
        tokens=completion.tokens,
        logprob=None if completion.logprobs is None else sum(completion.logprobs),
        request_ids=(completion.request_id,),
        seed=request.seed,
        parents=(problem.id,),
        model=lineage["model"],
        prompt_version=lineage["prompt_version"],
        round=lineage["round"],
        **rates,
    )


@dataclass
class Tally:
    """What there is to say of all rows, some at a time: all samples of a problem at once."""

    verdicts: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    duplicates: int = 0
    rejects: int = 0

    def add(self, rows: Sequence[Rollout], rejects: Sequence[Reject]) -> None:
        self.verdicts.update(row.verdict for row in rows)
        self.truncated += sum(row.finish_reason == "length" for row in rows)
        self.duplicates += duplicates(rows)
        self.rejects += len(rejects)

    def __str__(self) -> str:
        shares = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(self.verdicts.items()))
        counts = f"{shares}; {self.truncated:,} truncated, {self.duplicates:,} duplicates"
        return f"{self.verdicts.total():,} rollouts ({counts}), {self.rejects:,} rejects"


def duplicates(rows: Sequence[Rollout]) -> int:
    """How many samples say, word for word, what another sample of their problem says."""
    return len(rows) - len({(row.problem_id, row.completion) for row in rows})


def summary(rows: Sequence[Rollout], rejects: Sequence[Reject]) -> str:
    tally = Tally()
    tally.add(rows, rejects)
    return str(tally)
