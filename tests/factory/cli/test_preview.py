"""`factory preview`: a few rows of a stage, shown as they were asked and read, and nothing of the line written."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from factory.cli.main import app
from factory.engines.ledger import stats
from factory.engines.listening import Exchange, listening
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.select import Engines
from factory.errors import ParamsError
from factory.language.conversation import begun
from factory.language.prompting import Prompts
from factory.params import load
from factory.rejects import reject
from factory.reports.exchanges import kinds, readings
from factory.sandbox import made_otherwise, mirror, with_whole_paths
from factory.schemas import Message, Problem, Rollout
from factory.storage import TABLES, read_rows, write_rows
from pipelines.few_rows import PROBLEMS, Few

ROOT = Path(__file__).parents[3]
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of six problems that "cat" has solved twice, right or wrong in turn, and a seventh without an answer."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    problems, solutions = [], []
    for number in range(2, 8):
        question = f"Tom has {number} apples and finds {number} more. How many are there?"
        problems.append({"question": question, "answer": f"{number} + {number} = {2 * number}\n#### {2 * number}"})
        said = {key: {"is_correct": True, "solution": f"{number} + {number} = {2 * number + off}\nA: {2 * number + off}"}
                for key, off in (("cat", number % 2), ("dog", 1))}  # fmt: skip
        solutions.append({"question": question, "ground_truth": problems[-1]["answer"], **said})
    problems.append({"question": "How many are there?", "answer": ""})
    Path("problems.jsonl").write_text("\n".join(map(json.dumps, problems)), encoding="utf-8")
    Path("solutions.jsonl").write_text("\n".join(map(json.dumps, solutions)), encoding="utf-8")
    document = yaml.safe_load((ROOT / "pipelines/recorded_gsm8k/params.yaml").read_text(encoding="utf-8"))
    document["roles"]["generator"] |= {"model": "solutions.jsonl", "models": ["cat", "dog"]}
    document["problems"]["sources"][0]["path"] = "problems.jsonl"
    Path("params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return project


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.slow
def test_problems_are_shown_with_rejects_and_the_project_stays_as_it_is(recorded: Path, process: Run) -> None:
    before = files(recorded)
    done = process("preview", "problems", "-n", "1", cwd=recorded)
    assert done.returncode == 0, done.stderr
    assert "Tom has" in done.stdout
    assert "rejected: " in done.stdout
    assert "6 problems (heldout 6), 1 rejects" in done.stdout
    assert "Nothing of the line was written." in done.stdout
    assert files(recorded) == before


@pytest.mark.slow
def test_rollouts_show_verdicts_and_the_whole_run_asks_nothing_again(recorded: Path, process: Run, tmp_path: Path) -> None:
    """What the table is missing is made first; the preview's requests are the first of the whole run's."""
    before = files(recorded)
    done = process("preview", "rollouts@recorded", "-n", "2", cwd=recorded)
    assert done.returncode == 0, done.stderr
    assert files(recorded) == before
    assert "generator · solve · 2 of 2" in done.stdout
    assert "wrong, answer" in done.stdout
    assert "Solve this problem step by step" in done.stdout
    assert "data/tables/problems.parquet is missing" in done.stdout
    again = process("preview", "rollouts@recorded", "-n", "2", cwd=recorded).stdout
    assert again.count("; from the store") == 4
    for module in (["problems"], ["rollouts", "recorded"]):
        command = [sys.executable, "-m", f"pipelines.{module[0]}", *module[1:]]
        assert subprocess.run(command, cwd=recorded, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode == 0
    (usage,) = [row for row in stats(tmp_path / "requests.sqlite") if row.stage == "rollouts_recorded"]
    assert (usage.requests, usage.hits, usage.misses) == (12, 8, 12), "4 asked, 4 found again, then 4 of 12 found"


@pytest.mark.slow
def test_a_killed_preview_takes_its_folder_along(recorded: Path, tmp_path: Path) -> None:
    kept = tmp_path / "temporary"
    kept.mkdir()
    env = os.environ | {"TMPDIR": str(kept)}
    command = [sys.executable, "-m", "factory.cli", "preview", "rollouts@recorded"]
    victim = subprocess.Popen(command, cwd=recorded, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: any(kept.iterdir()))
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    wait_for(lambda: not any(kept.glob("factory-preview-*")))
    assert not (recorded / "data").exists()


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(("words", "says"), [
    (("rollouts",), "rollouts is no stage of this line. Expected one of rollouts@recorded"),
    (("rollouts@base",), "rollouts@base is no stage of this line, did you mean rollouts@recorded?"),
    (("problem",), "'problem' is no stage of this line, did you mean problems?"),
    (("problems@x",), "expected problems, which has no items"),
    (("release@demonstrations",), "`dvc repro release@demonstrations` runs it, `factory audit demonstrations`"),
    (("restarts@recorded",), "it asks no model: `dvc repro restarts@recorded`, then `factory show restarts_recorded`"),
    (("problems", "-n", "0"), "-n is 0: expected 1 or more"),
])  # fmt: skip
def test_a_mistake_says_what_to_do(recorded: Path, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(ParamsError) as found:
        CliRunner().invoke(app, ["preview", *words], catch_exceptions=False)
    assert says in str(found.value)


@pytest.mark.slow
def test_wrong_params_are_one_line(recorded: Path, process: Run) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("purpose: audit", "purpos: audit"), encoding="utf-8")
    done = process("preview", "problems", cwd=recorded)
    assert done.returncode == 1
    assert "unknown key purpos" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_demonstrations_are_tried_on_problems_with_right_and_wrong_rollouts(small_line) -> None:
    """All rollouts of the problems that are chosen: the draws among them are those of the whole run."""
    first = min(row.problem_id for row in small_line.rollouts)
    small_line.write(
        "rollouts_base", Rollout, [replace(row, verdict="correct") if row.problem_id == first else row for row in small_line.rollouts]
    )
    few = Few(load(), 2, "demonstrations", small_line.root)
    params = few.cut()
    rows = read_rows(TABLES / "rollouts_base.parquet", Rollout)
    assert len({row.problem_id for row in rows}) == 2
    assert first not in {row.problem_id for row in rows}
    assert {row.verdict for row in rows} == {"correct", "wrong"}
    assert len(rows) == 4
    assert "reward_model" not in params.roles
    assert "`dvc repro orm@base` makes it" in few.notes[0]


def test_a_policy_of_a_later_part_gets_the_first_problems_of_its_part(small_line) -> None:
    params = load()
    params = params.model_copy(update={"rollouts": params.require("rollouts").model_copy(update={"problems": 2})})
    train = sorted(row.id for row in small_line.problems if row.split == "train")
    few = Few(params, 1, "rollouts@r1", small_line.root)
    assert few.cut().policies["r1"].part == 0
    assert [row.id for row in read_rows(PROBLEMS, Problem)] == [train[2]]


def test_an_evaluation_is_of_the_models_that_are_there(small_line) -> None:
    few = Few(load(), 1, "evaluate", small_line.root)
    params = few.cut()
    assert params.demonstrations is None
    assert params.rounds == {}
    assert params.planners == {}
    assert "format_tuned" in few.notes[0]
    assert params.require("evaluate").n == 1


def test_what_a_stage_writes_in_the_sandbox_replaces_links_and_not_what_they_point_to(small_line, tmp_path: Path) -> None:
    before = (TABLES / "problems.parquet").read_bytes()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    mirror(Path.cwd(), folder, {"data/tables/plans.parquet"})
    assert not (folder / "data/tables/plans.parquet").exists()
    write_rows(folder / PROBLEMS, Problem, small_line.problems[:1])
    assert len(read_rows(folder / PROBLEMS, Problem)) == 1
    assert PROBLEMS.read_bytes() == before


def test_files_outside_of_the_line_are_found_from_anywhere(recorded: Path) -> None:
    params = with_whole_paths(load())
    assert params.problems.sources[0].path == str(recorded / "problems.jsonl")
    assert params.roles["generator"].model == str(recorded / "solutions.jsonl")


@pytest.mark.slow
def test_tables_of_other_params_are_known_by_the_lock(recorded: Path) -> None:
    own = {"outs": [{"path": "data/tables/problems.parquet"}], "params": {"params.yaml": {"seed": 1, "problems.near_duplicate": 0.9}}}
    makers = {PROBLEMS: "problems"}
    assert made_otherwise(makers) == {}
    for title, seed, expected in (("problems", 1, {}), ("problems", 2, "made with another seed"), ("others", 1, "made by others")):
        own["params"]["params.yaml"]["seed"] = seed
        Path("dvc.lock").write_text(yaml.safe_dump({"stages": {title: own}}), encoding="utf-8")
        found = made_otherwise(makers)
        assert (found == {}) if not expected else found[PROBLEMS].startswith(expected)


def asked(name: str, conversation: tuple[Message, ...], key: str = "k") -> Exchange:
    return Exchange(name, key, Request(conversation, SamplingParams(8)), Completion("7", (1,), "stop", 3, key), False)


def test_questions_are_known_by_the_words_of_their_files() -> None:
    prompts = Prompts.of("instruct")
    solve = prompts.render("solve", problem="Tom has 3.")
    critique = prompts.render("critique", problem="Tom has 3.", solution="3", steps=("1 + 1 = 3", "So 3."), json=True)
    exchanges = [
        asked("generator", solve),
        asked("generator", begun(solve, "3 is")),
        asked("critic", prompts.render("verify", problem="Tom has 3.", steps=("1 + 1 = 3", "So 3."), json=False)),
        asked("critic", critique),
        asked("critic", (*begun(critique, "{"), *prompts.render("repair", reason="no JSON in it"))),
        asked("planner", Prompts.of("laptop").render("plan", problem="Tom has 3.")),
        asked("labeller", (Message("user", "Something else."),)),
    ]
    assert list(kinds(exchanges, ["laptop", "instruct"])) == [
        ("generator", "solve"), ("generator", "solve, gone on with"), ("critic", "verify"), ("critic", "critique"),
        ("critic", "asked again"), ("planner", "plan"), ("labeller", "question"),
    ]  # fmt: skip


def test_rows_and_rejects_say_what_was_read_of_a_request(small_line) -> None:
    row = replace(small_line.rollouts[0], request_ids=("aa",))
    refused = reject("plans", {"request_id": "bb", "text": "?"}, "no template of that name")
    assert readings({"rollouts_base": [row]}, [refused]) == {
        "aa": [f"row {row.id[:8]} of rollouts_base"], "bb": ["rejected: no template of that name"],
    }  # fmt: skip


def test_a_service_is_overheard_only_while_somebody_listens(recorded: Path) -> None:
    params = load()
    question = Prompts.of("instruct").render("solve", problem="Tom has 3 apples and finds 3 more. How many are there?")
    requests = [Request(question, SamplingParams(8), ordinal=ordinal) for ordinal in (0, 1, 1)]

    def generate() -> list[Completion]:
        with Engines(params.requests, "rollouts_recorded") as engines:
            return engines.engine(params.roles["generator"], "generator").generate(requests)

    with listening() as ear:
        first, second = generate(), generate()
    generate()
    assert first == second
    assert [(exchange.key, exchange.stored) for exchange in ear.exchanges] == [(answer.request_id, False) for answer in first[:2]]
    assert ear.voices["generator"].under_way == 0
