"""README's "Your problems, your model", word for word, with the smallest real model: Satori's half, a real tokenizer and chat template."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import easy_problems
import pytest
import yaml

from factory import schemas
from factory.language.tokens import request_ids
from factory.line import stages_of
from factory.params import load
from factory.params.profiles import FOLDER
from factory.storage import read_rows

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
Line = Any  # the class of the fixture, in conftest.py
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not MODEL.exists(), reason=f"{MODEL.relative_to(ROOT)} is not here: `make smollm2` fetches it"),
]


def blocks(language: str) -> list[str]:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your problems, your model\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """Without what the session is: the model is fetched, the environment active."""
    lines = [line.partition("#")[0].split() for line in block.splitlines()]
    return [words for words in lines if words and words[0] not in ("make", "source")]


def merged(into: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    for key, value in values.items():
        into[key] = merged(into[key], value) if isinstance(value, dict) and isinstance(into.get(key), dict) else value
    return into


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory, new_project: Callable[..., Line], shared_cache: Path) -> Line:
    """The section's first half: a project with the profile, the user's two edits, and smaller numbers."""
    line = new_project(tmp_path_factory.mktemp("mine"), shared_cache)
    (line.folder / "models").mkdir()
    (line.folder / "models" / MODEL.name).symlink_to(MODEL)
    easy_problems.write(line.folder / "mine.jsonl", 40)
    first, _ = blocks("sh")
    for command in commands(first):
        done = line.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (line.folder / "params.yaml").read_bytes() == (ROOT / FOLDER / "smollm2.yaml").read_bytes()
    document = yaml.safe_load((line.folder / "params.yaml").read_text())
    merged(document, yaml.safe_load((ROOT / "tests/line/slice.yaml").read_text()))
    (edit,) = blocks("yaml")
    (line.folder / "params.yaml").write_text(yaml.safe_dump(merged(document, yaml.safe_load(edit)), sort_keys=False))
    return line


@pytest.fixture(scope="module")
def said(mine: Line) -> dict[str, str]:
    """What the section's commands say, all of which must succeed."""
    found = {}
    for command in commands(blocks("sh")[1]):
        done = mine.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        found[" ".join(command[:2])] = done.stdout + done.stderr
    return found


def test_the_example_of_a_row_is_one_that_can_be_read(tmp_path: Path) -> None:
    (example,) = blocks("json")
    assert set(json.loads(example)) == {"question", "answer", "solution"}


def test_what_is_said_before_the_run(said: dict[str, str]) -> None:
    assert "missing" not in said["factory check"].split("\n")[-2]
    assert "rollouts@base" in said["factory estimate"]
    assert "Put the final answer" in said["factory preview"]
    assert "tokens in" in said["factory preview"]


def test_every_stage_of_the_half_ran(mine: Line, said: dict[str, str]) -> None:
    lock = yaml.safe_load((mine.folder / "dvc.lock").read_text())["stages"]
    planner = {
        "process_rewards",
        "templates",
        "library",
        "structure",
        "plans@sft",
        "planner@sft",
        "trajectories",
        "planner_dpo",
        "adjustments",
        "planner_adjust",
        "evaluate",
        "report",
    }
    planner |= {f"release@{name}" for name in ("templates", "structure", "plans_sft", "trajectory_pairs", "adjustments")}
    assert {stage.title for stage in stages_of(load(mine.folder / "params.yaml"))} - planner == set(lock)
    assert {"adoption@base", "demonstrations", "restarts@r1", "ppo@r1", "cot_control"} <= set(lock)


def test_rows_of_every_kind_came_out_and_lead_back(mine: Line, said: dict[str, str]) -> None:
    problems = {row.id for row in read_rows(mine.folder / "data/tables/problems.parquet", schemas.Problem)}
    for name, row_type in (
        ("demonstrations", schemas.Demonstration), ("orm_pairs_base", schemas.OrmPair), ("restarts_r1", schemas.Restart),
        ("cot_demonstrations", schemas.Demonstration),
    ):  # fmt: skip
        rows = read_rows(mine.folder / "data/datasets" / name, row_type)
        assert rows, name
        assert {row.problem_id for row in rows} <= problems


def test_what_was_asked_is_what_the_models_own_template_says(mine: Line, said: dict[str, str]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(mine.folder / "data/models/base")
    row = read_rows(mine.folder / "data/tables/rollouts_base.parquet", schemas.Rollout)[0]
    ((ids, refused),) = request_ids(tokenizer, [row.prompt], "base")
    own = tokenizer.apply_chat_template([{"role": turn.role, "content": turn.content} for turn in row.prompt], add_generation_prompt=True)
    assert not refused
    assert list(ids) == list(own["input_ids"] if hasattr(own, "keys") else own)
    assert tokenizer.decode(ids).startswith("<|im_start|>system")


def test_policies_log_finite_numbers(mine: Line, said: dict[str, str]) -> None:
    header, *rows = (mine.folder / "data/logs/policy_r1.csv").read_text().splitlines()
    assert rows
    values = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    assert all(abs(float(value)) < 1e6 for name, value in values.items() if value), values


def test_a_second_run_has_nothing_to_do(mine: Line, said: dict[str, str], ran: Callable[[str], set[str]]) -> None:
    assert ran(mine.repro("ppo@r1", "cot_control")) == set()
