"""A small line in a temporary folder: problems of every split, rollouts and what derives from them, as the stages would write them."""

import atexit
import gc
import os
import re
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from factory import storage
from factory.coat import grammar
from factory.coat.demonstrations.keys import critique_key
from factory.coat.pass_rates import counted
from factory.coat.process_rewards import make_process_rewards
from factory.identity import row_id
from factory.language.prompting import Prompts
from factory.params import Params, parse
from factory.schemas import (
    CorpusText,
    CriticJudgement,
    Demonstration,
    Example,
    OrmPair,
    Problem,
    Restart,
    Rollout,
    Template,
    Trajectory,
    TrajectoryPair,
)
from factory.tables import Adjustment, ProcessReward
from factory.templates.adjustments import make_adjustments

settings.register_profile("any machine", deadline=None)  # one under load is no fault of the code
settings.load_profile("any machine")
ROOT = Path(__file__).parents[1]
PARAMS = parse(yaml.safe_load((ROOT / "params.yaml").read_text()))
render = Prompts.of("laptop").render
LINEAGE = {"model": "base@3fa9", "prompt_version": "solve@1f0c9a27", "seed": 7, "round": "r1"}


HEAVY = (  # files whose tests take minutes, the longest first: one that began last would decide how long all of them take
    "line/test_tiny_line.py", "line/test_your_own.py", "line/test_your_field.py", "pipelines/test_stage_processes.py",
    "trainers/test_invariance.py", "trainers/test_shards_killed.py", "pipelines/test_several_shards.py", "pipelines/test_gate_dvc.py",
    "trainers/test_resume.py", "factory/grading/test_hostile.py", "line/test_inputs.py", "trainers/test_gpu_script.py",
    "factory/engines/test_kill.py", "trainers/test_origin.py", "factory/grading/test_adversarial.py", "trainers/test_silent_losses.py",
    "factory/engines/test_answers_fuzz.py", "factory/reports/test_opinions.py",
)  # fmt: skip
MEMORY = Path("/dev/shm")
ALL_SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)
gc.disable()  # until the tests run: libraries are imported and tests collected, and nothing of that is garbage


def pytest_configure(config: pytest.Config) -> None:
    """Unit tests write into memory where there is enough: on a disk each fsync, and each file that goes, takes milliseconds."""
    if config.option.markexpr == "not slow" and os.access(MEMORY, os.W_OK):
        place = os.statvfs(MEMORY)
        if place.f_bavail * place.f_frsize > 2 << 30 and not place.f_flag & os.ST_NOEXEC:
            os.environ["TMPDIR"], tempfile.tempdir = str(MEMORY), None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Unit tests need no file whose tests are all slow: it is not even imported."""
    slow = config.option.markexpr == "not slow" and collection_path.suffix == ".py"
    return True if slow and ALL_SLOW.search(collection_path.read_text(encoding="utf-8")) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {ROOT / "tests" / name: number for number, name in enumerate(HEAVY)}
    items.sort(key=lambda item: place.get(item.path, len(HEAVY)))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """What the imported libraries hold stays: a garbage collection, as each trainer asks for one at its end, need not go through it."""
    gc.freeze()
    gc.enable()
    atexit.register(gc.unfreeze)  # after pytest's own collections, and before DuckDB counts what it calls leaked
    return (yield)


def problem(number: int, split: str) -> Problem:
    text = f"Tom has {number} apples. He buys 7 more. How many apples has Tom now?"
    return Problem(
        id=row_id("problem", text), source="world", family="tally", group="procedures", split=split, instance=f"tally {number} 7",
        problem=text, answer=str(number + 7), answer_kind="number", solution=f"{number} + 7 = {number + 7}\n\\boxed{{{number + 7}}}",
        strategy=("put together",),
    )  # fmt: skip


def rollout(parent: Problem, answer: int, ordinal: int) -> Rollout:
    completion = f"Try it.\n{answer - 7} + 7 = {answer}\n\\boxed{{{answer}}}"
    return Rollout(
        id=row_id("rollout", parent.id, ordinal), problem_id=parent.id, prompt=render("solve", problem=parent.problem),
        completion=completion, steps=grammar.split_steps(completion), answer=str(answer),
        verdict="correct" if str(answer) == parent.answer else "wrong", finish_reason="stop", tokens=12, **LINEAGE,
    )  # fmt: skip


def restart(parent: Rollout, source: Problem, sign: str) -> Restart:
    prefix, dropped = grammar.cut(parent.completion, 1)
    return Restart(
        id=row_id("restart", parent.id), problem_id=source.id, parent_id=parent.id, buffer=sign, backtrack=dropped, prompt=parent.prompt,
        prefix=prefix, prefix_has_answer=False, answer=source.answer, answer_kind="number", pass_rate=0.5,
        round="r1",
    )  # fmt: skip


def demonstration(source: Problem) -> Demonstration:
    right = int(source.answer)
    wrong = f"{right - 7} + 7 = {right + 1}"
    text = f"{wrong}\n<|reflect|>But wait.\n<|explore|>Add again.\n<|continue|>{right - 7} + 7 = {right}\n\\boxed{{{right}}}"
    return Demonstration(
        id=row_id("demonstration", source.id), problem_id=source.id, type="III-I", prompt=render("solve", problem=source.problem),
        completion=text, wrong_spans=(0, len(wrong)), score=1.5, critic="llm", **LINEAGE,
    )  # fmt: skip


def template() -> Template:
    source = problem(3, "train")
    return Template(
        id="t1", name="put together", tags=("add", "total"), description="Two amounts are joined.", scope="Something joins a collection.",
        steps=("Take the result so far.", "Add the next number."), example_problem=source.problem, example_solution=str(source.solution),
        example_answer=source.answer, source="induced", licence="apache-2.0", status="accepted", resolved=8, solve_rate=0.5, version=1,
        parents=(source.id,), **LINEAGE,
    )  # fmt: skip


LEFT = replace(template(), id="t2", name="give away", tags=("subtract", "left"))
EVERY = PARAMS.require("adjustments").model_copy(update={"keep_share": 1.0})


def trajectories(source: Problem) -> list[Trajectory]:
    return [
        Trajectory(
            id=row_id("trajectory", source.id, plan), problem_id=source.id, prompt=render("plan", problem=source.problem), plan=plan,
            template_ids=(key,), similar_ids=(source.id,), instantiations=(str(source.solution),), decodes=decodes,
            reward=decodes.count("correct") / 4, n_similar=1, n_decodes=4, interval=(0.0, 1.0), **LINEAGE,
        )
        for plan, key, decodes in (
            ("put together (add, total)", "t1", ("correct",) * 4), ("give away (subtract, left)", "t2", ("correct", *("wrong",) * 3)),
        )
    ]  # fmt: skip


def trajectory_pair(source: Problem) -> TrajectoryPair:
    better, worse = trajectories(source)
    return TrajectoryPair(
        id=row_id("pair", better.id, worse.id), problem_id=source.id, prompt=better.prompt, chosen=better.plan, rejected=worse.plan,
        reward_chosen=better.reward, reward_rejected=worse.reward, n_similar=1, n_decodes=2, template_ids=("t1",),
        parents=(better.id, worse.id), interval=(-0.2, 1.0), **LINEAGE,
    )  # fmt: skip


def adjustment(source: Problem) -> Adjustment:
    """After `put together` another template would be worse: R is 1 under it and 1/4 under the other."""
    plans = trajectories(source)
    rows, _ = make_adjustments(plans, {source.id: source.problem}, [template(), LEFT], PARAMS.model_copy(update={"adjustments": EVERY}))
    return next(row for row in rows if row.parents[0] == plans[0].id)


def judgement(parent: Rollout) -> CriticJudgement:
    """Of a wrong solution: its first wrong step is the second, and the critic says so."""
    return CriticJudgement(
        id=row_id("judgement", "llm", *critique_key(parent.id), "r1"), critic="llm", kind="critique", problem_id=parent.problem_id,
        parent_id=parent.id, request_id="r1", text="In Step 2: do not.\nAlternatively: add 7.", parsed=True, leaks=False, said_step=2,
        reference_step=2, compared=True, accepted=True, reason="", verdict="wrong",
    )  # fmt: skip


@dataclass(frozen=True)
class Line:
    root: Path
    params: Params
    problems: list[Problem]
    rollouts: list[Rollout]

    def write(self, name: str, row_type: type, rows: list) -> Path:
        path = storage.TABLES / f"{name}.parquet"
        storage.write_rows(path, row_type, rows)
        return path

    def change(self, name: str, row_type: type, **values: object) -> str:
        """Corrupt the first row of a table on disk; returns its id."""
        first, *rest = storage.read_rows(storage.TABLES / f"{name}.parquet", row_type)
        self.write(name, row_type, [replace(first, **values), *rest])
        return first.id


@pytest.fixture
def small_line(tmp_path: Path, written_line: Line, monkeypatch: pytest.MonkeyPatch) -> Line:
    """A copy of the line for one test."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written_line.root, tmp_path, dirs_exist_ok=True)
    return replace(written_line, root=tmp_path, problems=[*written_line.problems], rollouts=[*written_line.rollouts])


@pytest.fixture(scope="session")
def written_line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    folder, before = tmp_path_factory.mktemp("line"), Path.cwd()
    os.chdir(folder)
    try:
        return write_line(folder)
    finally:
        os.chdir(before)


def write_line(folder: Path) -> Line:
    params = PARAMS
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    train = [problem(number, "train") for number in range(2, 8)]
    problems = [*train, problem(20, "dev"), problem(30, "heldout"), problem(31, "heldout"), problem(40, "unseen")]
    pairs = [(rollout(source, int(source.answer), 0), rollout(source, int(source.answer) + 2, 1)) for source in train]
    rollouts = counted([row for pair in pairs for row in pair])
    line = Line(folder, params, problems, rollouts)
    plans = [
        Example(id=row_id("plan", source.id), problem_id=source.id, prompt=render("plan", problem=source.problem),
                completion="put together (add, total)", parents=(source.id, "t1"), **LINEAGE)
        for source in train
    ]  # fmt: skip
    structure = Example(
        id="s1", problem_id="", prompt=render("describe", name="put together", tags=("add", "total")),
        completion="Description: Two amounts are joined.\nScope: Something joins a collection.", parents=("t1",), **LINEAGE,
    )  # fmt: skip
    distilled = [
        Example(id=row_id("d", row.id), problem_id=row.problem_id, prompt=row.prompt, completion=row.completion, **LINEAGE)
        for row, _ in pairs
    ]
    restarts = [restart(row, source, sign) for source, pair in zip(train, pairs, strict=True) for row, sign in zip(pair, "+-", strict=True)]
    orm_pairs = [
        OrmPair(id=row_id("orm", right.id), problem_id=right.problem_id, prompt=right.prompt, chosen=right.completion,
                rejected=wrong.completion, margin=2.0, chosen_id=right.id, rejected_id=wrong.id, round="r1")
        for right, wrong in pairs
    ]  # fmt: skip
    cot = [replace(demonstration(source), type="I", completion=str(source.solution), wrong_spans=()) for source in train]
    texts = [f"Ann has {n} pears and 9 more.\nSolve:\n{n} + 9 = {n + 9}" for n in range(5)]
    corpus = [
        CorpusText(id=row_id("corpus", text), role="solve", family="tally", instance=f"tally {text}", prompt="", completion=text)
        for text in texts
    ]
    corpus.append(CorpusText(id="c", role="compute", family="none", instance="compute 3 4", prompt="", completion="3 + 4 = 7"))
    line.write("problems", Problem, problems)
    for key in params.policies:
        line.write(f"rollouts_{key}", Rollout, rollouts)
        line.write(f"orm_pairs_{key}", OrmPair, orm_pairs)
    for key in params.rounds:
        line.write(f"restarts_{key}", Restart, restarts)
    judgements = [judgement(wrong) for _, wrong in pairs[:3]]
    labelled, _ = make_process_rewards(
        problems, rollouts, judgements, params.require("process_rewards"), seed=1, steps="line", thinking=False
    )
    line.write("process_rewards", ProcessReward, labelled)
    line.write("demonstrations", Demonstration, [demonstration(source) for source in train])
    line.write("cot_demonstrations", Demonstration, cot)
    line.write("corpus", CorpusText, corpus)
    line.write("distillation_r1", Example, distilled)
    line.write("templates", Template, [template()])
    for key in params.planners:
        line.write(f"plans_{key}", Example, plans)
    line.write("structure", Example, [structure])
    line.write("trajectories", Trajectory, [row for source in train for row in trajectories(source)])
    line.write("adjustments", Adjustment, [adjustment(source) for source in train])
    line.write("trajectory_pairs", TrajectoryPair, [trajectory_pair(source) for source in train])
    return line
